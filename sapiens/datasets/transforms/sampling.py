"""Sampling an image and its label maps through a view, in one resampling.

Legend: see :mod:`.view`.
"""

from collections.abc import Iterable, Mapping

import cv2
import numpy as np

from sapiens.metainfo.classes import IGNORE
from sapiens.tasks import MapField, get_field

from .camera import unproject
from .decoding import DecodedImage, EncodedImage, resize
from .label_geometry import label_maps, outside_value, shared_targets, transform_values
from .loading import apply_pixel_changes, change_foreground, open_image
from .view import View, chain, invert, shown_box, transform_intrinsics, visible_box, zoom_matrix

__all__ = ['INTERPOLATIONS', 'transform_sample']

INTERPOLATIONS = {'nearest': cv2.INTER_NEAREST, 'linear': cv2.INTER_LINEAR, 'image': cv2.INTER_LINEAR}
# A pixel of an averaged map counts where its valid fraction is above this.
_WHOLE = 0.999
# A bilinear sample reads the pixels around it. Pixels of a reduced decode are up to 8 wide, and its box may end 8 earlier.
_MARGIN = 20
# Below this scale a bilinear sample would skip pixels: the image is averaged first.
_REDUCE_BELOW = 0.8
# Depths of neighboring pixels that differ by less than this fraction are of one surface.
_SURFACE = 0.02
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
    if 'intrinsics' in results:
        results['intrinsics'] = transform_intrinsics(results['intrinsics'], view)
    follows = 'valid_mask' in maps and _follows_labels(maps)
    labels = _LabelSampler(view, maps, results, antialias, interpolation or {})
    for key in maps:
        if key != 'valid_mask' or not follows:
            results[key] = labels.sample(key)
    if follows:
        results['valid_mask'] = results['gt_sem_seg'] != IGNORE
    for change in results.pop('pixel_changes', ()):
        change_foreground(results, change)
    results.update(img_shape=view.size[::-1], ori_shape=image.size[::-1], flip=view.mirrored, rotation=view.angle)
    results.update(warp_matrix=view.matrix, crop=shown_box(view, image.size))
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
            return apply_pixel_changes(results, np.full((*view.size[::-1], 3), view.fill, np.uint8))
        zoom = np.hypot(*matrix[:, :2]).tolist()  # of x and of y
        pixels, box = image.crop(box, (box[2] * zoom[0], box[3] * zoom[1]), self.exact)
        # The cost of color changes grows with the pixels: apply them where there are fewest, padding included.
        counts = [pixels.shape[0] * pixels.shape[1], *(w * h for _, (w, h) in stages)]
        best = len(stages) if self.exact else int(np.argmin(counts))
        border, whole, done = (view.fill,) * 3, image.size, np.eye(2, 3)
        for number in range(len(stages) + 1):
            if number:
                matrix, size = stages[number - 1]
                pixels = self._warp(pixels, box, whole, chain(matrix, invert(done)), size, border)
                box, whole, done = (0, 0, *size), size, matrix
            if number == best and results.get('pixel_changes'):
                pixels = apply_pixel_changes(results, pixels)
                border = apply_pixel_changes(results, np.full((1, 1, 3), view.fill, np.uint8))[0, 0].tolist()
        return pixels

    def _warp(self, pixels, box, whole, matrix, size, border) -> np.ndarray:
        """Resample uint8 pixels that cover ``box`` of the image of size ``whole`` from which ``matrix`` starts."""
        inside = _corners_of(matrix, whole, size)
        if self.antialias:
            zoom = np.hypot(*matrix[:, :2]) * (box[2] / pixels.shape[1], box[3] / pixels.shape[0])
            want = _reduced_size(pixels, zoom)
            if want != pixels.shape[1::-1]:
                pixels = resize(pixels, want, 'bilinear')
        matrix = chain(matrix, _within(box, pixels))
        if _is_identity(matrix, pixels, size):
            return pixels
        # Four channels take less than half the time of three, with the same result. The outermost pixels are repeated, not
        # mixed with black: half a pixel of a small image is much of a large one. One pixel of them is enough, since others are
        # replaced below, and is faster than OpenCV's repeated border.
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
        pixels = cv2.copyMakeBorder(pixels, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        pixels = cv2.warpAffine(pixels, chain(matrix, zoom_matrix(1, 1, -1, -1)), size, flags=cv2.INTER_LINEAR)
        if inside is not None:
            outside = np.full(size[::-1], np.uint8([*border, 0]).view(np.uint32)[0])
            pixels = cv2.copyTo(pixels, _drawn(inside, size), outside.view(np.uint8).reshape(*size[::-1], 4))
        return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)


