"""Records the progress of a run and the values of its steps."""

from mmengine.hooks import RuntimeInfoHook as _RuntimeInfoHook

from sapiens.registry import HOOKS

from .logger import LoggerHook

__all__ = ['RuntimeInfoHook']


@HOOKS.register_module()
class RuntimeInfoHook(_RuntimeInfoHook):
    """MMEngine's hook (progress, learning rate, values of steps) without a wait for the device in each step.

    Losses and other values of a step, and the gradient norm, are read where they are logged or written to a checkpoint, as means
    over the processes. Between two lines of the log the message hub has the values of the last one.
    """

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        values, wrapper = dict(outputs or {}), runner.optim_wrapper
        norm = getattr(wrapper, 'grad_norm', None)
        if norm is not None and wrapper.should_update():
            values['grad_norm'] = norm
        runner.step_values.add(values)
        # Before the hooks that measure time: the wait is part of the step.
        if self._is_logged(runner, batch_idx):
            runner.read_step_values()

    @staticmethod
    def _is_logged(runner, batch_idx: int) -> bool:
        loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
        return not loggers or any(hook.is_due(runner, batch_idx) for hook in loggers)
