"""Validation and test loops. The model computes losses in prediction where a metric needs them."""

from contextlib import AbstractContextManager, ExitStack, nullcontext

from mmengine.evaluator import Evaluator
from mmengine.runner import TestLoop as _TestLoop
from mmengine.runner import ValLoop as _ValLoop
from torch import nn

from sapiens.registry import LOOPS

from .prediction_options import override_test_cfg
from .runner_type import require_runner
from .task_evaluation import TaskEvaluator, TaskLoaders, build_task_loaders, has_tasks, is_by_task

__all__ = ['TestLoop', 'ValLoop']


def losses_for(evaluator: Evaluator, model: nn.Module) -> AbstractContextManager:
    """Set the model's option ``losses`` inside a ``with`` block, where a metric of the evaluator sets ``needs_losses``.

    Of a model of several tasks each has its own option and metrics.
    """
    if isinstance(evaluator, TaskEvaluator):
        stack = ExitStack()
        for name, part in evaluator.tasks.items():
            stack.enter_context(losses_for(part, model.tasks[name]))
        return stack
    needed = any(getattr(metric, 'needs_losses', False) for metric in evaluator.metrics)
    has_option = 'losses' in getattr(model, 'test_options', ())
    return override_test_cfg(model, losses=True) if needed and has_option else nullcontext()


class _WithLosses:
    """A loop in which the model computes the losses that metrics need, over the data of one task or of several."""

    # Beginning of the names of its settings in a config.
    split: str

    def __init__(self, runner, dataloader, evaluator, **options) -> None:
        require_runner(runner, type(self))
        if isinstance(dataloader, dict) and has_tasks(dataloader['dataset']):
            dataloader = build_task_loaders(runner, dataloader)
        if is_by_task(evaluator):
            evaluator = TaskEvaluator(evaluator)
        has_parts = isinstance(dataloader, TaskLoaders), isinstance(evaluator, TaskEvaluator)
        if any(has_parts) and not all(has_parts):
            raise ValueError(
                f'{self.split}_dataloader.dataset and {self.split}_evaluator: for several tasks give a MultiTaskDataset and '
                'metrics by name of the task; for one task neither'
            )
        super().__init__(runner, dataloader, evaluator, **options)
        if all(has_parts):
            self.evaluator.set_data(self.dataloader.dataset, self.split)

    def run(self) -> dict:
        with losses_for(self.evaluator, self.runner.bare_model):
            return super().run()


@LOOPS.register_module()
class ValLoop(_WithLosses, _ValLoop):
    """See :class:`mmengine.runner.ValLoop`. Of several tasks each is evaluated on its own data, one after the other."""

    split = 'val'


@LOOPS.register_module()
class TestLoop(_WithLosses, _TestLoop):
    """See :class:`mmengine.runner.TestLoop`. Of several tasks each is evaluated on its own data, one after the other."""

    __test__ = False  # not a class of tests
    split = 'test'
