"""Files of a result: which there are, what they are called, and how each is written.

Every file is written under a temporary name and then renamed, so an interrupted run leaves none that a resumed one would trust.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sapiens.visualization import draw_heatmaps
from sapiens.visualization.people import STYLES, draw_part

from .pose_formats import LAYOUTS, pose_document

if TYPE_CHECKING:
    from ..results import Result

__all__ = ['DEFAULTS', 'KINDS', 'SOMETIMES', 'Saving', 'file_names', 'save_result']

# What can be written of each task, and what is by default.
KINDS = {
    'pose': ('json', 'picture', 'heatmaps', 'face', 'hand'),
    'seg': ('labels', 'mask', 'picture', 'cutout'),
    'depth': ('depth', 'picture', 'normals', 'ply'),
    'normal': ('normal', 'picture'),
    'features': ('features', 'picture'),
}
DEFAULTS = {
    'pose': ('json', 'picture'),
    'seg': ('labels', 'mask', 'picture'),
    'depth': ('depth', 'picture'),
    'normal': ('normal', 'picture'),
    'features': ('features',),
}
# Suffix of each kind of file; that of maps follows from Saving.map_format, that of pictures from Saving.picture_format.
SUFFIXES = {
    'json': '.json',
    'heatmaps': '_heatmaps.{picture}',
    'face': '_face.{picture}',
    'hand': '_hand.{picture}',
    'labels': '_seg.{map}',
    'mask': '.{map}',
    'cutout': '_cutout.png',
    'depth': '.npy',
    'normals': '_normals.png',
    'ply': '.ply',
    'normal': '.npy',
    'features': '.npy',
    'picture': '.{picture}',
}
SOMETIMES = ('face', 'hand')  # only where they are seen
FRAMES = ('published', 'camera')


@dataclass(frozen=True)
class Saving:
    """What to write, and how to draw it.

    Attributes:
        kinds: entries of ``KINDS[task]``; None for ``DEFAULTS[task]``.
        json_layout: 'plain', 'published' or 'lite', see :func:`sapiens.apis.writers.pose_formats.pose_document`.
        picture_format: 'jpg' or 'png'.
        map_format: 'npy', or 'png', of label maps and masks.
        style, threshold, radius, thickness, show_boxes, show_indices: of pose, see
            :func:`sapiens.visualization.people.draw_people`.
        opacity: of the classes' colours.
        depth_limits: the depths that are brightest and black, for pictures that can be compared.
        normal_frame: of the .npy of normals: 'published' (x right, y up, z towards the camera), as the published files have
            it, or 'camera' (x right, y down, z forward).
        fov, distance, extent: of the point cloud, see :meth:`sapiens.apis.DepthResult.points`.

    Raises:
        ValueError: an unknown value.
    """

    kinds: tuple[str, ...] | None = None
    json_layout: str = 'plain'
    picture_format: str = 'jpg'
    map_format: str = 'npy'
    style: str = 'default'
    threshold: float = 0.3
    radius: float | None = None
    thickness: int | None = None
    show_boxes: bool = False
    show_indices: bool = False
    opacity: float = 0.5
    depth_limits: tuple[float, float] | None = None
    normal_frame: str = 'published'
    fov: float = 50.0
    distance: float = 2.0
    extent: float = 0.5

    def __post_init__(self) -> None:
        choices = dict(
            json_layout=LAYOUTS,
            picture_format=('jpg', 'png'),
            map_format=('npy', 'png'),
            style=STYLES,
            normal_frame=FRAMES,
        )
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f'{name}={getattr(self, name)!r} is not one of {known}')
        known = {kind for kinds in KINDS.values() for kind in kinds}
        for kind in self.kinds or ():
            if kind not in known:
                raise ValueError(f'{kind!r} is no kind of file: {_listing()}')

    def of(self, task: str) -> tuple[str, ...]:
        """The kinds that are written of a task."""
        if self.kinds is None:
            return DEFAULTS[task]
        return tuple(kind for kind in KINDS[task] if kind in self.kinds)


def _listing() -> str:
    return '; '.join(f'{task} has {", ".join(kinds)}' for task, kinds in KINDS.items())


def file_names(task: str, stem: Path, saving: Saving) -> dict[str, Path]:
    """The file of each kind for a result whose path without suffix is ``stem``.

    Raises:
        ValueError: nothing of this task is written, or one name would be that of two files.
    """
    kinds = saving.of(task)
    if not kinds:
        raise ValueError(f'none of {", ".join(saving.kinds)} is a file of {task!r}: {_listing()}')
    suffixes = {kind: SUFFIXES[kind].format(picture=saving.picture_format, map=saving.map_format) for kind in kinds}
    if len(set(suffixes.values())) < len(suffixes):
        # A mask and a picture that are both .png.
        suffixes['picture'] = f'_picture.{saving.picture_format}'
    return {kind: stem.with_name(stem.name + suffix) for kind, suffix in suffixes.items()}


def save_result(result: 'Result', stem: Path, saving: Saving) -> list[Path]:
    """Write the files of a result, and return their paths. What is not seen in the image (no face) has no file."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    names = file_names(result.task, stem, saving)
    # Pictures first: the file that says that all is done comes last.
    for kind in sorted(names, key=lambda kind: kind == saving.of(result.task)[0]):
        content = CONTENTS[result.task, kind](result, saving)
        if content is not None:
            _write(names[kind], content)
            written.append(names[kind])
    return written


