"""Human-centric vision transformers: pretraining, finetuning, evaluation, inference, export."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _installed_version

from .version import __version__

__all__ = ['__version__']

# The import checks only what breaks in confusing ways when it is absent or of another generation.
# distribution -> (smallest version that works, first version that does not)
_REQUIRED = {
    'torch': ('2.6', None),
    'numpy': ('1.26', None),
    'onedl-mmengine': ('0.10.12', '0.11'),
    'onedl-mmcv': ('2.3.6', '2.4'),
}


def _check_requirements(required=None) -> None:
    """Raise ImportError that names the command to run, where a requirement is absent or of a wrong version."""
    problems = []
    for name, (lower, upper) in (required or _REQUIRED).items():
        try:
            found = _installed_version(name)
        except PackageNotFoundError:
            problems.append(f'{name} is not installed (needs >={lower}{f",<{upper}" if upper else ""})')
            continue
        if _key(found) < _key(lower) or (upper and _key(found) >= _key(upper)):
            problems.append(f'{name} {found} is installed, needs >={lower}{f",<{upper}" if upper else ""}')
    if problems:
        raise ImportError(
            'sapiens cannot run here: '
            + '; '.join(problems)
            + '. To mend it, run `make install` in the repository, or: pip install -r requirements/runtime.txt '
            '-c requirements/constraints.txt && pip install --no-deps -r requirements/mminstall.txt'
        )


def _key(version: str) -> tuple:
    numbers = []
    for part in version.split('+')[0].split('.'):
        digits = ''.join(ch for ch in part if ch.isdigit())
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


_check_requirements()


from . import compat  # noqa: E402, F401  (adapters come before anything else)
