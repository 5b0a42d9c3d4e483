"""Camera files, and the points in the camera frame that depth and a camera give.

Legend: intrinsics K (3, 3) in pixels, the center of the top-left pixel is (0, 0): K @ P / Z is the pixel of a point P = (X, Y, Z)
in meters, x right, y down, z forward. Sizes are (w, h).
"""

import io
import json

import numpy as np

from .decoding import BadImage
from .label_files import known_depth, read_depth
from .loading import read_file

__all__ = [
    'CAMERA_SUFFIXES', 'check_camera', 'check_intrinsics', 'known_points', 'load_pointmap', 'read_camera', 'unproject',
]  # fmt: skip

CAMERA_SUFFIXES = ('.json', '.txt')

_MAX_BYTES = 1 << 20
# Principal points nearer to two borders of the image than this fraction of its sides are those of another image size: intrinsics
# of an image twice as large point at the bottom right corner.
_BORDER = 0.05


def read_camera(path: str) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Intrinsics (3, 3) float64, and the size (w, h) of their image where the file states it.

    Args:
        path: .txt, three rows of three numbers, the published form; or .json with ``intrinsics``, and where known ``width`` and
            ``height``, as ``sapiens render`` writes, or ``image_size`` [w, h], as ``sapiens infer`` does.

    Raises:
        BadImage: not such a file, or impossible intrinsics.
    """
    data = read_file(path)
    if len(data) > _MAX_BYTES:
        raise BadImage(f'{len(data)} bytes: expected a camera file of three rows of three numbers')
    if not data.strip():
        raise BadImage('empty file: expected three rows of three numbers')
    size = None
    try:
        if path.lower().endswith('.json'):
            content = json.loads(data)
            if not isinstance(content, dict) or 'intrinsics' not in content:
                raise BadImage(
                    "no 'intrinsics' in the camera file: expected three rows of three numbers under this key"
                )
            values = np.array(content['intrinsics'], np.float64)
            if 'width' in content and 'height' in content:
                size = int(content['width']), int(content['height'])
            elif 'image_size' in content:
                width, height = content['image_size']
                size = int(width), int(height)
        else:
            values = np.loadtxt(io.BytesIO(data.replace(b',', b' ')), dtype=np.float64, ndmin=2)
    except BadImage:
        raise
    except Exception as error:  # of a broken file: any error of the parsers
        text = ' '.join(str(error).split())
        raise BadImage(f'not a camera file ({text}): expected three rows of three numbers') from error
    return check_intrinsics(values), size


def check_intrinsics(values: np.ndarray) -> np.ndarray:
    """Return intrinsics as they are.

    Raises:
        BadImage: not a (3, 3) matrix of finite numbers with the last row 0 0 1 and focal lengths above 0.
    """
    if values.shape != (3, 3):
        raise BadImage(f'intrinsics of shape {values.shape}: expected (3, 3)')
    if not np.isfinite(values).all():
        raise BadImage(f'intrinsics {values.tolist()}: expected finite numbers')
    if not np.array_equal(values[2], [0, 0, 1]):
        raise BadImage(f'intrinsics with the last row {values[2].tolist()}: expected 0 0 1')
    focal = values[0, 0], values[1, 1]
    if not min(focal) > 0:
        raise BadImage(f'focal length {focal[0]:g}, {focal[1]:g}: expected pixels above 0 (x, y)')
    return values


def check_camera(intrinsics: np.ndarray, size: tuple[int, int], stated: tuple[int, int] | None = None) -> None:
    """Check that intrinsics are those of an image of a size.

    Args:
        intrinsics: (3, 3).
        size: of the image.
        stated: of the image according to the camera file; None where it tells none.

    Raises:
        BadImage: another stated size, or a principal point at a corner of the image or beyond.
    """
    fix = 'scale the intrinsics with the images: multiply both rows by new / old size'
    if stated is not None and tuple(stated) != tuple(size):
        raise BadImage(
            f'intrinsics of an image of {stated[0]} x {stated[1]}, this image is {size[0]} x {size[1]} (w x h): {fix}'
        )
    place = (intrinsics[:2, 2] + 0.5) / size
    if (np.minimum(place, 1 - place) < _BORDER).all():
        raise BadImage(
            f'intrinsics of another image size: the principal point ({intrinsics[0, 2]:.4g}, {intrinsics[1, 2]:.4g}) is at a '
            f'corner of this image of {size[0]} x {size[1]} (w x h) or beyond; {fix}'
        )


def unproject(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 points of a map of depth (H, W) along z: on the ray of each pixel. Zeros where the depth is 0."""
    height, width = depth.shape
    inverse = np.linalg.inv(np.asarray(intrinsics, np.float64))
    points = np.empty((height, width, 3), np.float32)
    columns, rows = np.arange(width), np.arange(height)[:, None]
    for axis in (0, 1):
        a, b, c = inverse[axis]
        np.multiply(np.float32(a * columns + c) + np.float32(b * rows), depth, out=points[..., axis])
    points[..., 2] = depth
    return points


def load_pointmap(path: str, info: dict) -> np.ndarray:
    """Points (H, W, 3) float32 in meters from a depth file (:func:`.label_files.read_depth`) and the camera; zeros where the
    file has no depth.

    Of a file of points (H, W, 3), as ``sapiens infer pointmap`` writes it, z is taken: the points of a network are not exactly on
    the rays of their pixels, and those of labels are.

    Args:
        info: has ``intrinsics`` (3, 3) or ``camera_file``; may have ``depth_scale``, and ``gt_depth``, the content of the file.

    Raises:
        BadImage: not such files, or no camera.
    """
    intrinsics = info.get('intrinsics')
    if intrinsics is None:
        if 'camera_file' not in info:
            raise BadImage('depth without a camera: a pointmap needs intrinsics')
        intrinsics, _ = read_camera(info['camera_file'])
    depth = info['gt_depth'] if 'gt_depth' in info else read_depth(path, info.get('depth_scale'), points=True)
    return unproject(np.where(known_depth(depth), depth, np.float32(0)), intrinsics)


def known_points(points: np.ndarray) -> np.ndarray:
    """Where points (H, W, 3) are in front of the camera."""
    return known_depth(points[..., 2])
