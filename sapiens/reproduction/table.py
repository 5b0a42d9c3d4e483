"""docs/reproduced.md: published and reproduced scores side by side."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sapiens.utils.files import write_atomically
from sapiens.utils.folder_lock import FolderLock

from .protocols import PROTOCOLS, Target, all_targets

__all__ = ['COLUMNS', 'Row', 'add_rows', 'blank', 'default_table', 'difference_of', 'read_rows', 'rows_of']

COLUMNS = (
    'model',
    'protocol',
    'score',
    'published',
    'reproduced',
    'difference',
    'versions',
    'device',
    'minutes',
    'command',
)
# Seconds to wait for other processes that add rows, which takes milliseconds.
PATIENCE = 120
_INTRO = """# Published and reproduced scores

`sapiens reproduce NAME` evaluates a published model by the published protocol and adds a row here: the score, its difference
from the published one, versions, the device, the minutes of all devices together, and the command. "Equal" means equal to the
last published digit. Where the cells are empty, nobody has reproduced the score with this package yet.

```bash
sapiens reproduce                                        # all scores, and which data and weights are here
sapiens prepare coco --root /data --only val             # the data
sapiens download sapiens-pose-0.3b-17                    # the weights
sapiens reproduce sapiens-pose-0.3b-17 --root /data      # on all GPUs, or on the CPU
```

A run that was stopped continues with the parts that are missing. Other devices may do them.

**`--quick`** evaluates a fixed twentieth of the images, those with the smallest checksums of their names, and prints the interval
in which the score of all images lies. The images of the part are drawn again 200 times, with repetition. The standard deviation
of the 200 scores, times sqrt(1 - n / N) for n of N images, is the error of the part. The interval is the score plus and minus
1.96 errors, 95 percent of a normal distribution. An image counts with all its people.

## Scores
"""


@dataclass(frozen=True)
class Row:
    """A row of the table. The last six cells are '' where a score was not reproduced."""

    model: str
    protocol: str
    score: str
    published: str
    reproduced: str = ''
    difference: str = ''
    versions: str = ''
    device: str = ''
    minutes: str = ''
    command: str = ''

    @property
    def key(self) -> tuple[str, str, str]:
        return self.model, self.protocol, self.score

    def __str__(self) -> str:
        return f'| {" | ".join(getattr(self, name) for name in COLUMNS)} |'


def difference_of(value: float, published: str) -> str:
    """The difference from a published number, with two more digits, and whether the last published digit is equal."""
    digits = len(published.partition('.')[2])
    difference = f'{value - float(published):+.{digits + 2}f}'
    return f'{difference}, equal' if f'{value:.{digits}f}' == published else difference


def reproduced_text(value: float, published: str) -> str:
    """A score with two more digits than were published."""
    return f'{value:.{len(published.partition(".")[2]) + 2}f}'


def rows_of(target: Target) -> list[Row]:
    """The empty rows of the scores of a model by one protocol."""
    return [Row(target.entry.name, target.protocol.name, name, number) for name, number in target.scores.items()]


def blank() -> str:
    """The document before anything is reproduced."""
    rows = [row for target in all_targets() for row in rows_of(target)]
    notes = [f'- `{one.name}`: {one.notes}' for one in PROTOCOLS.values()]
    return '\n'.join([_INTRO, *_table(rows), '', '## Protocols', '', *notes, '']) + (
        '\nNo score on CIHP or LIP is published, and no weights for them. The scores of 308 keypoints on 114 common ones are\n'
        'left out, since the list of the 114 is not published. So are scores of models whose weights `sapiens download`\n'
        'does not know: segmentation of Sapiens 2b, and albedo and the 4K models of Sapiens2.\n'
    )


def default_table() -> Path:
    """docs/reproduced.md of a clone of the repository, else reproduced.md in the working directory."""
    docs = Path(__file__).parents[2] / 'docs'
    return docs / 'reproduced.md' if (docs / 'models.md').is_file() else Path('reproduced.md')


def read_rows(path: Path) -> list[Row]:
    """The rows of a document; none if it does not exist."""
    lines = path.read_text(encoding='utf-8').splitlines() if path.is_file() else []
    return [_parse(line) for line in lines if _is_row(line)]


def add_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows into a document: into the empty row of a score, else behind the last row of the score.

    A document that does not exist is begun. Several processes may add rows at the same time: they take turns.

    Raises:
        ValueError: a document without the table, or one that another process does not give free within :data:`PATIENCE` seconds.
    """
    with _turn(path):
        text = path.read_text(encoding='utf-8') if path.is_file() else blank()
        lines = text.splitlines()
        if _header() not in lines:
            raise ValueError(
                f'{path} has no table with the columns {", ".join(COLUMNS)}: give another file with --table'
            )
        for row in rows:
            _insert(lines, row)
        write_atomically(path, '\n'.join(lines) + '\n')


def _insert(lines: list[str], row: Row) -> None:
    places = [number for number, line in enumerate(lines) if _is_row(line) and _parse(line).key == row.key]
    if not places:
        ends = [number for number, line in enumerate(lines) if _is_row(line)]
        lines.insert(max(ends, default=lines.index(_header()) + 1) + 1, str(row))
    elif not _parse(lines[places[-1]]).reproduced:
        lines[places[-1]] = str(row)
    else:
        lines.insert(places[-1] + 1, str(row))


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Keep other processes from changing a document between reading and writing it."""
    # A folder of its own: that of the document may be locked by a run.
    lock = FolderLock(path.parent / f'.{path.name}.lock', 'wait until it has ended')
    end = time.monotonic() + PATIENCE
    while True:
        try:
            lock.acquire()
            break
        except (ValueError, FileNotFoundError):  # another process has the lock, or has just removed its folder
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):  # the next process has it
            lock.folder.rmdir()


def _table(rows: Iterable[Row]) -> list[str]:
    return [_header(), f'|{"---|" * len(COLUMNS)}', *map(str, rows)]


def _header() -> str:
    return f'| {" | ".join(COLUMNS)} |'


def _is_row(line: str) -> bool:
    return line.startswith('| ') and line.count('|') == len(COLUMNS) + 1 and line != _header()


def _parse(line: str) -> Row:
    return Row(*(cell.strip() for cell in line.strip()[1:-1].split('|')))
