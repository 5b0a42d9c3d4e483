"""Progress bars that count work, not the preparation for it."""

import sys

from tqdm import tqdm

__all__ = ['LateBar']


class LateBar:
    """A bar of tqdm that appears with the first items done.

    These take the loading and compilation that the others need. Speed and time left are those of the others.

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

    def update(self) -> None:
        """Count an item."""
        self.done += 1
        if self.bar is not None:
            self.bar.update()
        elif self.done >= self.begin:
            self.bar = tqdm(initial=self.done, **self.options)
        if self.bar is not None and self.done >= self.bar.total:
            self.bar.close()

    def set_postfix(self, **values) -> None:
        """Show values behind the bar."""
        if self.bar is not None:
            self.bar.set_postfix(**values)
