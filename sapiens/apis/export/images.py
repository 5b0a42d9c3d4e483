"""Images on which an export is compared with the eager model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sapiens.datasets.transforms.decoding import BadImage, resize

from ..inputs import read_pixels

__all__ = ['load_images']


def load_images(files: Sequence[str | Path], size: tuple[int, int]) -> list[Tensor]:
    """Load the central part of photographs, of the aspect of ``size``, resized.

    Args:
        files: images. The default is the portrait of an astronaut in scikit-image (NASA, public domain).
        size: (h, w) in pixels.

    Returns:
        uint8 (3, h, w) RGB each.

    Raises:
        FileNotFoundError, ValueError: a file that does not exist, or is not an image.
    """
    images = []
    for file in files:
        path = Path(file).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f'no image {path}')
        try:
            images.append(read_pixels(path))
        except BadImage as error:
            raise ValueError(f'{path}: {error}') from error
    if not images:
        from skimage.data import astronaut

        images = [astronaut()]
    return [_fit(np.ascontiguousarray(pixels), size) for pixels in images]


def _fit(pixels: np.ndarray, size: tuple[int, int]) -> Tensor:
    (height, width), (h, w) = pixels.shape[:2], size
    scale = max(h / height, w / width)
    rows, columns = max(1, min(height, round(h / scale))), max(1, min(width, round(w / scale)))
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = np.ascontiguousarray(pixels[top : top + rows, left : left + columns])
    return torch.from_numpy(resize(middle, (w, h), 'bilinear')).permute(2, 0, 1).contiguous()
