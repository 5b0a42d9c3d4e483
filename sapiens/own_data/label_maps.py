"""Writing label maps (8-bit PNG of ids) from the segments of a COCO file or from masks in colors."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from sapiens.coco import AnnotatedSegments, paint_segments
from sapiens.metainfo.classes import IGNORE
from sapiens.utils.files import atomic_path

__all__ = ['IGNORED_NAMES', 'colors_to_ids', 'labels_from_colors', 'labels_from_segments', 'read_labelmap']

# Labels that tools give to pixels that nobody should learn.
IGNORED_NAMES = ('__ignore__', 'ignore', 'void', 'unlabeled', 'unlabelled')


def labels_from_segments(
    found: AnnotatedSegments,
    labels: Mapping[int, int | None],
    out: Path,
    overlap: str = 'smaller',
    progress: Callable = iter,
) -> int:
    """Write a label map for each image with a segment; returns their number.

    Args:
        labels: {category id: label, or None to leave its segments out}.
        out: folder. Files are called as the images, with ``.png``, in the same folders.
        overlap: see :func:`sapiens.coco.paint_segments`.
    """
    count = 0
    for name, size, text in zip(progress(found.names), found.sizes, found.items, strict=True):
        segments = [(labels[category], segment) for category, segment in json.loads(text)]
        segments = [(label, segment) for label, segment in segments if label is not None]
        if segments:
            save_ids(paint_segments(segments, size, overlap=overlap), out / Path(safe_name(name)).with_suffix('.png'))
            count += 1
    return count


def read_labelmap(path: str | Path) -> dict[str, tuple[int, int, int]]:
    """{class: RGB} of a ``labelmap.txt`` as CVAT and Datumaro write it (``name:r,g,b:parts:actions``).

    Raises:
        ValueError: a line of another form.
    """
    colors = {}
    for line in Path(path).read_text(encoding='utf-8-sig').splitlines():
        if not line.strip() or line.startswith('#'):
            continue
        name, _, rest = line.partition(':')
        values = rest.partition(':')[0].split(',')
        if not all(value.strip().isdigit() and int(value) < 256 for value in values) or len(values) != 3:
            raise ValueError(f'{path}: expected lines of the form name:red,green,blue::, found {line!r}')
        colors[name.strip()] = tuple(int(value) for value in values)
    return colors


def colors_to_ids(pixels: np.ndarray, colors: Mapping[tuple[int, int, int], int], where: str) -> np.ndarray:
    """(H, W) uint8 ids of a mask (H, W, 3) in colors.

    Raises:
        ValueError: a color without an id.
    """
    codes = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    ids = np.zeros(codes.shape, np.uint8)
    known = np.zeros(codes.shape, bool)
    for (red, green, blue), label in colors.items():
        same = codes == (red << 16 | green << 8 | blue)
        ids[same], known = label, known | same
    if not known.all():
        wrong = sorted({tuple(pixel) for pixel in pixels[~known][:1000].tolist()})
        raise ValueError(
            f'{where}: the color {wrong[0]} has no class ({(~known).mean():.2%} of the pixels have such colors)'
        )
    return ids


def labels_from_colors(
    files: Mapping[str, str], colors: Mapping[tuple, int], out: Path, progress: Callable = iter
) -> int:
    """Write a label map for each mask; returns their number.

    Args:
        files: {name of the label map: mask}.
        colors: {RGB: label}.
    """
    for name, path in progress(files.items()):
        with Image.open(path) as image:
            save_ids(colors_to_ids(np.array(image.convert('RGB')), colors, path), out / name)
    return len(files)


def labels_of_names(names: list[str]) -> dict[str, int]:
    """{name: label} in the order of a file's classes; those that mean "ignore" become 255."""
    ids, count = {}, 0
    for name in names:
        ignored = name.lower() in IGNORED_NAMES
        ids[name] = IGNORE if ignored else count
        count += not ignored
    return ids


def save_ids(ids: np.ndarray, path: Path) -> None:
    """Write one label map."""
    with atomic_path(path, keep_suffix=True) as temporary:
        if not cv2.imwrite(str(temporary), ids):
            raise OSError(f'{path} cannot be written')


def safe_name(name: str) -> str:
    """A file name of an annotation file as a path below a folder: without drive, root and ``..``."""
    parts = [part for part in name.replace('\\', '/').split('/') if part not in ('', '.', '..')]
    return os.path.join(*parts)
