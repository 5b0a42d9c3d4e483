"""Files of label maps: ids, depth, normals, masks of people.

The fields of tasks declare readers ``(path, info) -> array``; ``info`` holds the options of the dataset.

Legend: maps are (H, W) or (H, W, C) over the pixels of the upright image.
"""

import io
import math
import os
import struct

import cv2
import numpy as np
from PIL import Image

from sapiens.coco import paint_segments
from sapiens.frames import PUBLISHED
from sapiens.metainfo.classes import IGNORE
from sapiens.utils.image_files import FORMATS

from ..shard_members import MARK
from .decoding import BadImage, reason_of
from .loading import check_file, check_size, read_file

__all__ = [
    'ColoredLabels', 'decode', 'known_depth', 'known_label', 'known_normal', 'load_depth', 'load_instance', 'load_normal',
    'load_sem_seg', 'read_array', 'read_depth', 'read_ids', 'read_mask', 'read_normal',
]  # fmt: skip

_UNIT = 1e-3  # tolerance of squared lengths around 1; half precision is within
_MAX_PIXELS = 150_000_000  # as for images
_PALETTE = 3  # PNG's color type of palettes


class ColoredLabels(BadImage):
    """Labels that are colors instead of ids."""


def known_label(ids: np.ndarray) -> np.ndarray:
    """Where a label map (H, W) is not ignored."""
    return ids != IGNORE


def known_depth(depth: np.ndarray) -> np.ndarray:
    """Where a depth map (H, W) is above 0. Not-a-number and infinity never are."""
    return (depth > 0) & (depth < np.inf)


def known_normal(normal: np.ndarray) -> np.ndarray:
    """Where a map of normals (H, W, 3), unit or zero, is not zero."""
    return squared_length(normal) > 0.25


def squared_length(vectors: np.ndarray) -> np.ndarray:
    """(H, W) of vectors (H, W, 3) float32."""
    return cv2.transform(vectors * vectors, np.ones((1, 3), np.float32))  # a third of the time of numpy's sum


def read_ids(path: str, table: np.ndarray | None = None, count: int | None = None) -> np.ndarray:
    """A label map, (H, W) uint8, from an 8-bit PNG of one channel or of three equal ones.

    Args:
        table: (256,) uint8, what each id becomes.
        count: number of classes; an id from ``count`` to 254 afterwards is an error.

    Raises:
        BadImage: not such a file, or an id out of range; :class:`ColoredLabels` for colors.
    """
    data = read_file(path)
    # Bit depth and color type of a PNG.
    bits, kind = (data[24], data[25]) if data[:4] == b'\x89PNG' and len(data) > 25 else (8, 0)
    ids = _palette_ids(data) if kind == _PALETTE else decode(data)
    if ids.dtype != np.uint8:
        raise BadImage(f'{ids.dtype.itemsize * 8}-bit labels: expected 8 bits')
    if ids.ndim == 3:
        if ids.shape[2] < 3 or (ids[..., :1] != ids[..., 1:3]).any():
            raise ColoredLabels(
                'labels with colors: expected ids in one channel, or a palette whose entries are the ids'
            )
        ids = np.ascontiguousarray(ids[..., 0])
    if bits < 8 and kind != _PALETTE:
        ids //= 255 // (2**bits - 1)  # decoders scale fewer bits to the range of a byte
    values = ids
    if table is not None:
        ids = cv2.LUT(ids, table)
    # 255 + 1 wraps to 0, so the ignored label is never the largest.
    if count is not None and (ids + np.uint8(1)).max() > count:
        wrong = np.unique(values[(ids >= count) & (ids != IGNORE)])
        expected = 'those that have a class'
        if table is None:
            expected = f'0 to {count - 1}, or {IGNORE} for ignored pixels'
            expected += '; ids of other classes are mapped by source_classes= of the dataset'
        raise BadImage(f'labels {wrong[:5].tolist()}: expected {expected}')
    return ids


