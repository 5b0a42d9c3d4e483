"""sapiens relight, with tiny models of random weights."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from sapiens.apis.video.video_file import VideoReader

from ..apis.tiny import config, picture
from . import status_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> dict[str, str]:
    """Paths of tiny configs by task."""
    folder = tmp_path_factory.mktemp('configs')
    paths = {}
    for task in ('normal', 'seg', 'albedo'):
        cfg = config('normal' if task == 'albedo' else task)
        if task == 'albedo':
            cfg.model.task = dict(type='AlbedoTask')
            cfg.model.losses = [dict(type='NormalL1Loss')]
        paths[task] = str(folder / f'{task}.py')
        Config(dict(model=cfg.model, val_pipeline=cfg.val_pipeline, default_scope='sapiens')).dump(paths[task])
    return paths


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for name, size in (('a.png', (64, 48)), ('b.png', (50, 70))):
        Image.fromarray(picture(size)).save(folder / name)
    return folder


def relight(capsys, *arguments):
    return (status_of('relight', *arguments, '--device', 'cpu'), *capsys.readouterr())


def test_pictures_are_written_and_not_computed_again(models, photos, tmp_path, capsys):
    (photos / 'broken.png').write_bytes(b'no image')
    options = ('--model', models['albedo'], models['normal'], models['seg'], '--out', tmp_path / 'out')
    status, out, err = relight(capsys, photos, *options)
    assert status == 1 and 'broken.png' in err and '2 images in' in out, err
    written = sorted(path.name for path in (tmp_path / 'out').iterdir() if path.suffix)
    assert written == ['a.png', 'b.png']
    assert cv2.imread(str(tmp_path / 'out/b.png')).shape == (50, 70, 3)
    (photos / 'broken.png').unlink()
    status, out, _ = relight(capsys, photos, *options)
    assert status == 0 and '2 of 2 are there already' in out


def test_the_light_moves(models, photos, tmp_path, capsys):
    options = ('--model', models['albedo'], models['normal'], '--strength', 1, 0)
    pictures = []
    for number, light in enumerate(((-80, 10), (80, 10))):
        status, _, _ = relight(capsys, photos / 'a.png', *options, '--light', *light, '--out', tmp_path / str(number))
        assert status == 0
        pictures.append(cv2.imread(str(tmp_path / f'{number}/a.png')))
    assert not np.array_equal(*pictures)


@pytest.mark.skipif(not importlib.util.find_spec('av'), reason='needs PyAV: pip install av')
def test_a_turning_light_is_a_video(models, photos, tmp_path, capsys):
    options = ('--model', models['albedo'], models['normal'], '--turn', 0.4, '--out', tmp_path / 'out')
    status, _, _ = relight(capsys, photos / 'a.png', *options)
    assert status == 0
    frames = list(VideoReader(tmp_path / 'out/a.mp4'))
    assert len(frames) == 10 and frames[0].pixels.shape == (64, 48, 3)


def test_wrong_arguments_are_refused(models, photos, tmp_path, capsys):
    for arguments, text in (
        (('--model', models['normal']), 'needs a model of albedo; those of --model are for normal'),
        (('--model', models['albedo'], models['normal'], '--turn', 0), '--turn 0'),
        (('--model', models['albedo'], models['normal'], '--dim', 2), '--dim 2'),
        (('--model', models['albedo'], models['normal'], '--light', 0, 95), 'elevation=95'),
        (('--model', models['albedo'], models['albedo']), "two models for 'albedo'"),
    ):
        status, _, err = relight(capsys, photos, *arguments, '--out', tmp_path / 'out')
        assert status == 2 and text in err


def test_photographs_are_not_overwritten(models, photos, tmp_path, capsys):
    before = (photos / 'a.png').read_bytes()
    for place in (photos, photos / 'a.png'):
        options = ('--model', models['albedo'], models['normal'], '--out', photos, '--overwrite')
        status, _, err = relight(capsys, place, *options)
        assert status == 2 and f'--out {photos}' in err
        assert (photos / 'a.png').read_bytes() == before


def test_infer_knows_the_name(models, photos, tmp_path, capsys):
    options = ('--model', models['albedo'], models['normal'], '--out', tmp_path / 'out', '--device', 'cpu')
    assert status_of('infer', 'relight', photos / 'a.png', *options) == 0
    assert (tmp_path / 'out/a.png').is_file()
