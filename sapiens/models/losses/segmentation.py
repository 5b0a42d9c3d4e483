"""Losses of segmentation.

Each takes scores (B, C, H, W), labels (B, H, W) int64 in [0, C) and ``valid`` (B, H, W) bool, see :class:`DenseLoss`.
"""

# B batch, C classes, H W size in pixels

from collections.abc import Sequence

import torch
from torch import Tensor

from sapiens.registry import MODELS

from .base import DenseLoss

__all__ = ['SegCrossEntropyLoss', 'SegDiceLoss']

AVERAGES = ('pixels', 'weights')


@MODELS.register_module()
class SegCrossEntropyLoss(DenseLoss):
    """Cross entropy with a weight for each class: the sum over valid pixels of ``w[label] * -log softmax(scores)[label]``,
    divided as ``average`` says.

    Args:
        class_weight: C numbers; None for 1 each. ``'classes'``, in a config under :class:`~sapiens.models.SegTask`, uses those
            of the class list.
        average: ``'pixels'`` divides by the number of all pixels, including invalid ones, as published: an image of mostly
            ignored pixels counts little. ``'weights'`` divides by the sum of the weights of the valid pixels (weighted mean).
        **options: of :class:`DenseLoss`.

    Raises:
        ValueError: an unknown ``average``; negative weights; when called, weights and classes differ in number.
    """

    default_name = 'ce'

    def __init__(self, class_weight: Sequence[float] | None = None, average: str = 'pixels', **options) -> None:
        if average not in AVERAGES:
            raise ValueError(f'average={average!r} is not one of {AVERAGES}')
        self.divides_by_valid = average == 'weights'
        super().__init__(**options)
        if isinstance(class_weight, str):
            raise ValueError(
                f"class_weight={class_weight!r}: expected a number for each class, or None; 'classes' has a meaning only "
                'in the losses of a DenseEstimator whose task is a SegTask'
            )
        if class_weight is not None:
            if min(class_weight) < 0:
                raise ValueError(f'class_weight={class_weight}: expected no weights below 0')
            class_weight = torch.tensor(class_weight, dtype=torch.float32)
        self.average = average
        self.register_buffer('class_weight', class_weight, persistent=False)

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        if self.class_weight is not None and len(self.class_weight) != output.shape[1]:
            raise ValueError(f'class_weight has {len(self.class_weight)} numbers for {output.shape[1]} classes')
        labels = torch.where(valid, target, 0)
        # Not F.cross_entropy, which has no deterministic kernel for images on GPUs.
        found = output.float().log_softmax(1).gather(1, labels[:, None])[:, 0]
        weights = valid.float() if self.class_weight is None else self.class_weight[labels] * valid
        weights = self.weigh(weights)
        total = -(weights * found).sum()
        if self.average == 'pixels':
            return self.loss_weight * total / labels.numel()
        return self.loss_weight * total / self.divisor(weights.sum(), torch.finfo(torch.float32).tiny)


@MODELS.register_module()
class SegDiceLoss(DenseLoss):
    """One minus the Dice overlap of probabilities and labels; all classes count equally, however few pixels they have.

    A class with probabilities p and labels g in {0, 1} over the valid pixels of one image has the loss
    ``1 - (2 sum p g + s) / (sum p^2 + sum g^2 + s)``. The loss is the mean over the classes in the labels of an image, then over
    the images; an image without a counted class adds 0, as published. Source: the second generation of Sapiens.

    Args:
        smooth: s.
        background: class that does not count, by convention 0; None counts all.
        **options: of :class:`DenseLoss`.
    """

    default_name = 'dice'
    divides_by_valid = False

    def __init__(self, smooth: float = 1e-3, background: int | None = 0, **options) -> None:
        super().__init__(**options)
        self.smooth, self.background = smooth, background

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        # Gather the probabilities of the labels first: the loop over classes then works on maps of one channel. Slices of the
        # scores would have gradients of their whole size, and a one-hot copy of the labels would be as large as the scores.
        probabilities = output.float().softmax(1).where(valid[:, None], 0)
        found = probabilities.gather(1, torch.where(valid, target, 0)[:, None])[:, 0]
        labels = torch.where(valid, target, -1)  # no class
        overlaps, sizes = [], []
        for label in range(output.shape[1]):
            truth = labels == label
            overlaps.append(found.where(truth, 0).sum((1, 2)))
            sizes.append(truth.sum((1, 2)))
        overlap, size = torch.stack(overlaps, dim=1), torch.stack(sizes, dim=1)  # (B, C)
        losses = 1 - (2 * overlap + self.smooth) / (probabilities.square().sum((2, 3)) + size + self.smooth)
        counted = size > 0
        if self.background is not None:
            counted[:, self.background] = False
        return self.loss_weight * self.mean(losses.where(counted, 0).sum(1) / counted.sum(1).clamp(min=1))
