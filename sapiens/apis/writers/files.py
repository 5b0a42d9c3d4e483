"""Writing of one file: the suffix decides the format."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sapiens.utils.files import atomic_path

__all__ = ['is_complete', 'write_file']


def write_file(path: Path, content) -> None:
    """Write a file atomically, and without ``sync``: an image has several, and a run thousands.

    Args:
        path: its suffix is one of '.npy' (an array), '.png' or '.jpg' (uint8 (H, W), RGB or RGBA), '.json' (plain values),
            '.ply' (points (M, 3) and colors (M, 3) uint8 RGB), '.safetensors' (tensors by name).
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
    """Write binary PLY with a color for each point."""
    points, colors = cloud
    rows = np.empty(len(points), np.dtype([('position', '<f4', 3), ('color', 'u1', 3)]))
    rows['position'], rows['color'] = points, colors
    properties = [f'property float {axis}' for axis in 'xyz']
    properties += [f'property uchar {color}' for color in ('red', 'green', 'blue')]
    header = ['ply', 'format binary_little_endian 1.0', f'element vertex {len(points)}', *properties, 'end_header', '']
    file.write('\n'.join(header).encode())
    file.write(rows.tobytes())


def is_complete(path: Path, since: int = 0) -> bool:
    """Return whether a result is there as a whole. Only its ends are read.

    A power cut can leave an empty or a shortened file under the final name.

    Args:
        path: of a file that :func:`write_file` has written, or of another format, which must not be empty.
        since: time in nanoseconds; an older file does not count.
    """
    try:
        with open(path, 'rb') as file:
            if os.fstat(file.fileno()).st_mtime_ns < since:
                return False
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 12))
            end = file.read()
            file.seek(0)
            return size > 0 and ENDS.get(path.suffix, lambda *_: True)(file, end, size)
    except (OSError, ValueError, SafetensorError):
        return False


def _has_values(file, end: bytes, size: int) -> bool:
    np.load(file.name, mmap_mode='r')  # refuses a file that is shorter than its shape
    return True


def _has_points(file, end: bytes, size: int) -> bool:
    head = file.read(400)
    count = re.search(rb'element vertex (\d+)\n', head)
    return count is not None and size == head.index(b'end_header\n') + 11 + 15 * int(count[1])


def _has_tensors(file, end: bytes, size: int) -> bool:
    with safe_open(file.name, 'np'):  # compares the header with the size
        return True


# Suffix -> whether a file is complete, from the open file, its last bytes and its size.
ENDS = {
    '.npy': _has_values,
    '.png': lambda file, end, size: end[4:8] == b'IEND',
    '.jpg': lambda file, end, size: end.endswith(b'\xff\xd9'),
    '.json': lambda file, end, size: end.endswith((b'}', b']', b'}\n', b']\n')),
    '.ply': _has_points,
    '.safetensors': _has_tensors,
}


WRITERS = {
    '.npy': lambda file, array: np.save(file, np.ascontiguousarray(array)),
    '.png': _write_picture('.png', [cv2.IMWRITE_PNG_COMPRESSION, 3]),
    '.jpg': _write_picture('.jpg', [cv2.IMWRITE_JPEG_QUALITY, 92]),
    '.json': lambda file, content: file.write(json.dumps(content, allow_nan=False, separators=(',', ':')).encode()),
    '.ply': _write_ply,
    '.safetensors': lambda file, tensors: file.write(save(tensors)),
}