def _write(path: Path, content) -> None:
    temporary = path.with_name(f'.{path.name}.tmp')
    try:
        with open(temporary, 'wb') as file:
            WRITERS[path.suffix](file, content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_picture(suffix: str, options: list[int]) -> Callable:
    codes = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}

    def write(file, pixels: np.ndarray) -> None:
        pixels = pixels if pixels.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(pixels), codes[pixels.shape[2]])
        good, data = cv2.imencode(suffix, pixels, options)
        if not good:
            raise ValueError(f'a picture of {pixels.shape[1]} x {pixels.shape[0]} pixels cannot be a {suffix} file')
        file.write(data)

    return write


def _write_ply(file, cloud: tuple[np.ndarray, np.ndarray]) -> None:
    """Binary PLY with a colour for each point."""
    points, colors = cloud
    row = np.dtype([('position', '<f4', 3), ('color', 'u1', 3)])
    rows = np.empty(len(points), row)
    rows['position'], rows['color'] = points, colors
    properties = [f'property float {axis}' for axis in 'xyz'] + [
        f'property uchar {color}' for color in ('red', 'green', 'blue')
    ]
    header = ['ply', 'format binary_little_endian 1.0', f'element vertex {len(points)}', *properties, 'end_header', '']
    file.write('\n'.join(header).encode())
    file.write(rows.tobytes())


def _write_json(file, document) -> None:
    file.write(json.dumps(document, allow_nan=False, separators=(',', ':')).encode())


WRITERS = {
    '.npy': lambda file, array: np.save(file, np.ascontiguousarray(array)),
    '.png': _write_picture('.png', [cv2.IMWRITE_PNG_COMPRESSION, 3]),
    '.jpg': _write_picture('.jpg', [cv2.IMWRITE_JPEG_QUALITY, 92]),
    '.json': _write_json,
    '.ply': _write_ply,
}


def _people(saving: Saving) -> dict:
    names = ('style', 'threshold', 'radius', 'thickness', 'show_indices')
    return {name: getattr(saving, name) for name in names}


def _part(part: str) -> Callable:
    return lambda result, saving: draw_part(
        result.image, result.keypoints, result.scores, result.skeleton, part, **_people(saving)
    )


def _heatmaps(result, saving: Saving) -> np.ndarray:
    return draw_heatmaps(
        result.image, result.heatmaps, None, transforms=result.heatmap_transforms, threshold=saving.threshold
    )


def _mask(result, saving: Saving) -> np.ndarray:
    return result.foreground if saving.map_format == 'npy' else np.where(result.foreground, 255, 0).astype(np.uint8)


def _normals_from_depth(result, saving: Saving) -> np.ndarray:
    normals = result.normals() * np.array([1, -1, -1], np.float32)
    return np.where(result.valid[..., None], np.rint((normals + 1) * 127.5), 100).astype(np.uint8)


CONTENTS = {
    ('pose', 'json'): lambda result, saving: pose_document(result, saving.json_layout),
    ('pose', 'picture'): lambda result, saving: result.draw(show_boxes=saving.show_boxes, **_people(saving)),
    ('pose', 'heatmaps'): _heatmaps,
    ('pose', 'face'): _part('face'),
    ('pose', 'hand'): _part('hand'),
    ('seg', 'labels'): lambda result, saving: result.labels,
    ('seg', 'mask'): _mask,
    ('seg', 'picture'): lambda result, saving: result.draw(saving.opacity),
    ('seg', 'cutout'): lambda result, saving: result.cutout(),
    ('depth', 'depth'): lambda result, saving: result.depth,
    ('depth', 'picture'): lambda result, saving: result.draw(saving.depth_limits),
    ('depth', 'normals'): _normals_from_depth,
    ('depth', 'ply'): lambda result, saving: result.points(saving.fov, saving.distance, saving.extent),
    ('normal', 'normal'): lambda result, saving: (
        result.published if saving.normal_frame == 'published' else result.normals
    ),
    ('normal', 'picture'): lambda result, saving: result.draw(),
    ('features', 'features'): lambda result, saving: result.features,
    ('features', 'picture'): lambda result, saving: result.draw(),
}
