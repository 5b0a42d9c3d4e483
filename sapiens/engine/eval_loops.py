"""Validation and test loops. The model computes losses in prediction where a metric needs them."""

from contextlib import AbstractContextManager, nullcontext

from mmengine.evaluator import Evaluator
from mmengine.runner import TestLoop as _TestLoop
from mmengine.runner import ValLoop as _ValLoop
from torch import nn

from sapiens.registry import LOOPS

from .prediction_options import override_test_cfg
from .runner_type import require_runner

__all__ = ['TestLoop', 'ValLoop']


def losses_for(evaluator: Evaluator, model: nn.Module) -> AbstractContextManager:
    """Set the model's option ``losses`` inside a ``with`` block, where a metric of the evaluator sets ``needs_losses``."""
    needed = any(getattr(metric, 'needs_losses', False) for metric in evaluator.metrics)
    has_option = 'losses' in getattr(model, 'test_options', ())
    return override_test_cfg(model, losses=True) if needed and has_option else nullcontext()


class _WithLosses:
    """A loop in which the model computes the losses that metrics need."""

    def __init__(self, runner, *args, **options) -> None:
        require_runner(runner, type(self))
        super().__init__(runner, *args, **options)

    def run(self) -> dict:
        with losses_for(self.evaluator, self.runner.bare_model):
            return super().run()


@LOOPS.register_module()
class ValLoop(_WithLosses, _ValLoop):
    """See :class:`mmengine.runner.ValLoop`."""


@LOOPS.register_module()
class TestLoop(_WithLosses, _TestLoop):
    """See :class:`mmengine.runner.TestLoop`."""

    __test__ = False  # not a class of tests
