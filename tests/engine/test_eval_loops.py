"""Validation and test compute losses where a metric asks for them, with any configured loop."""

import pytest

from sapiens.engine import TestLoop as OwnTestLoop
from sapiens.engine import ValLoop
from sapiens.engine.eval_loops import losses_for

from .toy import Linear, Scores, make_runner


class Evaluator:
    def __init__(self, *needs):
        self.metrics = [type('Metric', (), {} if need is None else dict(needs_losses=need))() for need in needs]


class Model(Linear):
    def __init__(self, losses=False):
        super().__init__()
        self.test_options = dict(losses=False, other=1)
        self.test_cfg = dict(losses=losses, other=2)


@pytest.mark.parametrize(
    ('needs', 'configured', 'expected'),
    [((None,), False, False), ((None, True), False, True), ((False,), False, False), ((None,), True, True)],
)
def test_losses_are_computed_where_a_metric_needs_them(needs, configured, expected):
    model = Model(configured)
    with losses_for(Evaluator(*needs), model):
        assert model.test_cfg == dict(losses=expected, other=2)
    assert model.test_cfg == dict(losses=configured, other=2)


def test_the_option_is_restored_after_an_error_and_other_models_are_left_alone():
    model = Model()
    with pytest.raises(RuntimeError, match='stop'), losses_for(Evaluator(True), model):
        raise RuntimeError('stop')
    assert not model.test_cfg['losses']
    with losses_for(Evaluator(True), Linear()):
        pass


@pytest.mark.parametrize('given', [{}, dict(type='ValLoop'), dict(fp16=False)])
def test_the_loops_of_the_package_are_the_default(tmp_path, given):
    test = dict(given, type='TestLoop') if 'type' in given else given
    runner = make_runner(tmp_path, scores=[1.0])
    assert type(runner.build_val_loop(given)) is ValLoop
    runner._test_dataloader, runner._test_evaluator = runner._val_dataloader, [Scores()]
    assert type(runner.build_test_loop(test)) is OwnTestLoop
