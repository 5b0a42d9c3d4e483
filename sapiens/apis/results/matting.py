"""Mattes: how much of each pixel is people, and their color without what is behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from sapiens.datasets.transforms.alpha import compose_linear
from sapiens.visualization.matting import draw_alpha, over

from ..backdrop import find_backdrop
from .base import PICTURE, Result, ResultFile
from .saving import CHOICES, Saving

__all__ = ['MattingResult']


def _alpha(result: 'MattingResult', saving: Saving) -> np.ndarray:
    return result.alpha if saving.map_format == 'npy' else draw_alpha(result.alpha)[..., 0]


def _foreground(result: 'MattingResult', saving: Saving) -> np.ndarray:
    if saving.map_format == 'npy':
        return result.foreground
    return np.rint(result.foreground * 255).astype(np.uint8)


@dataclass(repr=False)
class MattingResult(Result):
    """Alpha and foreground of each pixel. The image is ``foreground + (1 - alpha) * background``.

    Attributes:
        alpha: (H, W) float32 in [0, 1], the fraction of the pixel that people cover.
        foreground: (H, W, 3) float32 in [0, 1], sRGB-coded color of people times alpha, as predicted at the size of the network's
            input.
    """

    alpha: np.ndarray | None = None
    foreground: np.ndarray | None = None
    task: ClassVar[str] = 'matting'
    files: ClassVar[tuple[ResultFile, ...]] = (
        ResultFile(
            'alpha',
            '_alpha.{map_format}',
            _alpha,
            default=True,
            about='(H, W) float32, fraction of each pixel that is the person',
        ),
        PICTURE,
        ResultFile(
            'cutout',
            '_cutout.png',
            lambda result, saving: result.cutout(saving.colors),
            default=True,
            about='the person as an image with transparency',
        ),
        ResultFile(
            'foreground',
            '_foreground.{map_format}',
            _foreground,
            about='(H, W, 3), colors of the person without the background',
        ),
    )

    @classmethod
    def read_fields(cls, fields: Mapping[str, Tensor], task) -> dict:
        foreground = fields['foreground'].float().permute(1, 2, 0).contiguous().cpu().numpy()
        return dict(alpha=fields['alpha'][0].float().cpu().numpy(), foreground=foreground)

    @property
    def person(self) -> np.ndarray:
        """(H, W) bool: pixels that people cover by half or more."""
        return self.alpha >= 0.5

    def straight(self, colors: str = 'predicted') -> np.ndarray:
        """Return the color of people, not multiplied by alpha, (H, W, 3) float32 in [0, 1], sRGB-coded; 0 where alpha is 0.

        Args:
            colors: ``'predicted'``, as published: at the size of the network's input, so that a large photograph loses detail.
                ``'photo'``: those of the photograph by the fraction alpha, so that only edges have predicted colors.

        Raises:
            ValueError: unknown colors.
        """
        if colors not in CHOICES['colors']:
            raise ValueError(f'colors={colors!r} is not one of {CHOICES["colors"]}')
        alpha = self.alpha[..., None]
        found = np.clip(self.foreground / np.maximum(alpha, 1 / 255), 0, 1)
        if colors == 'photo':
            found = alpha * (self.image / np.float32(255)) + (1 - alpha) * found
        return np.where(alpha > 0, found, 0).astype(np.float32)

    def cutout(self, colors: str = 'predicted') -> np.ndarray:
        """Return people on a transparent background, (H, W, 4) uint8 RGBA, with colors that are not multiplied by alpha.

        Args:
            colors: see :meth:`straight`.
        """
        return np.rint(np.dstack([self.straight(colors), np.clip(self.alpha, 0, 1)]) * 255).astype(np.uint8)

    def composite(
        self, background: np.ndarray | Sequence[int], light: str = 'srgb', colors: str = 'predicted'
    ) -> np.ndarray:
        """Put people in front of another background.

        Args:
            background: (H, W, 3) uint8 RGB, or one color (3,).
            light: ``'srgb'`` mixes coded values, as published. ``'linear'`` mixes light, as a lens does: soft edges between
                dark and bright are then not too dark.
            colors: see :meth:`straight`.

        Returns:
            (H, W, 3) uint8 RGB.

        Raises:
            ValueError: unknown light or colors, or a background of another size.
        """
        if light not in CHOICES['light']:
            raise ValueError(f'light={light!r} is not one of {CHOICES["light"]}')
        size = self.alpha.shape
        background = np.asarray(background)
        if background.shape not in ((3,), (*size, 3)):
            given = background.shape or repr(background.item())
            raise ValueError(f'background {given}: expected ({size[0]}, {size[1]}, 3), or a color (3,)')
        if background.dtype != np.uint8 and not ((background >= 0) & (background <= 255)).all():
            raise ValueError(f'background from {background.min()} to {background.max()}: expected levels of 0 to 255')
        straight = self.straight(colors)
        if light == 'srgb':
            # Predicted colors above their alpha stay, as published.
            front = self.foreground if colors == 'predicted' else straight * self.alpha[..., None]
            return over(front, self.alpha, background)
        front = np.rint(straight * 255).astype(np.uint8)
        behind = np.broadcast_to(background.astype(np.uint8), (*size, 3))
        return compose_linear(front, behind, np.clip(self.alpha, 0, 1))

    def draw(self, over: str = 'green', light: str = 'srgb', colors: str = 'predicted') -> np.ndarray:
        """Draw people in front of a background.

        Args:
            over: see :func:`sapiens.apis.backdrop.find_backdrop`.
            light, colors: see :meth:`composite`.
        """
        return self.composite(find_backdrop(over).at(self.alpha.shape, self.time or 0.0), light, colors)

    def drawing(self, saving: Saving) -> np.ndarray:
        return self.draw(saving.over, saving.light, saving.colors)

    def summary(self) -> str:
        return f'{100 * self.alpha.mean():.0f} % people'
