"""Collects garbage at fixed iterations."""

import gc

from mmengine.hooks import Hook

from sapiens.registry import HOOKS

__all__ = ['GarbageHook']


@HOOKS.register_module()
class GarbageHook(Hook):
    """Collects unreachable Python objects every ``interval`` iterations, in all processes at the same one.

    Python collects when many objects were made, which differs between processes: each time all others wait for one. Young objects
    are collected at the interval, all of them after each validation and epoch. Loader workers collect as usual.

    Args:
        interval: in iterations. 0 leaves it to Python.

    Raises:
        ValueError: a negative interval.
    """

    priority = 'VERY_LOW'

    def __init__(self, interval: int = 100) -> None:
        if interval < 0:
            raise ValueError(
                f'default_hooks.garbage.interval={interval}: expected a number of iterations, 0 for never'
            )
        self.interval = interval
        self._was_enabled = False

    def before_train(self, runner) -> None:
        self._was_enabled = gc.isenabled()
        if self.interval:
            gc.collect()
            gc.disable()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if self.interval and self.every_n_train_iters(runner, self.interval):
            gc.collect(1)

    def after_train_epoch(self, runner) -> None:
        self._collect_all()

    def after_val_epoch(self, runner, metrics=None) -> None:
        self._collect_all()

    def _collect_all(self) -> None:
        if self._was_enabled and not gc.isenabled():
            gc.collect()

    def restore(self) -> None:
        """Let Python collect again. The runner calls this whenever training ends."""
        if self._was_enabled:
            gc.enable()
