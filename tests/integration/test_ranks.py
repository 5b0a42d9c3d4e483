"""Training does not depend on the number of processes, up to rounding: what a model draws follows from the samples."""

import json

import pytest

from ..ranks import on_ranks
from .multi_task import render_people
from .ranks import RECIPES, SAVED, STEPS, train


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('people')
    render_people(root)
    return root


@pytest.fixture(scope='module')
def runs(data, tmp_path_factory):
    """Folder of the runs of all recipes."""
    root = tmp_path_factory.mktemp('runs')
    for processes, *names in ((1, 'one'), (2, 'two', 'one-then-two'), (1, 'two-then-one')):
        on_ranks(processes, train, root, str(root), str(data), *names, seconds=1200, joined=False)
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
