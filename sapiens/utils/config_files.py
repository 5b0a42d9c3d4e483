"""Config files that are read once, although several others inherit from them, and whose syntax errors have their places."""

import contextlib
import copy
import os
from collections.abc import Iterator
from contextvars import ContextVar

from mmengine.config import Config

from . import environment  # noqa: F401  (replaces MMEngine's way of reading environment variables)

__all__ = ['read_files_once']

_MMENGINE, _IS_LAZY = Config._file2dict, Config._is_lazy_import
_LONGEST_LINE = 80
_CONTENTS: ContextVar[dict | None] = ContextVar('contents of config files', default=None)


@contextlib.contextmanager
def read_files_once() -> Iterator[None]:
    """Within it MMEngine reads each config file once.

    To compare a config with its bases is to read every file as often as it is inherited. The contents are forgotten at the end
    of the outermost block, so that a file that changes is read again.
    """
    if _CONTENTS.get() is not None:
        yield
        return
    token = _CONTENTS.set({})
    try:
        yield
    finally:
        _CONTENTS.reset(token)


def _read_file(filename, use_predefined_variables=True, use_environment_variables=True, lazy_import=None):
    contents = _CONTENTS.get()
    key = (os.path.abspath(filename), use_predefined_variables, use_environment_variables, lazy_import)
    if contents is not None and key in contents:
        return copy.deepcopy(contents[key])
    with _placed_syntax_errors(filename):
        content = _MMENGINE(filename, use_predefined_variables, use_environment_variables, lazy_import)
    if contents is not None:
        contents[key] = copy.deepcopy(content)  # the caller merges into what it gets
    return content


def _is_lazy_import(filename: str) -> bool:
    with _placed_syntax_errors(filename):
        return _IS_LAZY(filename)


class _PlacedSyntaxError(SyntaxError):
    """Its text has the file, the line and what stands there."""


@contextlib.contextmanager
def _placed_syntax_errors(filename: str) -> Iterator[None]:
    """MMEngine parses texts and temporary copies, so that its errors have no name of a file, or not that of the user's."""
    try:
        yield
    except _PlacedSyntaxError:  # of a base
        raise
    except SyntaxError as error:
        # A module that the config imports has its own file.
        file = error.filename if os.path.isfile(error.filename or '') else os.path.normpath(filename)
        text = (error.text or '').strip()
        text = f'{text[:_LONGEST_LINE]}...' if len(text) > _LONGEST_LINE else text
        place = f'line {error.lineno}, {text!r}: ' if error.lineno else ''
        raise _PlacedSyntaxError(f'{file} is not valid Python: {place}{error.msg}') from error


Config._file2dict, Config._is_lazy_import = staticmethod(_read_file), staticmethod(_is_lazy_import)
