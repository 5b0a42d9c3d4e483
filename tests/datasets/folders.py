"""Small folders of images with dense labels."""

import numpy as np
from PIL import Image

from .helpers import smooth_image
from .scenes import render

SIZE = (60, 80)


def write_png(path, array) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return str(path)


def write_array(path, array) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return str(path)


def write_labels(root, count=3, images='images', labels='labels', suffix='jpg', ending='', size=SIZE, first=0):
    """Images and label maps of a scene; returns the labels."""
    scene = render(size)
    for i in range(first, first + count):
        write_png(root / images / f'{i:06d}.{suffix}', smooth_image(*size, seed=i))
        write_png(root / labels / f'{i:06d}{ending}.png', scene['gt_sem_seg'])
    return scene['gt_sem_seg']


def write_geometry(root, count=3, images='rgb', depth='depth', normal='normal', mask='mask', size=SIZE) -> dict:
    """Images, depth, normals in the published frame, masks; returns the scene."""
    scene = render(size)
    for i in range(count):
        write_png(root / images / f'{i:06d}.png', smooth_image(*size, seed=i))
        write_array(root / depth / f'{i:06d}.npy', scene['gt_depth'])
        write_array(root / normal / f'{i:06d}.npy', scene['gt_normal'] * np.float32([1, -1, -1]))
        write_png(root / mask / f'{i:06d}.png', scene['gt_mask'].astype(np.uint8) * 255)
    return scene
