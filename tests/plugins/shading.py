"""A whole task outside the package: the shading of people by a lamp at the camera. docs/add_a_task.md explains each part.

A config lists this module in ``custom_imports``; see ``shading_64x48.py``.
"""

import numpy as np
import torch
from torch import Tensor, nn

from sapiens.datasets.transforms.label_files import read_normal
from sapiens.evaluation.streaming import StreamingMetric
from sapiens.models import DenseTask
from sapiens.models.layers.upsample import upsample
from sapiens.registry import METRICS, MODELS
from sapiens.tasks import MapField, Output, TaskSpec, register_task


def load_shading(path: str, info: dict) -> np.ndarray:
    """(H, W) float32 in (0, 1], the cosine between surface and line of sight, from a file of normals; 0 where there are none."""
    return np.clip(-read_normal(path, info['normal_frame'])[..., 2], 0, 1)


def is_known(shading: np.ndarray) -> np.ndarray:
    return shading > 0


register_task(
    TaskSpec(
        name='shading',
        description='shading by a lamp at the camera',
        fields=(
            MapField(
                'shading',
                1,
                about='float32 in [0, 1], 1 where the surface faces the camera',
                interpolation='linear',
                folders=('normal', 'normals'),
                suffixes=('.npy', '.npz', '.png'),
                reader='shading:load_shading',
                known='shading:is_known',
            ),
        ),
        raw_outputs=(Output('logits', '(B, 1, h, w) float32'),),
        decoded_outputs=(Output('shading', '(B, 1, H, W) float32 in [0, 1]'),),
        metric='ShadingError',
        masked_by_people=True,
    )
)


@MODELS.register_module(force=True)
class ShadingTask(DenseTask):
    """``pred_shading`` (1, H, W) is the sigmoid of the network's output."""

    task_name = 'shading'
    channels = 1
    default_losses = (dict(type='ShadingLoss'),)

    def decode(self, output: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        return dict(shading=upsample(output, size).sigmoid())


@MODELS.register_module(force=True)
class ShadingLoss(nn.Module):
    """Mean absolute error over the valid pixels."""

    name = 'shading'

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        error = (output.float().sigmoid() - target)[:, 0].abs()
        return torch.where(valid, error, 0).sum() / valid.sum().clamp(min=1)


@METRICS.register_module(force=True)
class ShadingError(StreamingMetric):
    """``shading/MAE``: mean absolute error over the valid pixels; lower is better."""

    default_prefix = 'shading'

    def measure(self, sample: dict) -> dict:
        error = (sample['pred_shading'].cpu() - sample['gt_shading'].cpu()).abs()[0]
        valid = sample['valid_mask'].cpu()
        return dict(error=float(error[valid].double().sum()), pixels=int(valid.sum()))

    def report(self, sums: dict) -> dict[str, float]:
        return dict(MAE=sums['error'] / max(sums['pixels'], 1))
