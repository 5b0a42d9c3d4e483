"""sapiens features, in this process."""

import numpy as np
import pytest
from PIL import Image

from sapiens.apis import build_model
from sapiens.checkpoints import Entry, read_weights, zoo
from sapiens.utils.checkpoint import save_weights

from ..apis.tiny import ROOT, picture
from . import status_of

CONFIG = ROOT / 'configs/mae/sapiens_tiny_synthetic-128x128.py'
ARCH = 'dict(_delete_=True, embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=32)'


@pytest.fixture
def features(capsys, tmp_path):
    """Run the command with a narrow model and random weights; returns its exit code, output and errors."""
    config = tmp_path / 'config.py'
    config.write_text(f"_base_ = '{CONFIG}'\nmodel = dict(backbone=dict(arch={ARCH}))\n")

    def call(images, out, *options):
        return (
            status_of('features', config, 'random', images, '--out', out, '--device', 'cpu', *options),
            *capsys.readouterr(),
        )

    return call


def test_images_of_one_name_and_unusable_ones(features, tmp_path):
    for camera in ('cam1', 'cam2'):
        (tmp_path / camera).mkdir()
    Image.fromarray(picture(seed=1)).save(tmp_path / 'cam1/0001.png')
    Image.fromarray(picture(seed=4)).save(tmp_path / 'cam2/0001.png')
    longest = 'x' * 251 + '.png'
    Image.fromarray(picture()).save(tmp_path / longest)
    (tmp_path / 'list.txt').write_text(f'cam1/0001.png\ncam2/0001.png\n{longest}\na\0b.png\nfoo://x/y.png\n')
    code, text, errors = features(tmp_path / 'list.txt', tmp_path / 'out')
    assert code == 1 and 'wrote features of 2 images' in text and '3 failed' in text
    assert errors.count('skipped ') == 3 and 'File name too long' in errors
    one, two = (np.load(tmp_path / f'out/{camera}/0001.png.npy') for camera in ('cam1', 'cam2'))
    assert one.shape == two.shape and (one != two).any()


def test_features_of_random_weights_are_not_mixed(features, tmp_path):
    (tmp_path / 'in').mkdir()
    Image.fromarray(picture()).save(tmp_path / 'in/a.png')
    code, text, _ = features(tmp_path / 'in', tmp_path / 'out')
    assert code == 0 and 'wrote features of 1 image to' in text
    first = np.load(tmp_path / 'out/a.png.npy')
    code, _, errors = features(tmp_path / 'in', tmp_path / 'out')
    assert code == 2 and 'weights of features: they are random, new in each run' in errors
    assert features(tmp_path / 'in', tmp_path / 'out', '--overwrite')[0] == 0
    assert (np.load(tmp_path / 'out/a.png.npy') != first).any()
    code, _, errors = features(tmp_path / 'in', tmp_path / 'in')
    assert code == 2 and 'is in a folder of inputs' in errors


def test_a_published_encoder_brings_config_and_weights(tmp_path, monkeypatch, capsys):
    """Encoders of Sapiens2 have no config. Positionals may stand on both sides of an option."""
    monkeypatch.setenv('SAPIENS_CHECKPOINT_ROOT', str(tmp_path / 'root'))
    name = 'sapiens2-pretrain-tiny'
    entry = Entry(name, 'pretrain', 'tiny', {'original': f'x/{name}'}, ('pretrain/tiny.safetensors',))
    monkeypatch.setitem(zoo._INDEX, name, [(entry, None)])
    Image.fromarray(picture()).save(tmp_path / 'a.png')
    assert status_of('features', name, '--out', tmp_path / 'out', tmp_path / 'a.png', '--device', 'cpu') == 2
    errors = capsys.readouterr().err
    assert (
        f'{name} is not on this machine' in errors and 'sapiens2-license' in errors and not (tmp_path / 'out').exists()
    )
    file = tmp_path / 'root/pretrain/tiny.safetensors'
    file.parent.mkdir(parents=True)
    save_weights(build_model(name, device='cpu').backbone.state_dict(), file)
    assert len(read_weights(name).state_dict) == 108
    assert status_of('features', name, '--out', tmp_path / 'out', tmp_path / 'a.png', '--device', 'cpu') == 0
    found = np.load(tmp_path / 'out/a.png.npy')
    assert found.shape == (192, 64, 48)
    out = tmp_path / 'other'
    assert status_of('features', name, file, tmp_path / 'a.png', '--out', out, '--device', 'cpu') == 0
    assert (np.load(out / 'a.png.npy') == found).all()


def test_weights_that_are_not_given(tmp_path, capsys):
    assert status_of('features', CONFIG, tmp_path, '--out', tmp_path / 'out') == 2
    assert 'give weights between a config and the images' in capsys.readouterr().err
    assert status_of('features', 'sapiens2-pretrain-1b', 'random', tmp_path, '--out', tmp_path / 'out') == 2
    assert 'sapiens2-pretrain-1b brings its weights' in capsys.readouterr().err
