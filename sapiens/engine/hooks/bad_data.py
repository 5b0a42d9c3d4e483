"""Logs unreadable training files and rejected samples, and stops the run when too many files cannot be read."""

from collections import Counter
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from sapiens.registry import HOOKS

from ..host_group import gather_on_hosts, sum_on_hosts

__all__ = ['BadDataHook']


@HOOKS.register_module()
class BadDataHook(Hook):
    """Counts the samples that loaders skipped (``LoaderRecord.bad``), logs path and reason, and stops the run above a limit.

    All bad files are listed in ``bad_files.txt`` of the work dir (path, tab, reason); the log shows the first different ones. A
    missing shard counts once for each of its samples, and is one line. Checkpoints hold the counts. Bad files in evaluation are
    logged too, because the metric misses them, and lines of loaders (``LoaderRecord.notes``).

    Samples that the pipeline rejected (``LoaderRecord.rejected``) are no fault. They are counted by reason, and the log shows the
    counts at the first of them and each time that their number has doubled.

    Args:
        max_share: largest allowed fraction of bad files among all opened files.
        min_samples: number of opened files before the fraction is checked.
        interval: iterations between checks. A check adds up four numbers over the ranks; names are exchanged where there are any.
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
        self.notes: list[str] = []
        self.samples = 0
        self.shown: set[tuple[str, str]] = set()  # files of which the log has a line
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
        self.notes += record.notes
        if (runner.iter + 1) % self.interval == 0 or self.is_last_train_iter(runner):
            self.report(runner)

    def report(self, runner) -> None:
        """Add the counts of all ranks, log new files, and stop the run if there are too many."""
        counts = [len(self.new), self.samples, len(self.notes), self.new_rejected.total()]
        bad, samples, notes, rejected = sum_on_hosts(counts)
        first = self.bad + 1
        self.bad += bad
        self.opened += samples + bad
        self.samples = 0
        before = self.rejected.total()
        has_doubled = (before + rejected).bit_length() > before.bit_length()
        new = self._exchange(runner, has_doubled) if bad or notes or has_doubled else []
        file = Path(runner.work_dir) / 'bad_files.txt'
        if new and is_main_process():
            with open(file, 'a') as output:
                output.writelines(f'{path}\t{reason}\n' for path, reason in dict.fromkeys(new))
            for number, entry in enumerate(new, start=first):
                if entry not in self.shown and len(self.shown) < self.max_logged:
                    self.shown.add(entry)
                    runner.logger.warning(f'Bad file {number} skipped: {": ".join(entry)}')
            if self.bad > self.max_logged:
                runner.logger.warning(f'{self.bad} bad files of {self.opened} so far, listed in {file}')
        if self.opened >= self.min_samples and self.bad > self.max_share * self.opened:
            latest = f', the latest is {new[-1][0]} ({new[-1][1]})' if new else ''
            raise RuntimeError(
                f'{self.bad} of {self.opened} files could not be used, more than the allowed fraction of '
                f'{self.max_share:g}. They are listed in {file}{latest}. Fix or remove them, or allow more with '
                'default_hooks.bad_data.max_share'
            )

    def _exchange(self, runner, has_doubled: bool) -> list[tuple[str, str]]:
        """Return the new bad files of all ranks, log their notes, and add up the rejections."""
        gathered = gather_on_hosts((self.new, self.notes, self.new_rejected))
        self.new, self.notes, self.new_rejected = [], [], Counter()
        self.rejected = sum((counts for *_, counts in gathered), self.rejected)
        if is_main_process():
            for line in (line for _, notes, _ in gathered for line in notes):
                runner.logger.warning(line)
            if has_doubled:
                reasons = ', '.join(f'{reason} ({count})' for reason, count in self.rejected.most_common())
                total = self.rejected.total()
                runner.logger.info(f'Rejected samples so far: {total}; others were drawn instead: {reasons}')
        return [entry for entries, *_ in gathered for entry in entries]

    def _after_iter(self, runner, batch_idx: int, data_batch=None, outputs=None, mode: str = 'val') -> None:
        # MMEngine's after_val_iter and after_test_iter call this.
        record = data_batch.get('loader') if isinstance(data_batch, dict) else None
        for path, reason in record.bad if record else ():
            runner.logger.warning(f'Bad file in evaluation, replaced by another one: {_readable(path)}: {reason}')


def _readable(path: str) -> str:
    """Escape bytes of a file name that are not valid text."""
    return path.encode(errors='backslashreplace').decode()
