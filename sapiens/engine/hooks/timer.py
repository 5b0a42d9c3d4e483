"""Times iterations, and tells how long the rest takes."""

from mmengine.hooks import IterTimerHook as _IterTimerHook

from sapiens.registry import HOOKS

__all__ = ['IterTimerHook']


@HOOKS.register_module()
class IterTimerHook(_IterTimerHook):
    """MMEngine's hook (``time``, ``data_time``, ``eta``). The time left of a training does not count its first iteration, which
    starts the workers of the loader and compiles.
    """

    def before_train(self, runner) -> None:
        super().before_train(runner)
        self.first = runner.iter

    def _after_iter(self, runner, batch_idx: int, data_batch=None, outputs=None, mode: str = 'train') -> None:
        super()._after_iter(runner, batch_idx, data_batch, outputs, mode)
        if mode == 'train' and runner.iter == self.first:
            self.start_iter, self.time_sec_tot = runner.iter + 1, 0
