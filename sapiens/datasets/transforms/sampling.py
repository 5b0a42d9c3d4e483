"""Sampling an image and its label maps through a view, in one resampling.

Legend: see :mod:`.view`.
"""

from collections.abc import Iterable, Mapping

import cv2
import numpy as np

from sapiens.metainfo.classes import IGNORE
from sapiens.tasks import get_field

from .decoding import DecodedImage, EncodedImage, resize
from .label_geometry import label_maps, shared_targets, transform_values
from .loading import apply_pixel_changes, open_image
from .view import View, chain, invert, shown_box, transform_intrinsics, visible_box, zoom_matrix

__all__ = ['INTERPOLATIONS', 'transform_sample']

INTERPOLATIONS = {'nearest': cv2.INTER_NEAREST, 'linear': cv2.INTER_LINEAR}
# A bilinear sample reads the pixels around it. Pixels of a reduced decode are up to 8 wide, and its box may end 8 earlier.
_MARGIN = 20
# Below this scale a bilinear sample would skip pixels: the image is averaged first.
_REDUCE_BELOW = 0.8
_SHIFT = 4  # fractional bits of coordinates in OpenCV's drawing


def transform_sample(
    results: dict,
    steps: Iterable,
    exact: bool = True,
    antialias: bool = True,
    interpolation: Mapping[str, str] | None = None,
    max_megapixels: float = 150,
) -> dict:
    """Open the image of a sample and take it, with its labels, through steps with ``draw(view, results) -> View``, in place.

    :class:`.LoadDense` describes the sample and the options.
    """
    image = open_image(results, max_megapixels)
    maps = label_maps(results, image.size)
    view = View(image.size)
    for step in steps:
        view = step.draw(view, results)
    results['img'] = _ImageSampler(exact, antialias).sample(results, image, view)
    results.pop('pixel_changes', None)
    follows = 'valid_mask' in maps and _follows_labels(maps)
    for key, values in maps.items():
        if key != 'valid_mask' or not follows:
            results[key] = _sample_labels(key, values, view, results, (interpolation or {}).get(key))
    if follows:
        results['valid_mask'] = results['gt_sem_seg'] != IGNORE
    results.update(img_shape=view.size[::-1], ori_shape=image.size[::-1], flip=view.mirrored, rotation=view.angle)
    results.update(warp_matrix=view.matrix, crop=shown_box(view, image.size))
    if 'intrinsics' in results:
        results['intrinsics'] = transform_intrinsics(results['intrinsics'], view)
    return results


class _ImageSampler:
    """Samples the pixels of an image, through the smaller images that a view passes."""

    def __init__(self, exact: bool, antialias: bool):
        self.exact, self.antialias = exact, antialias

    def sample(self, results: dict, image: EncodedImage | DecodedImage, view: View) -> np.ndarray:
        stages = [*view.stops, (view.matrix, view.size)]
        matrix, size = stages[0]
        box = visible_box(matrix, size, image.size, _MARGIN)
        if box is None:
            return apply_pixel_changes(results, np.zeros((*view.size[::-1], 3), np.uint8))
        zoom = np.hypot(*matrix[:, :2]).tolist()  # of x and of y
        pixels, box = image.crop(box, (box[2] * zoom[0], box[3] * zoom[1]), self.exact)
        # The cost of color changes grows with the pixels: apply them where there are fewest, padding included.
        counts = [pixels.shape[0] * pixels.shape[1], *(w * h for _, (w, h) in stages)]
        best = len(stages) if self.exact else int(np.argmin(counts))
        border, whole = (0, 0, 0), image.size
        for number in range(len(stages) + 1):
            if number:
                matrix, size = stages[number - 1]
                pixels = self._warp(pixels, box, whole, matrix, size, border)
                box, whole = (0, 0, *size), size
                if number < len(stages):
                    # The next matrix starts from this smaller image.
                    following, after = stages[number]
                    stages[number] = chain(following, invert(matrix)), after
            if number == best and results.get('pixel_changes'):
                pixels = apply_pixel_changes(results, pixels)
                border = apply_pixel_changes(results, np.zeros((1, 1, 3), np.uint8))[0, 0].tolist()
        return pixels

    def _warp(self, pixels, box, whole, matrix, size, border) -> np.ndarray:
        """Resample uint8 pixels that cover ``box`` of the image of size ``whole`` from which ``matrix`` starts."""
        inside = _corners_of(matrix, whole, size)
        if self.antialias:
            zoom = np.hypot(*matrix[:, :2]) * (box[2] / pixels.shape[1], box[3] / pixels.shape[0])
            want = tuple(
                max(1, round(count * scale)) if scale < _REDUCE_BELOW else count
                for count, scale in zip(pixels.shape[1::-1], zoom, strict=True)
            )
            if want != pixels.shape[1::-1]:
                pixels = resize(pixels, want, 'bilinear')
        x, y, w, h = box
        # A pixel of a reduced part is centered in the pixels of the box that it stands for.
        factor = np.array([w / pixels.shape[1], h / pixels.shape[0]])
        within = np.column_stack([np.diag(factor), np.array([x, y]) + (factor - 1) / 2])
        matrix = chain(matrix, within)
        if _is_identity(matrix, pixels, size):
            return pixels
        # Four channels take less than half the time of three, with the same result. The outermost pixels are repeated, not
        # mixed with black: half a pixel of a small image is much of a large one. One pixel of them is enough, since others are
        # replaced below, and is faster than OpenCV's repeated border.
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
        pixels = cv2.copyMakeBorder(pixels, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        pixels = cv2.warpAffine(pixels, chain(matrix, zoom_matrix(1, 1, -1, -1)), size, flags=cv2.INTER_LINEAR)
        if inside is not None:
            shown = np.zeros(size[::-1], np.uint8)
            cv2.fillConvexPoly(shown, inside, 1, shift=_SHIFT)
            outside = np.full(size[::-1], np.uint8([*border, 0]).view(np.uint32)[0])
            pixels = cv2.copyTo(pixels, shown, outside.view(np.uint8).reshape(*size[::-1], 4))
        return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)


