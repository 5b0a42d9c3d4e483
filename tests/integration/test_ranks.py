"""Training does not depend on the number of processes, up to rounding: what a model draws follows from the samples."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .multi_task import render_people
from .ranks import RECIPES, SAVED, STEPS


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('people')
    render_people(root)
    return root


@pytest.fixture(scope='module')
def runs(data, tmp_path_factory):
    """Folder of the runs of all recipes."""
    root = tmp_path_factory.mktemp('runs')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    command = [sys.executable, '-W', 'ignore', '-m', 'tests.integration.ranks', root, data, port, *RECIPES]
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True, text=True, timeout=1200, cwd=Path(__file__).parents[2], env=dict(os.environ, OMP_NUM_THREADS='1'),
    )  # fmt: skip
    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    return root


def losses_of(folder):
    return {int(step): loss for step, loss in json.loads((folder / 'losses.json').read_text()).items()}


@pytest.mark.parametrize('task', RECIPES)
def test_one_and_two_processes_are_one_run(runs, task):
    one, two = losses_of(runs / task / 'one'), losses_of(runs / task / 'two')
    assert list(one) == list(range(1, STEPS + 1)) and len(set(one.values())) == STEPS
    assert two == pytest.approx(one, rel=1e-5)


@pytest.mark.parametrize('task', RECIPES)
@pytest.mark.parametrize('resumed', ['two-then-one', 'one-then-two'])
def test_a_run_continues_with_another_number_of_processes(runs, task, resumed):
    one, rest = losses_of(runs / task / 'one'), losses_of(runs / task / resumed)
    assert rest == pytest.approx({step: one[step] for step in range(SAVED + 1, STEPS + 1)}, rel=1e-5)
