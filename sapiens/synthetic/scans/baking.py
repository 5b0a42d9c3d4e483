"""Rendered people as files like those of scans: one mesh with one image, for tests of what reads and renders scans.

The image has a triangle of pixels for each triangle of the mesh, two of them in a square, in the order of the triangles.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sapiens.utils.files import write_atomically
from sapiens.utils.srgb import encode_srgb

from ..keypoints import brow_lines, iris_centres
from ..mesh import Surface, compact
from ..render import make_paint

__all__ = ['Baked', 'bake', 'write_obj']


@dataclass
class Baked:
    """A mesh and its image.

    Attributes:
        vertices: (V, 3) float32 meters, z up.
        faces: (F, 3) int32.
        uv: (F, 3, 2) float32, of the corners of the triangles, v upwards.
        image: (H, W, 3) uint8 sRGB, the albedo.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    image: np.ndarray


def bake(surfaces: list[Surface], size: int = 2048, painted: bool = True) -> Baked:
    """Paint the colors of surfaces into an image.

    Args:
        size: width and height of the image in pixels.
        painted: False leaves the image gray.

    Raises:
        ValueError: fewer than 5 x 5 pixels for two triangles.
    """
    vertices, faces, texture, material, materials, start = [], [], [], [], [], 0
    for surface in surfaces:
        used, index = compact(surface.faces[_near_each_other(surface)])
        faces.append(used + start)
        vertices.append(surface.vertices[index])
        texture.append(np.zeros((len(index), 3)) if surface.texture is None else surface.texture[index])
        material.append(np.full(len(used), len(materials), np.int32))
        materials.append(surface.material)
        start += len(index)
    faces = np.concatenate(faces).astype(np.int32)
    vertices = np.concatenate(vertices).astype(np.float32)
    columns = int(np.ceil(np.sqrt((len(faces) + 1) // 2)))
    side = size // columns
    if side < 5:
        raise ValueError(f'size={size}: {len(faces)} triangles need an image of at least {5 * columns} pixels')
    image = np.full((size, size, 3), 128, np.uint8)
    if painted:
        image = _paint(
            vertices, faces, np.concatenate(texture), np.concatenate(material), materials, columns, side, size
        )
    return Baked(vertices, faces, _corners(len(faces), columns, side, size), image)


def _paint(vertices, faces, texture, material, materials, columns, side, size) -> np.ndarray:
    import warp as wp

    from .bake_kernel import bake_kernel

    paint = make_paint(materials, (brow_lines(), *iris_centres()))
    pixels = wp.zeros((size, size), dtype=wp.vec3)
    arrays = [
        wp.array(vertices, dtype=wp.vec3),
        wp.array(faces.ravel(), dtype=wp.int32),
        wp.array(texture.astype(np.float32), dtype=wp.vec3),
        wp.array(material, dtype=wp.int32),
    ]
    wp.launch(bake_kernel, (size, size), [paint, columns, side, *arrays, pixels])
    return np.rint(np.clip(encode_srgb(pixels.numpy()), 0, 1) * 255).astype(np.uint8)


def _near_each_other(surface: Surface) -> np.ndarray:
    """(F,) an order of triangles in which neighbors of the surface are near each other, and so in the image: colors of
    pixels that are averaged there are alike."""
    center = surface.vertices[surface.faces].mean(1)
    steps = ((center - center.min(0)) / max(float(np.ptp(center, axis=0).max()), 1e-6) * 1023).astype(np.uint32)
    code = np.zeros(len(center), np.uint32)
    for bit in range(10):
        for axis in range(3):
            code |= (steps[:, axis] >> bit & 1) << np.uint32(3 * bit + axis)
    return np.argsort(code, kind='stable')


def _corners(count: int, columns: int, side: int, size: int) -> np.ndarray:
    """(F, 3, 2) places of the corners of the triangles in the image."""
    number = np.arange(count)
    cell = np.stack([number // 2 % columns, number // 2 // columns], -1)[:, None] * side
    first = np.array([[1, 1], [side - 2, 1], [1, side - 2]], np.float64)
    corners = cell + np.where((number % 2 == 0)[:, None, None], first, side - first)
    return np.stack([corners[..., 0] / size, 1 - corners[..., 1] / size], -1).astype(np.float32)


def write_obj(
    path: str | Path, baked: Baked, image: str = '', material: str = '', unit: float = 1.0, up: str = 'y'
) -> None:
    """Write an OBJ file with its material and image.

    Args:
        path: of the .obj.
        image, material: paths of the image and the .mtl file relative to its folder; default: the name of the .obj.
        unit: units of the file in a meter: 100 for centimeters.
        up: axis of the file that points up, 'y' (and z to the front, as in most files of scans) or 'z'.
    """
    path = Path(path)
    image, material = image or f'{path.stem}.png', material or f'{path.stem}.mtl'
    points = baked.vertices.astype(np.float64) * unit
    if up == 'y':
        points = points[:, [0, 2, 1]] * [1, 1, -1]
    lines = [f'mtllib {material}', 'usemtl scan']
    lines += [f'v {x:.6f} {y:.6f} {z:.6f}' for x, y, z in points.tolist()]
    lines += [f'vt {u:.7f} {v:.7f}' for u, v in baked.uv.reshape(-1, 2).tolist()]
    lines += [
        f'f {a}/{3 * i + 1} {b}/{3 * i + 2} {c}/{3 * i + 3}' for i, (a, b, c) in enumerate((baked.faces + 1).tolist())
    ]
    write_atomically(path, '\n'.join(lines) + '\n')
    write_atomically(path.parent / material, f'newmtl scan\nKd 1 1 1\nmap_Kd {image}\n')
    suffix = Path(image).suffix
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix in ('.jpg', '.jpeg') else []
    done, data = cv2.imencode(suffix, baked.image[..., ::-1], options)
    assert done
    write_atomically(path.parent / image, data.tobytes())
