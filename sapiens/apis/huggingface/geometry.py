"""Pixels and geometry of inputs as transformers makes them."""

# C channels, B boxes, h w size of the network's input, H W size of an image

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sapiens.utils.crop import fit_aspect

__all__ = ['center_and_scale', 'letterbox', 'pixels', 'resize']

BOX_PADDING = 1.25


def pixels(image) -> Tensor:
    """(3, H, W) uint8 RGB of a PIL image, or of an array (H, W, 3).

    Raises:
        ValueError: an array of another shape or type.
    """
    image = np.array(image.convert('RGB')) if isinstance(image, Image.Image) else np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f'an image is (H, W, 3) uint8 RGB, found {image.shape} {image.dtype}')
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)


def resize(maps: Tensor, size: tuple[int, int], mode: str = 'bilinear') -> Tensor:
    """(C, H, W) at another size, bilinear with antialiasing, rounded as uint8."""
    options = dict(mode=mode) if mode == 'nearest-exact' else dict(mode=mode, antialias=True, align_corners=False)
    dtype = torch.uint8 if maps.dtype == torch.uint8 else torch.float32
    return F.interpolate(maps[None].to(dtype), size, **options)[0]


def letterbox(image_size: Sequence[int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, left, height and width of an image (H, W) in the input (h, w). transformers cuts sizes to whole pixels."""
    factor = min(size[0] / image_size[0], size[1] / image_size[1])
    height, width = (max(int(side * factor), 1) for side in image_size)  # it fails where a side becomes 0
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width


def center_and_scale(boxes: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Centers and sizes (B, 2) of the padded boxes (B, 4), widened to the aspect of the input (w, h)."""
    scale = np.array([fit_aspect(box[2:] * BOX_PADDING, size) for box in boxes]).reshape(-1, 2)
    return boxes[:, :2] + boxes[:, 2:] / 2, scale
