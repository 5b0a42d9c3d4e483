"""Writing of one file: the suffix decides the format."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from safetensors.torch import save

from sapiens.utils.files import atomic_path

__all__ = ['write_file']


def write_file(path: Path, content) -> None:
    """Write a file atomically, and without ``sync``: an image has several, and a run thousands.

    Args:
        path: its suffix is one of '.npy' (an array), '.png' or '.jpg' (uint8 (H, W), RGB or RGBA), '.json' (plain values),
            '.ply' (points (M, 3) and colours (M, 3) uint8 RGB), '.safetensors' (tensors by name).
        content: what the suffix asks for.

    Raises:
        ValueError: an image that the format cannot hold.
    """
    with atomic_path(path, sync=False) as temporary, open(temporary, 'wb') as file:
        WRITERS[path.suffix](file, content)


def _write_picture(suffix: str, options: list[int]) -> Callable:
    codes = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}

    def write(file, pixels: np.ndarray) -> None:
        pixels = pixels if pixels.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(pixels), codes[pixels.shape[2]])
        good, data = cv2.imencode(suffix, pixels, options)
        if not good:
            raise ValueError(f'an image of {pixels.shape[1]} x {pixels.shape[0]} pixels cannot be a {suffix} file')
        file.write(data)

    return write


def _write_ply(file, cloud: tuple[np.ndarray, np.ndarray]) -> None:
    """Write binary PLY with a colour for each point."""
    points, colors = cloud
    rows = np.empty(len(points), np.dtype([('position', '<f4', 3), ('color', 'u1', 3)]))
    rows['position'], rows['color'] = points, colors
    properties = [f'property float {axis}' for axis in 'xyz']
    properties += [f'property uchar {color}' for color in ('red', 'green', 'blue')]
    header = ['ply', 'format binary_little_endian 1.0', f'element vertex {len(points)}', *properties, 'end_header', '']
    file.write('\n'.join(header).encode())
    file.write(rows.tobytes())


WRITERS = {
    '.npy': lambda file, array: np.save(file, np.ascontiguousarray(array)),
    '.png': _write_picture('.png', [cv2.IMWRITE_PNG_COMPRESSION, 3]),
    '.jpg': _write_picture('.jpg', [cv2.IMWRITE_JPEG_QUALITY, 92]),
    '.json': lambda file, content: file.write(json.dumps(content, allow_nan=False, separators=(',', ':')).encode()),
    '.ply': _write_ply,
    '.safetensors': lambda file, tensors: file.write(save(tensors)),
}
