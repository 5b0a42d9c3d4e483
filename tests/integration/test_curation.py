"""Images are curated by the command, then pretrained on from the shards."""

import pyarrow.parquet as pq

from sapiens.curation.filters import people
from tests.curation.images import Detector, drawing, encoded, textured
from tests.scripts import run

from . import status_of

CONFIG = """
_base_ = {base!r}
train_dataset = dict(type='TarShards', shards={shards!r})
train_dataloader = dict(
    batch_size=2,
    sampler=dict(_delete_=True, type='ShardSampler'),
    dataset=dict(_delete_=True, pipeline=_base_.train_dataloader.dataset.pipeline, **train_dataset),
)
"""


def test_curation_then_pretraining(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(people, 'build_detector', lambda text, device, threshold: Detector())
    images, out = tmp_path / 'images', tmp_path / 'out'
    images.mkdir()
    for seed in range(6):
        (images / f'photo{seed}.jpg').write_bytes(encoded(textured(seed)))
        (images / f'drawing{seed}.png').write_bytes(encoded(drawing(seed), 'PNG'))
    options = ('--workers', 0, '--cfg-options', 'filters.people.score=0.3', 'unit_size=4')
    assert status_of('curate', images, '--out', out, *options) == 0
    text = capsys.readouterr().out
    assert '12 new inputs, 0 known' in text and '6  kept, 0 of them with several people' in text
    calls = Detector.calls
    again = ('--workers', 0, '--cfg-options', 'filters.people.score=0.99')
    assert (
        status_of('curate', '--out', tmp_path / 'none', '--from-table', out / 'table.parquet', *again, '--no-shards')
        == 0
    )
    assert ' 0  kept' in capsys.readouterr().out and Detector.calls == calls
    assert not (tmp_path / 'none' / 'shards').exists() and (tmp_path / 'none' / 'report.html').exists()
    assert sum(pq.read_table(out / 'table.parquet')['kept'].to_pylist()) == 6

    config = tmp_path / 'sapiens_tiny_mine-256x256.py'
    base = 'configs/mae/sapiens_tiny_folder-256x256.py'
    shards = str(out / 'shards' / 'index.safetensors')
    config.write_text(CONFIG.format(base=str(run.__globals__['ROOT'] / base), shards=shards))
    work = tmp_path / 'work'
    options = ('train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'val_dataloader.batch_size=2', 'custom_hooks=[]')
    run('tools/train.py', config, '--work-dir', work, '--cfg-options', *options, DATA_ROOT=str(images))
    assert (work / 'iter_2.pth').is_file()
