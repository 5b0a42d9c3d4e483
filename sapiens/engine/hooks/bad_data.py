"""Files that cannot be used: counted, written down, and never too many."""

from pathlib import Path

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook

from sapiens.registry import HOOKS

__all__ = ['BadDataHook']


@HOOKS.register_module()
class BadDataHook(Hook):
    """Counts what the loaders skipped (``LoaderRecord.bad``), logs path and reason, and stops the run past a share.

    Every bad file goes to ``bad_files.txt`` of the work dir (tab-separated path and reason); the log shows the first ones.
    Counts survive a resume. In evaluation bad files are logged too, since the metric misses them.

    Args:
        max_share: of bad files among all that were opened.
        min_samples: files opened before the share is looked at.
        interval: iterations between two looks, which cost a small exchange between ranks.
        max_logged: files shown in the log.
    """

    priority = 'NORMAL'

    def __init__(
        self, max_share: float = 0.01, min_samples: int = 100, interval: int = 10, max_logged: int = 20
    ) -> None:
        if not 0 <= max_share <= 1:
            raise ValueError(f'max_share={max_share} must lie in [0, 1]')
        self.max_share, self.min_samples = max_share, min_samples
        self.interval, self.max_logged = interval, max_logged
        self.bad, self.opened = 0, 0  # reported, over all ranks
        self.new: list[tuple[str, str]] = []  # of this rank, not reported yet
        self.samples = 0

    def state_dict(self) -> dict:
        """State of this rank, for the checkpoint."""
        return dict(bad=self.bad, opened=self.opened, new=self.new, samples=self.samples)

    def load_state_dicts(self, states: list[dict], rank: int) -> None:
        """Continue from the states of all ranks, however many they were."""
        self.bad, self.opened = states[0]['bad'], states[0]['opened']
        if rank == 0:
            self.new = [tuple(entry) for state in states for entry in state['new']]
            self.samples = sum(state['samples'] for state in states)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        record = runner.train_loop.record
        self.new = self.new + [(_readable(path), reason) for path, reason in record.bad]
        self.samples += record.samples
        if (runner.iter + 1) % self.interval == 0 or self.is_last_train_iter(runner):
            self.report(runner)

    def report(self, runner) -> None:
        """Add the counts of all ranks, log what is new, stop where it is too much."""
        gathered = all_gather_object((self.new, self.samples))
        self.new, self.samples = [], 0
        new = [tuple(entry) for entries, _ in gathered for entry in entries]
        first = self.bad + 1
        self.bad += len(new)
        self.opened += sum(samples for _, samples in gathered) + len(new)
        file = Path(runner.work_dir) / 'bad_files.txt'
        if new and is_main_process():
            with open(file, 'a') as output:
                output.writelines(f'{path}\t{reason}\n' for path, reason in new)
            for number, (path, reason) in enumerate(new, start=first):
                if number <= self.max_logged:
                    runner.logger.warning(f'Bad file {number} skipped: {path}: {reason}')
            if self.bad > self.max_logged:
                runner.logger.warning(f'{self.bad} bad files of {self.opened} so far; all of them: {file}')
        if self.opened >= self.min_samples and self.bad > self.max_share * self.opened:
            latest = f', the latest is {new[-1][0]} ({new[-1][1]})' if new else ''
            raise RuntimeError(
                f'{self.bad} of {self.opened} files could not be used, more than the allowed share of '
                f'{self.max_share:g}. They are listed in {file}{latest}. Mend or remove them, or allow more with '
                'default_hooks.bad_data.max_share'
            )

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._warn(runner, data_batch)

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._warn(runner, data_batch)

    def _warn(self, runner, data_batch) -> None:
        record = data_batch.get('loader') if isinstance(data_batch, dict) else None
        for path, reason in record.bad if record else ():
            runner.logger.warning(f'Bad file in evaluation, another one took its place: {_readable(path)}: {reason}')


def _readable(path: str) -> str:
    """A name that can be written to a log also where its bytes are no text."""
    return path.encode(errors='backslashreplace').decode()
