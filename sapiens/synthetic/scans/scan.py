"""A scan as surfaces of the renderer, and what is known about it before it is rendered.

World: meters, z up; the scan stands on z = 0 in the middle of x and y, and faces -y.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..images import ImageLevels
from ..materials import Material
from ..mesh import Surface, vertex_normals
from .files import MeshFile, read_scan
from .landmarks import find_front, find_head, sample_surface

__all__ = ['UPS', 'Scan', 'load_scan', 'upright', 'weld']

# Axis of the file that points up -> its axes as right, back and up, with signs. Files face +z where y is up, else -y.
UPS = {
    'y': ((0, 1), (2, -1), (1, 1)),
    'z': ((0, 1), (1, 1), (2, 1)),
    '-y': ((0, 1), (2, 1), (1, -1)),
    '-z': ((0, 1), (1, -1), (2, -1)),
}
_LARGEST_IMAGE = 4096  # pixels of the longer side: a close-up of a face at 1024 pixels shows no more
_HEAD_FROM_TOP = 0.12  # meters, where no head is found


@dataclass
class Scan:
    """A scan, ready to be rendered.

    Attributes:
        name: of its file.
        surfaces: one for each material, on one array of vertices.
        points: (N, 3) float32 all over the surface.
        head: (3,) the middle of the head.
        has_head: whether the head was found; otherwise it is the place below the highest point.
        has_front: whether the feet told where the front is; otherwise it is that of the file.
    """

    name: str
    surfaces: list[Surface]
    points: np.ndarray
    head: np.ndarray
    has_head: bool
    has_front: bool

    @property
    def height(self) -> float:
        """Meters from the lowest to the highest point."""
        return float(self.points[:, 2].max())

    def turned(self, yaw: float) -> 'Scan':
        """The scan rotated about the z axis by an angle in radians."""
        matrix = _turn(yaw)
        done = {}

        def turn(array: np.ndarray) -> np.ndarray:
            if id(array) not in done:
                done[id(array)] = array @ matrix.T.astype(array.dtype)
            return done[id(array)]

        surfaces = [replace(each, vertices=turn(each.vertices), normals=turn(each.normals)) for each in self.surfaces]
        return replace(self, surfaces=surfaces, points=turn(self.points), head=matrix @ self.head)


def load_scan(path: str | Path, unit: float, up: str, colors: bool = True) -> Scan:
    """Read a scan.

    Args:
        unit: meters of one unit of the file.
        up: axis of the file that points up, of :data:`UPS`.
        colors: False for depth and normals only; surfaces then are gray.

    Raises:
        FileNotFoundError, ValueError: see :func:`.files.read_scan`.
    """
    path = Path(path)
    mesh = read_scan(path, colors)
    vertices = upright(mesh.vertices * unit, up)
    low, high = vertices.min(0), vertices.max(0)
    vertices -= [*((low + high) / 2)[:2], low[2]]
    points = sample_surface(vertices, mesh.faces)
    front, head = find_front(points), find_head(points)
    matrix = np.eye(3) if front is None else _turn(-np.pi / 2 - np.arctan2(front[1], front[0]))
    vertices, points = (vertices @ matrix.T).astype(np.float32), (points @ matrix.T).astype(np.float32)
    if head is None:
        top = points[points[:, 2].argmax()]
        head = np.array([*top[:2], top[2] - _HEAD_FROM_TOP], np.float64)
        return Scan(path.name, _surfaces(mesh, vertices), points, head, False, front is not None)
    return Scan(path.name, _surfaces(mesh, vertices), points, matrix @ head, True, front is not None)


def upright(points: np.ndarray, up: str) -> np.ndarray:
    """Points of a file (N, 3) with z up and the front towards -y."""
    axes, signs = zip(*UPS[up], strict=True)
    return points[:, axes] * np.array(signs, points.dtype)


def weld(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join vertices at the same place, which files have several times where patches of the image meet.

    Args:
        vertices: (V, 3) float32.

    Returns:
        (W,) index of one vertex for each place, and (V,) the place of each vertex.
    """
    rows = np.ascontiguousarray(vertices + np.float32(0)).view(np.dtype((np.void, 12))).ravel()  # no -0
    _, first, place = np.unique(rows, return_index=True, return_inverse=True)
    return first, place.reshape(-1)


def _turn(yaw: float) -> np.ndarray:
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _surfaces(mesh: MeshFile, vertices: np.ndarray) -> list[Surface]:
    first, place = weld(vertices, mesh.faces)
    normals = vertex_normals(vertices[first], place[mesh.faces].astype(np.int32))[place]
    surfaces = []
    for number, (image, tint) in enumerate(zip(mesh.images, mesh.tints, strict=True)):
        faces = mesh.faces[mesh.material == number]
        if not len(faces):
            continue
        tint = tuple(float(value) for value in tint)
        if image is not None and mesh.uv is not None:
            pixels = _pixels(image)
            levels = ImageLevels.build(pixels, _used(mesh.uv, faces, pixels.shape))
            texture = _texture(mesh.uv, vertices, faces, pixels.shape)
            material = Material('matte', tint, 'image', image=levels)
        elif mesh.colors is not None:
            texture, material = mesh.colors.astype(np.float32), Material('matte', pattern='vertices')
        else:
            texture, material = None, Material('matte', tint)
        surfaces.append(Surface('scan', vertices, faces, material, texture, normals=normals))
    return surfaces


def _pixels(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8, of at most :data:`_LARGEST_IMAGE` pixels."""
    factor = max(image.size) / _LARGEST_IMAGE
    if factor >= 2:
        image.draft(
            'RGB', (int(image.width / factor), int(image.height / factor))
        )  # a JPEG is decoded in half its size
    pixels = np.asarray(image.convert('RGB'))
    factor = max(pixels.shape) / _LARGEST_IMAGE
    if factor > 1:
        size = max(round(pixels.shape[1] / factor), 1), max(round(pixels.shape[0] / factor), 1)
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return pixels


def _used(uv: np.ndarray, faces: np.ndarray, shape: tuple) -> np.ndarray:
    """(H, W) bool, the pixels of an image that triangles show, and those that touch them."""
    height, width = shape[:2]
    corners = uv[faces].astype(np.float64)
    corners -= np.floor(corners.min(1, keepdims=True) + 1e-6)  # images repeat
    pixels = np.stack([corners[..., 0] * width - 0.5, (1 - corners[..., 1]) * height - 0.5], -1)
    used = np.zeros((height, width), np.uint8)
    for triangle in np.rint(np.clip(pixels, -width, 2 * width) * 16).astype(np.int32):
        cv2.fillConvexPoly(used, triangle, 1, cv2.LINE_8, 4)
    return used > 0


def _texture(uv: np.ndarray, vertices: np.ndarray, faces: np.ndarray, shape: tuple) -> np.ndarray:
    """(V, 3) float32: places in the image, and its pixels in a meter of the surface."""
    height, width = shape[:2]
    a, b = (uv[faces[:, 1:]] - uv[faces[:, :1]]).transpose(1, 0, 2) * [width, height]
    pixels = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    e, f = (vertices[faces[:, 1:]] - vertices[faces[:, :1]]).transpose(1, 0, 2).astype(np.float64)
    meters = np.linalg.norm(np.cross(e, f), axis=1)
    corners = faces.ravel()
    total = np.bincount(corners, np.repeat(pixels, 3), len(vertices))
    area = np.bincount(corners, np.repeat(meters, 3), len(vertices))
    return np.column_stack([uv, np.sqrt(total / np.maximum(area, 1e-12))]).astype(np.float32)
