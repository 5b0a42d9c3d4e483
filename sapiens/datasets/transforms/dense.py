"""From files to the network's picture and its labels, in one resampling.

Legend: see :mod:`.geometry`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from sapiens.metainfo.classes import IGNORE
from sapiens.registry import TRANSFORMS

from .decoding import DecodedImage, EncodedImage, resize
from .fields import FIELDS, label_maps, move_values
from .geometry import GeometricStep, View, chain, visible_box
from .loading import changed, open_image

__all__ = ['LoadDense']

# A bilinear sample reads the pixels around it. Pixels of a reduced decode are up to 8 wide, and its box may end 8 earlier.
_MARGIN = 20
# Below this scale a bilinear sample would skip pixels: the image is averaged first.
_REDUCE_BELOW = 0.8
_SHIFT = 4  # bits behind the point in coordinates of OpenCV's drawing
_FLAGS = {'nearest': cv2.INTER_NEAREST, 'linear': cv2.INTER_LINEAR}


@TRANSFORMS.register_module()
class LoadDense(BaseTransform):
    """Read an image and take it, with its labels, through random geometry.

    The steps are those of mmseg's pipelines, drawn in their order with their chances; what comes out is sampled once from the
    original. An image that one step reduces and a later one enlarges passes through the small picture, as there; its labels do
    not, and stay sharp.

    Required Keys: img_path; or img_bytes; or img (uint8 (H, W, 3) RGB); label maps (:data:`.fields.FIELDS`) of the upright
    image's size; flip_table (256,) for label maps that may be mirrored; intrinsics (3, 3) where known

    Added Keys: img (uint8 (h, w, 3) RGB), img_shape and ori_shape (h, w), flip, rotation (degrees, clockwise, after the flip),
    crop (x, y, w, h: the box of the original image that is seen, in pixels), warp_matrix (2, 3) float64 from the original
    image to the picture

    Modified Keys: the label maps; intrinsics, those of the camera that sees the picture

    Args:
        steps: :class:`RandomResize`, :class:`RandomCrop`, :class:`Resize`, :class:`RandomRotate`, :class:`RandomFlip`, or their
            configs; the last sizes must be fixed for a batch.
        decode: 'fast' decodes JPEGs at a reduced scale where that is enough, and upsamples their chroma plainly; 'exact'
            begins from the pixels that Pillow gives.
        antialias: average what a reduction leaves out. False takes single samples, as OpenCV's bilinear resize and the
            published pipeline do.
        interpolation: {key of a label map: 'nearest' or 'linear'} where another one is wanted than the table has.
        max_megapixels: larger images are bad files.

    Raises:
        ValueError: an argument out of its range, or a label map that geometry does not know.
        BadImage: a file that cannot be used, or labels of another size than their image.
    """

    def __init__(
        self,
        steps: Sequence[GeometricStep | dict],
        decode: str = 'fast',
        antialias: bool = True,
        interpolation: Mapping[str, str] | None = None,
        max_megapixels: float = 150,
    ):
        self.steps = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in steps]
        for step in self.steps:
            if not isinstance(step, GeometricStep):
                raise ValueError(f'steps has {step!r}: expected steps of geometry, such as RandomCrop')
        if decode not in ('fast', 'exact'):
            raise ValueError(f"decode={decode!r}: expected 'fast' or 'exact'")
        if not max_megapixels > 0:
            raise ValueError(f'max_megapixels={max_megapixels!r}: expected a positive number')
        self.exact, self.antialias, self.max_megapixels = decode == 'exact', antialias, max_megapixels
        self.fields = dict(FIELDS)
        for key, name in (interpolation or {}).items():
            if key not in FIELDS or name not in _FLAGS:
                raise ValueError(
                    f"interpolation={{{key!r}: {name!r}}}: expected 'nearest' or 'linear' for some of {', '.join(FIELDS)}"
                )
            self.fields[key] = replace(FIELDS[key], interpolation=name)

    def transform(self, results: dict) -> dict:
        image = open_image(results, self.max_megapixels)
        maps = label_maps(results, image.size)
        view = View(image.size)
        for step in self.steps:
            view = step.draw(view, results)
        results['img'] = self._image(results, image, view)
        results.pop('pixel_changes', None)
        follows = 'valid_mask' in maps and _follows_labels(maps)
        for key, values in maps.items():
            if key != 'valid_mask' or not follows:
                results[key] = self._labels(key, values, view, results)
        if follows:
            results['valid_mask'] = results['gt_sem_seg'] != IGNORE
        results['img_shape'] = view.size[::-1]
        results['ori_shape'] = image.size[::-1]
        results['flip'] = view.mirrored
        results['rotation'] = view.angle
        results['warp_matrix'] = view.matrix
        results['crop'] = shown_box(view, image.size)
        if 'intrinsics' in results:
            results['intrinsics'] = moved_intrinsics(results['intrinsics'], view)
        return results

    def _image(self, results: dict, image: EncodedImage | DecodedImage, view: View) -> np.ndarray:
        """The picture's pixels, by way of the smaller pictures it passes through."""
        stages = [*view.stops, (view.matrix, view.size)]
        matrix, size = stages[0]
        box = visible_box(matrix, size, image.size, _MARGIN)
        changes = results.get('pixel_changes')
        if box is None:
            return changed(results, np.zeros((*view.size[::-1], 3), np.uint8))
        zoom = np.hypot(*matrix[:, :2]).tolist()  # of x and of y
        pixels, box = image.crop(box, (box[2] * zoom[0], box[3] * zoom[1]), self.exact)
        # Changes of colour cost by the pixel: they come where there are the fewest, black beside the image included.
        counts = [pixels.shape[0] * pixels.shape[1], *(w * h for _, (w, h) in stages)]
        best = len(stages) if self.exact else int(np.argmin(counts))
        border, whole = (0, 0, 0), image.size
        for number in range(len(stages) + 1):
            if number:
                matrix, size = stages[number - 1]
                pixels = self._sample(pixels, box, whole, matrix, size, border)
                box, whole = (0, 0, *size), size
                if number < len(stages):
                    # The next matrix begins from this picture.
                    following, after = stages[number]
                    stages[number] = chain(following, _inverse(matrix)), after
            if number == best and changes:
                pixels = changed(results, pixels)
                border = changed(results, np.zeros((1, 1, 3), np.uint8))[0, 0].tolist()
        return pixels

    def _sample(self, pixels, box, whole, matrix, size, border) -> np.ndarray:
        """One resampling of uint8 pixels that cover ``box`` of the picture from which ``matrix`` begins, of size ``whole``."""
        inside = _corners_of(matrix, whole, size)
        if self.antialias:
            zoom = np.hypot(*matrix[:, :2]) * (box[2] / pixels.shape[1], box[3] / pixels.shape[0])
            want = [
                max(1, round(count * scale)) if scale < _REDUCE_BELOW else count
                for count, scale in zip(pixels.shape[1::-1], zoom, strict=True)
            ]
            if tuple(want) != pixels.shape[1::-1]:
                pixels = resize(pixels, tuple(want), 'bilinear')
        x, y, w, h = box
        # A pixel of a part that was reduced is centred in those of the box that it stands for.
        factor = np.array([w / pixels.shape[1], h / pixels.shape[0]])
        within = np.column_stack([np.diag(factor), np.array([x, y]) + (factor - 1) / 2])
        matrix = chain(matrix, within)
        if _is_whole(matrix, pixels, size):
            return pixels
        # Four channels take less than half the time of three, with the same result. Outermost pixels are repeated, not mixed with
        # black: half a pixel of a small picture is much of a large one.
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
        pixels = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if inside is not None:
            shown = np.zeros(size[::-1], np.uint8)
            cv2.fillConvexPoly(shown, inside, 1, shift=_SHIFT)
            beside = np.full(size[::-1], np.uint8([*border, 0]).view(np.uint32)[0])
            pixels = cv2.copyTo(pixels, shown, beside.view(np.uint8).reshape(*size[::-1], 4))
        return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)

    def _labels(self, key: str, values: np.ndarray, view: View, results: dict) -> np.ndarray:
        field = self.fields[key]
        padding = field.padding
        if view.padding != FIELDS['gt_sem_seg'].padding:
            if key == 'gt_sem_seg':
                padding = view.padding
            elif key == 'valid_mask':
                # Beside the image is a class then, but neither a depth nor a normal.
                padding = int('gt_sem_seg' in results and not {'gt_depth', 'gt_normal'} & results.keys())
        moved = values.view(np.uint8) if values.dtype == bool else values
        if not _is_whole(view.matrix, values, view.size):
            flags = _FLAGS[field.interpolation]
            border = (padding,) * 4
            moved = cv2.warpAffine(moved, view.matrix, view.size, flags=flags, borderValue=border)
        moved = moved.view(bool) if values.dtype == bool else moved
        return move_values(key, field, moved, view.turn, results)


