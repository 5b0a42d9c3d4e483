"""Benchmarks, as a user would run them, with tiny models."""

import importlib
import os

import pytest
import torch

from sapiens.apis import build_model

from ..apis.tiny import write_pictures
from ..scripts import run

if not os.environ.get('CI'):
    pytest.importorskip('transformers')
SMALL = ('--size', 'tiny', '--image-size', '256', '192', '--repeats', '1')


def rows(done):
    lines = [line.split('|')[1:-1] for line in done.stdout.splitlines() if line.startswith('|')]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_sapiens2_against_transformers():
    done = run('tools/benchmark/sapiens2.py', '--part', 'trunk', 'heads', 'decode', *SMALL, OMP_NUM_THREADS='1')
    found = rows(done)
    heads = [f'{task} head tiny' for task in ('pose', 'seg', 'normal', 'pointmap', 'matting')]
    for name in ('encoder tiny', *heads, '308 keypoints of 4 people'):
        theirs, ours, ratio, difference = found[name]
        assert float(theirs.split()[0]) > 0 and float(ours.split()[0]) > 0 and float(ratio.split()[0]) > 0
        assert float(difference) <= 1e-4


def test_sapiens2_from_files_to_results(tmp_path):
    write_pictures(tmp_path, ((60, 80), (90, 40)), '.jpg')
    done = run('tools/benchmark/sapiens2.py', '--part', 'folder', '--images', tmp_path, *SMALL, OMP_NUM_THREADS='1')
    assert [name for name in rows(done) if name] == [
        f'{task} tiny, 2 files (CPU time)' for task in ('pose', 'seg', 'normal', 'pointmap', 'matting')
    ]


def test_sapiens2_on_a_device():
    done = run('tools/benchmark/sapiens2.py', '--part', 'cuda', '--device', 'cpu', '--modes', 'eager', *SMALL)
    assert 'encoder tiny, 8 images, eager' in rows(done)


def test_labels_of_a_batch():
    done = run('tools/benchmark/batch_labels.py', '--batch', '2', '--size', '32', '24', '--repeats', '1')
    lines = [line.split('|')[1:-1] for line in done.stdout.splitlines() if line.startswith('|')]
    found = {(line[0].strip(), line[1].strip()): [cell.strip() for cell in line[2:]] for line in lines}
    # One piece of shared memory for the images, one for each stacked label or each label of a sample.
    for title, labels, stacked in (('seg', 2, 2), ('matting', 4, 4), ('normal-fp16', 2, 2), ('pointmap', 2, 3)):
        assert found[title, 'by sample'][0] == str(1 + 2 * labels) and found[title, 'by sample'][3] == str(2 * labels)
        assert found[title, 'stacked'][0] == str(1 + stacked) and found[title, 'stacked'][3] == str(stacked)
    assert found['pose-308', 'stacked'][3] == '2' and 'turns normals by 0.0061 degrees on average' in done.stdout


def test_different_outputs_stop_the_comparison(monkeypatch):
    monkeypatch.syspath_prepend('tools/benchmark')
    versus = importlib.import_module('versus')
    assert versus.agree('x', [1.0, 100.0], [1.0, 100.001]) == '1e-05'
    for ours in ([1.0, 100.1], [1.0, float('nan')], [1.0]):
        with pytest.raises(SystemExit, match='x: '):
            versus.agree('x', [1.0, 100.0], ours)


@pytest.mark.parametrize('task', ['pointmap', 'matting'])
def test_what_jitters_in_video(task, tmp_path):
    config = f'configs/{task}/sapiens2_tiny_synthetic-128x96.py'
    torch.manual_seed(0)
    model = build_model(config, device='cpu')
    if task == 'pointmap':
        # Random scales may be below 0, and all points must be in front of the camera.
        for layer in (model.decode_head.scale_final_layer[-1], model.decode_head.conv_pointmap):
            layer.bias.data.fill_(4.0)
            layer.weight.data.mul_(0.1)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'weights.pth')
    options = ('--scenes', '1', '--frames', '3', '--size', '48', '64', '--checkpoint', tmp_path / 'weights.pth')
    found = {
        name: [float(value) for value in row if value.replace('.', '').isdigit()]
        for name, row in rows(run('tools/benchmark/video.py', config, *options, OMP_NUM_THREADS='1')).items()
    }
    before, *after = (found[name] for name in found if name)
    if task == 'pointmap':
        swaps, distance, jitter = before
        assert swaps > 0.1 and jitter > 0, 'random points are in any order'
        assert all(row[0] == 0 for row in after), 'points on rays have the order of their pixels'
        assert after[1][2] > 0 and distance > 0
    else:
        assert 0 < after[0][1] < before[1], 'noise of the image gives mattes that flicker'