def read_mask(path: str, info: dict | None = None) -> np.ndarray:
    """(H, W) bool: the first channel is above 0 in a PNG, above half in a JPEG, which blurs edges."""
    mask = decode(read_file(path))
    mask = mask if mask.ndim == 2 else mask[..., 2 if mask.shape[2] > 2 else 0]  # OpenCV has blue first
    return mask > (127 if path.lower().endswith(('.jpg', '.jpeg')) else 0)


@np.errstate(over='ignore', invalid='ignore')  # of values that mean nothing
def read_depth(path: str, scale: float | None = None, points: bool = False) -> np.ndarray:
    """(H, W) float32 depth; 0 where the file has none (not finite).

    Args:
        path: .npy, .npz (its array 'depth', or its only one), .exr, or a 16-bit .png or .tif.
        scale: meters of a unit; needed for integers, 1 otherwise.
        points: whether arrays may be points (H, W, 3), of which z is taken.

    Raises:
        BadImage: not such a file.
    """
    depth = read_array(path, 'depth')
    if depth.ndim == 3:
        is_exr = path.lower().endswith('.exr')
        are_points = points and depth.shape[2] == 3 and not is_exr
        if depth.shape[2] != 1 and not (is_exr or are_points):
            raise BadImage(f'shape {depth.shape}: expected (H, W)' + (' or (H, W, 3)' if points else ''))
        depth = depth[..., 2 if are_points else 0]
    if depth.dtype.kind in 'ui':
        if scale is None:
            raise BadImage(f'{depth.dtype} depth: give the meters of one unit, depth_scale= of the dataset')
        if depth.dtype == np.uint8:
            raise BadImage('8-bit depth has 255 steps, too few for depth: expected 16 bits or floats')
    elif depth.dtype.kind != 'f':
        raise BadImage(f'depth of type {depth.dtype}: expected floats or integers')
    depth = depth.astype(np.float32)
    if scale is not None and scale != 1:
        depth = depth * np.float32(scale)
    return np.nan_to_num(depth, copy=False, nan=0, posinf=0, neginf=0)


@np.errstate(over='ignore', invalid='ignore')  # of values that mean nothing
def read_normal(path: str, frame: str = 'published') -> np.ndarray:
    """(H, W, 3) float32 unit normals in the camera frame (x right, y down, z forward); zeros where the file has none.

    Args:
        path: .npy, .npz (its array 'normal', or its only one), .exr, or a .png or .tif of 8 or 16 bits, where 0 stands for -1
            and the largest value for 1 and black is unknown.
        frame: 'published', in which files have x right, y up, z towards the camera; or 'camera'.

    Raises:
        BadImage: not such a file.
    """
    normal = read_array(path, 'normal')
    if normal.ndim != 3 or normal.shape[2] != 3:
        raise BadImage(f'shape {normal.shape}: expected (H, W, 3)')
    if normal.dtype.kind in 'ui':
        limit = np.iinfo(normal.dtype).max
        unknown = ~normal.any(-1)
        normal = normal.astype(np.float32) * np.float32(2 / limit) - 1
        normal[unknown] = 0
    elif normal.dtype.kind != 'f':
        raise BadImage(f'normals of type {normal.dtype}: expected floats or integers')
    normal = np.ascontiguousarray(normal, np.float32)
    squared = squared_length(normal)
    known = (squared > 1e-6) & (squared < np.inf)  # neither where it is not a number
    if not (known | (squared == 0)).all():
        normal = np.where(known[..., None], normal, np.float32(0))
    if (known & (np.abs(squared - 1) > _UNIT)).any():
        length = np.sqrt(squared, out=np.ones_like(squared), where=known)
        normal = normal / length[..., None]
    if frame == 'published':
        normal = cv2.transform(normal, np.diag(np.float32(PUBLISHED)))
    return normal


def load_sem_seg(path: str, info: dict) -> np.ndarray:
    """See :func:`read_ids`; ``info`` may hold ``label_table`` and ``num_classes``, or the ``segments`` of the image."""
    if 'segments' in info:
        return paint_segments(**info['segments'])
    return read_ids(path, info.get('label_table'), info.get('num_classes'))


def load_depth(path: str, info: dict) -> np.ndarray:
    """See :func:`read_depth`; ``info`` may hold ``depth_scale``."""
    return read_depth(path, info.get('depth_scale'))


