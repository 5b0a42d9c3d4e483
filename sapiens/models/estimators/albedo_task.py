"""Albedo as a dense task; see :class:`.dense_task.DenseTask`."""

# B batch, h w size of the network's output, H W of the target or of the prediction

import torch
from torch import Tensor

from sapiens.registry import MODELS
from sapiens.utils.srgb import encode_srgb

from ..layers.upsample import upsample
from .dense_task import DenseTask

__all__ = ['AlbedoTask']

CODINGS = dict(srgb='sRGB-coded RGB', linear='linear RGB')


@MODELS.register_module()
class AlbedoTask(DenseTask):
    """Albedo, the color of a surface without light and shadow: three values without activation; ``pred_albedo`` (3, H, W) float32
    in [0, 1].

    Labels are linear RGB. Targets and predictions have one coding, in which losses compare. Pixels whose albedo is not finite
    never count.

    Args:
        encoding: ``'srgb'``, as published, in which dark colors have finer steps, or ``'linear'``.

    Raises:
        ValueError: an unknown encoding.
    """

    task_name = 'albedo'
    channels = 3
    default_losses = (
        dict(type='AlbedoL1Loss', loss_weight=2.0),
        dict(type='AlbedoGradientLoss', loss_weight=2.0),
        dict(type='AlbedoChromaticityLoss'),
    )

    def __init__(self, encoding: str = 'srgb') -> None:
        if encoding not in CODINGS:
            raise ValueError(f'encoding={encoding!r} is not one of {tuple(CODINGS)}')
        self.encoding = encoding

    @property
    def output_facts(self) -> dict[str, str]:
        return dict(coding=CODINGS[self.encoding])

    def prepare(self, target: Tensor, valid: Tensor, samples: list, name: str) -> tuple[Tensor, Tensor]:
        target = target.float()
        valid = valid & target.isfinite().all(1)
        target = torch.where(valid[:, None], target, 0).clamp(0, 1)
        return (encode_srgb(target) if self.encoding == 'srgb' else target), valid

    def decode(self, output: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """Albedo (B, 3, H, W), cut to [0, 1]."""
        return dict(albedo=upsample(output, size).clamp(0, 1))
