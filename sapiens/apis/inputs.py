"""Sources of images and videos, and reading of images."""

import glob
import http.client
import os
import string
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from sapiens.datasets.shard_names import expand_shards
from sapiens.datasets.transforms.decoding import BadImage, EncodedImage, upright_pixels
from sapiens.datasets.transforms.loading import MAX_FILE_BYTES, read_file
from sapiens.utils.image_files import SUFFIXES, LeftOut, walk_images

from .path_lists import LIST_SUFFIXES, PATH_COLUMN, list_entries
from .tar_images import SHARD_SUFFIX, open_shard, read_member, shard_members, split_member

__all__ = ['VIDEO_SUFFIXES', 'Item', 'find_images', 'find_inputs', 'is_video', 'read_pixels']

VIDEO_SUFFIXES = (
    *('.mp4', '.mov', '.m4v', '.avi', '.mkv', '.webm', '.mpg', '.mpeg'),
    *('.3gp', '.mts', '.m2ts', '.ts', '.wmv', '.flv', '.ogv'),
)

TIMEOUT = 30  # seconds without a byte from a server


@dataclass(frozen=True)
class Item:
    """One image or video.

    Attributes:
        source: path, URL, or number of a camera.
        name: of the results, relative to the output folder, without suffix.
    """

    source: str
    name: str


def is_video(source: str) -> bool:
    """Return whether a source is a video file or the number of a camera."""
    return _is_camera(str(source)) or str(source).lower().endswith(VIDEO_SUFFIXES)


def _is_camera(source: str) -> bool:
    return source.isascii() and source.isdigit()


