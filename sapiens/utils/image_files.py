"""Image files of folders: which files are images, and which are left out.

HEIC is read where pillow-heif is installed (``pip install pillow-heif``), AVIF where Pillow was built with it.
"""

import importlib.util
import os
import stat
from collections import Counter
from collections.abc import Iterator

from PIL import Image, features

__all__ = ['FORMATS', 'HEIC_HINT', 'IMAGE_NAMES', 'SUFFIXES', 'LeftOut', 'is_image', 'walk_images']

HAS_AVIF = features.check('avif')
HAS_HEIC = importlib.util.find_spec('pillow_heif') is not None
if HAS_HEIC:
    importlib.import_module('pillow_heif').register_heif_opener()

# Pillow supports more formats, some of which start other programs.
FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'GIF', *['AVIF'] * HAS_AVIF, *['HEIF'] * HAS_HEIC)
_HEIC, _AVIF = ('.heic', '.heif', '.hif'), ('.avif',)
SUFFIXES = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.bmp', '.tif', '.tiff', '.gif'),
    *_AVIF * HAS_AVIF,
    *_HEIC * HAS_HEIC,
)
# All names of images, whether they can be read or not.
IMAGE_NAMES = tuple(dict.fromkeys((*SUFFIXES, *_AVIF, *_HEIC)))
# Files that are images if their content is: phones and converters leave JPEGs under these names.
_BY_CONTENT = ('', *_AVIF, *_HEIC)
HEIC_HINT = 'HEIC needs pillow-heif: python -m pip install pillow-heif'


class LeftOut(Counter):
    """Number of files that are left out, by suffix."""

    def __str__(self) -> str:
        """Return '3 files left out: 2 .heic, 1 without suffix', or '' if there are none."""
        if not self:
            return ''
        listing = ', '.join(f'{count} {suffix or "without suffix"}' for suffix, count in self.most_common(8))
        more = ', ...' if len(self) > 8 else ''
        hint = f' ({HEIC_HINT})' if self.keys() & set(_HEIC) and not HAS_HEIC else ''
        count = sum(self.values())
        return f'{count} file{"s" * (count != 1)} left out: {listing}{more}{hint}'


def is_image(path: str, left_out: LeftOut | None = None) -> bool:
    """Return whether a file is an image by its suffix, or if that does not tell, by its content.

    Args:
        path: of the file, which is opened only if its suffix does not tell.
        left_out: counts the file if it is not an image.
    """
    suffix = os.path.splitext(path)[1].lower()
    found = suffix in SUFFIXES or (suffix in _BY_CONTENT and _has_image(path))
    if not found and left_out is not None:
        left_out[suffix] += 1
    return found


def _has_image(path: str) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for its writer
            return False
        with Image.open(path, formats=FORMATS):
            return True
    except Exception:  # a broken header raises any error of the format's reader
        return False


def walk_images(root: str, left_out: LeftOut | None = None) -> Iterator[str]:
    """Yield the paths, relative to ``root``, of its images at any depth, depth first, sorted within each folder.

    Links are followed. Names that begin with a dot are skipped.

    Args:
        left_out: counts the other files.

    Raises:
        OSError: a folder cannot be read.
    """
    return _walk(root, '', frozenset(), left_out)


def _walk(root: str, folder: str, above: frozenset, left_out: LeftOut | None) -> Iterator[str]:
    """``above``: inode and device of the folders that lead here."""
    here = os.path.join(root, folder)
    identity = os.stat(here)[1:3]
    if identity in above:  # a link to a parent folder
        return
    with os.scandir(here) as entries:
        names = sorted((entry.name, _is_folder(entry)) for entry in entries if not entry.name.startswith('.'))
    for name, is_folder in names:
        path = os.path.join(folder, name)
        if is_folder:
            yield from _walk(root, path, above | {identity}, left_out)
        elif is_image(os.path.join(root, path), left_out):
            yield path


def _is_folder(entry: os.DirEntry) -> bool:
    # The method raises an error for a link to itself, which is a file that cannot be read.
    return os.path.isdir(entry) if entry.is_symlink() else entry.is_dir()
