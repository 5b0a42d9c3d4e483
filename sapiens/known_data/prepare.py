"""From downloads to data that configs read: find, unpack, convert, check."""

import importlib
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from sapiens.utils.counting import count_of
from sapiens.utils.folder_lock import FolderLock

from .check import Part, check_parts
from .spec import Download, KnownData
from .unpack import find_sources, unpack

__all__ = ['SPLITS', 'prepare', 'rendered_by', 'require_root', 'state_of', 'where']

SPLITS = ('train', 'val', 'test')


def prepare(
    data: KnownData,
    root: Path,
    given: Sequence[Path] = (),
    splits: tuple[str, ...] = SPLITS,
    read: bool = False,
    report: Callable[[str], None] = print,
    progress: Callable = iter,
) -> list[Part]:
    """Unpack and convert what is there, then check it.

    Args:
        root: below which the folder of the data set is.
        given: archives and folders to unpack from, apart from those in the folders.
        splits: whose files are unpacked and checked.
        read: also decode every image and its labels.
        report: takes a line about each step.
        progress: wraps an iterable that has a length.

    Returns:
        What was found of each split.

    Raises:
        FileNotFoundError, ValueError, OSError: see :func:`.unpack.find_sources` and :func:`.unpack.unpack`.
    """
    require_root(data, root)
    sources = find_sources(data, root, given, splits)
    if (root / data.folder).is_dir():
        convert(data, root, report)  # what a run that was stopped has unpacked
    if sources:
        with FolderLock(root / data.unpacked, 'wait until it has ended', report):
            for source in _in_order(data, sources):
                written, there = unpack(source, data, root, splits)
                kept = f', {count_of(there, "file")} there already' if there else ''
                report(f'{source.path}: {count_of(written, "file")} unpacked{kept}')
                if written:
                    convert(data, root, report)
    return check_parts(data, root, splits, read, progress)


def require_root(data: KnownData, root: Path) -> None:
    """Raise for a root that does not exist, or that is the folder of the data set itself."""
    if not root.is_dir():
        raise FileNotFoundError(f'--root {root}: there is no such folder')
    inner = {Path(rule.folder).parts[0] for download in data.downloads for rule in download.rules if rule.folder}
    if (
        root.name == data.folder
        and not (root / data.folder).exists()
        and any((root / name).exists() for name in inner)
    ):
        raise ValueError(
            f'--root {root} is the folder of {data.title} itself: give the one above, {root.resolve().parent}'
        )


def convert(data: KnownData, root: Path, report: Callable[[str], None]) -> None:
    """Run the conversion of a data set on what is unpacked."""
    if not data.convert:
        return
    module = importlib.import_module(f'.{data.convert}', __package__)
    if new := module.convert(root / data.folder):
        report(f'{count_of(new, "label map")} written to {root / data.folder / "labels"}')


def _in_order(data: KnownData, sources: list) -> list:
    """Sources in the order of the downloads: images may be chosen by labels that are converted before."""

    def position(source) -> int:
        names = [download.has_name(source.path.name) for download in data.downloads]
        return names.index(True) if True in names else -1

    # A folder may have everything. It is taken once for what comes first, and again for what is chosen by it.
    trees = [source for source in sources if source.path.is_dir()]
    return sorted(sources, key=position) + (trees if data.convert else [])


def state_of(download: Download, folder: Path) -> list[tuple[str, int | None]]:
    """Number of files in each place of a download; None for a place that is not there.

    Args:
        folder: that it is unpacked into.
    """
    places = dict.fromkeys(rule.folder for rule in download.rules)
    return [(place or '.', _count(folder / place)) for place in places]


def where(download: Download, data: KnownData) -> str:
    return download.address or data.source


def _count(path: Path) -> int | None:
    if path.is_file():
        return 1
    if not path.is_dir():
        return None
    with os.scandir(path) as entries:
        return sum(not entry.name.startswith('.') for entry in entries)


def rendered_by(data: KnownData, root: Path) -> str:
    """The command that renders what the configs read; '' for photographs."""
    scans = root / data.unpacked if (root / data.unpacked).is_dir() or not data.release else Path(data.release)
    paths = dict(folder=shlex.quote(str(root / data.folder)), scans=shlex.quote(str(scans)))
    return f'sapiens scans {data.rendered.format(**paths)}' if data.rendered else ''
