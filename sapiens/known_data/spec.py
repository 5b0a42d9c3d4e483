"""What this package knows of a public data set: its downloads, and where their files belong."""

import fnmatch
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

__all__ = ['Download', 'KnownData', 'Rule']


@dataclass(frozen=True)
class Rule:
    """Where files of a download belong.

    Attributes:
        pattern: regular expression of the end of a path in the download, from the beginning of a name.
        target: path below the folder of the data set, with the groups of the pattern: ``val2017/\\1``.
        example: such a path, for messages.
        splits: data that need these files.
        once: folder of this data set that must have a file of the same stem; others are left in the download.
    """

    pattern: str
    target: str
    example: str
    splits: tuple[str, ...] = ('train', 'val')
    once: str = ''

    def place(self, path: str) -> str | None:
        """Path below the folder of the data set for a path in a download; None for a file that is not needed."""
        path = path.removeprefix('./')
        parts = PurePosixPath(path).parts
        if '..' in parts or path.startswith('/'):
            return None
        found = re.fullmatch(rf'(?:.*/)?{self.pattern}', path)
        return found and found.expand(self.target)

    @property
    def folder(self) -> str:
        """The part of the target that is the same for all files: a folder, or the file of a target without groups."""
        return self.target.partition('\\')[0].rstrip('/')


@dataclass(frozen=True)
class Download:
    """A file to download.

    Attributes:
        name: of the file as it is published; may have wildcards.
        address: where it is, where that is known; '' for the page of the data set.
        rules: where its files belong.
        optional: what works without it; '' if nothing does.
    """

    name: str
    rules: tuple[Rule, ...]
    address: str = ''
    optional: str = ''

    def has_name(self, name: str) -> bool:
        return fnmatch.fnmatch(name.lower(), self.name.lower())

    def splits(self) -> set[str]:
        return {split for rule in self.rules for split in rule.splits}


@dataclass(frozen=True)
class KnownData:
    """A public data set.

    Attributes:
        name: on the command line.
        title: its own name.
        folder: below the root of all data.
        source: page that describes and offers it.
        license: what its authors allow, in short.
        downloads: files to get.
        configs: files below ``configs/_base_/datasets`` whose datasets read it.
        datasets: {split: config of a dataset} of data that no config reads; ``data_root`` is relative to the root.
        needs: other data sets that it is an addition to.
        rendered: arguments of ``sapiens scans`` that render what the configs read, with ``{folder}`` and ``{scans}``; '' for
            photographs.
        scans: folder below the root that downloads of scans are unpacked into; '' for ``folder``.
        release: folder of the scans as they are published, for messages where they are not below the root.
        expected: {split: samples} where the published number is known.
        config: leaf below ``configs/`` to go on with.
        convert: name of a conversion after unpacking.
    """

    name: str
    title: str
    folder: str
    source: str
    license: str
    downloads: tuple[Download, ...] = ()
    configs: tuple[str, ...] = ()
    datasets: dict[str, dict] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    rendered: str = ''
    scans: str = ''
    release: str = ''
    expected: dict[str, int] = field(default_factory=dict)
    config: str = ''
    convert: str = ''

    @property
    def unpacked(self) -> str:
        """Folder below the root that downloads are unpacked into."""
        return self.scans or self.folder

    def place(self, path: str) -> tuple[Rule, str] | None:
        """The first rule that takes a path of a download, and the path below :attr:`unpacked`."""
        for rule in (rule for download in self.downloads for rule in download.rules):
            if (target := rule.place(path)) is not None:
                return rule, target
        return None

    def download_of(self, path: str | Path) -> Download | None:
        """The download that a file or folder below :attr:`unpacked` comes from; None for what is rendered."""
        path = PurePosixPath(path)
        for download in self.downloads:
            for rule in download.rules:
                is_below = rule.folder and path.is_relative_to(rule.folder)
                if is_below or (not rule.folder and any(map(rule.place, (str(path), f'{path}/file')))):
                    return download
        return None
