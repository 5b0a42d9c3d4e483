"""Human-centric vision transformers: pretraining, finetuning, evaluation, inference, export."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _installed_version
from importlib.util import find_spec as _find_spec

from .version import __version__

__all__ = ['__version__']

# distribution -> smallest version. These are dependencies of the wheel.
_REQUIRED = {'torch': '2.6', 'numpy': '1.26'}
# Tested versions of what is installed with --no-deps (requirements/mminstall.txt). Later patches work, other minors do not.
_PINNED = {
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmpretrain': '1.3.6',
    'onedl-mmsegmentation': '1.4.2',
    'mmpose': '1.3.2',
}
_OPENCV = 'opencv-python-headless==5.0.0.93'


def _check_requirements(required=None, pinned=None, opencv: str = 'cv2') -> None:
    """Raise ImportError with one command that installs what is missing or has a wrong version."""
    required, pinned = required or _REQUIRED, pinned or _PINNED
    problems = [_problem(name, lower) for name, lower in required.items()]
    problems += [_problem(name, lower, _next_minor(lower)) for name, lower in pinned.items()]
    wanted = [f'{name}=={version}' for name, version in pinned.items()]
    if _find_spec(opencv) is None:  # any build of OpenCV will do, and two would overwrite each other
        problems.append('no OpenCV (cv2) is installed')
        wanted.append(_OPENCV)
    if any(problems[: len(required)]):
        command = 'pip install ' + ' '.join(f"'{name}>={lower}'" for name, lower in required.items())
    else:
        command = f'pip install --no-deps {" ".join(wanted)}'
    if problems := list(filter(None, problems)):
        raise ImportError(f'sapiens cannot run here: {"; ".join(problems)}. Fix: {command}')


def _problem(name: str, lower: str, upper: str | None = None) -> str | None:
    needed = f'needs >={lower}{f",<{upper}" if upper else ""}'
    try:
        found = _installed_version(name)
    except PackageNotFoundError:
        return f'{name} is not installed ({needed})'
    if _key(found) < _key(lower) or (upper and _key(found) >= _key(upper)):
        return f'{name} {found} is installed, {needed}'
    return None


def _next_minor(version: str) -> str:
    major, minor = version.split('.')[:2]
    return f'{major}.{int(minor) + 1}'


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
