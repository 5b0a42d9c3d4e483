"""From pixels to the network's input, as the config's validation pipeline has it: on the host with its own transforms, or on an
accelerator in one batch.

Legend: H W an image, w h the network's input; boxes are x1, y1, x2, y2 in pixels.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from torch import Tensor

from sapiens.datasets.transforms import LoadPerson, LoadResize
from sapiens.datasets.transforms.packing import to_planes
from sapiens.datasets.transforms.topdown import crop_matrix, fit_aspect
from sapiens.registry import TRANSFORMS
from sapiens.structures import DenseDataSample

__all__ = ['PersonInput', 'WholeInput', 'build_input']


def build_input(cfg: Config) -> 'PersonInput | WholeInput':
    """The preparation that a config's ``val_pipeline`` describes, without its labels.

    Raises:
        ValueError: a pipeline with neither LoadPerson nor LoadResize in it.
    """
    steps = {step['type'].split('.')[-1]: step for step in cfg.get('val_pipeline', ()) if 'type' in step}
    if 'LoadPerson' in steps:
        padding = steps.get('GetBBoxCenterScale', {}).get('padding', 1.25)
        return PersonInput(TRANSFORMS.build(dict(steps['LoadPerson'])), padding)
    if 'LoadResize' in steps:
        return WholeInput(TRANSFORMS.build(dict(steps['LoadResize'])))
    raise ValueError(
        f'val_pipeline of {cfg.get("filename", "the config")} has {", ".join(steps) or "no steps"}: inference follows its '
        'LoadPerson (one person) or LoadResize (the whole image)'
    )


class PersonInput:
    """One crop for each box.

    Args:
        transform: that cuts it out.
        padding: the box is enlarged by it first.
    """

    needs_boxes = True

    def __init__(self, transform: LoadPerson, padding: float) -> None:
        self.transform, self.padding = transform, padding
        self.size = transform.size

    def samples(self, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> list[PoseDataSample]:
        """What the model is told of each crop of an image."""
        made = []
        for box, score in zip(np.asarray(boxes, np.float32).reshape(-1, 4), scores, strict=True):
            center, scale = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * np.float32(self.padding)
            scale = fit_aspect(scale, self.size)
            meta = dict(
                ori_shape=image.shape[:2], input_size=self.size, input_center=center, input_scale=scale, flip=False
            )
            sample = PoseDataSample(metainfo=meta)
            sample.gt_instances = InstanceData(bboxes=box[None], bbox_scores=np.array([score], np.float32))
            made.append(sample)
        return made

    def on_host(self, image: np.ndarray, sample: PoseDataSample) -> Tensor:
        """(3, h, w) uint8."""
        state: dict[str, Any] = dict(img=image, img_path='', bbox_center=sample.input_center[None])
        state['bbox_scale'] = sample.input_scale[None]
        return to_planes(self.transform.transform(state)['img'])

    def on_device(self, image: Tensor, samples: list[PoseDataSample]) -> Tensor:
        """Crops (B, 3, h, w) float32, whole grey levels, of one image (3, H, W) on the device; bilinear, black outside."""
        w, h = self.size
        height, width = image.shape[-2:]
        x, y = torch.arange(w, device=image.device), torch.arange(h, device=image.device)
        grids = []
        for sample in samples:
            # Upright boxes: columns and rows of the crop are columns and rows of the image.
            matrix = crop_matrix(sample.input_center, sample.input_scale, 0.0, self.size)
            columns = (x - matrix[0, 2]) / matrix[0, 0]
            rows = (y - matrix[1, 2]) / matrix[1, 1]
            columns, rows = 2 * columns / max(width - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1
            grids.append(torch.stack(torch.meshgrid(columns, rows, indexing='xy'), -1))
        grid = torch.stack(grids).float()
        source = image[None].float().expand(len(samples), -1, -1, -1)
        return F.grid_sample(source, grid, mode='bilinear', padding_mode='zeros', align_corners=True).round()


class WholeInput:
    """The whole image at the network's size.

    Args:
        transform: that resizes it.
    """

    needs_boxes = False

    def __init__(self, transform: LoadResize) -> None:
        self.transform = transform
        self.size = transform.size

    def samples(self, image: np.ndarray, boxes=None, scores=None) -> list[DenseDataSample]:
        """What the model is told of an image."""
        return [DenseDataSample(metainfo=dict(ori_shape=image.shape[:2], img_shape=self.size[::-1]))]

    def on_host(self, image: np.ndarray, sample: DenseDataSample) -> Tensor:
        """(3, h, w) uint8."""
        return to_planes(self.transform.transform(dict(img=image, img_path=''))['img'])

    def on_device(self, image: Tensor, samples: list[DenseDataSample]) -> Tensor:
        """(1, 3, h, w) float32, whole grey levels, of an image (3, H, W) on the device."""
        resized = F.interpolate(
            image[None].float(),
            self.size[::-1],
            mode=self.transform.interpolation,
            align_corners=False,
            antialias=self.transform.antialias,
        )
        return resized.round().clamp(0, 255)
