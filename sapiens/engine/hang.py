"""Which process did not come to a collective, from the files of :mod:`.flight_recorder`."""

import io
import json
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from .flight_recorder import FOLDER, NCCL, PROCESSES, is_of_collective

__all__ = ['Call', 'Process', 'find_hang', 'read_processes']

# Names of the files of processes, with the rank.
FILE = re.compile(rf'(?:{NCCL}|rank_)(\d+)(?:\.json)?')


@dataclass(frozen=True)
class Call:
    """A collective that a process has called.

    Attributes:
        group: name and description of the group of processes.
        number: of the call in the group, from 1.
        what: name and sizes.
    """

    group: tuple[str, str]
    number: int
    what: str

    def __str__(self) -> str:
        return f'{self.what}, call {self.number} of the group {self.group[1] or self.group[0]}'


@dataclass
class Process:
    """A process and its latest calls.

    Attributes:
        calls: the latest of each group, by its name and description.
        groups: those that it is in, also without a call.
        stack: of its main thread; '' where it wrote none.
        error: '' where it did not fail itself.
        seen: whether it wrote a file.
    """

    rank: int
    host: str = ''
    pid: int = 0
    calls: dict[tuple[str, str], dict[int, Call]] = field(default_factory=dict)
    groups: set[tuple[str, str]] = field(default_factory=set)
    stack: str = ''
    error: str = ''
    seen: bool = False
    time: float = 0.0

    @property
    def name(self) -> str:
        place = f' ({self.host}, process {self.pid})' if self.host else ''
        return f'rank {self.rank}{place}'

    def last(self, group: tuple[str, str]) -> int:
        """Number of the latest call in a group; 0 without any."""
        return max(self.calls.get(group, {}), default=0)

    @property
    def place(self) -> str:
        """The innermost line that its main thread was in, outside of libraries where there is one."""
        lines = re.findall(r'File "([^"]+)", line (\d+), in (\S+)', self.stack)
        own = [
            line
            for line in lines
            if '/sapiens/' in line[0] or not re.search('/(site-packages|lib/python.*)/', line[0])
        ]
        own = own or lines
        return '{}:{} in {}'.format(*own[-1]) if own else ''


def read_processes(path: Path) -> list[Process]:
    """Read the files of a failure.

    Args:
        path: a work dir, or a folder of such files. Of a work dir, the latest failure: a restart renames the folder.

    Raises:
        FileNotFoundError: there are none.
        ValueError: a file is damaged.
    """
    earlier = sorted(path.glob(f'{FOLDER}_*'), reverse=True)  # by time
    folders = [path / FOLDER, *earlier] if (path / FOLDER).is_dir() or earlier else [path]
    folder = next(filter(_files_of, folders), folders[0])
    files = _files_of(folder)
    if not files:
        raise FileNotFoundError(
            f'{folder} holds no files of a failed collective: a training of several processes writes them to '
            f'WORK_DIR/{FOLDER} when one fails'
        )
    known = folder / PROCESSES
    processes = {}
    if known.exists():
        with _named(known):
            rows = json.loads(known.read_text())
            processes = {int(row['rank']): Process(int(row['rank']), row['host'], row['pid']) for row in rows}
    for file in sorted(files):
        rank = int(FILE.fullmatch(file.name)[1])
        with _named(file):
            _add_file(processes.setdefault(rank, Process(rank)), file)
    return [processes[rank] for rank in sorted(processes)]


