"""Names of tar shards, and of the samples in them."""

import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from os import PathLike

import fsspec
from braceexpand import UnbalancedBracesError, braceexpand

from sapiens.utils.image_files import IMAGE_NAMES

__all__ = ['expand_shards', 'sample_of', 'split_name']

# WebDataset's own entries, such as ``__meta__/...``, are not samples.
_NO_SAMPLE = re.compile(r'(\./)?__[^/]*__($|/)')


def expand_shards(shards: str | PathLike | Iterable[str | PathLike]) -> list[str]:
    """Expand paths or URLs to shards, as WebDataset does: ``$VARIABLE``, braces, and lists with ``::``.

    ``{00..02}``, ``{x,y}`` and nested braces expand as in bash. ``~`` is the home folder. A protocol without path before ``::``
    is a chained URL of fsspec (``simplecache::s3://bucket/a.tar``), not a list.

    Raises:
        ValueError: not a path, an empty one, unbalanced braces, or braces around a single name.
    """
    listed = [shards] if isinstance(shards, str | PathLike) else shards
    is_list = isinstance(listed, Iterable) and not isinstance(listed, Mapping)
    if not is_list or not all(isinstance(given, str | PathLike) and os.fspath(given) for given in listed):
        raise ValueError(f'shards={shards!r}: expected a path or URL, or a list of them')
    names = []
    for given in listed:
        chained = ''
        for part in os.path.expandvars(os.fspath(given)).split('::'):
            if part in fsspec.available_protocols():
                chained += f'{part}::'
                continue
            try:
                # Backslashes are separators on Windows.
                names += braceexpand(chained + os.path.expanduser(part), escape=False)
            except UnbalancedBracesError as error:
                raise ValueError(
                    f'the shard {part!r} has unbalanced braces: expected {{000..999}} or {{a,b,c}}'
                ) from error
            chained = ''
    for name in names:
        if '{' in name or '}' in name:
            raise ValueError(f'braces remain in the shard {name!r}: expected {{000..999}} or {{a,b,c}}')
    return names


def sample_of(name: str) -> tuple[str, bool] | None:
    """Return the sample that an image in a shard belongs to, and whether the member is the sample's image.

    ``a/0001.jpg`` is the image of ``a/0001``, and ``a/0001.seg.png`` another part of it. The names of parts are words: in
    ``clip_0.1s.jpg`` the dot belongs to the name. None for other files.
    """
    found = split_name(name)
    if found is None or found[2].lower() not in IMAGE_NAMES:
        return None
    sample, part, _ = found
    return sample, not part


def split_name(name: str) -> tuple[str, str, str] | None:
    """Return the sample that a member of a shard belongs to, the name of the part ('' for none), and the suffix.

    ``a/0001.jpg`` is ``('a/0001', '', '.jpg')``, and ``a/0001.depth.npy`` is ``('a/0001', 'depth', '.npy')``. None for hidden
    names and WebDataset's own entries.
    """
    folder, base = posixpath.split(name)
    stem, suffix = posixpath.splitext(base)
    if base.startswith('.') or _NO_SAMPLE.match(name):
        return None
    parts = stem.split('.')
    count = len(parts)
    while count > 1 and parts[count - 1].isidentifier():
        count -= 1
    return posixpath.join(folder, '.'.join(parts[:count])), '.'.join(parts[count:]), suffix
