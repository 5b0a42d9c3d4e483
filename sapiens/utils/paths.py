"""Paths of data that must exist."""

import os

__all__ = ['describe_path', 'require_file', 'require_folder']


def require_file(path: str, what: str = 'file') -> str:
    """Return ``path`` with ``~`` expanded. Raises FileNotFoundError where there is no such file."""
    return _require(os.path.isfile, path, what)


def require_folder(path: str, what: str = 'folder') -> str:
    """Return ``path`` with ``~`` expanded. Raises FileNotFoundError where there is no such folder."""
    return _require(os.path.isdir, path, what)


def describe_path(path: str) -> str:
    """A path for an error message, with the DATA_ROOT that configs resolve it against."""
    return f'{path!r} (DATA_ROOT is {os.environ.get("DATA_ROOT", "not set; configs then use data/")})'


def _require(exists, path: str, what: str) -> str:
    path = os.path.expanduser(path)
    if not exists(path):
        raise FileNotFoundError(f'no {what} {describe_path(path)}. What is expected there: data/README.md')
    return path
