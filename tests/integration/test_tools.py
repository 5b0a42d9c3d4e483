"""The command-line tools, run like a user does."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sapiens.metainfo import get_skeleton
from sapiens.metainfo.palettes import with_palette

from ..datasets.people import person, write_people
from ..scripts import ROOT, run
from . import status_of

CONFIG = 'configs/mae/sapiens_tiny_folder-256x256.py'
POSE = 'configs/pose/sapiens_tiny_synthetic17-128x96.py'
SMALL = ['train_cfg.max_iters=3', 'train_cfg.val_interval=3', 'train_dataloader.batch_size=2',
         'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0', 'default_hooks.logger.interval=1']  # fmt: skip


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """Photographs if available, else smooth color gradients."""
    folder = tmp_path_factory.mktemp('photographs')
    given = os.environ.get('SAPIENS_TEST_DATA')
    photographs = sorted((Path(given) / 'people').glob('*.jpg'))[:3] if given else []
    for index in range(3):
        if photographs:
            Image.open(photographs[index]).resize((320, 280)).save(folder / f'{index}.jpg')
        else:
            y, x = np.mgrid[:280, :320]
            pixels = np.stack([x * 255 // 320, y * 255 // 280, (x + y * index) % 256], axis=-1)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f'{index}.jpg')
    return folder


@pytest.fixture(scope='module')
def trained(images, tmp_path_factory):
    """Work dir of a finished run of three steps."""
    work_dir = tmp_path_factory.mktemp('run')
    run('tools/train.py', CONFIG, '--work-dir', work_dir, '--cfg-options', *SMALL, DATA_ROOT=str(images))
    return work_dir


def test_train_writes_a_checkpoint_curves_and_a_figure(trained):
    assert (trained / 'iter_3.pth').is_file()
    (log,) = trained.glob('*/vis_data')
    rows = [json.loads(line) for line in (log / 'scalars.json').read_text().splitlines()]
    train = [row for row in rows if 'loss' in row]
    assert len(train) == 3
    assert {'lr', 'grad_norm', 'images_per_s', 'data_share', 'memory', 'time'} <= set(train[0])
    assert any('mae/loss' in row for row in rows)
    assert list(log.glob('events.out.tfevents.*'))
    picture = np.asarray(Image.open(log / 'reconstruction_0000003.png'))
    assert picture.ndim == 3 and picture.shape[1] == 3 * 384 + 2 * 4
    assert '.py' in {path.suffix for path in trained.iterdir()}, 'the merged config is kept'


def test_test_reports_the_held_out_loss(trained, images, tmp_path):
    options = ('--work-dir', tmp_path, '--cfg-options', 'test_dataloader.num_workers=0')
    command = ('tools/test.py', CONFIG, trained / 'iter_3.pth', '--out', tmp_path / 'metrics.json', *options)
    first = run(*command, DATA_ROOT=str(images))
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert set(metrics) == {'mae/loss'} and 0 < metrics['mae/loss'] < 10
    assert re.search(rf'test: 3 samples in .* s\n  mae +loss\n +{metrics["mae/loss"]:.4f}\n', first.stdout)
    assert '100.0% of the backbone loaded' in first.stdout
    run(*command, DATA_ROOT=str(images))
    assert json.loads((tmp_path / 'metrics.json').read_text()) == metrics


def test_features_are_written_once_and_bad_files_named(trained, images, tmp_path):
    folder = tmp_path / 'images'
    (folder / 'sub').mkdir(parents=True)
    for file in images.iterdir():
        (folder / 'sub' / file.name).write_bytes(file.read_bytes())
    (folder / 'broken.jpg').write_bytes(b'not an image')
    command = ('tools/extract_features.py', CONFIG, trained / 'iter_3.pth', folder, '--num-workers', 0)
    result = run(*command, '--out', tmp_path / 'a', check=False)
    assert result.returncode == 1 and 'broken.jpg' in result.stderr
    files = sorted((tmp_path / 'a').rglob('*.npy'))
    assert [str(file.relative_to(tmp_path / 'a')) for file in files] == [f'sub/{i}.jpg.npy' for i in range(3)]
    features = np.load(files[0])
    assert features.shape == (192, 16, 16) and features.dtype == np.float32 and np.isfinite(features).all()
    again = run(*command, '--out', tmp_path / 'a', check=False)
    assert '4 images, 3 of them done already' in again.stdout
    other = run(*command, '--out', tmp_path / 'a', '--dtype', 'fp16', check=False)
    assert (
        other.returncode == 2
        and 'holds results of other settings' in other.stderr
        and 'was fp32, is fp16' in other.stderr
    )

    run(*command, '--out', tmp_path / 'b', '--format', 'safetensors', '--blocks', 2, 5, '--dtype', 'bf16', '--out-type',
        'cls_token', check=False)  # fmt: skip
    last = load_file(tmp_path / 'b' / 'sub' / '0.jpg.block5.safetensors')['features']
    assert last.shape == (192,) and last.dtype == torch.bfloat16
    assert (tmp_path / 'b' / 'sub' / '0.jpg.block2.safetensors').is_file()


def test_features_do_not_depend_on_the_batch(trained, images, tmp_path):
    command = ('tools/extract_features.py', CONFIG, trained / 'iter_3.pth', images, '--num-workers', 0)
    run(*command, '--out', tmp_path / 'one', '--batch-size', 1)
    run(*command, '--out', tmp_path / 'three', '--batch-size', 3)
    for file in (tmp_path / 'one').glob('*.npy'):
        np.testing.assert_allclose(np.load(file), np.load(tmp_path / 'three' / file.name), rtol=1e-4, atol=1e-5)


def test_browse_dataset_draws_the_training_samples(images, tmp_path):
    command = ('tools/misc/browse_dataset.py', CONFIG, '--num-samples', 7)
    run(*command, '--out', tmp_path / 'a.png', DATA_ROOT=str(images))
    run(*command, '--out', tmp_path / 'b.png', DATA_ROOT=str(images))
    picture = np.asarray(Image.open(tmp_path / 'a.png'))
    assert picture.shape == (2 * (256 + 2 * 15) + 4, 6 * 256 + 5 * 4, 3)
    assert np.array_equal(picture, np.asarray(Image.open(tmp_path / 'b.png')))


@pytest.fixture(scope='module')
def people(tmp_path_factory):
    """Root of three images with 4 people, as the tiny pose config looks for them."""
    root = tmp_path_factory.mktemp('people')
    folder = root / 'synthetic' / 'train'
    folder.mkdir(parents=True)
    write_people(folder, [person(i, image=1 + i // 2) for i in range(4)], images=2, name='people.json')
    data = json.loads((folder / 'people.json').read_text())
    for image in data['images']:
        image['file_name'] = f'img/{image["file_name"]}'
    (folder / 'annotations').mkdir()
    (folder / 'annotations' / 'person_keypoints.json').write_text(json.dumps(data))
    (root / 'synthetic' / 'val').symlink_to(folder)
    return root


def test_pose_is_drawn_while_training_and_in_a_test(people, tmp_path):
    environment = dict(DATA_ROOT=str(people))
    options = ['train_cfg.max_iters=2', 'train_cfg.val_interval=9', 'train_dataloader.batch_size=2',
               'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0', 'test_dataloader.num_workers=0']  # fmt: skip
    run('tools/train.py', POSE, '--work-dir', tmp_path, '--cfg-options', *options, **environment)
    (file,) = tmp_path.glob('*/vis_data/pose_*.png')  # at the end
    picture = np.asarray(Image.open(file))
    assert file.name == 'pose_0000002.png' and picture.shape[1] == 4 * 288 + 3 * 4
    first, truth = picture[40:400, :288], picture[40:400, 292:580]
    assert (first != truth).any(-1).mean() > 0.005, 'no keypoints of the ground truth'

    shown, dumped = tmp_path / 'shown', tmp_path / 'dump.json'
    run('tools/test.py', POSE, tmp_path / 'iter_2.pth', '--work-dir', tmp_path, '--show-dir', shown, '--show-limit', 1,
        '--show-heatmaps', '--dump', dumped, '--cfg-options', 'test_dataloader.num_workers=0', **environment)  # fmt: skip
    assert [path.name for path in shown.iterdir()] == ['1.jpg']
    assert np.asarray(Image.open(shown / '1.jpg')).shape == (498 + 15, 3 * 664 + 2 * 4, 3)
    assert {result['image_id'] for result in json.loads(dumped.read_text())} == {1, 2}

    run('tools/misc/browse_dataset.py', POSE, '--num-samples', 2, '--out', tmp_path / 'a.png', **environment)
    picture = np.asarray(Image.open(tmp_path / 'a.png'))
    assert picture.shape == (256 + 4 * 15, 2 * 192 + 4, 3)
    for color in with_palette(get_skeleton('coco17'), 'distinct').colors[[5, 6, 11]]:
        assert (picture[:256] == color).all(-1).any(), 'no keypoints'


def test_unsupported_drawing_and_dumping_is_refused_at_once(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr('sapiens.commands.test.Runner', None)  # nothing is built before
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))

    def refused(config, *options):
        assert status_of('test', ROOT / config, 'x.pth', *options) == 2
        return capsys.readouterr().err

    assert "model.type='MAE': task 'mae' has no test figures" in refused(CONFIG, '--show-dir', tmp_path / 'shown')
    assert '0 of the metrics of test_evaluator (ReconstructionLoss) write predictions' in refused(
        CONFIG, '--dump', tmp_path / 'x.json'
    )
    for option in (['--show-limit', 3], ['--show-heatmaps'], ['--show-dir', 'x', '--show-limit', 0]):
        assert '--show-limit' in refused(POSE, *option)


def test_errors_have_the_fix(images, tmp_path):
    missing = run('tools/train.py', CONFIG, '--work-dir', tmp_path, check=False, DATA_ROOT=str(tmp_path / 'nowhere'))
    assert missing.returncode and 'nowhere' in missing.stderr and 'DATA_ROOT' in missing.stderr
    typo = run('tools/train.py', CONFIG, '--cfg-options', 'model.mask_ration=0.5', check=False, DATA_ROOT=str(images))
    assert typo.returncode and "did you mean 'mask_ratio'" in typo.stderr
    no_file = run(
        'tools/test.py', CONFIG, tmp_path / 'none.pth', '--work-dir', tmp_path, check=False, DATA_ROOT=str(images)
    )
    assert no_file.returncode and 'no checkpoint' in no_file.stderr


SCRIPTS = [path for path in sorted((ROOT / 'tools').rglob('*.py')) if '__main__' in path.read_text()]


@pytest.mark.parametrize('tool', [str(path.relative_to(ROOT)) for path in SCRIPTS])
def test_help_teaches(tool):
    text = run(tool, '--help').stdout
    assert 'python tools/' in text or '    sapiens ' in text, f'{tool} --help shows no example'
