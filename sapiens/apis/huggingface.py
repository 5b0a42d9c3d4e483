"""The processing of transformers' ``Sapiens2ImageProcessor``, with its numbers: for code that was written for it, and to compare.

Models run with the published processing by default. Its pixels differ (docs/differences.md).
"""

# B images or crops, K keypoints, C classes, h w size of the network's input, H W size of an image

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sapiens.checkpoints import read_fields
from sapiens.models import UDPHeatmap
from sapiens.models.data_preprocessor import IMAGE_MEAN, IMAGE_STD
from sapiens.models.layers.unit_vectors import unit_vectors
from sapiens.models.layers.upsample import upsample, upsampled_argmax
from sapiens.utils.crop import crop_matrix, fit_aspect, transform_points

__all__ = ['ImageProcessor']

BOX_PADDING = 1.25
CELL = 4  # pixels of the input for one cell of a heatmap
SHORTEST = 1e-8


class ImageProcessor:
    """Inputs and results as transformers makes them.

    Images are RGB: PIL images, or uint8 arrays (H, W, 3). Boxes are x, y, w, h in pixels, as COCO's.

    Args:
        size: (h, w) of the network's input.
        do_pad: resize both sides by one factor and pad with black (for normals), or stretch.
        heatmap_sigma: of the Gaussians of :meth:`heatmaps`, in cells of 4 pixels.
    """

    def __init__(self, size: tuple[int, int] = (1024, 768), do_pad: bool = False, heatmap_sigma: float = 6.0) -> None:
        self.size, self.do_pad, self.heatmap_sigma = tuple(size), do_pad, heatmap_sigma

    @classmethod
    def from_folder(cls, folder: str | Path) -> 'ImageProcessor':
        """Read ``preprocessor_config.json`` of a folder.

        Raises:
            FileNotFoundError: there is none.
            ValueError: a damaged file, or an option with another value than the only one that is known here.
        """
        path = Path(folder).expanduser() / 'preprocessor_config.json'
        fields = read_fields(path, ['size'])
        fixed = dict(do_resize=True, do_rescale=True, do_normalize=True, do_center_crop=False, do_reduce_labels=False)
        fixed |= dict(resample=2, keypoint_heatmap_downscale_factor=CELL)
        for name, value in fixed.items():
            if fields.get(name, value) != value:
                raise ValueError(f'{path}: {name}={fields[name]!r}, expected {value!r}')
        size = fields['size']
        if not isinstance(size, dict) or not all(isinstance(size.get(side), int) for side in ('height', 'width')):
            raise ValueError(f'{path}: size={size!r}, expected height and width in pixels')
        sigma = fields.get('keypoint_heatmap_sigma', 6.0)
        return cls((size['height'], size['width']), bool(fields.get('do_pad', False)), sigma)

    # ------------------------------------------------------------------ inputs

    def __call__(self, images: Sequence, boxes: Sequence[Sequence[Sequence[float]]] | None = None) -> Tensor:
        """Normalized inputs (B, 3, h, w) float32 of images, or of the boxes of each image, in their order."""
        if boxes is None:
            made = [self.whole(image) for image in images]
        else:
            made = [
                self.crop(image, self.place(box)[2]) for image, own in zip(images, boxes, strict=True) for box in own
            ]
        return self.normalize(torch.stack(made))

    def whole(self, image) -> Tensor:
        """Resize an image to the input, (3, h, w) float32 of whole levels 0-255."""
        image = _pixels(image)
        if not self.do_pad:
            return _resize(image, self.size).float()
        top, left, height, width = _letterbox(image.shape[-2:], self.size)
        padded = torch.zeros(3, *self.size)
        padded[:, top : top + height, left : left + width] = _resize(image, (height, width)).float()
        return padded

    def place(self, box: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Center (2,) and size (2,) of the crop of a box in pixels of the image, and the matrix (2, 3) from the image to it."""
        size = self.size[::-1]
        centers, scales = _center_and_scale(np.asarray(box, np.float64)[None], size)
        return centers[0], scales[0], crop_matrix(centers[0], scales[0], 0.0, size)

    def crop(self, image, matrix: np.ndarray) -> Tensor:
        """Crop an image, (3, h, w) float32 of levels 0-255, black outside the image.

        Args:
            matrix: of :meth:`place`.
        """
        image = _pixels(image)
        (h, w), (height, width) = self.size, image.shape[-2:]
        columns, rows = ((torch.arange(n) - matrix[axis, 2]) / matrix[axis, axis] for axis, n in enumerate((w, h)))
        columns, rows = 2 * columns / max(width - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1
        grid = torch.stack(torch.meshgrid(columns, rows, indexing='xy'), -1).float()
        mode = 'bilinear' if min(matrix[0, 0], matrix[1, 1]) < 1 else 'bicubic'
        return F.grid_sample(image[None].float(), grid[None], mode=mode, padding_mode='zeros', align_corners=True)[0]

    @staticmethod
    def normalize(images: Tensor) -> Tensor:
        """Normalize images (B, 3, h, w) of 0-255."""
        mean, std = (
            torch.tensor(levels, device=images.device)[:, None, None] / 255 for levels in (IMAGE_MEAN, IMAGE_STD)
        )
        return (images / 255 - mean) / std

    def labels(self, maps: Sequence[np.ndarray], as_transformers: bool = False) -> Tensor:
        """Label maps (B, h, w) int64 of maps (H, W) of class ids.

        Args:
            as_transformers: resize ids like gray levels, which makes new ids at borders, as transformers 5.24 does. By default
                each pixel has the id of the nearest one.
        """
        made = []
        for labels in maps:
            labels = torch.as_tensor(np.asarray(labels))[None]
            resized = _resize(labels, self.size) if as_transformers else _resize(labels, self.size, 'nearest-exact')
            made.append(resized[0].long())
        return torch.stack(made)

    def heatmaps(self, keypoints: Sequence, boxes: Sequence) -> tuple[Tensor, Tensor]:
        """Targets of crops.

        Args:
            keypoints: for each image, for each of its boxes (K, 3) x, y, v in pixels of the image.
            boxes: of each image.

        Returns:
            heatmaps (B, K, h / 4, w / 4), and weights (B, K), 0 for keypoints with v = 0 or outside the crop.
        """
        size = self.size[::-1]
        points, weights = [], []
        for people, own in zip(keypoints, boxes, strict=True):
            for person, box in zip(people, own, strict=True):
                person = np.asarray(person, np.float64)
                points.append(transform_points(person[None, :, :2], self.place(box)[2]))
                weights.append(person[None, :, 2] > 0)
        cells = size[0] // CELL, size[1] // CELL
        points, weights = (torch.from_numpy(np.concatenate(values)).float() for values in (points, weights))
        return self.codec().encode(points, weights, size, cells)

    # ------------------------------------------------------------------ results

    def codec(self, kernel_size: int = 11) -> UDPHeatmap:
        """Decoding of heatmaps, with a blur of ``kernel_size`` cells before the refinement."""
        return UDPHeatmap(self.heatmap_sigma, blur_kernel_size=kernel_size)

    def segmentation(self, logits: Tensor, target_sizes: Sequence[tuple] | None = None, scores: bool = False) -> list:
        """Class ids (H, W) int64 of logits (B, C, h', w'), at target sizes (H, W); with ``scores`` pairs of ids and logits."""
        sizes = target_sizes or [tuple(logits.shape[-2:])] * len(logits)
        if not scores:
            return [upsampled_argmax(one, tuple(size)) for one, size in zip(logits, sizes, strict=True)]
        resized = [upsample(one[None], tuple(size))[0] for one, size in zip(logits, sizes, strict=True)]
        return [(one.argmax(0), one) for one in resized]

    def keypoints(
        self,
        heatmaps: Tensor,
        boxes: Sequence,
        flipped: Tensor | None = None,
        kernel_size: int = 11,
        threshold: float | None = None,
        source_sizes: Sequence[tuple] | None = None,
        target_sizes: Sequence[tuple] | None = None,
    ) -> list[list[dict[str, Tensor]]]:
        """Keypoints of heatmaps (B, K, h', w'), B the boxes of all images.

        Args:
            boxes: of each image, in its pixels.
            flipped: heatmaps of the mirrored crops, mirrored back; they are averaged.
            kernel_size: of the blur before the refinement, in cells.
            threshold: leaves out keypoints with a lower score.
            source_sizes, target_sizes: (H, W) of each image, and the size that points and boxes are scaled to.

        Returns:
            For each image a dict for each box: ``keypoints`` (k, 2), ``scores`` (k,), ``labels`` (k,) ids, and ``bbox`` x1, y1,
            x2, y2.
        """
        if flipped is not None:
            heatmaps = (heatmaps + flipped) / 2
        size = self.size[::-1]
        codec = self.codec(kernel_size)
        points, scores = codec.decode(heatmaps, size)
        every = np.array([box for own in boxes for box in own], np.float64).reshape(-1, 4)
        center, scale = _center_and_scale(every, size)
        points = codec.to_image(points.cpu(), size, *(torch.from_numpy(value).float() for value in (center, scale)))
        found, index = [], 0
        for number, own in enumerate(boxes):
            factor = torch.ones(2)
            if source_sizes is not None and target_sizes is not None:
                pair = zip(target_sizes[number], source_sizes[number], strict=True)
                factor = torch.tensor([float(new) / float(old) for new, old in pair]).flip(0)
            found.append([])
            for x, y, w, h in own:
                score = scores[index].cpu()
                keep = torch.arange(len(score)) if threshold is None else (score > threshold).nonzero()[:, 0]
                bbox = torch.tensor([x, y, x + w, y + h], dtype=torch.float32) * factor.tile(2)
                found[-1].append(
                    dict(keypoints=points[index][keep] * factor, scores=score[keep], labels=keep, bbox=bbox)
                )
                index += 1
        return found

    def normals(
        self,
        normals: Tensor,
        source_sizes: Sequence[tuple] | None = None,
        target_sizes: Sequence[tuple] | None = None,
    ) -> list[Tensor]:
        """Unit vectors (3, H, W) of outputs (B, 3, h, w), without the padding of images of ``source_sizes`` (H, W), at
        ``target_sizes``. They are resized after they were normalized, so their length is below 1 at edges."""
        normals = unit_vectors(normals.float(), dim=1, eps=SHORTEST)
        found = []
        for number, one in enumerate(normals):
            if source_sizes is not None:
                top, left, height, width = _letterbox(source_sizes[number], self.size)
                one = one[:, top : top + height, left : left + width]
            found.append(one if target_sizes is None else upsample(one[None], tuple(target_sizes[number]))[0])
        return found


def _pixels(image) -> Tensor:
    if isinstance(image, Image.Image):
        image = np.array(image.convert('RGB'))
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)


def _resize(pixels: Tensor, size: tuple[int, int], mode: str = 'bilinear') -> Tensor:
    """(C, H, W) at another size, bilinear with antialiasing, rounded as uint8."""
    options = dict(mode=mode) if mode == 'nearest-exact' else dict(mode=mode, antialias=True, align_corners=False)
    dtype = torch.uint8 if pixels.dtype == torch.uint8 else torch.float32
    return F.interpolate(pixels[None].to(dtype), size, **options)[0]


def _letterbox(image_size: Sequence[int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, left, height and width of an image (H, W) in the input (h, w). transformers cuts sizes to whole pixels."""
    factor = min(size[0] / image_size[0], size[1] / image_size[1])
    height, width = (max(int(side * factor), 1) for side in image_size)  # it fails where a side becomes 0
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width


def _center_and_scale(boxes: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Centers and sizes (B, 2) of the padded boxes (B, 4), widened to the aspect of the input (w, h)."""
    scale = np.array([fit_aspect(box[2:] * BOX_PADDING, size) for box in boxes]).reshape(-1, 2)
    return boxes[:, :2] + boxes[:, 2:] / 2, scale
