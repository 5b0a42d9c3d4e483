"""Unpacking into the layout that configs read. Nothing that is there is written over, and a second run continues."""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from sapiens.utils.counting import count_of
from sapiens.utils.files import move_into_place, temporary_path

from .sources import DOWNLOADING, Member, Source, explained, is_archive, open_source
from .spec import KnownData

__all__ = ['find_sources', 'size_text', 'unpack']

_CHUNK = 1 << 20
_SPARE = 1 << 26  # bytes that stay free


def find_sources(data: KnownData, root: Path, given: Iterable[Path], splits: Iterable[str]) -> list[Source]:
    """The archives, folders and files that a data set is unpacked from.

    Args:
        root: its archives are looked for there and in the folder that they are unpacked into, by their published names.
        splits: whose archives are looked for.
        given: paths of the user. A folder is searched for archives by name, and is taken as an unpacked tree itself.

    Raises:
        FileNotFoundError: a given path does not exist.
        ValueError: a file that is not complete, or is no archive.
    """
    found: dict[Path, Source] = {}
    for path in given:
        source = open_source(path)
        found[source.path.resolve()] = source
    trees = {one.path: one for one in found.values() if one.path.is_dir()}
    for folder in dict.fromkeys((*trees, root, root / data.unpacked)):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if not _has_name(path, data, splits) or path.is_dir():
                continue
            is_single = not (is_archive(path) or path.name.endswith(DOWNLOADING))
            if folder in trees and is_single:
                continue  # a member of the tree
            found.setdefault(path.resolve(), open_source(path))
            if folder in trees:
                trees[folder].may_be_empty = True
    return list(found.values())


def unpack(source: Source, data: KnownData, root: Path, splits: tuple[str, ...]) -> tuple[int, int]:
    """Put the files of a source where configs look for them.

    Each file appears under its name when it is complete. Files of a folder on the same disk become hard links.

    Args:
        root: below which the folder of the data set is.
        splits: whose files are taken.

    Returns:
        Number of files that were written, and of those that were there already.

    Raises:
        ValueError: a damaged archive, a file of another size in the way, or a source without any file of the data set.
        OSError: the disk is too small.
    """
    folder = root / data.unpacked
    wanted = _Wanted(source, data, folder, splits)
    total = None
    if source.is_listed:
        new = [member.size for member, target in wanted if not target.exists()]
        wanted.require_some()
        _require_space(folder, 0 if _can_link(source, folder) else sum(new), source)
        total = sum(new)
    written = there = 0
    with tqdm(
        total=total, desc=source.path.name, unit='B', unit_scale=True, disable=not sys.stderr.isatty(), leave=False
    ) as bar:
        for member, target in wanted:
            if target.exists():
                there += 1
                continue
            if not source.is_listed:
                _require_space(folder, member.size, source)
            _write(member, target, source, bar)
            written += 1
    wanted.require_some()
    return written, there


def size_text(size: float) -> str:
    """Bytes in the largest unit of which there is one: '12.3 GB'."""
    units = ('bytes', 'kB', 'MB', 'GB', 'TB')
    power = 0
    while size >= 1000 and power < len(units) - 1:
        size, power = size / 1000, power + 1
    return f'{size:.3g} {units[power]}'


class _Wanted:
    """Members of a source that belong to a data set, with the files that they become."""

    def __init__(self, source: Source, data: KnownData, folder: Path, splits: tuple[str, ...]) -> None:
        self.source, self.data, self.folder, self.splits = source, data, folder, splits
        self.stems: dict[str, set[str]] = {}
        self.seen = self.taken = 0
        self.others: list[str] = []

    def __iter__(self):
        self.seen = self.taken = 0
        for member in self.source.members():
            self.seen += 1
            found = self.data.place(member.path)
            if found is None:
                if len(self.others) < 3:
                    self.others.append(member.path)
                continue
            self.taken += 1
            rule, place = found
            if not set(rule.splits) & set(self.splits):
                continue
            target = self.folder / place
            if member.file is not None and target.exists() and os.path.samefile(member.file, target):
                continue  # the source is the folder of the data set itself
            if rule.once and target.stem not in self._stems(rule.once):
                continue
            self._refuse_other(member, target)
            yield member, target

    def require_some(self) -> None:
        if self.taken or self.source.may_be_empty:
            return
        wanted = ', '.join(dict.fromkeys(rule.example for download in self.data.downloads for rule in download.rules))
        holds = f'it holds {", ".join(self.others)}' if self.others else 'it is empty'
        raise ValueError(
            f'{self.source.path} has no file of {self.data.title}: expected paths such as {wanted}; {holds}'
            + (', ...' if self.seen > len(self.others) else '')
        )

    def _stems(self, folder: str) -> set[str]:
        if folder not in self.stems:
            path = self.folder / folder
            self.stems[folder] = {file.stem for file in path.iterdir()} if path.is_dir() else set()
        return self.stems[folder]

    def _refuse_other(self, member: Member, target: Path) -> None:
        """Raise ValueError for a file in the way that is not the one of the source."""
        if os.path.lexists(target) and (not target.is_file() or target.stat().st_size != member.size):
            state = f'has {count_of(target.stat().st_size, "byte")}' if target.is_file() else 'is no file'
            raise ValueError(
                f'{target} is in the way: it {state}, {member.path} of {self.source.path} has {member.size:,}. An '
                'unpacking that was stopped leaves such files. Nothing is written over: remove it, or take the archive away, and '
                'run this again'
            )


def _write(member: Member, target: Path, source: Source, bar: tqdm) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if member.file is not None:
        try:
            os.link(member.file, target)
            bar.update(member.size)
            return
        except OSError:  # another disk, or one without links
            pass
    temporary = temporary_path(target)
    try:
        with explained(source.path), member.open() as file, temporary.open('wb') as out:
            while chunk := file.read(_CHUNK):
                out.write(chunk)
                bar.update(len(chunk))
        if temporary.stat().st_size != member.size:
            raise ValueError(f'{source.path} is damaged ({member.path} is incomplete): download it again')
        move_into_place(temporary, target, sync=False)  # sizes are compared when the command runs again
    finally:
        temporary.unlink(missing_ok=True)


def _require_space(folder: Path, size: int, source: Source) -> None:
    place = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if size and size + _SPARE > free:
        raise OSError(
            f'{source.path.name} needs {size_text(size)} in {folder}, and the disk has {size_text(free)} left: free space, or '
            'give another --root'
        )


def _can_link(source: Source, folder: Path) -> bool:
    place = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    return source.path.is_dir() and source.path.stat().st_dev == place.stat().st_dev


def _has_name(path: Path, data: KnownData, splits: Iterable[str]) -> bool:
    """Whether a file has the published name of a download, perhaps with the ending of one that is not complete."""
    name = path.name
    for ending in DOWNLOADING:
        name = name.removesuffix(ending)
    return any(download.has_name(name) and download.splits() & set(splits) for download in data.downloads)