def _sample_labels(key: str, values: np.ndarray, view: View, results: dict, interpolation: str | None) -> np.ndarray:
    field = get_field(key)
    interpolation = interpolation or field.interpolation
    padding = field.padding
    if view.padding != IGNORE:
        if key == 'gt_sem_seg':
            padding = view.padding
        elif key == 'valid_mask':
            # Outside the image there is a class then, but no value of another field.
            padding = int(shared_targets(results).keys() == {'sem_seg'})
    sampled = values.view(np.uint8) if values.dtype == bool else values
    if not _is_identity(view.matrix, values, view.size):
        flags = INTERPOLATIONS[interpolation]
        sampled = cv2.warpAffine(sampled, view.matrix, view.size, flags=flags, borderValue=(padding,) * 4)
        # OpenCV drops a last axis of one channel.
        sampled = sampled.reshape(*sampled.shape[:2], *values.shape[2:])
    sampled = sampled.view(bool) if values.dtype == bool else sampled
    return transform_values(key, field, sampled, view.turn, results, interpolation)


def _follows_labels(maps: dict) -> bool:
    """Whether the valid mask is where labels are not ignored, so that it can be derived from them after sampling."""
    only_labels = shared_targets(maps).keys() == {'sem_seg'}
    return only_labels and np.array_equal(maps['valid_mask'], maps['gt_sem_seg'] != IGNORE)


def _corners_of(matrix: np.ndarray, whole: tuple, size: tuple) -> np.ndarray | None:
    """(4, 2) int32 corners of an image of size ``whole`` in the result, as OpenCV draws them; None if the result shows nothing
    outside the image."""
    low, high = np.full(2, -0.5), np.array(whole) - 0.5
    outermost = np.array([[0, 0], [size[0] - 1, 0], [0, size[1] - 1], [size[0] - 1, size[1] - 1]])
    back = invert(matrix)
    seen = outermost @ back[:, :2].T + back[:, 2]
    if (seen > low - 1e-3).all() and (seen < high + 1e-3).all():
        return None
    # OpenCV also draws pixels that the border touches: half a pixel of the result inside, it touches those of the image.
    inset = 0.5 / np.hypot(*matrix[:, :2])
    low, high = np.minimum(low + inset, high), np.maximum(high - inset, low)
    corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]]]) @ matrix[:, :2].T + matrix[:, 2]
    return np.rint(corners * (1 << _SHIFT)).astype(np.int32)


def _is_identity(matrix: np.ndarray, pixels: np.ndarray, size: tuple) -> bool:
    return pixels.shape[1::-1] == tuple(size) and np.abs(matrix - np.eye(2, 3)).max() < 1e-6
