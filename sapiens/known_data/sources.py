"""What a data set is unpacked from: archives, folders that were unpacked by hand, and single files."""

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ['DOWNLOADING', 'Member', 'Source', 'explained', 'is_archive', 'open_source']

ARCHIVES = ('.zip', '.tar', '.tar.gz', '.tgz', '.tar.bz2', '.tar.xz')
_BLOCK = 512  # of a tar
# Endings that browsers and download tools give to files that are not complete.
DOWNLOADING = ('.part', '.crdownload', '.aria2', '.download', '.tmp')
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError)


@dataclass(frozen=True)
class Member:
    """A file of a source.

    Attributes:
        path: in the source.
        size: bytes.
        open: opens it for reading; the error of a damaged archive names the archive.
        file: the file on the disk, of a folder or a single file; None in an archive.
    """

    path: str
    size: int
    open: Callable[[], BinaryIO]
    file: Path | None = None


class Source:
    """Files of one archive, folder or file.

    Attributes:
        is_listed: whether its members are known without reading all of it. A compressed tar has no list.
        may_be_empty: whether it may lack files of the data set: a folder with archives.
    """

    is_listed = True
    may_be_empty = False

    def __init__(self, path: Path) -> None:
        self.path = path

    def members(self) -> Iterator[Member]:
        raise NotImplementedError


class _Tree(Source):
    def members(self) -> Iterator[Member]:
        for folder, folders, names in os.walk(self.path, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith('.'))
            for name in sorted(names):
                file = Path(folder, name)
                if not name.startswith('.') and file.is_file():
                    yield Member(file.relative_to(self.path).as_posix(), file.stat().st_size, _opener(file), file)


class _File(Source):
    def members(self) -> Iterator[Member]:
        # With the folder, since rules may name it.
        yield Member(
            f'{self.path.parent.name}/{self.path.name}', self.path.stat().st_size, _opener(self.path), self.path
        )


class _Zip(Source):
    def members(self) -> Iterator[Member]:
        with explained(self.path):
            archive = zipfile.ZipFile(self.path)
        with archive:
            for info in archive.infolist():
                mode = info.external_attr >> 16
                if info.is_dir() or stat.S_ISLNK(mode):
                    continue
                if info.flag_bits & 1:
                    raise ValueError(
                        f'{self.path} is encrypted: unpack it with its password, and give the folder with --from'
                    )
                yield Member(info.filename, info.file_size, lambda info=info: archive.open(info))


class _Tar(Source):
    """A tar. A compressed one is read once from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_listed = path.suffix.lower() == '.tar'

    def members(self) -> Iterator[Member]:
        openers = {'.gz': gzip.open, '.tgz': gzip.open, '.bz2': bz2.open, '.xz': lzma.open}
        with openers.get(self.path.suffix.lower(), open)(self.path, 'rb') as stream:
            end = 0
            with explained(self.path):
                archive = tarfile.open(fileobj=stream, mode='r:' if self.is_listed else 'r|')  # noqa: SIM115
            with archive:
                while (info := self._next(archive)) is not None:
                    end = info.offset_data + -(-info.size // _BLOCK) * _BLOCK
                    if info.isfile():
                        yield Member(info.name, info.size, lambda info=info: archive.extractfile(info))
            with explained(self.path):
                while stream.read(1 << 20):  # compares the checksum at the end of compressed files
                    pass
                if stream.tell() < end + _BLOCK:  # tarfile takes a cut between two members for the end
                    raise tarfile.ReadError('its end is missing')

    def _next(self, archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        with explained(self.path):
            return archive.next()


def open_source(path: str | Path) -> Source:
    """The files of an archive, of a folder, or a single file.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: an archive that is not complete, or is none.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _Tree(path)
    if not path.is_file():
        raise FileNotFoundError(f'--from {path}: there is no such file or folder')
    if path.name.endswith(DOWNLOADING):
        raise ValueError(f'{path} is not complete: its download goes on, or was stopped')
    if not is_archive(path):
        return _File(path)
    with path.open('rb') as file:
        head = file.read(512).lstrip().lower()
    if not head:
        raise ValueError(f'{path} is empty: download it again')
    if head.startswith((b'<!doctype', b'<html', b'<?xml')):
        raise ValueError(
            f'{path} is a web page, not an archive: its address asks for a login or a confirmation. Open it in a browser'
        )
    return _Zip(path) if path.suffix.lower() == '.zip' else _Tar(path)


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVES)


def _opener(file: Path) -> Callable[[], BinaryIO]:
    return lambda: file.open('rb')


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged archive into a ValueError that names it."""
    try:
        yield
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the content
            raise
        raise ValueError(f'{path} is damaged ({error}): download it again') from error