def _follows_labels(maps: dict) -> bool:
    """Whether the valid mask is where labels are not ignored, and so can be told from them; nothing else needs it then."""
    if 'gt_sem_seg' not in maps or {'gt_depth', 'gt_normal'} & maps.keys():
        return False
    return np.array_equal(maps['valid_mask'], maps['gt_sem_seg'] != IGNORE)


def shown_box(view: View, image_size: tuple) -> tuple[int, int, int, int]:
    """(x, y, w, h) of the smallest box of the image's pixels that has all of the view in it; zeros where it shows none."""
    width, height = view.size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) - 0.5
    back = _inverse(view.matrix)
    corners = corners @ back[:, :2].T + back[:, 2] + 0.5  # now 0 is the edge of the image
    low = np.maximum(np.floor(corners.min(0) + 1e-6), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(0) - 1e-6), image_size).astype(int)
    return (*low.tolist(), *(high - low).tolist()) if (low < high).all() else (0, 0, 0, 0)


def moved_intrinsics(intrinsics: np.ndarray, view: View) -> np.ndarray:
    """(3, 3) of the camera that sees the view: turned or mirrored about its axis with the picture."""
    turn = np.eye(3)
    turn[:2, :2] = view.turn
    return np.vstack([view.matrix, [0, 0, 1]]) @ intrinsics @ turn.T


def _corners_of(matrix: np.ndarray, whole: tuple, size: tuple) -> np.ndarray | None:
    """(4, 2) int32, where the corners of a picture of size ``whole`` come to lie, as OpenCV draws them; None where what is
    seen at ``size`` does not go beyond them."""
    low, high = np.full(2, -0.5), np.array(whole) - 0.5
    outermost = np.array([[0, 0], [size[0] - 1, 0], [0, size[1] - 1], [size[0] - 1, size[1] - 1]])
    back = _inverse(matrix)
    seen = outermost @ back[:, :2].T + back[:, 2]
    if (seen > low - 1e-3).all() and (seen < high + 1e-3).all():
        return None
    corners = np.array([[-0.5, -0.5], [high[0], -0.5], [*high], [-0.5, high[1]]]) @ matrix[:, :2].T + matrix[:, 2]
    return np.rint(corners * (1 << _SHIFT)).astype(np.int32)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _is_whole(matrix: np.ndarray, pixels: np.ndarray, size: tuple) -> bool:
    """Whether the picture is the pixels as they are."""
    return pixels.shape[1::-1] == tuple(size) and np.abs(matrix - np.eye(2, 3)).max() < 1e-6
