"""sapiens export and its benchmark, as a user would run them."""

import pytest
import torch

from sapiens.apis import build_model
from sapiens.apis.export import TOLERANCES, load_export
from sapiens.apis.export.options import Tolerance
from sapiens.checkpoints import Entry, zoo
from sapiens.commands import export
from sapiens.utils.checkpoint import read_checkpoint, save_weights

from ..scripts import ROOT, run
from . import status_of

POSE = 'configs/pose/sapiens_tiny_coco-128x96.py'


def test_export_prints_differences_and_fails_without_a_file(tmp_path):
    out = tmp_path / 'pose.pt2'
    done = run('tools/export.py', POSE, '--format', 'torchscript', '--with-preprocess', '--with-decode', '--out', out,
               '--size', '64', '48', OMP_NUM_THREADS='1')  # fmt: skip
    assert 'RANDOM' in done.stderr
    assert 'keypoints: largest difference' in done.stdout and 'scores: largest difference' in done.stdout
    assert str(out) in done.stdout
    keypoints = load_export(out)(torch.zeros(1, 3, 64, 48, dtype=torch.uint8))['keypoints']
    assert keypoints.shape == (1, 17, 2)
    refused = run('tools/export.py', POSE, '--format', 'safetensors', '--with-decode', check=False)
    assert refused.returncode == 2 and "decode has no place in 'safetensors'" in refused.stderr
    assert 'Traceback' not in refused.stderr


def test_over_the_tolerance_the_command_fails_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setitem(TOLERANCES, 'bf16', Tolerance(1e-9, 1e-9))
    out = tmp_path / 'deep' / 'pose.pt2'
    options = ('--format', 'torchscript', '--dtype', 'bf16', '--out', out, '--size', 64, 48)
    said = status_of('export', ROOT / POSE, *options)
    assert 'no file was left' in said and 'FAILED' in said  # a text: status 1
    assert not list(out.parent.iterdir())


def test_names_of_files():
    for given, name in {
        ('sapiens-pose-0.3b', 'sapiens-pose-0.3b'): 'sapiens-pose-0.3b',
        ('x.py', 'a/sapiens_0.3b_coco_best_coco_AP_796.pth'): 'sapiens_0.3b_coco_best_coco_AP_796',
        ('a/sapiens_0.3b_coco-1024x768.py',): 'sapiens_0.3b_coco-1024x768_random',
    }.items():
        assert export.name_of(export.parse_args([*given, '--format', 'onnx'])) == name


def test_a_published_name_brings_its_weights(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('SAPIENS_CHECKPOINT_ROOT', str(tmp_path / 'root'))
    name, config = 'sapiens-pose-tiny-17', POSE.removeprefix('configs/')
    entry = Entry(name, 'pose', 'tiny', {'original': f'x/{name}'}, ('pose/tiny.pth',), config)
    monkeypatch.setitem(zoo._INDEX, name, [(entry, None)])
    monkeypatch.chdir(tmp_path)
    command = ('export', name, '--format', 'safetensors')
    assert status_of(*command) == 2
    errors = capsys.readouterr().err
    assert f'{name} is not on this machine' in errors and 'cc-by-nc-4.0' in errors and 'RANDOM' not in errors
    saved = build_model(ROOT / POSE, device='cpu').state_dict()
    (tmp_path / 'root/pose').mkdir(parents=True)
    save_weights(saved, tmp_path / 'root/pose/tiny.pth')
    assert status_of(*command) is None
    out = tmp_path / f'work_dirs/exports/{name}.safetensors'
    found = read_checkpoint(out)
    assert 'RANDOM' not in capsys.readouterr().err and name in found.meta['sapiens.json']
    assert all(torch.equal(value, saved[key]) for key, value in found.state_dict.items())


@pytest.mark.slow
def test_benchmark_prints_one_row_for_each_form(tmp_path):
    done = run('tools/benchmark/export.py', POSE, '--forms', 'torchscript', 'eager:bf16', 'torchscript:int8',
               '--size', '64', '48', '--repeats', '1', OMP_NUM_THREADS='1')  # fmt: skip
    rows = [line.split('|') for line in done.stdout.splitlines() if line.startswith('| ')][1:]
    assert [row[1].strip() for row in rows] == ['torchscript', 'eager:bf16', 'torchscript:int8']
    assert all(float(row[4]) > 0 for row in rows)
