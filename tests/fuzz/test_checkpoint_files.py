"""Damaged checkpoints of every format: weights, or an error of one line that names the file."""

import shutil

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp

from sapiens.engine.checkpoint_io import NEEDED, load_training_state
from sapiens.utils.checkpoint import Checkpoint, read_checkpoint, save_weights

from .mutations import damage_archive

FORMATS = ('pth', 'old', 'safetensors', 'script', 'export', 'folder', 'hub', 'run')


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 6)
        self.register_buffer('piece', torch.arange(12.0).view(3, 4)[1:, 1:])

    def forward(self, values):
        return self.layer(values)


@pytest.fixture(scope='module')
def originals(tmp_path_factory):
    """A file or folder of each format."""
    root = tmp_path_factory.mktemp('originals')
    torch.manual_seed(0)
    model = Small()
    weights = {'backbone.layer.weight': torch.randn(6, 4), 'backbone.pos_embed': torch.randn(1, 5, 4)}
    made = {name: root / f'{name}.pth' for name in FORMATS}
    meta = dict(epoch=3, values=np.arange(3), scalar=np.float32(0.5), names=['a', 'b'])
    torch.save(dict(state_dict=weights, meta=meta), made['pth'])
    torch.save(dict(state_dict=weights, meta=meta), made['old'], _use_new_zipfile_serialization=False)
    save_weights(weights, root / 'x.safetensors', dict(task='pose'))
    made['safetensors'] = root / 'x.safetensors'
    torch.jit.save(torch.jit.script(model), made['script'])
    torch.export.save(torch.export.export(model, (torch.ones(2, 4),)), root / 'export.pt2')
    made['export'] = root / 'export.pt2'
    dcp.save(dict(state_dict=weights), checkpoint_id=root / 'folder', no_dist=True)
    made['folder'] = root / 'folder'
    (root / 'hub').mkdir()
    save_weights(weights, root / 'hub' / 'model.safetensors')
    made['hub'] = root / 'hub'
    torch.save({name: dict(weights, number=3) for name in NEEDED}, made['run'])
    return made


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('count', [150, pytest.param(5000, marks=pytest.mark.slow)])
def test_a_damaged_file_is_read_or_refused_in_one_line(name, count, originals, tmp_path):
    rng, original = np.random.default_rng(FORMATS.index(name)), originals[name]
    read = load_training_state if name == 'run' else read_checkpoint
    for number in range(count):
        path = tmp_path / original.name
        if original.is_dir():
            shutil.copytree(original, path, dirs_exist_ok=True)
            files = sorted(file.relative_to(original) for file in original.rglob('*') if file.is_file())
            damaged = files[rng.integers(len(files))]
            (path / damaged).write_bytes(damage_archive((original / damaged).read_bytes(), rng))
        else:
            path.write_bytes(damage_archive(original.read_bytes(), rng))
        try:
            found = read(path)
        except ValueError as error:
            text = str(error)
            assert str(path) in text and '\n' not in text and len(text) < 1000, (number, text)
            assert 'weights_only' not in text, (number, text)
        else:
            assert isinstance(found, dict if name == 'run' else Checkpoint), number
            for value in found['state_dict'].values() if name == 'run' else found.state_dict.values():
                if isinstance(value, torch.Tensor):
                    value.double().sum()  # its memory is there


@pytest.mark.parametrize('name', FORMATS)
def test_the_unchanged_files_are_read(name, originals):
    read = load_training_state if name == 'run' else read_checkpoint
    assert read(originals[name])
