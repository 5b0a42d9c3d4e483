"""Backgrounds for cut-out people: a color, a picture or a video."""

import threading
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import ImageColor

from sapiens.datasets.transforms.decoding import BadImage
from sapiens.visualization.matting import CHROMA_GREEN, checkerboard

from .inputs import is_video, read_pixels
from .video.video_file import Frame, VideoReader

__all__ = ['Backdrop', 'Film', 'find_backdrop']


ROUNDING = 1e-4  # seconds: times of frames are sums of fractions


class Backdrop:
    """A background that does not change.

    Args:
        pixels: (H, W, 3) uint8 RGB; None for the squares that show transparency.
    """

    def __init__(self, pixels: np.ndarray | None) -> None:
        self.pixels = pixels
        self._lock, self._fitted = threading.Lock(), (None, None)

    def at(self, size: tuple[int, int], time: float = 0.0) -> np.ndarray:
        """Return the background of an image, (H, W, 3) uint8 RGB: scaled to cover it, and centered.

        Args:
            size: (H, W) of the image.
            time: in seconds from the start of the video that the image is a frame of.
        """
        with self._lock:
            if self._fitted[0] != size:
                self._fitted = size, checkerboard(size) if self.pixels is None else cover(self.pixels, size)
            return self._fitted[1]


class Film(Backdrop):
    """A background that moves. It starts again at its end.

    Args:
        path: of a video.

    Raises:
        BadImage: not a video.
        ImportError: PyAV is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(None)
        self.path = path
        self._play(0.0)

    def _play(self, start: float) -> None:
        """Show the first frame, at the time ``start``."""
        reader = VideoReader(self.path)
        self._start, self._frames, self._rate = start, iter(reader), float(reader.rate)
        self._following: Frame | None = next(self._frames, None)
        if self._following is None:
            raise BadImage(f'{self.path} has no frames')
        self._step()

    def _step(self) -> None:
        """Show the following frame, from ``_since`` until ``_until``."""
        self._shown: Frame = self._following
        self._following = next(self._frames, None)
        self._since = self._start + float(self._shown.time)
        self._until = self._since + max(float(self._shown.duration), 1 / self._rate)
        if self._following is not None:
            self._until = self._start + float(self._following.time)

    def at(self, size: tuple[int, int], time: float = 0.0) -> np.ndarray:
        with self._lock:
            if time < self._since:
                self._play(0.0)
            while time >= self._until - ROUNDING:
                if self._following is None:
                    self._play(self._until)
                else:
                    self._step()
            return cover(self._shown.pixels, size)


def cover(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a picture (h, w, 3) to cover a size (H, W), and crop it around its center."""
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return pixels
    scale = max(size[0] / height, size[1] / width)
    large = max(size[1], round(width * scale)), max(size[0], round(height * scale))
    resized = cv2.resize(pixels, large, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (large[1] - size[0]) // 2, (large[0] - size[1]) // 2
    return np.ascontiguousarray(resized[top : top + size[0], left : left + size[1]])


@lru_cache(maxsize=4)
def find_backdrop(text: str) -> Backdrop:
    """Find the background that a text names.

    Args:
        text: ``'green'`` (of chroma keys), ``'transparent'`` (squares), another color of HTML (``'white'``, ``'#20a0ff'``), or
            the path or URL of an image or a video.

    Raises:
        BadImage: a file that cannot be read.
        ValueError: neither a color nor a file.
    """
    if text == 'green':
        return Backdrop(np.full((1, 1, 3), CHROMA_GREEN, np.uint8))
    if text == 'transparent':
        return Backdrop(None)
    try:
        color = ImageColor.getcolor(text, 'RGB')
    except ValueError:
        pass
    else:
        return Backdrop(np.full((1, 1, 3), color, np.uint8))
    if '://' not in text and not Path(text).expanduser().is_file():
        raise ValueError(f'background {text!r} is neither a color, such as white or #20a0ff, nor a file')
    if is_video(text):
        return Film(str(Path(text).expanduser()))
    try:
        return Backdrop(read_pixels(str(Path(text).expanduser()) if '://' not in text else text))
    except BadImage as error:
        raise BadImage(f'background {text!r}: {error}') from error
