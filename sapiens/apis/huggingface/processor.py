"""The processing of transformers' ``Sapiens2ImageProcessor``, with its numbers: for code that was written for it, and to compare.

Models run with the published processing by default. Its pixels differ (docs/differences.md).
"""

# B images or crops, K keypoints, C classes, h w size of the network's input, H W size of an image

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sapiens.checkpoints import read_fields
from sapiens.models import UDPHeatmap
from sapiens.models.data_preprocessor import IMAGE_MEAN, IMAGE_STD
from sapiens.models.layers.unit_vectors import unit_vectors
from sapiens.models.layers.upsample import upsample, upsampled_argmax
from sapiens.utils.crop import crop_matrix, transform_points

from .geometry import center_and_scale, letterbox, pixels, resize

__all__ = ['ImageProcessor']

CELL = 4  # pixels of the input for one cell of a heatmap
SHORTEST = 1e-8
LEVELS = 256 - 1e-3  # of 8 bits, for values in [0, 1] that are cut to integers, as torchvision does


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
        levels = dict(image_mean=IMAGE_MEAN, image_std=IMAGE_STD, rescale_factor=(1,))
        for name, value in ((name, np.round(np.divide(value, 255), 6).tolist()) for name, value in levels.items()):
            given = np.ravel(fields.get(name, value))
            if given.shape != (len(value),) or not np.allclose(np.asarray(given, np.float64), value, atol=1e-4):
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
            if len(boxes) != len(images):
                raise ValueError(f'{len(boxes)} lists of boxes for {len(images)} images')
            made = [
                self.crop(image, self.place(box)[2]) for image, own in zip(images, boxes, strict=True) for box in own
            ]
        return self.normalize(torch.stack(made))

    def whole(self, image) -> Tensor:
        """Resize an image to the input, (3, h, w) float32 of whole levels 0-255."""
        image = pixels(image)
        if not self.do_pad:
            return resize(image, self.size).float()
        top, left, height, width = letterbox(image.shape[-2:], self.size)
        padded = torch.zeros(3, *self.size)
        padded[:, top : top + height, left : left + width] = resize(image, (height, width)).float()
        return padded

    def place(self, box: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Center (2,) and size (2,) of the crop of a box in pixels of the image, and the matrix (2, 3) from the image to it."""
        size = self.size[::-1]
        if np.shape(box) != (4,) or not np.isfinite(np.asarray(box, np.float64)).all():
            raise ValueError(f'box {box}: expected x, y, w, h, finite')
        centers, scales = center_and_scale(np.asarray(box, np.float64)[None], size)
        return centers[0], scales[0], crop_matrix(centers[0], scales[0], 0.0, size)

    def crop(self, image, matrix: np.ndarray) -> Tensor:
        """Crop an image, (3, h, w) float32 of levels 0-255, black outside the image.

        Args:
            matrix: of :meth:`place`.
        """
        image = pixels(image)
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
            resized = resize(labels, self.size) if as_transformers else resize(labels, self.size, 'nearest-exact')
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
        center, scale = center_and_scale(every, size)
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
        """Unit vectors (3, H, W) of outputs (B, 3, h, w). They are resized after they were normalized, so their length is below 1
        at edges.

        Args:
            source_sizes: (H, W) of each image: their padding is cut off, and the result has this size.
            target_sizes: (H, W) of each result, if it is another size.
        """
        return self._restored(unit_vectors(normals.float(), dim=1, eps=SHORTEST), source_sizes, target_sizes)

    def pointmaps(
        self,
        pointmaps: Tensor,
        scales: Tensor | None = None,
        source_sizes: Sequence[tuple] | None = None,
        target_sizes: Sequence[tuple] | None = None,
    ) -> list[Tensor]:
        """Points (3, H, W) in meters of outputs (B, 3, h, w) and their scales (B, 1); without scales those for a
        focal length of 768 pixels in the input. Sizes as for :meth:`normals`."""
        points = pointmaps.float()
        if scales is not None:
            points = points / scales.float().reshape(-1, 1, 1, 1)
        return self._restored(points, source_sizes, target_sizes)

    def matting(
        self,
        foregrounds: Tensor,
        alphas: Tensor,
        target_sizes: Sequence[tuple] | None = None,
        backgrounds=None,
    ) -> list[dict[str, Tensor]]:
        """Foregrounds and alpha at target sizes (H, W), and composed with backgrounds.

        Args:
            foregrounds: (B, 3, h, w) RGB in [0, 1], multiplied by alpha.
            alphas: (B, 1, h, w) in [0, 1].
            backgrounds: an image for all, or a list of one for each. They are resized.

        Returns:
            For each image ``foreground`` (3, H, W) and ``alpha`` (1, H, W) float32, and with backgrounds ``composite`` (3, H, W)
            uint8. It is mixed in sRGB values, not in light.

        Raises:
            ValueError: another number of backgrounds than of images.
        """
        count = len(alphas)
        if not isinstance(backgrounds, list | tuple):
            backgrounds = [backgrounds] * count
        if len(backgrounds) != count:
            raise ValueError(f'{len(backgrounds)} backgrounds for {count} images')
        fronts, shares = (self._fractions(maps, target_sizes) for maps in (foregrounds, alphas))
        found = []
        for front, alpha, background in zip(fronts, shares, backgrounds, strict=True):
            found.append(dict(foreground=front, alpha=alpha))
            if background is not None:
                behind = upsample(pixels(background)[None].to(alpha.device) / 255, alpha.shape[-2:])[0]
                mixed = (front + (1 - alpha) * behind).clamp(0, 1)
                found[-1]['composite'] = (mixed * LEVELS).to(torch.uint8)
        return found

    def _fractions(self, maps: Tensor, sizes: Sequence[tuple] | None) -> list[Tensor]:
        """Maps cut to [0, 1] at the sizes of their images; in place, unless a map is still the caller's."""
        restored = self._restored(maps.float(), None, sizes)
        return [
            new.clamp(0, 1) if new.data_ptr() == old.data_ptr() else new.clamp_(0, 1)
            for old, new in zip(maps, restored, strict=True)
        ]

    def _restored(
        self, maps: Tensor, source_sizes: Sequence[tuple] | None, target_sizes: Sequence[tuple] | None
    ) -> list[Tensor]:
        """Maps (K, H, W) of (B, K, h, w), see :meth:`normals`."""
        sizes, found = source_sizes if target_sizes is None else target_sizes, []
        for number, one in enumerate(maps):
            if source_sizes is not None:
                top, left, height, width = letterbox(source_sizes[number], self.size)
                one = one[:, top : top + height, left : left + width]
            found.append(one if sizes is None else upsample(one[None], tuple(sizes[number]))[0])
        return found
