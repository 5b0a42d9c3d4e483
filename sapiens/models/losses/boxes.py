"""Losses of people as centers with boxes, in float32 for any dtype of the output."""

# B batch, H W cells of a map

import torch
import torch.nn.functional as F
from torch import Tensor

from sapiens.registry import MODELS

from .base import DenseLoss

__all__ = ['BoxGIoULoss', 'BoxL1Loss', 'CenterFocalLoss']


class PersonLoss(DenseLoss):
    """A loss whose sum is divided by the number of people, at least 1.

    Attributes:
        part: what it compares, ``'center'`` or ``'box'``; see :class:`~sapiens.models.BoxEstimator`.
    """

    part: str

    def per_person(self, sums: Tensor, people: Tensor) -> Tensor:
        """The weighted loss from its sum and the number of people of each sample, both (B,)."""
        return self.loss_weight * self.weigh(sums).sum() / self.divisor(self.weigh(people).sum())


@MODELS.register_module()
class CenterFocalLoss(PersonLoss):
    """Focal loss of centers, with less penalty beside them (Law and Deng, "CornerNet", ECCV 2018).

    With probability p and heat t: ``-(1 - p)^gamma log p`` in the cell of a center (t = 1), ``-(1 - t)^beta p^gamma log(1 - p)``
    elsewhere.

    Args:
        gamma: 0 for cross entropy; larger values count cells less that are nearly right.
        beta: larger values penalize less around a center.
        **options: ``loss_weight``, ``name``, ``reduce`` of :class:`.DenseLoss`.
    """

    default_name, part = 'center', 'center'

    def __init__(self, gamma: float = 2.0, beta: float = 4.0, **options) -> None:
        super().__init__(**options)
        self.gamma, self.beta = gamma, beta

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """From logits and heats (B, 1, H, W), and valid (B, H, W)."""
        output, is_center = output.float(), target == 1
        at, elsewhere = F.logsigmoid(output), F.logsigmoid(-output)  # log p and log(1 - p)
        right = -(self.gamma * elsewhere).exp() * at
        wrong = -((1 - target) ** self.beta) * (self.gamma * at).exp() * elsewhere
        values = torch.where(valid[:, None], torch.where(is_center, right, wrong), 0)
        counted = is_center & valid[:, None]
        return self.per_person(values.flatten(1).sum(1), counted.flatten(1).sum(1))


@MODELS.register_module()
class BoxGIoULoss(PersonLoss):
    """1 - generalized IoU of predicted and true boxes around the same cell (Rezatofighi et al., CVPR 2019); mean over people."""

    default_name, part = 'box', 'box'

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """From distances to the left, upper, right and lower edges (B, 4, H, W), above 0, and the weight of each cell (B, H, W),
        which sum to 1 for a person."""
        inner, outer = torch.minimum(output, target), torch.maximum(output, target)
        shared, around = _area(inner), _area(outer)
        union = _area(output) + _area(target) - shared
        giou = shared / union - (around - union) / around
        return self.per_person(((1 - giou) * valid).flatten(1).sum(1), valid.flatten(1).sum(1))


@MODELS.register_module()
class BoxL1Loss(PersonLoss):
    """Mean absolute difference of the logarithms of the distances; mean over people. Errors are relative to the size."""

    default_name, part = 'box_l1', 'box'

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """See :meth:`BoxGIoULoss.forward`."""
        error = (output.log() - target.log()).abs().mean(1)
        return self.per_person((error * valid).flatten(1).sum(1), valid.flatten(1).sum(1))


def _area(distances: Tensor) -> Tensor:
    left, top, right, bottom = distances.unbind(1)
    return (left + right) * (top + bottom)
