"""Logs training at an interval of iterations."""

from mmengine.hooks import LoggerHook as _LoggerHook

from sapiens.registry import HOOKS

__all__ = ['LoggerHook']


@HOOKS.register_module()
class LoggerHook(_LoggerHook):
    """MMEngine's hook (``interval``, ...) with an interval that counts over epochs.

    MMEngine counts from the start of each epoch. Epochs shorter than the interval then log at their end only, and others at
    uneven distances. ``ignore_last=False`` logs the end of each epoch too.
    """

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        ends_epoch = self.end_of_epoch(runner.train_dataloader, batch_idx) and not self.ignore_last
        if self.every_n_train_iters(runner, self.interval_exp_name):
            runner.logger.info(f'Exp name: {runner.experiment_name}')
        if self.every_n_train_iters(runner, self.interval) or ends_epoch or self.is_last_train_iter(runner):
            tag, text = runner.log_processor.get_log_after_iter(runner, batch_idx, 'train')
            runner.logger.info(text)
            runner.visualizer.add_scalars(tag, step=runner.iter + 1, file_path=self.json_log_path)
