"""Packages that gpu_suite.py needs on a machine without a package index, and the commit of this checkout."""

import subprocess
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ['commit', 'wheels']

ROOT = Path(__file__).parents[2]
# They and what they need are on the machine.
GIVEN = ('torch', 'torchvision', 'numpy', 'triton')


def wheels(python: str = '3.12') -> list[str]:
    """``NAME==VERSION`` of each wheel, for Linux and a version of Python: what the package imports, and what that needs.

    Versions are those of the tested set. Needs of packages are those of the packages that are installed here.
    """
    environment = dict(default_environment(), python_version=python, python_full_version=f'{python}.0', extra='')
    pins = {canonicalize_name(one.name): str(one.specifier) for one in _listed('constraints', environment)}
    alone = {canonicalize_name(one.name): str(one.specifier) for one in _listed('mminstall', environment)}
    waiting = [one.name for one in _listed('runtime', environment)]
    given, found = _with_needs(GIVEN, environment, {}), {}
    for name in _with_needs(waiting, environment, given):
        version = pins.get(name)
        if version is None:
            try:
                version = f'=={metadata.version(name)}'
            except metadata.PackageNotFoundError:
                version = ''
        found[name] = version
    return sorted(name + version for name, version in {**found, **alone}.items())


def _listed(name: str, environment: dict) -> list[Requirement]:
    """Requirements of a file that hold in an environment."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    found = [Requirement(line.split('#')[0]) for line in lines if line.split('#')[0].strip()]
    return [one for one in found if one.marker is None or one.marker.evaluate(environment)]


def _with_needs(names, environment: dict, without) -> dict[str, None]:
    """Packages and all that they need, by their normalized names."""
    found, waiting = {}, [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop(0)
        if name in found or name in without:
            continue
        found[name] = None
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for one in map(Requirement, needs):
            if one.marker is None or one.marker.evaluate(environment):
                waiting.append(canonicalize_name(one.name))
    return found


def commit() -> str:
    """Short name of the commit of this checkout, with a + if files differ from it; '' outside of a repository."""
    try:
        name = _git('rev-parse', '--short=10', 'HEAD')
        return name + '+' * bool(_git('status', '--porcelain', '--untracked-files=no'))
    except (OSError, subprocess.CalledProcessError):
        return ''


def _git(*arguments: str) -> str:
    done = subprocess.run(['git', *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
