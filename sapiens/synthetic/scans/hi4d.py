"""Depth and normals of Hi4D: its meshes through its cameras, as files beside its images (docs/scans.md).

A sequence is a folder ``pair*/action*`` of the release with ``images/4/*.jpg``, ``frames/mesh-f*.obj``,
``cameras/rgb_cameras.npz`` and ``seg/img_seg_mask/4/all/*.png``. Frames of images and meshes have the same number.
"""

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from sapiens.bulk import UnitFailed
from sapiens.frames import to_published
from sapiens.utils.files import write_atomically
from sapiens.utils.image_files import walk_images

from ..camera import Camera
from ..making import Maker
from ..materials import Material
from ..mesh import Surface, vertex_normals
from ..render import Lighting, render
from ..threads import one_thread
from .files import read_scan
from .scan import weld

__all__ = [
    'CAMERA',
    'PAIRS',
    'PUBLISHED_IMAGES',
    'Frame',
    'FrameMaker',
    'find_frames',
    'read_camera',
    'size_of',
    'write_frame',
]

PAIRS = ('pair28', 'pair32', 'pair37')
CAMERA = 4
PUBLISHED_IMAGES = 1195


@dataclass(frozen=True)
class Frame:
    """An image of Hi4D with its mesh.

    Attributes:
        sequence: folder.
        stem: of the image, and of what is written.
        image, mesh: files.
    """

    sequence: Path
    stem: str
    image: Path
    mesh: Path

    def outputs(self) -> list[Path]:
        """The files of depth and normals; the last one is written last."""
        return [self.sequence / kind / str(CAMERA) / f'{self.stem}.npy' for kind in ('depth', 'normal')]

    def is_complete(self) -> bool:
        return all(path.is_file() for path in self.outputs())

    @property
    def mask(self) -> Path:
        return self.sequence / 'seg/img_seg_mask' / str(CAMERA) / 'all' / f'{self.stem}.png'


def find_frames(root: str | Path, pairs: tuple = PAIRS) -> list[Frame]:
    """The frames of the evaluation, sorted.

    Raises:
        FileNotFoundError: no such folder, no sequence of these pairs, or a sequence lacks images, a mesh, or its cameras.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f'no folder of Hi4D {str(root)!r}')
    lacking = [pair for pair in pairs if not any(path.is_dir() for path in (root / pair).glob('*'))]
    if lacking:
        raise FileNotFoundError(
            f'{str(root)!r} has no sequence of {", ".join(lacking)}: expected folders like {pairs[0]}/<action>, as in the release'
        )
    frames = []
    for sequence in sorted(path for pair in pairs for path in (root / pair).iterdir() if path.is_dir()):
        images = sequence / 'images' / str(CAMERA)
        meshes = {_number(path.stem): path for path in sorted((sequence / 'frames').glob('*.obj'))}
        stems = sorted(Path(name).stem for name in walk_images(str(images))) if images.is_dir() else []
        if not stems:
            raise FileNotFoundError(f'no images in {str(images)!r}')
        if not (sequence / 'cameras/rgb_cameras.npz').is_file():
            raise FileNotFoundError(f'no cameras: {str(sequence / "cameras/rgb_cameras.npz")!r} is missing')
        files = {Path(name).stem: images / name for name in walk_images(str(images))}
        for stem in stems:
            mesh = meshes.get(_number(stem))
            if mesh is None:
                raise FileNotFoundError(
                    f'the image {str(files[stem])!r} has no mesh: {str(sequence / f"frames/mesh-f{_number(stem):05d}.obj")!r} is '
                    'missing'
                )
            frames.append(Frame(sequence, stem, files[stem], mesh))
    return frames


def _number(stem: str) -> int:
    """The number at the end of a name: 12 of 'mesh-f00012' and '000012'; -1 without one."""
    found = re.search(r'(\d+)$', stem)
    return int(found[1]) if found else -1


def read_camera(sequence: Path, size: tuple[int, int], camera: int = CAMERA) -> Camera:
    """A camera of a sequence.

    Args:
        size: (width, height) of its images.

    Raises:
        ValueError: not such a file, no such camera, or intrinsics of another size of images.
    """
    path = sequence / 'cameras/rgb_cameras.npz'
    try:
        with np.load(path) as content:
            ids = [int(number) for number in content['ids']]
            index = ids.index(camera)
            intrinsics = np.asarray(content['intrinsics'][index], np.float64)
            extrinsics = np.asarray(content['extrinsics'][index], np.float64)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f'{str(path)!r} has no camera {camera}: expected ids, intrinsics (N, 3, 3) and extrinsics (N, 3, 4), as in the '
            f'release ({error})'
        ) from error
    width, height = size
    center = intrinsics[:2, 2] / size
    if not (center > 0.2).all() or not (center < 0.8).all():
        raise ValueError(
            f'the camera {camera} of {str(path)!r} looks at pixel {intrinsics[0, 2]:.0f}, {intrinsics[1, 2]:.0f}, its images '
            f'have {width} x {height}: they were resized, and the intrinsics were not'
        )
    return Camera(intrinsics, extrinsics[:, :3], extrinsics[:, 3], width, height)


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) of an image file."""
    with Image.open(path) as image:
        return image.size


def write_frame(frame: Frame, device: str = 'cpu') -> float | None:
    """Render depth and normals of a frame and write them.

    Returns:
        How well the mesh covers the released mask of people: intersection over union; None without a mask.
    """
    camera = read_camera(frame.sequence, size_of(frame.image))
    mesh = read_scan(frame.mesh, colors=False)
    vertices = mesh.vertices.astype(np.float32)
    first, place = weld(vertices, mesh.faces)
    normals = vertex_normals(vertices[first], place[mesh.faces].astype(np.int32))[place]
    surface = Surface('scan', vertices, mesh.faces, Material(), normals=normals)
    with one_thread():
        made = render([[surface]], [], [], camera, Lighting(), rays=0, device=device)
    seen = made.depth > 0
    arrays = made.depth, to_published(made.normal) + np.float32(0)  # no -0
    for path, array in zip(frame.outputs(), arrays, strict=True):
        buffer = io.BytesIO()
        np.save(buffer, array)
        write_atomically(path, buffer.getvalue())
    mask = cv2.imread(str(frame.mask), cv2.IMREAD_GRAYSCALE) if frame.mask.is_file() else None
    if mask is None or mask.shape != seen.shape:
        return None
    return float((seen & (mask > 0)).sum() / max((seen | (mask > 0)).sum(), 1))


class FrameMaker(Maker):
    """Makes depth and normals of single frames of Hi4D, and leaves how well they fit the masks in a file."""

    def __init__(self, frames: list, folder: Path):
        self.frames, self.folder = frames, folder

    def file(self, index: int) -> Path:
        frame = self.frames[index]
        return self.folder / f'{frame.sequence.parent.name}-{frame.sequence.name}-{frame.stem}.json'

    def is_made(self, index: int) -> bool:
        return self.frames[index].is_complete()

    def __call__(self, index: int) -> None:
        frame = self.frames[index]
        try:
            overlap = write_frame(frame)
        except Exception as error:
            raise UnitFailed(f'{frame.mesh}: {type(error).__name__}: {error}') from None
        write_atomically(self.file(index), json.dumps(dict(mesh=str(frame.mesh), overlap=overlap)) + '\n')
