"""Config files that are read once, although several others inherit from them."""

import contextlib
import copy
import os
from collections.abc import Iterator
from contextvars import ContextVar

from mmengine.config import Config

from . import environment  # noqa: F401  (replaces MMEngine's way of reading environment variables)

__all__ = ['read_files_once']

_MMENGINE = Config._file2dict
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
    content = _MMENGINE(filename, use_predefined_variables, use_environment_variables, lazy_import)
    if contents is not None:
        contents[key] = copy.deepcopy(content)  # the caller merges into what it gets
    return content


Config._file2dict = staticmethod(_read_file)
