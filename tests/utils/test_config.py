import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from sapiens.utils.config import add_options_argument, flatten, load_config, origin_of

ROOT = Path(__file__).parents[2]
LEAF = ROOT / 'configs' / 'mae' / 'sapiens_tiny_folder-256x256.py'


def test_options_of_a_command_line():
    parser = argparse.ArgumentParser()
    add_options_argument(parser)
    options = ['train_dataloader.batch_size=3', 'optim_wrapper.optimizer.lr=1e-5', 'model.norm_pix=True',
               'optim_wrapper.clip_grad=None', 'train_dataloader.dataset.pipeline.0.area=(0.5,1.0)',
               'model.backbone.img_size=(128,64)', 'optim_wrapper.precision=bf16']  # fmt: skip
    args = parser.parse_args(['--cfg-options', *options])
    cfg = load_config(LEAF, args.cfg_options)
    assert cfg.train_dataloader.batch_size == 3 and cfg.optim_wrapper.optimizer.lr == 1e-5
    assert cfg.model.norm_pix is True and cfg.optim_wrapper.clip_grad is None
    assert tuple(cfg.train_dataloader.dataset.pipeline[0].area) == (0.5, 1.0)
    assert tuple(cfg.model.backbone.img_size) == (128, 64) and cfg.optim_wrapper.precision == 'bf16'


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('model.backbone.archh=1b', r"no key 'archh' in model.backbone .*did you mean 'arch'.*\+model.backbone.archh"),
        ('modle.mask_ratio=0.5', "no key 'modle' in the config .*did you mean 'model'"),
        ('model.mask_ratio.x=1', 'model.mask_ratio of .* has no keys'),
        ('train_dataloader.dataset.pipeline.7.size=1', "is a list of 2, '7' is no item"),
        ('train_dataloader.dataset.pipeline.first.size=1', "'first' is no item"),
        ('train_dataloader.batch_size=many', 'a str cannot take the place of 8 .int'),
        ('model.norm_pix=3', 'a int cannot take the place of False'),
        ('model.decoder=3', 'a int cannot take the place of'),
        ('nothing', 'expected KEY=VALUE'),
        ('train_pipeline.0.flip_prob=0', r'would change nothing.*train_dataloader.dataset.pipeline.0.flip_prob=0'),
        ('backbone.arch=1b', r"would change nothing.*model.backbone.arch='1b'"),
    ],
)
def test_what_is_refused(option, message):
    with pytest.raises(ValueError, match=message):
        load_config(LEAF, [option])


def test_plus_adds_on_purpose():
    cfg = load_config(LEAF, ['+model.backbone.out_indices=3', '+env_cfg.new.deep=1'])
    assert cfg.model.backbone.out_indices == 3 and cfg.env_cfg.new.deep == 1


def test_unknown_top_level_key(tmp_path):
    (tmp_path / 'a.py').write_text("modell = dict(type='MAE')\n")
    with pytest.raises(ValueError, match="unknown key 'modell'; did you mean 'model'"):
        load_config(tmp_path / 'a.py')
    (tmp_path / 'b.py').write_text('_helper = 3\nwork_dir = str(_helper)\n')
    assert load_config(tmp_path / 'b.py').work_dir == '3'


def test_missing_file_names_its_neighbours():
    with pytest.raises(FileNotFoundError, match='there is .*sapiens_tiny_folder-256x256.py'):
        load_config(LEAF.with_name('sapiens_tiny_folder-256x255.py'))


def test_origin_is_the_most_derived_file_that_decided(tmp_path):
    (tmp_path / 'base.py').write_text('model = dict(a=1, b=2, c=[1, 2])\n')
    (tmp_path / 'middle.py').write_text("_base_ = './base.py'\nmodel = dict(b=3)\n")
    (tmp_path / 'leaf.py').write_text("_base_ = './middle.py'\nmodel = dict(d=_base_.model.b, b=3)\n")
    origin = {key: Path(file).name for key, file in origin_of(tmp_path / 'leaf.py').items()}
    assert origin == {'model.a': 'base.py', 'model.b': 'middle.py', 'model.c': 'base.py', 'model.d': 'leaf.py'}


def test_flatten():
    nested = dict(a=dict(b=1, c={}), d=[dict(e=2), dict(f=3)], g=[1, 2])
    assert flatten(nested) == {'a.b': 1, 'a.c': {}, 'd.0.e': 2, 'd.1.f': 3, 'g': [1, 2]}


def test_print_config_shows_values_with_their_files():
    command = [sys.executable, '-W', 'ignore', 'tools/misc/print_config.py', str(LEAF), '--only', 'model']
    command += ['--cfg-options', 'model.mask_ratio=0.5']
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    shown = {line.split(' = ')[0]: line for line in lines}
    assert shown['model.mask_ratio'].endswith('# command line') and ' = 0.5 ' in shown['model.mask_ratio']
    assert shown['model.decoder.num_layers'].endswith('# configs/mae/_base_/mae-256x256.py')
    assert shown['model.type'].endswith('# configs/mae/_base_/mae-1024x1024.py')