class _LabelSampler:
    """Samples the label maps of a sample through a view.

    Args:
        maps: of the original image.
        results: the sample, with the intrinsics of the view.
        antialias: whether maps of interpolation 'image' are averaged where the view reduces them.
        interpolation: by key, instead of the declared one.
    """

    def __init__(self, view: View, maps: dict, results: dict, antialias: bool, interpolation: Mapping[str, str]):
        self.view, self.maps, self.results, self.antialias = view, maps, results, antialias
        self.interpolation = interpolation

    def sample(self, key: str) -> np.ndarray:
        field, values = get_field(key), self.maps[key]
        interpolation = self.interpolation.get(key, field.interpolation)
        padding = outside_value(key, self.results, self.view.padding)
        soft = interpolation == 'image' or self._is_whole(key)
        if _is_identity(self.view.matrix, values, self.view.size) and not (soft and self.view.stops):
            sampled = values
        elif field.on_rays and 'intrinsics' in self.results:
            depth = self._warp_depth(np.ascontiguousarray(values[..., 2]), interpolation)
            return unproject(depth, self.results['intrinsics'])
        elif interpolation == 'image':
            sampled = self._average(field, values, padding)
        elif self._is_whole(key):
            sampled = self._soft(np.float32(values), padding) > _WHOLE
        else:
            sampled = self._warp(values, interpolation, padding)
        return transform_values(key, field, sampled, self.view.turn, self.results, interpolation)

    def _warp(self, values: np.ndarray, interpolation: str, padding: float) -> np.ndarray:
        sampled = values.view(np.uint8) if values.dtype == bool else values
        flags = INTERPOLATIONS[interpolation]
        sampled = cv2.warpAffine(sampled, self.view.matrix, self.view.size, flags=flags, borderValue=(padding,) * 4)
        # OpenCV drops a last axis of one channel.
        sampled = sampled.reshape(*sampled.shape[:2], *values.shape[2:])
        return sampled.view(bool) if values.dtype == bool else sampled

    def _warp_depth(self, depth: np.ndarray, interpolation: str) -> np.ndarray:
        """Interpolate depth (H, W) linearly within a surface, never across its edge, where points would float."""
        nearest = self._warp(depth, 'nearest', 0)
        if interpolation == 'nearest':
            return nearest
        square = np.ones((3, 3), np.uint8)
        inside = cv2.dilate(depth, square) - cv2.erode(depth, square) < _SURFACE * depth
        # At the border of the image, its outermost pixels are repeated.
        options = dict(flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        linear = cv2.warpAffine(depth, self.view.matrix, self.view.size, **options)
        return np.where(self._warp(inside, 'nearest', 0), linear, nearest)

    def _average(self, field: MapField, values: np.ndarray, padding: float) -> np.ndarray:
        """Averages over valid pixels only. Maps that are known outside the image count everywhere."""
        valid = self.maps.get('valid_mask')
        if field.known_outside or valid is None or valid.all():
            return self._soft(values, padding)
        weight = np.float32(valid)
        total = self._soft(values * (weight if values.ndim == 2 else weight[..., None]), 0)
        share = self._soft(weight, 0)
        share = share if values.ndim == 2 else share[..., None]
        return np.divide(total, share, out=np.full_like(total, padding), where=share > 1e-3)

    def _soft(self, values: np.ndarray, padding: float) -> np.ndarray:
        """Sample a map as the exact image is sampled: the same part of it, through the smaller images that the view passes."""
        stages = [*self.view.stops, (self.view.matrix, self.view.size)]
        whole, done = values.shape[1::-1], np.eye(2, 3)
        box = visible_box(*stages[0], whole, _MARGIN)
        if box is None:
            return np.full((*self.view.size[::-1], *values.shape[2:]), padding, np.float32)
        x, y, w, h = box
        values = values[y : y + h, x : x + w]
        for matrix, size in stages:
            values = self._resample(values, box, whole, chain(matrix, invert(done)), size, padding)
            box, whole, done = (0, 0, *size), size, matrix
        return values

    def _resample(self, values, box, whole, matrix, size, padding) -> np.ndarray:
        """:meth:`_ImageSampler._warp` of floats."""
        inside, channels = _corners_of(matrix, whole, size), values.shape[2:]
        if self.antialias:
            want = _reduced_size(values, np.hypot(*matrix[:, :2]))
            if want != values.shape[1::-1]:
                values = resize(values.reshape(*values.shape[:2], -1), want, 'bilinear')
        matrix = chain(matrix, _within(box, values))
        values = cv2.copyMakeBorder(values, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        values = cv2.warpAffine(values, chain(matrix, zoom_matrix(1, 1, -1, -1)), size, flags=cv2.INTER_LINEAR)
        if inside is not None:
            values[_drawn(inside, size) == 0] = padding
        return values.reshape(*values.shape[:2], *channels)

    def _is_whole(self, key: str) -> bool:
        """Whether a map says where an averaged one is known: there, all averaged pixels must be."""
        field = get_field(f'gt_{key.removeprefix("valid_")}')
        return key.startswith('valid_') and field is not None and field.own_validity and field.interpolation == 'image'


def _within(box: tuple, pixels: np.ndarray) -> np.ndarray:
    """(2, 3) matrix to an image from pixels that show a box of it: a pixel of a reduced part is centered in those that it stands
    for."""
    x, y, w, h = box
    factor = np.array([w / pixels.shape[1], h / pixels.shape[0]])
    return np.column_stack([np.diag(factor), np.array([x, y]) + (factor - 1) / 2])


def _drawn(corners: np.ndarray, size: tuple) -> np.ndarray:
    """(h, w) uint8, 1 inside of corners of :func:`_corners_of`."""
    shown = np.zeros(size[::-1], np.uint8)
    cv2.fillConvexPoly(shown, corners, 1, shift=_SHIFT)
    return shown


def _reduced_size(pixels: np.ndarray, zoom: np.ndarray) -> tuple[int, int]:
    """Size (w, h) to which an image that is sampled at a scale is averaged before."""
    return tuple(
        max(1, round(count * scale)) if scale < _REDUCE_BELOW else count
        for count, scale in zip(pixels.shape[1::-1], zoom, strict=True)
    )


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
