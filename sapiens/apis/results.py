"""What the models say about one image, as plain arrays that draw and save themselves.

Pictures are (H, W, 3) uint8 RGB. Points are (x, y) in pixels of the image with the centre of the top-left pixel at (0, 0);
boxes are x1, y1, x2, y2. Camera frame: x right, y down, z forward.

Legend: N people, K keypoints, C channels, H W the image, h w a feature map.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from sapiens.metainfo import ClassList, Skeleton
from sapiens.visualization.depth import depth_limits
from sapiens.visualization.labels import draw_depth, draw_normals, draw_segmentation
from sapiens.visualization.people import draw_people
from sapiens.visualization.segmentation import draw_legend

from .writers.files import Saving, save_result

__all__ = ['DepthResult', 'FeatureResult', 'NormalResult', 'PoseResult', 'Result', 'SegResult']


@dataclass
class Result:
    """What all results have in common.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright.
        path: where the image came from; '' for pixels that were given.
        task: which model it is from.
    """

    image: np.ndarray
    path: str = ''
    task: ClassVar[str] = ''

    def draw(self) -> np.ndarray:
        """A picture of the result."""
        raise NotImplementedError

    def save(self, folder: str | Path, name: str | None = None, **options) -> list[Path]:
        """Write the result's files, each to a temporary name first, and return their paths.

        Args:
            folder: made where it does not exist.
            name: of the files, without suffix; by default that of the image.
            **options: fields of :class:`sapiens.apis.writers.files.Saving`: what to write and how to draw.

        Raises:
            ValueError: an unknown option or kind of file, or no name.
        """
        if name is None:
            name = Path(self.path).stem
        if not name:
            raise ValueError("a result of pixels without a path has no name: give one, save(folder, name='person')")
        return save_result(self, Path(folder) / name, Saving(**options))

    def _size(self) -> tuple[int, int]:
        return self.image.shape[:2]


@dataclass
class PoseResult(Result):
    """The keypoints of the people of an image.

    Attributes:
        keypoints: (N, K, 2) float32; NaN where a keypoint was not asked for.
        scores: (N, K) float32; 0 where a keypoint was not asked for.
        boxes: (N, 4) float32, in which people were looked for.
        box_scores: (N,) float32; 1 for boxes without a score.
        skeleton: names, links and colours of the keypoints.
        heatmaps: where asked for, of each person (k, h, w) float32.
        heatmap_transforms: (N, 2, 3), from cells of the heatmaps to pixels of the image.
        track_ids: (N,) int, the same for one person all through a video; None for images.
    """

    keypoints: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 2), np.float32))
    scores: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    box_scores: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    skeleton: Skeleton | None = None
    heatmaps: list[np.ndarray] | None = None
    heatmap_transforms: np.ndarray | None = None
    track_ids: np.ndarray | None = None
    task: ClassVar[str] = 'pose'

    def __len__(self) -> int:
        return len(self.keypoints)

    def draw(self, **options) -> np.ndarray:
        """People over the image; options: see :func:`sapiens.visualization.draw_people`."""
        return draw_people(
            self.image, self.keypoints, self.scores, self.skeleton, boxes=self.boxes, ids=self.track_ids, **options
        )


@dataclass
class SegResult(Result):
    """A class for each pixel.

    Attributes:
        labels: (H, W) uint8.
        classes: names and colours of the labels.
    """

    labels: np.ndarray | None = None
    classes: ClassList | None = None
    task: ClassVar[str] = 'seg'

    @property
    def foreground(self) -> np.ndarray:
        """(H, W) bool: every class but the background."""
        return self.labels > 0

    def draw(self, opacity: float = 0.5, legend: bool = False) -> np.ndarray:
        """The classes' colours over the image, where asked for with their names below it."""
        picture = draw_segmentation(self.image, self.labels, self.classes.palette, opacity)
        if not legend:
            return picture
        found = [index for index in np.unique(self.labels).tolist() if 0 < index < len(self.classes)]
        return np.concatenate([picture, draw_legend(self.classes, found, picture.shape[1])])

    def cutout(self) -> np.ndarray:
        """(H, W, 4) uint8 RGBA: the image with a transparent background."""
        return np.dstack([self.image, np.where(self.foreground, 255, 0).astype(np.uint8)])


