"""Writes checkpoints and removes outdated ones."""

import os
import shutil
import time
from functools import partial
from inspect import signature
from pathlib import Path

from mmengine.dist import get_world_size, is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook as _CheckpointHook

from sapiens.evaluation import refuse_unreported, rule_of
from sapiens.metainfo.naming import near
from sapiens.registry import HOOKS
from sapiens.utils.files import remove_temporaries, write_atomically
from sapiens.utils.option_values import require_number
from sapiens.utils.restarts import LAST
from sapiens.utils.terminal import log_brief, near_path

from ..agreement import Agreement
from ..checkpoint_io import NAME

__all__ = ['CheckpointHook']

KEY = 'default_hooks.checkpoint'
BEST = 'best_ckpt'  # beginning of the entries of the message hub with the paths of best checkpoints
UNUSED = dict(
    filename_tmpl='a run finds its checkpoints by the names iter_N.pth and epoch_N.pth',
    file_client_args='checkpoints are local files; out_dir sets their folder',
    backend_args='checkpoints are local files; out_dir sets their folder',
)
FORMATS = ('auto', 'file', 'folder')
# Parameters from which 'auto' writes folders.
MANY = 1.5e9


@HOOKS.register_module()
class CheckpointHook(_CheckpointHook):
    """MMEngine's hook (``interval``, ``by_epoch``, ``max_keep_ckpts``, ``save_best``, ``save_last``, ...) for local files.

    Differences:

    * A new checkpoint is written before an old one, or the previous best, is removed. A failed write loses nothing.
    * Nothing is saved during gradient accumulation. The checkpoint follows after the optimizer step.
    * ``rule`` follows from the name of the metric in ``save_best``.
    * ``save_last`` holds however the length of the run is counted, and where a hook ends it early.
    * Files are called ``epoch_N.pth`` at the end of an epoch if ``by_epoch``, otherwise ``iter_N.pth``; by these names a run
      finds them again.
    * :meth:`save_now` writes a checkpoint at any iteration. ``max_keep_ckpts`` counts it too.

    Args:
        interval_minutes: also save this many minutes after the latest checkpoint, so that a crash costs no more.
        format: ``'file'``, which the main process writes while the others wait; ``'folder'``, called ``epoch_N`` or ``iter_N``,
            of which each process writes its part while training goes on (:mod:`sapiens.engine.checkpoint_folder`); ``'auto'``: a
            folder on several nodes and for models of more than 1.5e9 parameters. What ``save_best`` keeps are weights in a file.
        **options: of MMEngine's hook.

    Raises:
        ValueError: an option that is unknown or has no effect here; a ``save_best`` that evaluations do not report, before the
            first step where the metric says what it reports, otherwise after an evaluation.
    """

    def __init__(self, interval_minutes: float | None = None, format: str = 'auto', **options) -> None:
        super().__init__(**options)
        require_number(f'{KEY}.interval_minutes', interval_minutes, above=0, none='no such saves')
        for key in ('interval', 'max_keep_ckpts'):
            require_number(f'{KEY}.{key}', getattr(self, key), whole=True)
        if format not in FORMATS:
            raise ValueError(f'{KEY}.format={format!r} is not one of {", ".join(FORMATS)}{near(str(format), FORMATS)}')
        self.interval_minutes, self.format = interval_minutes, format
        self.agreement, self._saved_at = Agreement(seconds=10), 0.0
        self.reason = ''  # of the next save, where no schedule says so
        self.seconds = 0.0  # for which saves have held the run so far
        for key in self.args:
            known = signature(_CheckpointHook).parameters
            raise ValueError(f'{KEY} has an unknown option {key!r}{near(key, known)}')
        for key, reason in UNUSED.items():
            if options.get(key) is not None:
                raise ValueError(f'{KEY}.{key}={options[key]!r} has no effect: {reason}')

    def _init_rule(self, rules: list[str | None], key_indicators: list[str]) -> None:
        """Complete the rules by what is known of the metrics."""
        rules = rules * len(key_indicators) if len(rules) == 1 else rules
        pairs = zip(rules, key_indicators, strict=True)
        # 'auto' is the first metric of an evaluation; MMEngine calls this again with its name.
        super()._init_rule([rule if key == 'auto' else rule_of(key, rule) for rule, key in pairs], key_indicators)

    def before_train(self, runner) -> None:
        for key in self.key_indicators if self.save_best else ():
            if key != 'auto':
                refuse_unreported(key, runner.val_loop, f'{KEY}.save_best')
        # Replaces MMEngine's method, which builds a deprecated client for remote files.
        work_dir, hub = runner.work_dir, runner.message_hub
        self.out_dir = work_dir if self.out_dir is None else str(Path(self.out_dir) / Path(work_dir).name)
        if is_main_process():
            for kind in ('iter', 'epoch', 'best'):
                remove_temporaries(self.out_dir, f'{kind}_*')
        # The work dir may be a copy: the files of the original are neither named nor removed.
        for key, path in list(hub.runtime_info.items()):
            if path and (key == 'last_ckpt' or key.startswith(BEST)):
                hub.update_info(key, self._path(Path(path).name))
        if self.save_best and len(self.key_indicators) == 1:
            self.best_ckpt_path = hub.get_info(BEST)
        elif self.save_best:
            self.best_ckpt_path_dict = {key: hub.get_info(f'{BEST}_{key}') for key in self.key_indicators}
        self.last_ckpt = hub.get_info('last_ckpt')
        # Names from a file, by which files are removed.
        kept = [Path(name).name for name in hub.get_info('kept_checkpoints', [])]
        self.kept: list[str] = [name for name in kept if NAME.fullmatch(name)]
        self.due, self.first_iteration, self.saved_iteration = False, runner.iter, -1
        self._saved_at = time.monotonic()
        self.agreement.restart()
        if self.format == 'auto':
            nodes = get_world_size() / int(os.environ.get('LOCAL_WORLD_SIZE', get_world_size()))
            count = sum(parameter.numel() for parameter in runner.bare_model.parameters())
            self.format = 'folder' if nodes > 1 or count > MANY else 'file'
        if self.format == 'folder' and self.published_keys:
            raise ValueError(
                f'{KEY}.published_keys={self.published_keys!r} needs checkpoints in files: set format=file, '
                'or remove it and make a file of weights by `sapiens convert` at the end'
            )

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if self.by_epoch:
            scheduled, last = False, not self.end_of_epoch(runner.train_dataloader, batch_idx)
        else:
            scheduled, last = self.every_n_train_iters(runner, self.interval, self.save_begin), True
        self.due |= scheduled or (last and self.save_last and self.is_last_train_iter(runner))
        if self.interval_minutes is not None:
            seconds = self.agreement.after_step(time.monotonic() - self._saved_at)
            if seconds is not None and seconds >= 60 * self.interval_minutes and not self.due:
                self.due, self.reason = True, f'{self.interval_minutes:g} min after the one before'
        if self.due and runner.optim_wrapper.should_update():
            self.save_now(runner, runner.iter + 1)

    def after_train(self, runner) -> None:
        if self.save_last and runner.iter > self.first_iteration and runner.optim_wrapper.should_update():
            self.save_now(runner, runner.iter)
        super().after_train(runner)
        self.finish(runner)

    def save_now(self, runner, iteration: int) -> None:
        """Write a checkpoint unless that iteration has one. All ranks must call this after it."""
        self.due = False
        if iteration != self.saved_iteration:
            self._write(runner, iteration)

    def finish(self, runner) -> None:
        """Wait for the checkpoint that is being written.

        Raises:
            RuntimeError: it could not be written.
        """
        if self.format == 'folder':
            seconds = runner.folder_writer.wait()
            if seconds > 1:
                runner.logger.info(f'Waited {seconds:.1f} s for {self.last_ckpt}')

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        if runner.optim_wrapper.should_update():
            self._write(runner, meta['iter'])
        else:
            self.due = True

    def _path(self, name: str) -> str:
        return str(Path(self.out_dir) / name)

    def _name(self, runner, iteration: int) -> str:
        epochs = runner.train_loop.finished_epochs if self.by_epoch else None
        name = f'iter_{iteration}' if epochs is None else f'epoch_{epochs}'
        return name if self.format == 'folder' else f'{name}.pth'

    def _write(self, runner, iteration: int) -> None:
        begin = time.perf_counter()
        name = self._name(runner, iteration)
        # The checkpoint must list itself, for the run that resumes from it.
        self.kept = [other for other in self.kept if other != name] + [name]
        runner.message_hub.update_info('kept_checkpoints', list(self.kept))
        self.last_ckpt = self._path(name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        reason, self.reason = f' ({self.reason})' if self.reason else '', ''
        log_brief(
            f'Saving checkpoint {self.last_ckpt}{reason}', f'saving {near_path(self.last_ckpt)}{reason}', runner.logger
        )
        outdated = self.kept[: -self.max_keep_ckpts] if self.max_keep_ckpts > 0 else []
        complete = partial(self._complete, runner.work_dir, self.last_ckpt, [self._path(old) for old in outdated])
        parts = dict(save_optimizer=self.save_optimizer, save_param_scheduler=self.save_param_scheduler)
        if self.format == 'folder':
            runner.save_folder(Path(self.last_ckpt), complete, **parts)
        else:
            runner.save_checkpoint(self.out_dir, name, **parts)
            if is_main_process():
                complete()
        self.kept = self.kept[len(outdated) :]
        self.saved_iteration, self._saved_at = iteration, time.monotonic()
        self.seconds += time.perf_counter() - begin

    @staticmethod
    def _complete(work_dir: str, path: str, outdated: list[str]) -> None:
        """Note the latest checkpoint and remove outdated ones. Only the main process calls this, for a folder in its thread."""
        write_atomically(Path(work_dir) / LAST, os.fsencode(path))
        for old in map(Path, outdated):
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        for key in self.key_indicators if self.save_best else ():
            if key != 'auto' and key not in metrics:
                raise ValueError(
                    f'{KEY}.save_best={key!r} is none of the metrics{near(key, metrics)} (reported: '
                    f'{", ".join(metrics)}). The last checkpoint is {self.last_ckpt or "not written yet"}; continue with '
                    '--resume'
                )
        # MMEngine's method fills in the epoch, also inside one.
        self.filename_tmpl = f'{Path(self._name(runner, runner.iter)).stem}.pth'
        backend = self.file_backend = _RemovesLater()
        super()._save_best_checkpoint(runner, metrics)
        best = {value for key, value in runner.message_hub.runtime_info.items() if key.startswith(BEST)}
        for path in set(backend.removed) - best:  # validating an iteration twice writes the same name
            Path(path).unlink(missing_ok=True)


class _RemovesLater(LocalBackend):
    """Records files to remove. MMEngine removes the previous best before it writes the new one."""

    def __init__(self) -> None:
        super().__init__()
        self.removed: list[str] = []

    def remove(self, filepath) -> None:
        self.removed.append(str(filepath))