def find_inputs(source: str | Path | Sequence[str | Path], column: str = PATH_COLUMN) -> list[Item]:
    """Find images and videos.

    A file or folder that exists wins over the camera of that number. The files of a folder that are not images are counted in
    one line of the log.

    Results are named after the files, relative to the given folder. Names are unique: files whose names differ only in the
    suffix keep it, and further files of one name are numbered.

    Args:
        source: a folder (images at any depth, no videos), a file, a glob pattern, a list (a .txt file with one path per line, or
            a .parquet file), tar shards (also with braces, ``photos-{000..127}.tar``), a URL, the number of a camera, or several
            of these.
        column: of parquet files.

    Raises:
        FileNotFoundError: the source does not exist.
        ValueError: a folder, pattern, list or shard without images.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    pairs = [pair for one in sources for pair in _expand(str(one), column)]
    if not pairs:
        raise ValueError('no images: the list of sources is empty')
    pairs = list(dict.fromkeys(pairs))
    names = [os.path.splitext(name)[0] for _, name in pairs]
    often = Counter(os.path.splitext(given)[0] for given in {given for _, given in pairs})
    names = [given if often[name] > 1 else name for name, (_, given) in zip(names, pairs, strict=True)]
    # Of several files with one name the first keeps it.
    taken, seen, items = set(names), set(), []
    for (path, _), name in zip(pairs, names, strict=True):
        unique, number = name, 1
        while unique in (seen if number == 1 else taken):
            number += 1
            unique = f'{name}_{number}'
        seen.add(unique)
        taken.add(unique)
        items.append(Item(path, unique))
    return items


def find_images(source: str | Path) -> list[Path]:
    """Return the files that :func:`find_inputs` finds.

    Raises:
        FileNotFoundError, ValueError: there is none.
    """
    return [Path(item.source) for item in find_inputs(source)]


def _expand(source: str, column: str) -> list[tuple[str, str]]:
    """Return (path, relative name) of each image of one source."""
    if is_shards(source):
        return [pair for shard in expand_shards(source) for pair in _shard_images(shard)]
    if '://' in source:
        return [(source, _name_of_url(source))]
    path = Path(os.path.expanduser(source))
    if os.path.isdir(path):
        left_out = LeftOut()
        found = list(walk_images(str(path), left_out))
        if not found:
            raise ValueError(
                f'no images in {source}: no file ends in one of {", ".join(SUFFIXES)} (videos by a pattern: '
                f"'{os.path.join(source, '*.mp4')}'). {left_out}".rstrip()
            )
        if left_out:
            print_log(f'{source}: {left_out}', 'current')
        return [(os.path.join(path, name), name) for name in found]
    if os.path.isfile(path) and path.suffix.lower() in LIST_SUFFIXES:
        entries = [entry for entry, _ in list_entries(str(path), column)]
        if not entries:
            raise ValueError(f'the list {source} is empty: expected one path per line')
        return _below_common(entries)
    if os.path.isfile(path):
        return [(_unlike_camera(str(path)), path.name)]
    if _is_camera(source):
        return [(source, f'camera{source}')]
    if glob.has_magic(source):
        found = sorted(file for file in glob.glob(str(path), recursive=True) if not os.path.isdir(file))
        if not found:
            raise ValueError(f'no file matches {source!r}')
        return _below_common(found)
    raise FileNotFoundError(f'{source} is not a file, folder, pattern or URL')


def is_shards(source: str) -> bool:
    """Whether a source names tar shards."""
    return source.lower().endswith(SHARD_SUFFIX) and not glob.has_magic(source) and not os.path.isdir(source)


def _shard_images(shard: str) -> list[tuple[str, str]]:
    try:
        with open_shard(shard) as file:
            names = [member.name for _, member in shard_members(shard, file)]
    except FileNotFoundError:
        raise FileNotFoundError(f'no shard {shard}') from None
    if not names:
        raise ValueError(f'no images in the shard {shard}')
    return [(f'{shard}/{name}', name.removeprefix('./')) for name in names]


def _unlike_camera(path: str) -> str:
    return os.path.join(os.curdir, path) if _is_camera(path) else path


def _name_of_url(url: str) -> str:
    """Return the name of the file that a URL points to, never a path."""
    try:
        path = urllib.parse.urlsplit(url).path
    except ValueError:  # brackets that are not closed
        path = url
    name = urllib.parse.unquote(path).rpartition('/')[2].replace('\0', '')
    return name if name.strip('.') else 'image'


def _below_common(paths: Sequence[str]) -> list[tuple[str, str]]:
    """Return (path, name relative to the common folder) of each path."""
    full = {path: os.path.abspath(path) for path in paths if '://' not in path}
    root = os.path.commonpath([os.path.dirname(path) for path in full.values()]) if full else ''
    names = {path: os.path.relpath(path_, root) for path, path_ in full.items() if path_ != root}
    return [(_unlike_camera(path), names.get(path) or _name_of_url(path)) for path in paths]


def read_pixels(image: str | Path | np.ndarray | Image.Image, max_megapixels: float = 150) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB, upright.

    Args:
        image: a path, a URL (http, https, or any that fsspec opens), a Pillow image, or an array (H, W, 3) uint8 RGB.
        max_megapixels: larger files are refused.

    Raises:
        BadImage: the file cannot be used; the message says why.
        ValueError: an array of another shape or dtype.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f'an image is (H, W, 3) uint8 RGB, found {image.shape} {image.dtype}')
        return image
    if isinstance(image, Image.Image):
        return upright_pixels(image)
    return decode(read_bytes(os.fspath(image)), max_megapixels)


def decode(content: bytes, max_megapixels: float = 150) -> np.ndarray:
    """Decode the content of an image file; see :func:`read_pixels`."""
    encoded = EncodedImage(content, max_megapixels)
    return encoded.crop((0, 0, *encoded.size), encoded.size, exact=True)[0]


def read_bytes(source: str) -> bytes:
    """Read a file, a URL or an image of a tar shard. Raises BadImage if it cannot be read."""
    in_shard = split_member(source)
    if in_shard and not os.path.exists(source):
        return read_member(*in_shard)
    if not source.lower().startswith(('http://', 'https://')):
        return read_file(source)
    try:
        address = urllib.parse.quote(source, safe=string.punctuation)  # spaces and letters outside of ASCII
        request = urllib.request.Request(address, headers={'User-Agent': 'sapiens'})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            data = answer.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise BadImage(f'{type(error).__name__}: {error}') from error
    if len(data) > MAX_FILE_BYTES:
        raise BadImage(f'more than the limit of {MAX_FILE_BYTES >> 20} MiB')
    return data


def is_inside(source: str | Path, folders: Iterable[str | Path]) -> bool:
    """Return whether a local path is one of the folders or inside one. False for a URL."""
    source = str(source).removeprefix('file://')
    return '://' not in source and any(_real(source).is_relative_to(_real(folder)) for folder in folders)


def _real(path: str | Path) -> Path:
    """The path without links. Unlike Path.resolve, this accepts links to themselves and null characters."""
    path = os.path.expanduser(path)
    try:
        return Path(os.path.realpath(path))
    except ValueError:
        return Path(os.path.abspath(path))
