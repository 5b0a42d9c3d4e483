"""Drawing of mattes and cut-outs."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from .tiles import Tile, arrange, error_tile, join_tiles, resize_map

__all__ = ['CHROMA_GREEN', 'MattingRow', 'checkerboard', 'draw_alpha', 'draw_matting_panel', 'over']

CHROMA_GREEN = (0, 177, 64)
COLUMNS = (
    'image',
    'alpha: ground truth',
    'alpha: prediction',
    'difference',
    'cut out: prediction',
    'on green: prediction',
)


class MattingRow(NamedTuple):
    """One row of a figure of matting.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        alpha: (H, W) float32 in [0, 1], predicted.
        foreground: (H, W, 3) float32 in [0, 1], predicted sRGB-coded color times alpha.
        truth: (H, W) float32, the true alpha; None without labels.
        valid: (H, W) bool, where it is known; None for everywhere.
        name: caption of the image.
    """

    image: np.ndarray
    alpha: np.ndarray
    foreground: np.ndarray
    truth: np.ndarray | None = None
    valid: np.ndarray | None = None
    name: str = ''


def checkerboard(size: tuple[int, int], cell: int = 12) -> np.ndarray:
    """Gray and white squares that show transparency, (H, W, 3) uint8 for a ``size`` (H, W)."""
    y, x = np.mgrid[: size[0], : size[1]] // cell
    return np.where((x + y) % 2, 255, 204).astype(np.uint8)[..., None].repeat(3, -1)


def over(foreground: np.ndarray, alpha: np.ndarray, background: np.ndarray | Sequence[int]) -> np.ndarray:
    """Put a foreground in front of a background: ``foreground + (1 - alpha) * background``, in coded values.

    Args:
        foreground: (H, W, 3) float32 in [0, 1], sRGB-coded color times alpha.
        alpha: (H, W) float32 in [0, 1].
        background: (H, W, 3) or (3,) uint8 RGB.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    mixed = 255 * foreground + (1 - alpha[..., None]) * np.asarray(background, np.float32)
    return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)


def draw_alpha(alpha: np.ndarray) -> np.ndarray:
    """Draw alpha (H, W) in [0, 1] as gray levels, (H, W, 3) uint8."""
    return np.rint(np.clip(np.nan_to_num(alpha), 0, 1) * 255).astype(np.uint8)[..., None].repeat(3, -1)


def draw_matting_panel(rows: Sequence[MattingRow], *, side: int = 384) -> np.ndarray:
    """Draw rows [image | true and predicted alpha | difference | prediction on a checkerboard | on green].

    Args:
        rows: at least one.
        side: longer side of a tile in pixels.

    Raises:
        ValueError: no rows.
    """
    lines, places = [], arrange([row.image for row in rows], len(COLUMNS), side)
    for row in rows:
        image = places.scaled(row.image)
        size = image.shape[1::-1]

        def fit(values: np.ndarray, size=size) -> np.ndarray:
            # Averages, so that hair stays as soft as it is.
            smaller = values.shape[1] > size[0]
            return cv2.resize(values, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)

        alpha, foreground = fit(row.alpha), fit(row.foreground)
        blank = np.full_like(image, 255)
        truth, error = Tile(blank, 'no labels'), Tile(blank)
        if row.truth is not None:
            valid = np.ones(row.truth.shape, bool) if row.valid is None else row.valid
            difference = np.abs(row.alpha - row.truth)
            mean = difference[valid].mean() if valid.any() else float('nan')
            shown = resize_map(valid, image)
            truth = Tile(draw_alpha(np.where(shown, fit(row.truth), 0)), f'{100 * valid.mean():.0f} % labeled')
            error = error_tile(fit(difference), shown, 1, f'MAD {mean:.4f}', '1')
        lines.append(
            [
                *(Tile(image, row.name), truth, Tile(draw_alpha(alpha)), error),
                Tile(over(foreground, alpha, checkerboard(alpha.shape))),
                Tile(over(foreground, alpha, CHROMA_GREEN)),
            ]
        )
    return join_tiles(lines, COLUMNS, places.blocks)