@dataclass
class DepthResult(Result):
    """A depth for each pixel.

    Attributes:
        depth: (H, W) float32; larger is farther.
        relative: True where 0 is about the nearest and 1 the farthest point of the person, False for metres.
        mask: (H, W) bool, where depth means something; None for everywhere. The map itself is never masked.
    """

    depth: np.ndarray | None = None
    relative: bool = True
    mask: np.ndarray | None = None
    task: ClassVar[str] = 'depth'

    @property
    def valid(self) -> np.ndarray:
        """(H, W) bool: finite, and inside of the mask where there is one."""
        finite = np.isfinite(self.depth)
        return finite if self.mask is None else finite & self.mask

    def draw(self, limits: tuple[float, float] | None = None) -> np.ndarray:
        """Near is bright, far is dark, grey is outside of the mask.

        Args:
            limits: the depths that are brightest and black, so that pictures can be compared; by default those of the image,
                without the outermost half percent at either end.
        """
        return draw_depth(self.depth, self.valid, depth_limits(self.depth, self.valid) if limits is None else limits)

    def normals(self, relief: float = 2048.0) -> np.ndarray:
        """(H, W, 3) float32 unit vectors in the camera frame, from how the depth changes; zeros outside of the mask.

        Args:
            relief: the extent of the whole depth range in pixels. What it really is, relative depth does not say; 2048 is what
                the published pictures amount to.
        """
        valid = self.valid
        low, high = (
            (float(value) for value in (self.depth[valid].min(), self.depth[valid].max())) if valid.any() else (0, 0)
        )
        scaled = np.where(valid, (self.depth - low) / max(high - low, 1e-9), 0).astype(np.float32)
        # A 7 x 7 Sobel kernel answers a slope of 1 per pixel with 2048.
        slope = [cv2.Sobel(scaled, cv2.CV_32F, *axis, ksize=7, scale=relief / 2048) for axis in ((1, 0), (0, 1))]
        normal = np.dstack([*slope, -np.ones_like(scaled)])
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        return np.where(valid[..., None], normal, np.float32(0))

    def points(self, fov: float = 50.0, distance: float = 2.0, extent: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
        """The visible surface as a cloud of points.

        Args:
            fov: what the camera sees along the image's longer side, in degrees; the image does not tell.
            distance: of the nearest point, for relative depth, in the unit wanted.
            extent: from the nearest to the farthest point, for relative depth.

        Returns:
            (M, 3) float32 in the camera frame, one for each valid pixel, and their colours (M, 3) uint8 RGB.

        Raises:
            ValueError: an angle that no camera has.
        """
        if not 0 < fov < 180:
            raise ValueError(f'fov={fov!r}: expected degrees between 0 and 180')
        valid = self.valid
        height, width = self.depth.shape
        z = self.depth[valid].astype(np.float32)
        if self.relative:
            z = distance + extent * z
        focal = max(height, width) / 2 / np.tan(np.radians(fov) / 2)
        y, x = np.nonzero(valid)
        rays = np.stack([(x - (width - 1) / 2) / focal, (y - (height - 1) / 2) / focal, np.ones_like(z)], -1)
        return (rays * z[:, None]).astype(np.float32), self.image[valid]


@dataclass
class NormalResult(Result):
    """A surface normal for each pixel.

    Attributes:
        normals: (H, W, 3) float32 unit vectors in the camera frame: a surface that faces the camera has (0, 0, -1).
        mask: (H, W) bool, where they mean something; None for everywhere. The map itself is never masked.
    """

    normals: np.ndarray | None = None
    mask: np.ndarray | None = None
    task: ClassVar[str] = 'normal'

    @property
    def published(self) -> np.ndarray:
        """The normals in the frame of the published files: x right, y up, z towards the camera."""
        return self.normals * np.array([1, -1, -1], np.float32)

    def draw(self) -> np.ndarray:
        """Red right, green up, blue towards the camera; grey outside of the mask."""
        return draw_normals(self.published, np.ones(self._size(), bool) if self.mask is None else self.mask)


@dataclass
class FeatureResult(Result):
    """The encoder's last feature map.

    Attributes:
        features: (C, h, w) float32 or float16.
    """

    features: np.ndarray | None = None
    task: ClassVar[str] = 'features'

    def draw(self) -> np.ndarray:
        """The three directions in which the features of the patches differ most as red, green and blue, at the image's size."""
        flat = self.features.reshape(len(self.features), -1).astype(np.float32).T  # (h w, C)
        flat = flat - flat.mean(0)
        axes = np.linalg.svd(flat, full_matrices=False)[2][:3]
        axes *= np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(1)] < 0, -1, 1)[:, None]  # a sign of its own
        parts = np.zeros((len(flat), 3), np.float32)
        parts[:, : len(axes)] = flat @ axes.T
        low, high = np.percentile(parts, (2, 98), axis=0)
        shown = np.clip((parts - low) / np.maximum(high - low, 1e-9), 0, 1).reshape(*self.features.shape[1:], 3)
        height, width = self._size()
        return cv2.resize(
            np.rint(shown * 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT
        )
