"""One rendered image with all labels."""

from dataclasses import dataclass, field

import numpy as np

from .camera import Camera

__all__ = ['PersonLabel', 'SyntheticSample']


@dataclass
class PersonLabel:
    """Labels of one person in an image.

    Attributes:
        instance: value of this person in :attr:`SyntheticSample.instance`, 1 or more.
        keypoints: skeleton ('coco17', 'wholebody133', 'goliath308') -> (K, 3) float32: x, y in pixels, and COCO's
            visibility v: 2 visible, 1 inside the image but hidden, 0 outside the image or unknown (then x = y = 0).
        keypoints_3d: the same skeletons -> (K, 3) float32 meters in the camera frame; NaN for missing keypoints.
        bbox: (4,) float32 x, y, w, h in pixels, around the visible pixels; zeros if there are none.
        area: number of visible pixels.
        attributes: age, gender, action and garments of the person, JSON-able.
    """

    instance: int
    keypoints: dict
    keypoints_3d: dict
    bbox: np.ndarray
    area: int
    attributes: dict = field(default_factory=dict)


@dataclass
class SyntheticSample:
    """An image and its labels; H x W is the same for all.

    Attributes:
        image: (H, W, 3) uint8 sRGB.
        depth: (H, W) float32 meters along z; 0 where unknown (a photograph as background, the sky).
        normal: (H, W, 3) float32 unit vectors in the camera frame (x right, y down, z forward: a surface that faces the
            camera has z = -1); zeros where nothing is known. See :mod:`sapiens.frames`.
        albedo: (H, W, 3) float32 linear RGB in [0, 1], the color without light.
        alpha: (H, W) float32 in [0, 1], the fraction of the pixel that people and their clothes cover, seen through the lens:
            with the blur of the image.
        foreground: (H, W, 3) float32 in [0, 1], sRGB-coded color of people without their background, times alpha.
        part: (H, W) uint8 classes of goliath28, 0 for background.
        part29: (H, W) uint8 classes of goliath29, which has a class for glasses; their frames, and the lenses of sunglasses.
        lip: (H, W) uint8 classes of lip20; 255 where LIP has no class (bare torso).
        instance: (H, W) uint8, 0 or the :attr:`PersonLabel.instance` of the person.
        camera: the camera; ``camera.unproject(depth)`` gives the 3D points.
        people: the people with at least one visible pixel.
        seed: seed of this image.
    """

    image: np.ndarray
    depth: np.ndarray
    normal: np.ndarray
    albedo: np.ndarray
    alpha: np.ndarray
    foreground: np.ndarray
    part: np.ndarray
    part29: np.ndarray
    lip: np.ndarray
    instance: np.ndarray
    camera: Camera
    people: list
    seed: int = 0

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: pixels whose center shows a person."""
        return self.instance > 0
