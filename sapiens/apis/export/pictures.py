"""Pictures to compare an export with the eager model on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sapiens.datasets.transforms.decoding import BadImage, EncodedImage, resize

__all__ = ['load_pictures']


def load_pictures(files: Sequence[str | Path], size: tuple[int, int]) -> list[Tensor]:
    """Photographs as the network would see a person that fills them: the middle, of the aspect of ``size`` (h, w), resized.

    Args:
        files: images; without any, the portrait of an astronaut that scikit-image brings along (NASA, public domain).
        size: (h, w) in pixels.

    Returns:
        uint8 (3, h, w) RGB each.

    Raises:
        FileNotFoundError, ValueError: a file that does not exist or is no image, with the reason.
    """
    pictures = []
    for file in files:
        path = Path(file).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f'no image {path}')
        try:
            image = EncodedImage(path.read_bytes())
            pixels, _ = image.crop((0, 0, *image.size), image.size, exact=True)
        except BadImage as error:
            raise ValueError(f'{path}: {error}') from error
        pictures.append(pixels)
    if not pictures:
        from skimage.data import astronaut

        pictures = [astronaut()]
    return [_fitted(np.ascontiguousarray(pixels), size) for pixels in pictures]


def _fitted(pixels: np.ndarray, size: tuple[int, int]) -> Tensor:
    (height, width), (h, w) = pixels.shape[:2], size
    scale = max(h / height, w / width)
    rows, columns = max(1, min(height, round(h / scale))), max(1, min(width, round(w / scale)))
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = np.ascontiguousarray(pixels[top : top + rows, left : left + columns])
    return torch.from_numpy(resize(middle, (w, h), 'bilinear')).permute(2, 0, 1).contiguous()
