"""The scale of THuman2's scans, whose authors normalized their size: that of the body models that were fitted to them.

A scan is ``scale`` times the body in meters, plus a shift, by what the authors say (THuman2.0-Dataset, issue 8).
"""

import io
import pickle
from pathlib import Path

import numpy as np

__all__ = ['FIT', 'find_fits', 'read_scale']

FIT = 'smplx_param.pkl'
# What a pickle of arrays and numbers needs. Other pickles run code of their authors.
_ALLOWED = {
    *((f'numpy.{core}.multiarray', name) for core in ('core', '_core') for name in ('_reconstruct', 'scalar')),
    ('numpy', 'ndarray'), ('numpy', 'dtype'), ('_codecs', 'encode'),
}  # fmt: skip


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f'it holds {module}.{name}')
        return super().find_class(module, name)


def find_fits(root: Path, scans: list[Path]) -> list[Path | None]:
    """The fit of each scan: ``<name of the scan>/smplx_param.pkl`` below the folder of the scans or beside it; None
    without one."""
    found: dict[str, Path] = {}
    for folder in (root, root.parent):
        for path in sorted(folder.glob(f'**/{FIT}') if folder == root else folder.glob(f'*/*/{FIT}')):
            found.setdefault(path.parent.name, path)
    return [found.get(path.stem, found.get(path.parent.name)) for path in scans]


def read_scale(path: Path) -> float:
    """The number ``scale`` of a fit.

    Raises:
        ValueError: no pickle of arrays, or no scale above 0. The message names the file.
    """
    try:
        content = _Arrays(io.BytesIO(path.read_bytes())).load()
        scale = float(np.asarray(content['scale']).reshape(-1)[0])
    except Exception as error:  # any error of an unpickler
        text = ' '.join(str(error).split())
        raise ValueError(
            f'the fit {str(path)!r} has no readable scale ({text}): give --unit METERS instead'
        ) from error
    if not 0 < scale < 1e6:
        raise ValueError(f'the fit {str(path)!r} has the scale {scale:g}: expected a number above 0')
    return scale
