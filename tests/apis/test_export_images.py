"""Images that an export is compared on."""

import numpy as np
import pytest
from PIL import Image

from sapiens.apis.export.images import load_images


@pytest.mark.parametrize(('height', 'width'), [(40, 80), (80, 40), (200, 90)])
def test_the_largest_central_part_of_the_aspect_is_resized(tmp_path, height, width):
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.arange(width)
    pixels[..., 1] = np.arange(height)[:, None]
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    (image,) = load_images([tmp_path / 'a.png'], (64, 48))
    assert image.shape == (3, 64, 48)
    scale = max(64 / height, 48 / width)
    for channel, axis, side, shown in ((0, 1, width, 48 / scale), (1, 0, height, 64 / scale)):
        seen = image[channel].float().mean(axis - 1 if axis else 1)
        first, last = (side - shown) / 2, (side + shown) / 2 - 1
        assert abs(seen[0] - first) < 1.5 and abs(seen[-1] - last) < 1.5
