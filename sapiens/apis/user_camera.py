"""The camera of an image, as a user knows it: a focal length, intrinsics, or what the camera wrote into the file (EXIF).

Legend: intrinsics (3, 3) and focal lengths in pixels of the upright image, whose top-left pixel has its center at (0, 0).
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD, Base

from sapiens.datasets.transforms.decoding import BadImage

__all__ = ['EXIF', 'UserCamera', 'centered_intrinsics', 'focal_of_exif', 'read_intrinsics']

EXIF = 'exif'
# Principal points farther from the center, as a fraction of the side of the image, belong to an image of another size, or to the
# one that was not turned upright: of 4:3 these are 0.17 away.
OFF_CENTER = 0.15
MAX_ASPECT, MAX_SKEW = 2.0, 0.01  # of fx to fy or the reverse; of skew to fx
DIAGONAL = math.hypot(36, 24)  # mm, of the film that 35 mm equivalents refer to
# Millimeters of the unit of FocalPlaneXResolution: inch, cm, mm, um.
UNITS = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}


@dataclass(frozen=True)
class UserCamera:
    """What a user says about the camera of images; nothing by default.

    Args:
        focal: in pixels of the image, or ``'exif'``: of the file, where it tells one.
        intrinsics: (3, 3) in pixels of the image, the path of a file with them (:func:`read_intrinsics`), or a folder of such
            files with the names of the images (``<name>.txt``).

    Raises:
        FileNotFoundError: no such file.
        ValueError: a focal length that is not above 0, intrinsics of no camera, or both options.
    """

    focal: float | str | None = None
    intrinsics: Any = None

    def __post_init__(self) -> None:
        if self.focal is not None and self.intrinsics is not None:
            raise ValueError(
                f'focal={self.focal!r} and intrinsics: give one of them, intrinsics hold the focal length'
            )
        if self.focal is not None and self.focal != EXIF:
            check_focal(self.focal, f'focal={self.focal!r}')
        if self.intrinsics is not None and not self._is_folder():
            object.__setattr__(self, 'intrinsics', read_intrinsics(self.intrinsics))

    def _is_folder(self) -> bool:
        return isinstance(self.intrinsics, str | Path) and Path(self.intrinsics).expanduser().is_dir()

    def of_image(self, path: str, size: tuple[int, int]) -> tuple[np.ndarray, str] | None:
        """The intrinsics (3, 3) of an image and where they come from, 'given' or 'exif'; None if nothing is known.

        Args:
            path: of the image; '' for an array.
            size: (H, W).

        Raises:
            BadImage: intrinsics that do not fit the image, or are missing in the folder.
        """
        if self.intrinsics is not None:
            matrix, source = self.intrinsics, 'intrinsics'
            if self._is_folder():
                source = str(Path(self.intrinsics).expanduser() / f'{Path(path).stem}.txt')
                try:
                    matrix = read_intrinsics(source)
                except (OSError, ValueError) as error:
                    raise BadImage(f'{error}') from error
            check_center(matrix, size, source)
            return matrix, 'given'
        if self.focal == EXIF:
            focal = focal_of_exif(path, size) if path else None
            return None if focal is None else (centered_intrinsics(focal, size), EXIF)
        return None if self.focal is None else (centered_intrinsics(float(self.focal), size), 'given')


def centered_intrinsics(focal: float, size: tuple[int, int]) -> np.ndarray:
    """(3, 3) float64 of a camera with square pixels that looks at the center of an image of ``size`` (H, W)."""
    return np.array([[focal, 0, (size[1] - 1) / 2], [0, focal, (size[0] - 1) / 2], [0, 0, 1]], np.float64)


def read_intrinsics(source: str | Path | Sequence | np.ndarray) -> np.ndarray:
    """Intrinsics (3, 3) float64, from an array or a file.

    Args:
        source: (3, 3) numbers, or the path of a file: text as ``numpy.loadtxt`` reads (the published
            ``camera_intrinsics/*.txt``), .npy, or .json with the matrix or an entry ``intrinsics``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that cannot be read, or numbers that are not the intrinsics of a camera.
    """
    name = f'intrinsics {source}' if isinstance(source, str | Path) else 'intrinsics'
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f'{name}: no such file')
        try:
            if not path.stat().st_size:
                raise ValueError('empty file')
            if path.suffix == '.npy':
                source = np.load(path, allow_pickle=False)
            elif path.suffix == '.json':
                content = json.loads(path.read_text())
                if isinstance(content, dict) and 'intrinsics' not in content:
                    raise ValueError("no 'intrinsics' in the file")
                source = content['intrinsics'] if isinstance(content, dict) else content
            else:
                source = np.loadtxt(path)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f'{name} cannot be read: {error}') from error
    try:
        if np.iscomplexobj(source):
            raise TypeError('complex')
        matrix = np.array(source, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name}: expected (3, 3) numbers ({error})') from error
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or not np.allclose(matrix[2], [0, 0, 1]):
        raise ValueError(f'{name}={matrix.tolist()}: expected (3, 3) finite numbers with the last row 0, 0, 1')
    for axis in (0, 1):
        check_focal(matrix[axis, axis], f'{name}: f{"xy"[axis]}={matrix[axis, axis]:g}')
    (fx, skew, _), (other, fy, _), _ = matrix
    if max(fx, fy) > MAX_ASPECT * min(fx, fy):
        raise ValueError(f'{name}: fx={fx:g} and fy={fy:g} differ by more than {MAX_ASPECT} times: not of one camera')
    if max(abs(skew), abs(other)) > MAX_SKEW * fx:
        raise ValueError(f'{name}: skew {skew:g}, {other:g}: expected the intrinsics of a camera without skew')
    return matrix


def check_focal(focal: Any, source: str) -> None:
    """Raise ValueError for a focal length that is not a number above 0."""
    try:
        known = not isinstance(focal, bool) and math.isfinite(float(focal)) and float(focal) > 0
    except (TypeError, ValueError):
        known = False
    if not known:
        raise ValueError(f'{source}: expected a focal length above 0, in pixels of the image')


def check_center(matrix: np.ndarray, size: tuple[int, int], source: str) -> None:
    """Raise BadImage for intrinsics whose principal point is far from the center of an image of ``size`` (H, W)."""
    x, y = matrix[:2, 2]
    off = abs(x - (size[1] - 1) / 2) / size[1], abs(y - (size[0] - 1) / 2) / size[0]
    if max(off) > OFF_CENTER:
        raise BadImage(
            f'{source}: the principal point ({x:.1f}, {y:.1f}) is far from the center of the image of {size[1]} x {size[0]} '
            'pixels: these are intrinsics of an image of another size. Scale them to this one; for a crop give the focal length '
            'alone'
        )


def focal_of_exif(path: str | Path, size: tuple[int, int]) -> float | None:
    """The focal length that the camera wrote into a file, in pixels; None where there is none.

    From the 35 mm equivalent, which compares diagonals, else from the focal length in millimeters and the resolution of the
    sensor. Cameras round the equivalent to whole millimeters. A crop of the photograph changes the true value, and not the
    file's.

    Args:
        path: of a local file.
        size: (H, W) of the image.
    """
    try:
        with Image.open(path) as image:
            tags = image.getexif().get_ifd(IFD.Exif)
    except (OSError, ValueError, SyntaxError):  # URLs, and files that only other decoders read
        return None
    diagonal = math.hypot(*size)
    equivalent = _number(tags.get(Base.FocalLengthIn35mmFilm))
    if equivalent:
        return equivalent / DIAGONAL * diagonal
    length, resolution = _number(tags.get(Base.FocalLength)), _number(tags.get(Base.FocalPlaneXResolution))
    unit = UNITS.get(tags.get(Base.FocalPlaneResolutionUnit, 2))
    if not (length and resolution and unit):
        return None
    # The resolution is that of the photograph as taken. A smaller copy has fewer pixels.
    taken = [_number(tags.get(tag)) for tag in (Base.ExifImageWidth, Base.ExifImageHeight)]
    zoom = diagonal / math.hypot(*taken) if all(taken) else 1.0
    return length * resolution / unit * zoom


def _number(value: Any) -> float | None:
    """A finite number above 0; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None
