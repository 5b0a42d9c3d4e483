"""One person of an image as the network's input: the box becomes a crop in one warp, and the labels follow.

Legend: points are (x, y) in pixels, the center of the top-left pixel is (0, 0); a size is (w, h); K keypoints.

The published pipeline mirrors the image and then cuts out a rotated box. Here both are one matrix, so pixels are sampled once and
only the visible part of the file is decoded.
"""

import math

import cv2
import numpy as np

from sapiens.registry import TRANSFORMS
from sapiens.utils.crop import crop_matrix, fit_aspect, transform_points

from .decoding import BadImage
from .loading import LoadingTransform, apply_pixel_changes, open_image
from .rejection import Rejected
from .view import border_of, shown_mask, visible_box

__all__ = ['LoadPerson']

# A bilinear sample reads the pixels around it. Pixels of a reduced decode are up to 8 wide, and its box may end 8 earlier.
_MARGIN = 20


@TRANSFORMS.register_module()
class LoadPerson(LoadingTransform):
    """Read an image and crop one person, upright or rotated, with random mirroring, and transform the labels.

    The box is widened to the aspect of ``size``, mirrored, rotated about its center and scaled so that its outermost pixel
    centers meet those of the crop ("unbiased data processing", `UDP <https://arxiv.org/abs/1911.07524>`_). Sampling is
    bilinear, black outside the image. With the same box and rotation this equals mmpose's ``RandomFlip`` and
    ``TopdownAffine(use_udp=True)``.

    Required Keys: img_path; or img_bytes; or img (uint8 (H, W, 3) RGB); bbox_center, bbox_scale (1, 2); where known
    bbox_rotation (1,) in degrees, turning x towards y; keypoints (1, K, 2), keypoints_visible (1, K), flip_indices; gt_alpha
    (H, W) float32, which becomes that of the crop; image_border (4,), beyond which the crop is black (:class:`CutByBorder`)

    Added Keys: img (uint8 (h, w, 3) RGB), img_shape and ori_shape (h, w), flip, input_size (w, h), input_center and
    input_scale (2,) float32: center and size of the box that the crop shows, in pixels of the original image; warp_matrix
    (2, 3) float64, from the original image to the crop; if labeled transformed_keypoints (1, K, 2) and transformed_visible
    (1, K), in pixels of the crop, with left and right swapped in a mirrored one. Keys about the original image (bbox, keypoints,
    keypoints_visible) stay.

    Args:
        size: of the crop in pixels, (w, h).
        flip_prob: probability of mirroring; 0 in evaluation.
        min_visible: reject a sample with fewer labeled keypoints inside the crop before its file is read; the dataset draws
            another one. 0 keeps all.
        touching: ``dict(sigma=6.0, heatmap_size=(192, 256))``, in cells: ``min_visible`` counts as published, also the keypoints
            outside whose Gaussian of 3 sigma reaches into the heatmap (72 pixels of a crop of 768 x 1024, and rounding).
            None counts those inside the crop.
        interpolation: 'bilinear'; or 'published' for the pixels of the published Sapiens2 code, which takes OpenCV's cubic where
            a crop is upsampled along both axes.
        decode: 'exact' samples the full image; 'fast' decodes JPEGs at a half, a quarter or an eighth of their
            scale where the crop is that much smaller, and upsamples their chroma plainly.
        max_megapixels: larger images are bad files.

    Raises:
        ValueError: an argument out of its range, or a box that is not finite.
        Rejected: fewer than ``min_visible`` points.
        BadImage: a file that cannot be used.
    """

    interpolations = ('bilinear', 'published')

    def __init__(
        self,
        size: tuple,
        flip_prob: float = 0.0,
        min_visible: int = 0,
        decode: str = 'exact',
        max_megapixels: float = 150,
        interpolation: str = 'bilinear',
        touching: dict | None = None,
    ):
        super().__init__(size, interpolation, decode, max_megapixels, flip_prob)
        if min(self.size) < 2:
            raise ValueError(f'size={size!r}: a crop has 2 pixels or more on each side')
        if not (isinstance(min_visible, int) and min_visible >= 0):
            raise ValueError(f'min_visible={min_visible!r}: expected a number of keypoints, 0 to keep every sample')
        if touching is not None and (set(touching) != {'sigma', 'heatmap_size'} or not min_visible):
            raise ValueError(f'touching={touching!r}: expected sigma and heatmap_size, and min_visible above 0')
        self.min_visible, self.touching = min_visible, touching

    def transform(self, results: dict) -> dict:
        flip = bool(self.flip_prob and np.random.random() < self.flip_prob)
        center = results['bbox_center'][0]
        scale = fit_aspect(results['bbox_scale'][0], self.size)
        rotation = results['bbox_rotation'][0] if 'bbox_rotation' in results else 0.0
        if not (np.isfinite(center).all() and np.isfinite(scale).all() and math.isfinite(rotation)):
            raise ValueError(
                f'{results["img_path"]}, annotation {results.get("id")}: the box has center {center}, size {scale} and '
                f'rotation {rotation} after augmentation, which is not finite'
            )
        matrix = crop_matrix(center, scale, rotation, self.size, flip)
        if results.get('keypoints') is not None:
            self._move_labels(results, matrix, flip)
        image = open_image(results, self.max_megapixels)
        results['img'] = self._warp(results, image, matrix)
        if 'image_border' in results:
            border = border_of(dict(results, ori_shape=image.size[::-1]))
            results['img'][~shown_mask(matrix, border, self.size)] = 0
        if 'gt_alpha' in results:
            self._move_alpha(results, image, matrix)
        return self._describe(
            results,
            image,
            flip=flip,
            warp_matrix=matrix,
            input_size=self.size,
            input_center=center.astype(np.float32),
            input_scale=scale.astype(np.float32),
            bbox_scale=scale[None],
        )

    def _move_labels(self, results, matrix, flip):
        points, visible = results['keypoints'], results['keypoints_visible']
        if flip:
            points, visible = points[:, results['flip_indices']], visible[:, results['flip_indices']]
        points = transform_points(points, matrix)
        if self.min_visible:
            if self.touching:
                counted, where = self._reach_heatmap(points), 'that reach into the heatmap'
            else:
                counted, where = ((points > -0.5) & (points < np.array(self.size) - 0.5)).all(-1), 'inside the crop'
            count = int((counted & (visible > 0)).sum())
            if count < self.min_visible:
                raise Rejected(f'{count} labeled keypoints {where}, min_visible={self.min_visible}')
        results['transformed_keypoints'] = points.astype(np.float32)
        results['transformed_visible'] = visible.astype(np.float32)

    def _move_alpha(self, results, image, matrix):
        alpha = results['gt_alpha']
        if alpha.shape != image.size[::-1]:
            raise BadImage(
                f'the alpha is {alpha.shape[1]} x {alpha.shape[0]}, the upright image {image.size[0]} x {image.size[1]} (w x h)'
            )
        moved = cv2.warpAffine(alpha, matrix, self.size, flags=cv2.INTER_LINEAR)
        if 'image_border' in results:
            border = border_of(dict(results, ori_shape=image.size[::-1]))
            moved *= shown_mask(matrix, border, self.size)
        results['gt_alpha'] = moved

    def _reach_heatmap(self, points: np.ndarray) -> np.ndarray:
        """(1, K) bool: whether the window of the keypoint's Gaussian meets the heatmap, rounded as mmpose rounds it."""
        cells = np.array(self.touching['heatmap_size'])
        nearest = np.trunc(points * (cells - 1) / (np.array(self.size) - 1) + 0.5)
        radius = 3 * self.touching['sigma']
        first, last = np.trunc(nearest - radius), np.trunc(nearest + radius + 1)
        return ((first < cells) & (last >= 0)).all(-1)

    def is_cubic(self, matrix: np.ndarray) -> bool:
        """Whether a crop by this matrix (2, 3) is interpolated cubically."""
        return self.interpolation == 'published' and bool(np.hypot(*matrix[:, :2]).min() >= 1)

    def _warp(self, results, image, matrix) -> np.ndarray:
        box = visible_box(matrix, self.size, image.size, 1 if self.exact else _MARGIN)
        if box is None:
            return apply_pixel_changes(results, np.zeros((*self.size[::-1], 3), np.uint8))
        x, y, w, h = box
        if self.exact:
            # The decoder starts at the top anyway. Without an offset the matrix stays exact.
            x, y, w, h = 0, 0, x + w, y + h
        # The size of the box in the crop decides the scale of the decode.
        zoom = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
        pixels, (x, y, w, h) = image.crop((x, y, w, h), (w * zoom, h * zoom), self.exact)
        if (x, y) != (0, 0) or (w, h) != pixels.shape[1::-1]:
            # A pixel of a reduced decode is centered in the pixels that it covers.
            factor = np.array([w / pixels.shape[1], h / pixels.shape[0]])
            shift = transform_points(np.array([x, y]) + (factor - 1) / 2, matrix)
            matrix = np.column_stack([matrix[:, :2] * factor, shift])
        # The cost of color changes grows with the pixels: apply them before the warp if there are fewer, padding included.
        early = not self.exact and pixels.shape[0] * pixels.shape[1] < self.size[0] * self.size[1]
        border = (0, 0, 0)
        if early and results.get('pixel_changes'):
            pixels = apply_pixel_changes(results, pixels)
            border = apply_pixel_changes(results, np.zeros((1, 1, 3), np.uint8))[0, 0].tolist()
        # Four channels take less than half the time of three, with the same result.
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
        flags = cv2.INTER_CUBIC if self.is_cubic(matrix) else cv2.INTER_LINEAR
        pixels = cv2.warpAffine(pixels, matrix, self.size, flags=flags, borderValue=border)
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)
        return pixels if early else apply_pixel_changes(results, pixels)
