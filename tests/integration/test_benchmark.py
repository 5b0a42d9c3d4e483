"""Benchmarks, as a user would run them, with tiny models."""

import importlib
import os

import pytest

from .test_tools import run

if not os.environ.get('CI'):
    pytest.importorskip('transformers')
SMALL = ('--size', 'tiny', '--image-size', '64', '48', '--repeats', '1')


def rows(done):
    lines = [line.split('|')[1:-1] for line in done.stdout.splitlines() if line.startswith('|')]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_sapiens2_against_transformers():
    done = run('tools/benchmark/sapiens2.py', '--part', 'trunk', 'heads', 'decode', *SMALL, OMP_NUM_THREADS='1')
    found = rows(done)
    heads = [f'{task} head tiny' for task in ('pose', 'seg', 'normal', 'pointmap')]
    for name in ('encoder tiny', *heads, '308 keypoints of 4 people'):
        theirs, ours, ratio, difference = found[name]
        assert float(theirs.split()[0]) > 0 and float(ours.split()[0]) > 0 and float(ratio.split()[0]) > 0
        assert float(difference) <= 1e-4


def test_sapiens2_on_a_device():
    done = run('tools/benchmark/sapiens2.py', '--part', 'cuda', '--device', 'cpu', '--modes', 'eager', *SMALL)
    assert 'encoder tiny, 8 images, eager' in rows(done)


def test_different_outputs_stop_the_comparison(monkeypatch):
    monkeypatch.syspath_prepend('tools/benchmark')
    versus = importlib.import_module('versus')
    assert versus.agree('x', [1.0, 100.0], [1.0, 100.001]) == '1e-05'
    for ours in ([1.0, 100.1], [1.0, float('nan')], [1.0]):
        with pytest.raises(SystemExit, match='x: '):
            versus.agree('x', [1.0, 100.0], ours)
