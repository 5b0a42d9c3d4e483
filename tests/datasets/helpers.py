"""Small image files and tar shards."""

import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image


def smooth_image(width=96, height=64, seed=0) -> np.ndarray:
    """A smooth random RGB image, (H, W, 3) uint8: JPEG keeps it nearly as it is."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC))


def encode(image, format='JPEG', **options) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def write_shard(path, names, size=(24, 16), extra=True) -> list[int]:
    """A WebDataset shard: for each name a JPEG of one gray level and a JSON. Returns the JPEGs' sizes."""
    sizes = []
    with tarfile.open(path, 'w') as tar:
        for i, name in enumerate(names):
            pixels = np.full((size[1], size[0], 3), 10 + i, np.uint8)
            members = [(f'{name}.jpg', encode(pixels))] + ([(f'{name}.json', b'{}')] if extra else [])
            sizes.append(len(members[0][1]))
            for member, data in members:
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return sizes


def photographs() -> list[str]:
    """Real photographs below $SAPIENS_TEST_DATA; skips the test without them."""
    root = os.environ.get('SAPIENS_TEST_DATA', '')
    paths = [
        os.path.join(root, folder, name)
        for folder in ('people', 'coco/val2017')
        if root and os.path.isdir(os.path.join(root, folder))
        for name in sorted(os.listdir(os.path.join(root, folder)))
        if name.endswith('.jpg')
    ]
    if not paths:
        pytest.skip('SAPIENS_TEST_DATA does not name a folder with people/*.jpg or coco/val2017/*.jpg')
    return paths
