"""Drawing of points in the camera frame: inverse depth, normals and distances."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from sapiens.frames import to_published
from sapiens.utils.pinhole import normals_of_points, window_inside

from .dense_panel import DenseRow
from .depth import depth_limits
from .labels import draw_normals
from .layout import NOTHING
from .tiles import Tile, arrange, color_bar, error_tile, join_tiles, resize_map

__all__ = ['POINT_COLORS', 'draw_inverse_depth', 'draw_pointmap_panel', 'point_normals']

POINT_COLORS = cv2.COLORMAP_TURBO
NEAREST, FARTHEST = 0.1, 250.0  # meters, limits of all drawn depths, as published
COLUMNS = (
    *('image', 'depth: ground truth', 'depth: prediction'),
    *('normals of the ground truth', 'normals of the prediction', 'distance of the points'),
)


def draw_inverse_depth(
    depth: np.ndarray,
    valid: np.ndarray | None = None,
    limits: tuple[float, float] | None = None,
    background: int = NOTHING,
) -> np.ndarray:
    """Draw 1 / depth in OpenCV's TURBO colors, near is red and far is blue, as the published figures of pointmaps.

    Args:
        depth: (H, W) along z in meters, drawn as if between 0.1 and 250.
        valid: (H, W) bool; by default where the depth is finite and above 0.
        limits: nearest and farthest depth of the color range. By default those of the valid pixels without half a percent at
            either end.
        background: gray level of invalid pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    known = np.isfinite(depth) & (depth > 0)
    valid = known if valid is None else known & valid
    near, far = np.clip(depth_limits(depth, valid) if limits is None else limits, NEAREST, FARTHEST)
    inverse = 1 / np.clip(np.where(valid, depth, far), NEAREST, FARTHEST)
    fraction = np.clip((inverse - 1 / far) / max(1 / near - 1 / far, 1e-9), 0, 1)
    canvas = cv2.applyColorMap(np.rint(fraction * 255).astype(np.uint8), POINT_COLORS)[..., ::-1]
    return np.where(valid[..., None], canvas, np.uint8(background))


def point_normals(points: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Normals of the surface through points, see :func:`sapiens.utils.pinhole.normals_of_points`.

    Args:
        points: (H, W, 3) in the camera frame.
        valid: (H, W) bool, of the points; others have no part in the normals.

    Returns:
        (H, W, 3) float32 unit vectors in the camera frame; zeros where a point of the 5 x 5 window is not valid, except beyond
        the border of the image.
    """
    known = np.isfinite(points).all(-1)
    known = torch.from_numpy(known if valid is None else known & valid)
    planes = torch.where(known, torch.from_numpy(np.ascontiguousarray(np.moveaxis(points, -1, 0))).float(), 0)
    inside = window_inside(torch.nn.functional.pad(known[None].float(), (2, 2, 2, 2), mode='replicate')[0] > 0)
    normals = torch.where(inside[2:-2, 2:-2], normals_of_points(planes), 0)
    return np.ascontiguousarray(normals.permute(1, 2, 0).numpy())


def draw_pointmap_panel(rows: Sequence[DenseRow], *, side: int = 384, limit: float = 0.3) -> np.ndarray:
    """Draw rows [image | depth of ground truth and prediction | normals of their points | distance between them].

    Both depths have the color range of the ground truth, which the bars show. Normals are (n + 1) / 2 in the frame of the
    published models. Where no ground truth is known, only the image and the prediction are drawn.

    Args:
        rows: at least one. Points (H, W, 3) are in meters in the camera frame; ``note`` is a line above the distances.
        side: longer side of a tile in pixels.
        limit: distance in meters at the end of the color bar.

    Raises:
        ValueError: no rows.
    """
    places = arrange([row.image for row in rows], len(COLUMNS), side)
    return join_tiles([_line(row, places.scaled(row.image), limit) for row in rows], COLUMNS, places.blocks)


def _line(row: DenseRow, image: np.ndarray, limit: float) -> list[Tile]:
    valid = row.mask & np.isfinite(row.prediction).all(-1) & (row.prediction[..., 2] > 0)
    labelled = row.truth is not None
    limits = depth_limits(row.truth[..., 2], row.mask) if labelled else depth_limits(row.prediction[..., 2], valid)
    depth, normals = _drawn(row.prediction, valid, limits, image)
    if not labelled:
        blank = np.full_like(image, 255)
        return [Tile(image, row.name), Tile(blank, 'no labels'), depth, Tile(blank, 'no labels'), normals, Tile(blank)]
    true_depth, true_normals = _drawn(row.truth, row.mask, limits, image)
    distance = np.linalg.norm(row.prediction.astype(np.float32) - row.truth, axis=-1)
    mean = distance[row.mask].mean() if row.mask.any() else float('nan')
    error = error_tile(distance, resize_map(row.mask, image), limit, row.note or f'mean {mean:.3f} m', f'{limit:g} m')
    return [Tile(image, row.name), true_depth, depth, true_normals, normals, error]


def _drawn(points: np.ndarray, valid: np.ndarray, limits: tuple[float, float], image: np.ndarray) -> tuple[Tile, Tile]:
    """Tiles of the depth and of the normals of points (H, W, 3), in the size of a tile."""
    depth = draw_inverse_depth(resize_map(points[..., 2], image), resize_map(valid, image), limits)
    bar = color_bar(image.shape[1], f'far: {limits[1]:.2f} m', f'near: {limits[0]:.2f} m', POINT_COLORS)
    normals = draw_normals(to_published(resize_map(point_normals(points, valid), image)))
    return Tile(depth, f'{100 * valid.mean():.0f} % of the pixels', bar), Tile(normals)
