"""Spheres in front of a camera with exact dense labels: small scenes for any view."""

import numpy as np

# Spheres: x, y, z in the frame of the first camera (x right, y down, z forward), radius, label; meters.
SPHERES = np.array(
    [
        [-0.45, -0.3, 3.0, 0.55, 5],  # a left part, and its partner on the right
        [0.5, -0.25, 3.4, 0.5, 14],
        [0.05, 0.6, 2.6, 0.45, 2],
        [0.3, 0.35, 4.5, 0.9, 21],
    ]
)


def intrinsics(size, focal=1.1) -> np.ndarray:
    """Intrinsics of a camera whose axis passes through the middle of the image."""
    width, height = size
    return np.array([[focal * height, 0, (width - 1) / 2], [0, focal * height, (height - 1) / 2], [0, 0, 1.0]])


def render(size, matrix=None, turn=None, spheres=SPHERES, samples=1) -> dict:
    """Render a scene as the output of a dataset.

    Args:
        size: (w, h) of the image.
        matrix: (3, 3) intrinsics.
        turn: (3, 3) orthogonal; the camera's frame is turned by it, or mirrored.
        samples: square root of the number of rays for a pixel's color.
    """
    matrix = intrinsics(size) if matrix is None else matrix
    turn = np.eye(3) if turn is None else turn
    depth, normal, label, _ = trace(size, matrix, turn, spheres, 0, 0)
    offsets = (np.arange(samples) + 0.5) / samples - 0.5
    colors = [trace(size, matrix, turn, spheres, x, y)[3] for x in offsets for y in offsets]
    known = depth > 0
    return dict(
        img=np.clip(np.mean(colors, 0), 0, 255).astype(np.uint8),
        img_path='scene',
        gt_sem_seg=label,
        gt_depth=depth.astype(np.float32),
        gt_normal=normal.astype(np.float32),
        gt_mask=known.copy(),
        valid_mask=known,
        intrinsics=matrix,
    )


def trace(size, matrix, turn, spheres, dx, dy):
    """Depth (H, W), 0 for background; normals (H, W, 3); labels (H, W) uint8; colors (H, W, 3), a smooth pattern."""
    width, height = size
    pixels = np.stack(np.meshgrid(np.arange(width) + dx, np.arange(height) + dy), -1)
    rays = np.concatenate([pixels, np.ones((height, width, 1))], -1) @ np.linalg.inv(matrix).T  # z is 1
    depth = np.full((height, width), np.inf)
    normal, label = np.zeros((height, width, 3)), np.zeros((height, width), np.uint8)
    for x, y, z, radius, ident in spheres:
        center = turn @ [x, y, z]
        a, b = (rays * rays).sum(-1), rays @ center
        under = b * b - a * (center @ center - radius * radius)
        t = np.where(under > 0, (b - np.sqrt(np.maximum(under, 0))) / a, np.inf)
        nearer = (t > 0) & (t < depth)
        depth[nearer] = t[nearer]
        normal[nearer] = (rays[nearer] * t[nearer][:, None] - center) / radius
        label[nearer] = int(ident)
    world = np.where(label[..., None] > 0, normal @ turn, 0)  # in the first camera's frame
    colors = np.where(label[..., None] > 0, 128 + 60 * world + 5.0 * label[..., None] % 50, 90.0)
    return np.where(np.isfinite(depth), depth, 0), normal, label, colors


def agree(given: dict, wanted: dict, mirrored=False) -> None:
    """Labels agree where both scenes are the same surface, away from edges."""
    inside = given['valid_mask'] & wanted['valid_mask'] & away_from_edges(wanted['gt_sem_seg'])
    assert inside.mean() > 0.1
    share = (given['gt_sem_seg'] == wanted['gt_sem_seg'])[
        away_from_edges(wanted['gt_sem_seg']) & (given['gt_sem_seg'] != 255)
    ]
    assert share.mean() > 0.99, share.mean()
    cosine = (given['gt_normal'] * wanted['gt_normal']).sum(-1)[inside].clip(-1, 1)
    assert np.median(np.degrees(np.arccos(cosine))) < 1, np.median(np.degrees(np.arccos(cosine)))
    assert np.abs(np.linalg.norm(given['gt_normal'][inside], axis=-1) - 1).max() < 1e-5
    relative = np.abs(given['gt_depth'] / np.maximum(wanted['gt_depth'], 1e-6) - 1)[inside]
    assert relative.mean() < 0.002 and np.percentile(relative, 95) < 0.005, np.percentile(relative, 95)
    difference = np.abs(given['img'].astype(int) - wanted['img'])[inside]
    assert difference.mean() < 3, difference.mean()


def away_from_edges(label, distance=3) -> np.ndarray:
    same = np.ones(label.shape, bool)
    for axis in (0, 1):
        for shift in range(-distance, distance + 1):
            same &= np.roll(label, shift, axis) == label
    same[:distance], same[-distance:], same[:, :distance], same[:, -distance:] = False, False, False, False
    return same