def _files_of(folder: Path) -> list[Path]:
    return [file for file in folder.glob('*rank_*') if FILE.fullmatch(file.name)]


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Name a file that is damaged. Such content may end in any error."""
    try:
        yield
    except OSError:
        raise  # it cannot be read, and the error names it
    except Exception as error:
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise ValueError(f'{file} is damaged ({reason}): remove it to read the others') from error


def _add_file(process: Process, file: Path) -> None:
    """Add to a process what it has written."""
    content = json.loads(file.read_text()) if file.suffix == '.json' else _Plain(file).load()
    calls = list(_calls(content))
    groups = {(one.get('name', ''), one.get('desc', '')) for one in content.get('pg_config', {}).values()}
    process.seen, process.time = True, content.get('time') or file.stat().st_mtime
    datetime.fromtimestamp(process.time)
    process.stack, process.error = content.get('stack') or process.stack, content.get('error') or process.error
    if not isinstance(process.stack + process.error, str):
        raise TypeError('a stack or an error that is not a text')
    process.groups |= groups
    for call in calls:
        process.calls.setdefault(call.group, {})[call.number] = call


class _Plain(pickle.Unpickler):
    """Reads what NCCL writes: a pickle of plain values. Anything else is refused."""

    def __init__(self, file: Path) -> None:
        super().__init__(io.BytesIO(file.read_bytes()))

    def find_class(self, module: str, name: str):
        raise pickle.UnpicklingError(f'it asks for {module}.{name}')


def _calls(content: dict) -> Iterator[Call]:
    for entry in content.get('entries', ()):
        if not entry.get('is_p2p'):
            kinds, sizes = entry.get('input_dtypes') or (), entry.get('input_sizes') or ()
            inputs = ', '.join(f'{kind} {list(size)}' for kind, size in zip(kinds, sizes, strict=False))
            what = f'{entry["profiling_name"].split(":")[-1]} of {inputs or "nothing"}'
            name, description = map(str, entry['process_group'])
            yield Call((name, description), int(entry['collective_seq_id']), what)


def find_hang(processes: list[Process]) -> list[str]:
    """Lines that name the processes that did not come to a collective, the call, and where they were."""
    seen = [process for process in processes if process.seen]
    first = datetime.fromtimestamp(min(process.time for process in seen))
    lines = [f'{len(seen)} of {len(processes)} processes wrote what they did, from {first:%Y-%m-%d %H:%M:%S}']
    lines += [
        f'{process.name} wrote nothing: it hangs, was killed, or its host is lost'
        for process in processes
        if not process.seen
    ]
    lines += _differences(seen) or _latest(seen)
    # What failed first is not a collective: those fail because of it.
    failed = sorted(
        (process for process in seen if process.error), key=lambda process: is_of_collective(process.error)
    )
    for process in failed[:3]:
        lines.append(f'{process.name} failed: {" ".join(process.error.split())[:200]}')
    return lines


def _latest(seen: list[Process]) -> list[str]:
    """The latest call of each group, which all of these processes have made."""
    calls = {group: process.calls[group][process.last(group)] for process in seen for group in process.calls}
    where = f', the latest: {" and ".join(str(calls[group]) for group in sorted(calls))}' if calls else ''
    made = 'made the same calls' if len(seen) > 1 else 'made calls'
    return [f'{_ranks(seen)} {made}{where}']


def _differences(seen: list[Process]) -> list[str]:
    lines = []
    for group in sorted({group for process in seen for group in process.calls}):
        # Only the latest calls are recorded: a process without any made none if others have still their first one.
        has_first = any(1 in process.calls.get(group, ()) for process in seen)
        members = [process for process in seen if group in process.calls or (has_first and group in process.groups)]
        ahead, behind = (
            max(process.last(group) for process in members),
            min(process.last(group) for process in members),
        )
        waiting = [process for process in members if process.last(group) == ahead]
        late = [process for process in members if process.last(group) < ahead]
        for process in late:
            number = process.last(group) + 1
            call = next((other.calls[group][number] for other in waiting if number in other.calls[group]), None)
            lines.append(f'{process.name} did not come to {call or f"call {number} of the group {group[1]}"}')
            lines.append(f'    waiting there: {_ranks(waiting)}')
            lines += [f'    it was in {process.place}'] if process.place else []
        if not late:
            kinds = {}
            for process in members:
                kinds.setdefault(process.calls[group][behind].what, []).append(process)
            if len(kinds) > 1:
                lines.append(f'call {behind} of the group {group[1]} is not the same on all processes:')
                lines += [f'    {what}: {_ranks(those)}' for what, those in kinds.items()]
    return lines


def _ranks(processes: list[Process]) -> str:
    ranks = [str(process.rank) for process in processes]
    return f'rank{"s" if len(ranks) > 1 else ""} {", ".join(ranks[:16])}{", ..." if len(ranks) > 16 else ""}'
