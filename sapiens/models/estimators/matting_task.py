"""Matting as a dense task; see :class:`.dense_task.DenseTask`."""

# B batch, h w size of the network's output, H W of the target or of the prediction

import torch
from torch import Tensor

from sapiens.registry import MODELS

from ..layers.upsample import upsample
from .dense_task import DenseTask

__all__ = ['MattingTask']


@MODELS.register_module()
class MattingTask(DenseTask):
    """Matting: ``pred_alpha`` (1, H, W), the fraction of each pixel that people cover, and ``pred_foreground`` (3, H, W), their
    sRGB-coded color times alpha; both float32 in [0, 1].

    The image is ``foreground + (1 - alpha) * background``. The network's output is in [0, 1] already, its head has the option
    ``sigmoid=True``. Alpha counts where ``valid_mask`` says, the foreground also needs ``valid_foreground``: many labels have
    no colors where alpha is between 0 and 1.
    """

    task_name = 'matting'
    default_losses = (dict(type='MattingL1Loss'), dict(type='MattingGradientLoss'), dict(type='MattingLaplacianLoss'))

    @property
    def maps(self) -> dict[str, int]:
        return dict(foreground=3, alpha=1)  # the published order

    def prepare(self, target: Tensor, valid: Tensor, samples: list, name: str) -> tuple[Tensor, Tensor]:
        target = target.float()
        valid = valid & target.isfinite().all(1)
        return torch.where(valid[:, None], target, 0).clamp(0, 1), valid

    def decode(self, output: dict[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
        """Alpha (B, 1, H, W) and foreground (B, 3, H, W)."""
        return {name: upsample(output[name], size).clamp(0, 1) for name in ('alpha', 'foreground')}