def load_normal(path: str, info: dict) -> np.ndarray:
    """See :func:`read_normal`; ``info`` holds ``normal_frame``."""
    return read_normal(path, info['normal_frame'])


def load_instance(path: str, info: dict) -> np.ndarray:
    """See :func:`read_ids`."""
    return read_ids(path)


def decode(data: bytes, flags: int = cv2.IMREAD_UNCHANGED) -> np.ndarray:
    """Decode an image file with OpenCV. Raises BadImage where that is impossible or the image is too large."""
    width, height = _size_in_header(data)
    if width * height > _MAX_PIXELS:
        raise BadImage(f'{width} x {height} pixels are more than the limit of {_MAX_PIXELS / 1e6:g} megapixels')
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise BadImage(f'not a readable image ({" ".join(str(error).split())})') from error
    if image is None:
        raise BadImage(f'not a readable image ({len(data)} bytes)')
    return image


def _size_in_header(data: bytes) -> tuple[int, int]:
    """(w, h) that the header states; zeros for formats that Pillow does not know."""
    if data[:4] == b'\x89PNG' and len(data) > 24:  # the usual format, faster than with Pillow
        return struct.unpack_from('>II', data, 16)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return image.size
    except Exception:  # OpenCV has the last word
        return 0, 0


def read_array(path: str, name: str) -> np.ndarray:
    """Read an array file or an image, (H, W) or (H, W, C); channels in the order red, green, blue.

    Raises:
        BadImage: not such a file, or an array of another number of dimensions, without values, or larger than the file.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix in ('.npy', '.npz'):
        array = _read_numpy(path, name)
    else:
        if suffix == '.exr':
            # OpenCV reads OpenEXR only if this is set before its first one.
            os.environ.setdefault('OPENCV_IO_ENABLE_OPENEXR', '1')
        try:
            array = decode(read_file(path))
        except BadImage as error:
            hint = '; this OpenCV may be built without OpenEXR: convert to .npy' if suffix == '.exr' else ''
            raise BadImage(f'{error}{hint}') from None
        array = array[..., 2::-1] if array.ndim == 3 and array.shape[2] >= 3 else array
    if array.ndim not in (2, 3) or array.size == 0:
        raise BadImage(f'an array of shape {array.shape}: expected (H, W) or (H, W, C)')
    return array


def _read_numpy(path: str, name: str) -> np.ndarray:
    try:
        if '://' in path or MARK in path:
            content = _load_bytes(read_file(path))
        else:
            check_file(path)
            # Mapping compares the shape with the size of the file before memory is reserved. Archives are not mapped.
            content = np.load(path, mmap_mode='r', allow_pickle=False)
        if isinstance(content, np.ndarray):
            return np.array(content)
        with content as arrays:
            if name not in arrays and len(arrays.files) != 1:
                raise BadImage(f'arrays {arrays.files}: expected one called {name!r}, or only one')
            name = name if name in arrays else arrays.files[0]
            check_size(arrays.zip.getinfo(f'{name}.npy').file_size)
            return arrays[name]
    except BadImage:
        raise
    except Exception as error:  # a broken file raises any error of numpy and zipfile
        raise BadImage(reason_of(error)) from error


def _load_bytes(data: bytes):
    """What np.load gives. An array that is shorter than its header says is refused before memory is reserved."""
    if not data.startswith(np.lib.format.MAGIC_PREFIX):
        return np.load(io.BytesIO(data), allow_pickle=False)
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize > len(data) - file.tell():
        raise BadImage(f'an array of shape {shape}, {dtype}, in {len(data)} bytes')
    array = np.frombuffer(data, dtype, math.prod(shape), file.tell())
    return array.reshape(shape, order='F' if is_fortran else 'C')


def _palette_ids(data: bytes) -> np.ndarray:
    # OpenCV replaces ids by their colors.
    try:
        with Image.open(io.BytesIO(data), formats=('PNG',)) as image:
            return np.array(image)
    except Exception as error:  # a broken file raises any error of the reader
        raise BadImage(reason_of(error)) from error
