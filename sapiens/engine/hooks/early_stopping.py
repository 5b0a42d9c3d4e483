"""Ends a run that no longer improves."""

from mmengine.hooks import EarlyStoppingHook as _EarlyStoppingHook

from sapiens.evaluation import refuse_unreported, rule_of
from sapiens.metainfo.naming import near
from sapiens.registry import HOOKS

__all__ = ['EarlyStoppingHook']


@HOOKS.register_module()
class EarlyStoppingHook(_EarlyStoppingHook):
    """MMEngine's hook (``patience``, ``check_finite``, ``stopping_threshold``).

    Differences:

    * ``rule`` follows from the name of the metric.
    * ``min_delta`` is 0 by default. MMEngine's 0.1 is a tenth of the range of metrics that are fractions.
    * A ``monitor`` that evaluations do not report is an error, before the first step where the metric says what it reports.
    * A resumed run continues to count.

    Args:
        monitor: name of a metric as the log shows it, such as ``coco/AP`` or ``val_loss``.
        rule: ``'greater'`` or ``'less'`` (is better), for metrics of other packages.
        min_delta: smallest change that counts as an improvement.
        **options: those of MMEngine's hook.

    Raises:
        ValueError: see :func:`sapiens.evaluation.rule_of`; at an evaluation, a ``monitor`` that it does not report.
    """

    name = 'early_stopping'
    priority = 'LOW'  # before CheckpointHook, which writes the count

    def __init__(self, monitor: str, rule: str | None = None, min_delta: float = 0.0, **options) -> None:
        super().__init__(monitor, rule_of(monitor, rule, 'EarlyStoppingHook.monitor'), min_delta, **options)

    def before_train(self, runner) -> None:
        refuse_unreported(self.monitor, runner.val_loop, 'EarlyStoppingHook.monitor')
        super().before_train(runner)

    def after_val_epoch(self, runner, metrics: dict) -> None:
        if self.monitor not in metrics:
            raise ValueError(
                f'EarlyStoppingHook.monitor={self.monitor!r} is not among the metrics{near(self.monitor, metrics)} (reported: '
                f'{", ".join(metrics)})'
            )
        super().after_val_epoch(runner, metrics)

    def state_dict(self) -> dict:
        return dict(best_score=float(self.best_score), wait_count=self.wait_count)

    def load_state_dict(self, state: dict) -> None:
        self.best_score, self.wait_count = state['best_score'], state['wait_count']
