"""Logs unreadable training files and rejected samples, and stops the run when too many files cannot be read."""

from collections import Counter
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from sapiens.registry import HOOKS

from ..host_group import gather_on_hosts

__all__ = ['BadDataHook']


@HOOKS.register_module()
class BadDataHook(Hook):
    """Counts the samples that loaders skipped (``LoaderRecord.bad``), logs path and reason, and stops the run above a limit.

    All bad files are listed in ``bad_files.txt`` of the work dir (path, tab, reason); the log shows the first ones. Checkpoints
    hold the counts. Bad files in evaluation are logged too, because the metric misses them.

    Samples that the pipeline rejected (``LoaderRecord.rejected``) are no fault. They are counted by reason, and the log shows the
    counts at the first of them and each time that their number has doubled.

    Args:
        max_share: largest allowed fraction of bad files among all opened files.
        min_samples: number of opened files before the fraction is checked.
        interval: iterations between checks. A check exchanges a few bytes between ranks.
        max_logged: number of files shown in the log.
    """

    priority = 'NORMAL'
    state_per_rank = True

    def __init__(
        self, max_share: float = 0.01, min_samples: int = 100, interval: int = 10, max_logged: int = 20
    ) -> None:
        if not 0 <= max_share <= 1:
            raise ValueError(f'max_share={max_share} must lie in [0, 1]')
        self.max_share, self.min_samples = max_share, min_samples
        self.interval, self.max_logged = interval, max_logged
        self.bad, self.opened = 0, 0  # reported counts over all ranks
        self.new: list[tuple[str, str]] = []  # files of this rank that are not reported yet
        self.samples = 0
        self.rejected = Counter()  # by reason: reported counts over all ranks
        self.new_rejected = Counter()  # of this rank, not reported yet

    def state_dict(self) -> dict:
        counts = dict(rejected=dict(self.rejected), new_rejected=dict(self.new_rejected))
        return dict(bad=self.bad, opened=self.opened, new=self.new, samples=self.samples, **counts)

    def load_state_dict(self, state: dict) -> None:
        self.bad, self.opened, self.samples = state['bad'], state['opened'], state['samples']
        self.new = [tuple(entry) for entry in state['new']]
        # Checkpoints of earlier versions have no rejections.
        self.rejected, self.new_rejected = (Counter(state.get(name, {})) for name in ('rejected', 'new_rejected'))

    def reshard_state(self, states: list[dict], rank: int) -> dict:
        """Give the unreported files of all ranks to the first one."""
        if rank:
            return dict(states[0], new=[], samples=0, new_rejected={})
        new = [entry for state in states for entry in state['new']]
        rejected = sum((Counter(state.get('new_rejected', {})) for state in states), Counter())
        samples = sum(state['samples'] for state in states)
        return dict(states[0], new=new, samples=samples, new_rejected=dict(rejected))

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        record = runner.train_loop.record
        self.new = self.new + [(_readable(path), reason) for path, reason in record.bad]
        self.samples += record.samples
        self.new_rejected.update(record.rejected)
        if (runner.iter + 1) % self.interval == 0 or self.is_last_train_iter(runner):
            self.report(runner)

    def report(self, runner) -> None:
        """Add the counts of all ranks, log new files, and stop the run if there are too many."""
        gathered = gather_on_hosts((self.new, self.samples, self.new_rejected))
        self.new, self.samples, self.new_rejected = [], 0, Counter()
        new = [entry for entries, *_ in gathered for entry in entries]
        first = self.bad + 1
        self.bad += len(new)
        self.opened += sum(samples for _, samples, _ in gathered) + len(new)
        self._report_rejections(runner, sum((counts for *_, counts in gathered), Counter()))
        file = Path(runner.work_dir) / 'bad_files.txt'
        if new and is_main_process():
            with open(file, 'a') as output:
                output.writelines(f'{path}\t{reason}\n' for path, reason in new)
            for number, (path, reason) in enumerate(new, start=first):
                if number <= self.max_logged:
                    runner.logger.warning(f'Bad file {number} skipped: {path}: {reason}')
            if self.bad > self.max_logged:
                runner.logger.warning(f'{self.bad} bad files of {self.opened} so far, listed in {file}')
        if self.opened >= self.min_samples and self.bad > self.max_share * self.opened:
            latest = f', the latest is {new[-1][0]} ({new[-1][1]})' if new else ''
            raise RuntimeError(
                f'{self.bad} of {self.opened} files could not be used, more than the allowed fraction of '
                f'{self.max_share:g}. They are listed in {file}{latest}. Fix or remove them, or allow more with '
                'default_hooks.bad_data.max_share'
            )

    def _report_rejections(self, runner, new: Counter) -> None:
        before = self.rejected.total()
        self.rejected = self.rejected + new
        total = self.rejected.total()
        if total.bit_length() > before.bit_length() and is_main_process():
            reasons = ', '.join(f'{reason} ({count})' for reason, count in self.rejected.most_common())
            runner.logger.info(f'Rejected samples so far: {total}; others were drawn instead: {reasons}')

    def _after_iter(self, runner, batch_idx: int, data_batch=None, outputs=None, mode: str = 'val') -> None:
        # MMEngine's after_val_iter and after_test_iter call this.
        record = data_batch.get('loader') if isinstance(data_batch, dict) else None
        for path, reason in record.bad if record else ():
            runner.logger.warning(f'Bad file in evaluation, replaced by another one: {_readable(path)}: {reason}')


def _readable(path: str) -> str:
    """Escape bytes of a file name that are not valid text."""
    return path.encode(errors='backslashreplace').decode()
