"""Validation and test compute losses where a metric asks for them, with any configured loop."""

import pytest
from mmengine.hooks import Hook

from sapiens.engine import TestLoop as OwnTestLoop
from sapiens.engine import ValLoop

from .toy import Scores, make_runner


class Recorder(Hook):
    """Records the options of prediction; may stop the validation."""

    def __init__(self, stop=False):
        self.seen, self.stop = [], stop

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen.append(dict(runner.model.test_cfg))
        if self.stop:
            raise RuntimeError('stop')


def make(tmp_path, needs, losses=False, stop=False, has_options=True):
    recorder = Recorder(stop)
    runner = make_runner(tmp_path, scores=[1.0, 2.0], hooks=[recorder])
    runner.model.test_cfg = dict(losses=losses, other=2)
    if has_options:
        runner.model.test_options = dict(losses=False, other=1)
    loop = runner.build_val_loop(dict(type='ValLoop'))
    for metric in loop.evaluator.metrics:
        metric.needs_losses = needs
    return runner, loop, recorder


@pytest.mark.parametrize(
    ('needs', 'losses', 'expected'), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_losses_are_computed_where_a_metric_needs_them(tmp_path, needs, losses, expected):
    runner, loop, recorder = make(tmp_path, needs, losses)
    loop.run()
    assert recorder.seen[0] == dict(losses=expected, other=2)
    assert runner.model.test_cfg == dict(losses=losses, other=2)


def test_the_option_is_restored_after_an_error(tmp_path):
    runner, loop, recorder = make(tmp_path, needs=True, stop=True)
    with pytest.raises(RuntimeError, match='stop'):
        loop.run()
    assert recorder.seen[0]['losses'] and not runner.model.test_cfg['losses']


def test_a_model_without_the_option_is_left_alone(tmp_path):
    _, loop, recorder = make(tmp_path, needs=True, has_options=False)
    loop.run()
    assert not recorder.seen[0]['losses']


@pytest.mark.parametrize('given', [{}, dict(type='ValLoop'), dict(fp16=False)])
def test_the_loops_of_the_package_are_the_default(tmp_path, given):
    test = dict(given, type='TestLoop') if 'type' in given else given
    runner = make_runner(tmp_path, scores=[1.0])
    assert type(runner.build_val_loop(given)) is ValLoop
    runner._test_dataloader, runner._test_evaluator = runner._val_dataloader, [Scores()]
    assert type(runner.build_test_loop(test)) is OwnTestLoop
