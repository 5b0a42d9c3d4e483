"""A person of ellipsoids, whose depth and normals are known in every pixel, as files of scans."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

# (center, radii) in meters, z up, facing -y: head, nose, neck, chest, arms, legs, and feet that point forward.
PARTS = [
    ((0, 0, 1.58), (0.085, 0.1, 0.13)),
    ((0, -0.1, 1.57), (0.015, 0.02, 0.02)),
    ((0, 0.01, 1.42), (0.05, 0.05, 0.09)),
    ((0, 0, 1.1), (0.19, 0.12, 0.33)),
    ((0.25, 0, 1.1), (0.05, 0.05, 0.3)),
    ((-0.25, 0, 1.1), (0.05, 0.05, 0.3)),
    ((0.1, 0, 0.5), (0.075, 0.08, 0.46)),
    ((-0.1, 0, 0.5), (0.075, 0.08, 0.46)),
    ((0.1, -0.07, 0.045), (0.045, 0.13, 0.045)),
    ((-0.1, -0.07, 0.045), (0.045, 0.13, 0.045)),
]
COLORS = np.array(
    [
        *[(200, 150, 120), (220, 90, 90), (200, 150, 120), (40, 90, 170), (60, 160, 60)],
        *[(160, 60, 160), (90, 80, 60), (60, 60, 90), (230, 200, 40), (40, 200, 200)],
    ]
)  # 8-bit sRGB of each part


@dataclass
class Mannequin:
    """Vertices (V, 3), triangles (F, 3), places (V, 2) in the image with v upwards, and the image: a square for each part."""

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    image: np.ndarray


def build(rows: int = 24, columns: int = 32, parts=None) -> Mannequin:
    parts = PARTS if parts is None else parts
    polar, azimuth = np.meshgrid(np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns), indexing='ij')
    unit = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], -1).reshape(
        -1, 3
    )
    unit[np.abs(unit) < 1e-12] = 0
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing='ij')
    a = (i * columns + j).ravel()
    quads = np.stack([a, a + columns, a + columns + 1, a, a + columns + 1, a + 1], -1).reshape(-1, 3)
    vertices, faces, uv = [], [], []
    for number, (center, radii) in enumerate(parts):
        vertices.append(unit * radii + center)
        faces.append(quads + number * len(unit))
        inner = np.stack([azimuth / (2 * np.pi), 1 - polar / np.pi], -1).reshape(-1, 2) * 0.8 + 0.1
        uv.append((inner + np.array([number % 4, 3 - number // 4])) / 4)
    image = np.zeros((64, 64, 3), np.uint8)
    for number in range(len(parts)):
        image[16 * (number // 4) : 16 * (number // 4) + 16, 16 * (number % 4) : 16 * (number % 4) + 16] = COLORS[
            number
        ]
    # Triangles at the poles have no area.
    faces = np.concatenate(faces)
    vertices = np.concatenate(vertices)
    e, f = vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]]
    return Mannequin(vertices, faces[np.linalg.norm(np.cross(e, f), axis=1) > 1e-12], np.concatenate(uv), image)


def write(path: Path, made: Mannequin, unit=1.0, up='y', image='', material='', scale=1.0) -> Path:
    """Write a mannequin as .obj, with ``unit`` units of the file in a meter. In the file it stands beside the origin."""
    points = (made.vertices * scale + [0.4, 0.2, 0.1]) * unit
    points = {
        'y': points[:, [0, 2, 1]] * [1, 1, -1], 'z': points, '-y': points[:, [0, 2, 1]] * [1, -1, 1],
        '-z': points * [1, -1, -1],
    }[up]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    image, material = image or f'{path.stem}.png', material or f'{path.stem}.mtl'
    lines = [f'mtllib {material}', 'usemtl skin']
    lines += ['v {:.7f} {:.7f} {:.7f}'.format(*point) for point in points]
    lines += ['vt {:.7f} {:.7f}'.format(*place) for place in made.uv]
    lines += ['f ' + ' '.join(f'{corner}/{corner}' for corner in face) for face in made.faces + 1]
    path.write_text('\n'.join(lines) + '\n')
    (path.parent / material).write_text(f'newmtl skin\nmap_Kd {image}\n')
    target = path.parent / image.replace('\\', '/')
    target.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(target), made.image[..., ::-1])
    return path


def trace(camera, parts=None, yaw: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Exact depth (H, W) along z, 0 for nothing, and normals (H, W, 3) in the camera frame, of the ellipsoids."""
    rows, columns = np.mgrid[: camera.height, : camera.width]
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(camera.intrinsics).T @ camera.rotation
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    depth = np.full(rows.shape, np.inf)
    normal = np.zeros((*rows.shape, 3))
    for center, radii in PARTS if parts is None else parts:
        radii = np.array(radii)
        start = ((camera.position - turn @ center) @ turn) / radii
        along = (rays @ turn) / radii
        a, b, c = (along**2).sum(-1), along @ start, start @ start - 1
        root = b**2 - a * c
        t = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
        nearer = (t > 0) & (t < depth)
        point = start + along * np.where(np.isfinite(t), t, 0)[..., None]
        outward = (point / radii) @ turn.T @ camera.rotation.T
        outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
        depth, normal = np.where(nearer, t, depth), np.where(nearer[..., None], outward, normal)
    return np.where(np.isfinite(depth), depth, 0), normal
