"""Import of packages that only some features need."""

import importlib
from types import ModuleType

__all__ = ['require']


def require(module: str, what: str, package: str = '') -> ModuleType:
    """Import an optional package.

    Args:
        module: name of the module.
        what: what needs it.
        package: name to install; default: the first part of the module's name.

    Raises:
        ImportError: with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = package or module.partition('.')[0]
        raise ImportError(
            f'{what} needs {module}, which cannot be imported ({error}): python -m pip install {package}'
        ) from error
