"""From an image to the network's input, as the config's ``val_pipeline`` describes it.

Runs on the host with the transforms of the config, or on an accelerator in one batch.

Legend: H W size of an image, w h size of the network's input; boxes are x1, y1, x2, y2 in pixels.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from torch import Tensor

from sapiens.datasets.transforms import LoadPerson, LoadResize
from sapiens.datasets.transforms.packing import to_planes
from sapiens.registry import TRANSFORMS
from sapiens.structures import DenseDataSample
from sapiens.utils.crop import crop_matrix, fit_aspect

__all__ = ['PersonInput', 'WholeInput', 'build_input', 'build_whole_input', 'make_person']

# Interpolations of OpenCV in torch.
MODES = {cv2.INTER_AREA: 'area', cv2.INTER_CUBIC: 'bicubic', cv2.INTER_LINEAR: 'bilinear'}


def build_input(pipeline: Sequence[dict]) -> 'PersonInput | WholeInput':
    """Build the preprocessing that a ``val_pipeline`` describes, without its labels.

    Raises:
        ValueError: the pipeline has neither LoadPerson nor LoadResize or LoadLetterbox.
    """
    steps = {step['type'].split('.')[-1]: step for step in pipeline if 'type' in step}
    if 'LoadPerson' in steps:
        box = TRANSFORMS.build(dict(steps.get('GetBBoxCenterScale', dict(type='mmpose.GetBBoxCenterScale'))))
        return PersonInput(TRANSFORMS.build(dict(steps['LoadPerson'])), box.padding)
    for step in pipeline:
        kind = TRANSFORMS.get(step['type']) if 'type' in step else None
        if isinstance(kind, type) and issubclass(kind, LoadResize):
            return WholeInput(TRANSFORMS.build(dict(step)))
    raise ValueError(
        f'val_pipeline has {", ".join(steps) or "no steps"}: inference needs LoadPerson (one person), LoadResize or '
        'LoadLetterbox (the whole image) in it'
    )


def build_whole_input(pipeline: Sequence[dict]) -> 'WholeInput':
    """Build preprocessing of whole images for any ``val_pipeline``; the size follows from it. For encoders."""
    preprocess = build_input(pipeline)
    if isinstance(preprocess, WholeInput):
        return preprocess
    return WholeInput(LoadResize(preprocess.size, interpolation='bilinear', antialias=True))


def make_person(
    image: np.ndarray,
    size: tuple[int, int],
    box: np.ndarray,
    score: float,
    center: np.ndarray,
    scale: np.ndarray,
    matrix: np.ndarray,
) -> PoseDataSample:
    """Return the sample of a crop.

    Args:
        image: that the crop is taken from.
        size: (w, h) of the crop.
        box, score: (4,) of the person.
        center, scale: (2,) center and size of the crop in pixels of the image.
        matrix: (2, 3) from the image to the crop.
    """
    geometry = dict(input_center=center, input_scale=scale, warp_matrix=matrix)
    sample = PoseDataSample(metainfo=dict(ori_shape=image.shape[:2], input_size=size, flip=False, **geometry))
    boxes, scores = np.asarray(box, np.float32)[None], np.array([score], np.float32)
    sample.gt_instances = InstanceData(bboxes=boxes, bbox_scores=scores)
    return sample


class PersonInput:
    """Makes one crop per box.

    Args:
        transform: makes the crop.
        padding: factor on the size of the box.
    """

    needs_boxes = True

    def __init__(self, transform: LoadPerson, padding: float) -> None:
        self.transform, self.padding = transform, padding
        self.size = transform.size

    def samples(self, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> list[PoseDataSample]:
        """Return the sample of each crop: geometry and box."""
        made = []
        for box, score in zip(np.asarray(boxes, np.float32).reshape(-1, 4), scores, strict=True):
            center = (box[:2] + box[2:]) / 2
            scale = fit_aspect((box[2:] - box[:2]) * np.float32(self.padding), self.size)
            matrix = crop_matrix(center, scale, 0.0, self.size)
            made.append(make_person(image, self.size, box, score, center, scale, matrix))
        return made

    def on_host(self, image: np.ndarray, sample: PoseDataSample) -> Tensor:
        """Return the crop (3, h, w) uint8."""
        state: dict[str, Any] = dict(img=image, img_path='', bbox_center=sample.input_center[None])
        state['bbox_scale'] = sample.input_scale[None]
        return to_planes(self.transform.transform(state)['img'])

    def on_device(self, image: Tensor, samples: list[PoseDataSample]) -> Tensor:
        """Return crops (B, 3, h, w) float32, rounded to integers, of one image (3, H, W) on the device.

        Sampling is that of the transform; pixels outside the image are black.
        """
        w, h = self.size
        height, width = image.shape[-2:]
        x, y = torch.arange(w, device=image.device), torch.arange(h, device=image.device)
        grids = []
        for sample in samples:
            matrix = sample.warp_matrix  # without rotation: x and y are independent
            columns = (x - matrix[0, 2]) / matrix[0, 0]
            rows = (y - matrix[1, 2]) / matrix[1, 1]
            columns, rows = 2 * columns / max(width - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1
            grids.append(torch.stack(torch.meshgrid(columns, rows, indexing='xy'), -1))
        modes = ['bicubic' if self.transform.is_cubic(sample.warp_matrix) else 'bilinear' for sample in samples]
        crops = image.new_empty((len(samples), 3, h, w), dtype=torch.float32)
        for mode in set(modes):
            chosen = [index for index, other in enumerate(modes) if other == mode]
            grid = torch.stack([grids[index] for index in chosen]).float()
            source = image[None].float().expand(len(chosen), -1, -1, -1)
            crops[chosen] = F.grid_sample(source, grid, mode=mode, padding_mode='zeros', align_corners=True)
        return crops.round().clamp(0, 255)


class WholeInput:
    """Resizes the whole image.

    Args:
        transform: resizes it.
    """

    needs_boxes = False

    def __init__(self, transform: LoadResize) -> None:
        self.transform = transform
        self.size = transform.size

    def samples(self, image: np.ndarray, boxes=None, scores=None) -> list[DenseDataSample]:
        """Return the one sample of the image: its geometry."""
        matrix = self.transform.place(image.shape[1::-1])[1]
        return [
            DenseDataSample(metainfo=dict(ori_shape=image.shape[:2], img_shape=self.size[::-1], warp_matrix=matrix))
        ]

    def on_host(self, image: np.ndarray, sample: DenseDataSample) -> Tensor:
        """Return the input (3, h, w) uint8."""
        return to_planes(self.transform.transform(dict(img=image, img_path=''))['img'])

    def on_device(self, image: Tensor, samples: list[DenseDataSample]) -> Tensor:
        """Return the input (1, 3, h, w) float32, rounded to integers, of an image (3, H, W) on the device."""
        left, top, width, height = self.transform.place(image.shape[:0:-1])[0]
        mode, antialias = self.transform.interpolation, self.transform.antialias
        if mode == 'published':
            mode, antialias = MODES[self.transform.published_interpolation(image.shape[-1])], False
        corners = {} if mode == 'area' else dict(align_corners=False, antialias=antialias)
        resized = F.interpolate(image[None].float(), (height, width), mode=mode, **corners)
        right, bottom = self.size[0] - left - width, self.size[1] - top - height
        return F.pad(resized.round().clamp(0, 255), (left, right, top, bottom))
