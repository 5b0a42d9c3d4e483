"""Validation and test loops. The model computes losses in prediction where a metric needs them."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.evaluator import Evaluator
from mmengine.model import is_model_wrapper
from mmengine.runner import TestLoop as _TestLoop
from mmengine.runner import ValLoop as _ValLoop
from torch import nn

from sapiens.registry import LOOPS

__all__ = ['TestLoop', 'ValLoop']


@contextmanager
def losses_for(evaluator: Evaluator, model: nn.Module) -> Iterator[None]:
    """Set the model's option ``losses`` inside a ``with`` block, where a metric of the evaluator sets ``needs_losses``."""
    model = model.module if is_model_wrapper(model) else model
    if 'losses' not in getattr(model, 'test_options', ()):
        yield
        return
    before = model.test_cfg
    wanted = any(getattr(metric, 'needs_losses', False) for metric in evaluator.metrics)
    model.test_cfg = {**before, 'losses': before['losses'] or wanted}
    try:
        yield
    finally:
        model.test_cfg = before


@LOOPS.register_module()
class ValLoop(_ValLoop):
    """See :class:`mmengine.runner.ValLoop`."""

    def run(self) -> dict:
        with losses_for(self.evaluator, self.runner.model):
            return super().run()


@LOOPS.register_module()
class TestLoop(_TestLoop):
    """See :class:`mmengine.runner.TestLoop`."""

    __test__ = False  # not a class of tests

    def run(self) -> dict:
        with losses_for(self.evaluator, self.runner.model):
            return super().run()
