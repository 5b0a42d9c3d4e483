"""Schedules of the learning rate over whole runs."""

import logging

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import BaseLoop

from sapiens.engine import Runner
from sapiens.utils.config import load_config


class Length(BaseLoop):
    """A loop of which only the length counts."""

    def __init__(self, max_iters):
        self.max_iters, self.dataloader = max_iters, []

    def run(self):
        raise NotImplementedError


def rates(schedules, max_iters, lr):
    """The learning rate of every iteration, and the one after the last."""
    runner = Runner.__new__(Runner)
    runner._train_loop, parameter = Length(max_iters), torch.nn.Parameter(torch.zeros(1))
    runner.default_scope = DefaultScope.get_current_instance() or DefaultScope.get_instance(
        'test', scope_name='sapiens'
    )
    runner.logger = logging.getLogger('test')
    runner.optim_wrapper = OptimWrapper(torch.optim.SGD([parameter], lr=lr))
    built, found = runner.build_param_scheduler(schedules), []
    for _ in range(max_iters + 1):
        found.append(runner.optim_wrapper.optimizer.param_groups[0]['lr'])
        runner.optim_wrapper.optimizer.step()
        for schedule in built:
            schedule.step()
    return found


def test_schedule_of_sapiens2_is_the_published_one():
    """Measured on the published code: 20000 iterations, rate 5e-4."""
    cfg = load_config('configs/pose/sapiens2_1b_goliath-1024x768.py')
    found = rates([dict(schedule) for schedule in cfg.param_scheduler], 20000, 5e-4)
    published = {
        0: 5e-07,
        1: 1.499e-06,
        250: 0.00025025000000000004,
        499: 0.0004990009999999995,
        500: 0.0005,
        501: 0.000499974358974359,
        1000: 0.00048717948717948655,
        10000: 0.0002564102564102982,
        19999: 2.564102564101405e-08,
        20000: 0.0,
    }
    for iteration, rate in published.items():
        assert found[iteration] == pytest.approx(rate, rel=1e-9, abs=1e-16), iteration


def test_a_decay_without_an_end_lasts_as_long_as_the_training():
    linear = dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False)
    assert rates([dict(linear)], 4, 1.0) == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert rates(dict(linear), 4, 1.0) == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert rates([dict(linear, end=3)], 4, 1.0) == pytest.approx([1, 0.5, 0, 0, 0])
    steps = dict(type='MultiStepLR', milestones=[2], by_epoch=False)
    assert rates([steps], 4, 1.0) == pytest.approx([1, 1, 0.1, 0.1, 0.1])
