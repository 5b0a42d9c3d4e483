"""Logs training at an interval of iterations."""

import time
from contextlib import suppress
from pathlib import Path

from mmengine.fileio import dump
from mmengine.hooks import LoggerHook as _LoggerHook
from mmengine.runner import BaseLoop

from sapiens.evaluation import rule_of
from sapiens.registry import HOOKS
from sapiens.utils.terminal import log_brief

from ..run_lines import TIMES, metric_table, progress_line, training_line

__all__ = ['LoggerHook']

_NAMES = dict(val='validation', test='test')


@HOOKS.register_module()
class LoggerHook(_LoggerHook):
    """MMEngine's hook (``interval``, ...) with an interval that counts over epochs, and lines that fit a terminal.

    MMEngine counts from the start of each epoch. Epochs shorter than the interval then log at their end only, and others at
    uneven distances. ``ignore_last=False`` logs the end of each epoch too.

    The log file has MMEngine's lines, and the tables of metrics. The terminal has those of :mod:`sapiens.engine.run_lines`: nine
    lines at most during an evaluation, and its metrics in a table. The name of the run is logged at the start, and every
    ``interval_exp_name`` iterations where that is given.
    """

    def __init__(self, *args, interval_exp_name: int | None = None, **options) -> None:
        super().__init__(*args, interval_exp_name=1 if interval_exp_name is None else interval_exp_name, **options)
        self.interval_exp_name = interval_exp_name or 0
        self.begin = 0.0

    def before_run(self, runner) -> None:
        super().before_run(runner)
        log_brief(f'Exp name: {runner.experiment_name}', '', runner.logger)

    # ------------------------------------------------------------------ training

    def is_due(self, runner, batch_idx: int) -> bool:
        """Whether the current iteration is logged."""
        ends_epoch = self.end_of_epoch(runner.train_dataloader, batch_idx) and not self.ignore_last
        return self.every_n_train_iters(runner, self.interval) or ends_epoch or self.is_last_train_iter(runner)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if self.every_n_train_iters(runner, self.interval_exp_name):
            runner.logger.info(f'Exp name: {runner.experiment_name}')
        if self.is_due(runner, batch_idx):
            tag, text = runner.log_processor.get_log_after_iter(runner, batch_idx, 'train')
            epoch = f'{runner.epoch + 1}/{runner.max_epochs}' if getattr(runner.train_loop, 'by_epoch', False) else ''
            eta = runner.message_hub.get_info('eta')
            log_brief(text, training_line(tag, runner.iter + 1, runner.max_iters, eta, epoch), runner.logger)
            runner.visualizer.add_scalars(tag, step=runner.iter + 1, file_path=self.json_log_path, split='train')

    # ------------------------------------------------------------------ evaluation

    def before_val_epoch(self, runner) -> None:
        self.begin = time.perf_counter()
        runner.terminal.is_quiet = _is_training(runner)  # the metrics are in the table

    def before_test_epoch(self, runner) -> None:
        self.begin = time.perf_counter()

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._log_batch(runner, batch_idx, runner.val_dataloader, 'val')

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._log_batch(runner, batch_idx, runner.test_dataloader, 'test')

    def _log_batch(self, runner, index: int, loader, split: str) -> None:
        count, lines = index + 1, 4 if _is_training(runner) else 10  # of a whole evaluation
        shown = len(loader) >= 10 * lines / 4 and count % -(-len(loader) // lines) == 0 and count < len(loader)
        kept = self.every_n_inner_iters(index, self.interval)
        if shown or kept:
            _, text = runner.log_processor.get_log_after_iter(runner, index, split)
            eta = runner.message_hub.get_info('eta')
            brief = progress_line(_NAMES[split], count, len(loader), eta) if shown else ''
            log_brief(text, brief, runner.logger)

    def after_val_epoch(self, runner, metrics=None) -> None:
        runner.terminal.is_quiet = False
        tag, text = runner.log_processor.get_log_after_epoch(runner, len(runner.val_dataloader), 'val')
        is_training = _is_training(runner)
        step = runner.iter if is_training else 0
        log_brief(text, self._table(runner, 'val', tag, f' at step {step}' if is_training else ''), runner.logger)
        place = (runner.epoch if is_training else 0) if self.log_metric_by_epoch else step
        runner.visualizer.add_scalars(tag, step=place, file_path=self.json_log_path, split='val')

    def after_test_epoch(self, runner, metrics=None) -> None:
        options = dict(with_non_scalar=True)
        tag, text = runner.log_processor.get_log_after_epoch(runner, len(runner.test_dataloader), 'test', **options)
        numbers = {name: value for name, value in tag.items() if isinstance(value, int | float)}
        log_brief(text, self._table(runner, 'test', numbers), runner.logger)
        dump(self._process_tags(tag), Path(runner.log_dir) / self.json_log_path)

    def _table(self, runner, split: str, values: dict, place: str = '') -> str:
        loader = runner.val_dataloader if split == 'val' else runner.test_dataloader
        seconds = time.perf_counter() - self.begin
        title = f'{_NAMES[split]}{place}: {len(loader.dataset):,} samples in {seconds:.1f} s'
        metrics = {name: value for name, value in values.items() if name not in TIMES}
        return metric_table(title, metrics, _best(runner, metrics) if split == 'val' else None)


def _is_training(runner) -> bool:
    return isinstance(runner._train_loop, BaseLoop)


def _best(runner, metrics: dict) -> dict[str, float]:
    """The best value so far of each metric of which a direction is known, from the second evaluation on."""
    best = {}
    for name in metrics:
        history = runner.message_hub.log_scalars.get(f'val/{name}')
        values = history.data[0] if history is not None else ()
        with suppress(ValueError):
            if len(values) > 1:
                best[name] = float(values.max() if rule_of(name) == 'greater' else values.min())
    return best
