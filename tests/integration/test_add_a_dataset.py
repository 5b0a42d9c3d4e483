"""docs/add_a_dataset.md followed to the letter: its files, written as it says, pass the check and name a metric that exists."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from sapiens.evaluation import refuse_unreported
from sapiens.registry import METRICS
from sapiens.utils.config import load_config

from ..datasets.people import person, write_people
from . import status_of

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / 'docs/add_a_dataset.md').read_text()


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Writes the guide's data set file, data, and a copy of the recipe with some texts replaced; returns the config."""
    (block,) = (block for block in re.findall(r'```python\n(.*?)```', GUIDE, re.S) if "name='hands_and_feet'" in block)
    configs, data = tmp_path / 'configs', tmp_path / 'data/hands_and_feet'
    for part in ('_base_', 'pose'):
        (configs / part).mkdir(parents=True)
    for name in ('default_runtime.py', 'schedules'):
        (configs / '_base_' / name).symlink_to(ROOT / 'configs/_base_' / name)
    (configs / 'pose/_base_').mkdir()
    (configs / 'pose/_base_/pose-1024x768.py').symlink_to(ROOT / 'configs/pose/_base_/pose-1024x768.py')
    (configs / '_base_/datasets').mkdir()
    (configs / '_base_/datasets/hands_and_feet.py').write_text(block)
    (data / 'images').mkdir(parents=True)
    for name, ids in (('train', (1, 2)), ('val', (3,))):
        write_people(data, [person(i, image=i, count=5) for i in ids], name=f'{name}.json')
    for photo in (data / 'img').iterdir():
        photo.rename(data / 'images' / photo.name)
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'data'))

    def write(**replaced):
        text = (ROOT / 'configs/pose/_base_/coco-1024x768.py').read_text().replace('coco17.py', 'hands_and_feet.py')
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        path = configs / 'pose/_base_/hands_and_feet-1024x768.py'
        path.write_text(text)
        return path

    return write


def test_the_guide_leads_to_a_config_that_passes(recipe, capsys):
    (name,) = re.findall(r"`save_best='([^']+)'`", GUIDE)
    path = recipe(**{'coco/AP': name})
    assert status_of('check', path, '--samples', 2) == 0, capsys.readouterr().out
    assert status_of('check', path, '--samples', 1, '--split', 'val') == 0, capsys.readouterr().out
    cfg = load_config(path)
    loop = SimpleNamespace(evaluator=SimpleNamespace(metrics=[METRICS.build(metric) for metric in cfg.val_evaluator]))
    refuse_unreported(cfg.default_hooks.checkpoint.save_best, loop, 'save_best')


def test_what_is_forgotten_is_refused_before_training(recipe, capsys):
    path = recipe()
    cfg = load_config(path)
    loop = SimpleNamespace(evaluator=SimpleNamespace(metrics=[METRICS.build(metric) for metric in cfg.val_evaluator]))
    with pytest.raises(ValueError, match="save_best='coco/AP' is not among the metrics.*hands-and-feet/AP"):
        refuse_unreported(cfg.default_hooks.checkpoint.save_best, loop, 'save_best')
    options = ['train_dataloader.dataset.pipeline.4.min_visible=6']  # more than the five keypoints
    assert status_of('check', path, '--cfg-options', *options) == 1
    assert 'min_visible=6) of the pipeline rejects every sample' in capsys.readouterr().out
