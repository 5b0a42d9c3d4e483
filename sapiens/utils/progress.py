"""Progress bars that count work, not the preparation for it."""

import sys
import time
from bisect import insort

from tqdm import tqdm

__all__ = ['LateBar']


class LateBar:
    """A bar of tqdm that appears with the first items done.

    These take the loading and compilation that the others need. Speed and time left are those of the others, from the time at
    which the last of the first ones ended.

    Args:
        total: number of items.
        done: how many there are already.
        unit: name of an item.
        notice: what to show until then, on a terminal.
        first: number of items that are done together, at first.
    """

    def __init__(self, total: int, done: int = 0, unit: str = 'it', notice: str = '', first: int = 1) -> None:
        self.options = dict(total=total, unit=unit, smoothing=0.1)
        self.done, self.bar = done, None
        self.start, self.first = time.time(), first
        self.counted, self.latest = 0, 0.0
        self.earliest: list[
            float
        ] = []  # times of the first ones, sorted: memory does not grow with the number of items
        self.begin = min(total, done + first)
        self.has_notice = bool(notice) and done < total and sys.stderr.isatty()
        if self.has_notice:
            print(notice, end='\r', file=sys.stderr, flush=True)

    def __enter__(self) -> 'LateBar':
        return self

    def __exit__(self, *error) -> None:
        if self.bar is not None:
            self.bar.close()
        elif self.has_notice:
            print(file=sys.stderr)

    def update(self, ended: float | None = None) -> None:
        """Count an item.

        Args:
            ended: the time at which it was done, of ``time.time()``, where it is counted later; default: now.
        """
        self.done += 1
        self.counted += 1
        ended = time.time() if ended is None else ended
        self.latest = max(self.latest, ended)
        insort(self.earliest, ended)
        del self.earliest[max(self.first, 1) :]
        if self.bar is not None:
            self.bar.update()
        elif self.done >= self.begin:
            self.bar = tqdm(initial=self.done, **self.options)
            # The first items may be counted long after they were done, when others are nearly done too.
            self.bar.start_t = self.bar.last_print_t = min(self.latest, time.time())
        if self.bar is not None and self.done >= self.bar.total:
            self.bar.close()

    def summary(self) -> str:
        """Describe the time of the items: '13 img in 20.4 s: loading and the first 8 in 15.1 s, the other 5 at 0.94 img/s'.

        Items that were done before are in no number. '' without items.
        """
        if not self.counted:
            return ''
        count, unit = self.counted, self.options['unit']
        first = min(self.first, count)
        text = f'{count} {unit} in {self.latest - self.start:.1f} s'
        if first == count:
            return f'{text} with loading'
        loaded = self.earliest[first - 1]
        seconds = max(self.latest - loaded, 1e-9)
        return (
            f'{text}: loading and the first {first} in {loaded - self.start:.1f} s, the other {count - first} at '
            f'{(count - first) / seconds:.3g} {unit}/s'
        )

    def set_postfix(self, **values) -> None:
        """Show values behind the bar."""
        if self.bar is not None:
            self.bar.set_postfix(**values)
