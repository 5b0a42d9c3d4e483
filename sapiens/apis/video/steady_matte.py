"""Mattes without flicker: each frame's matte is averaged with the ones before it along the motion of the picture.

Legend: H W size of a frame in pixels; times in seconds.
"""

import math

import cv2
import numpy as np

__all__ = ['SteadyMatte']

# Longer side in pixels of the frames between which motion is estimated, and the reach of the motion of a person beyond its edge.
FLOW_SIZE, REACH = 640, 15


class SteadyMatte:
    """Low-pass filter of mattes over time.

    The matte of the frame before is moved by the optical flow (DIS, OpenCV) and averaged with the new one. It counts where the
    moved picture agrees with the new one, so a hand that appears, or another scene, is not averaged with what was there before.

    Args:
        cutoff: of the filter in Hz; lower is steadier.
        tolerance: difference of colors in gray levels at which the weight of the frame before has fallen to 1/e.

    Raises:
        ValueError: an argument is not above 0.
    """

    def __init__(self, cutoff: float = 2.0, tolerance: float = 12.0) -> None:
        if not cutoff > 0 or not tolerance > 0:
            raise ValueError(f'cutoff={cutoff!r}, tolerance={tolerance!r}: expected values above 0')
        self.cutoff, self.tolerance = cutoff, tolerance
        self.flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self.time: float | None = None
        self.image = self.matte = None

    def __call__(self, image: np.ndarray, matte: np.ndarray, time: float) -> np.ndarray:
        """Filter the next matte.

        Args:
            image: (H, W, 3) uint8 RGB, the frame.
            matte: (H, W, C) float32: alpha, or alpha and the premultiplied foreground.
            time: of the frame.

        Returns:
            (H, W, C) float32. The first frame, and the first of another size, is returned as it is.

        Raises:
            ValueError: the time does not follow that of the frame before.
        """
        if self.time is not None and time <= self.time:
            raise ValueError(f'time {time} does not follow {self.time}')
        filtered = matte
        if self.image is not None and self.image.shape == image.shape and self.matte.shape == matte.shape:
            places = self._places(image, matte)
            before = cv2.remap(self.image, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            moved = cv2.remap(self.matte, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            keep = math.exp(-2 * math.pi * self.cutoff * (time - self.time)) * self._agreement(image, before)
            keep = keep * _inside(*places)
            filtered = matte + keep[..., None] * (moved.reshape(matte.shape) - matte)
        self.time, self.image, self.matte = time, image, filtered
        return filtered

    def _places(self, image: np.ndarray, matte: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each pixel was in the frame before: x and y (H, W) float32. An edge moves with what it belongs to."""
        height, width = image.shape[:2]
        scale = min(1.0, FLOW_SIZE / max(height, width))
        # DIS needs a few pixels on each side.
        size = max(round(width * scale), 16), max(round(height * scale), 16)
        new, old = (
            cv2.resize(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
            for one in (image, self.image)
        )
        flow = self.flow.calc(new, old, None)
        inside = (cv2.resize(matte[..., 0], size, interpolation=cv2.INTER_AREA) > 0.95).astype(np.float32)[..., None]
        sums = cv2.blur(np.concatenate([flow * inside, inside], -1), (2 * REACH + 1, 2 * REACH + 1))
        flow = np.where(sums[..., 2:] > 0.01, sums[..., :2] / np.maximum(sums[..., 2:], 0.01), flow)
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        return columns + flow[..., 0] * (width / size[0]), rows + flow[..., 1] * (height / size[1])

    def _agreement(self, image: np.ndarray, before: np.ndarray) -> np.ndarray:
        """(H, W) in [0, 1]: 1 where the colors around a pixel are those of the frame before."""
        difference = cv2.absdiff(image, before).astype(np.float32).mean(-1)
        return np.exp(-cv2.blur(difference, (5, 5)) / self.tolerance)


def _inside(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(H, W) bool: places within the frame before."""
    height, width = columns.shape
    return (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
