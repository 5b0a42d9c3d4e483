"""Validation and test loops. The model computes losses in prediction where a metric needs them."""

from contextlib import nullcontext

from mmengine.runner import TestLoop as _TestLoop
from mmengine.runner import ValLoop as _ValLoop

from sapiens.registry import LOOPS

from .test_cfg import override_test_cfg

__all__ = ['TestLoop', 'ValLoop']


class _WithLosses:
    """Sets the model's option ``losses`` while the loop runs, where a metric sets ``needs_losses``."""

    def run(self) -> dict:
        model = self.runner.bare_model
        needed = any(getattr(metric, 'needs_losses', False) for metric in self.evaluator.metrics)
        needed = needed and 'losses' in getattr(model, 'test_options', ())
        with override_test_cfg(model, losses=True) if needed else nullcontext():
            return super().run()


@LOOPS.register_module()
class ValLoop(_WithLosses, _ValLoop):
    """See :class:`mmengine.runner.ValLoop`."""


@LOOPS.register_module()
class TestLoop(_WithLosses, _TestLoop):
    """See :class:`mmengine.runner.TestLoop`."""

    __test__ = False  # not a class of tests
