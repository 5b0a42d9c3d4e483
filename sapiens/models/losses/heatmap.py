"""Losses of heatmaps, in float32 for any dtype of the output of the head.

Each also defines what an output means: ``to_heatmaps`` converts it to the maps that are decoded, ``from_heatmaps`` converts back.
Targets are a :class:`.HeatmapTarget`, or maps. The former needs neither the maps nor float32 copies of the output in memory.
"""

# B batch, K keypoints, H W cells of a map

import torch
from torch import Tensor, nn

from sapiens.registry import MODELS

from ..codecs.heatmap_target import HeatmapTarget
from .heatmap_terms import log_likelihood, squared_error

__all__ = ['HeatmapCrossEntropyLoss', 'HeatmapMSELoss']


@MODELS.register_module()
class HeatmapMSELoss(nn.Module):
    """Mean of ``weight * (prediction - target)^2`` over B, K, H, W. As published, maps with weight 0 count in the mean.

    Args:
        top_k: average over the k keypoints with the largest error of each sample only (online hard keypoint mining; 128 in the
            published 308-point recipes of 0.3b and 1b). None for all.
        loss_weight: factor.

    Raises:
        ValueError: ``top_k`` below 1 or, when called, above the number of keypoints.
    """

    def __init__(self, top_k: int | None = None, loss_weight: float = 1.0) -> None:
        super().__init__()
        if top_k is not None and top_k < 1:
            raise ValueError(f'top_k={top_k}: expected 1 or more, or None for all keypoints')
        self.top_k, self.loss_weight = top_k, loss_weight

    def forward(self, prediction: Tensor, target: HeatmapTarget | Tensor, weights: Tensor) -> Tensor:
        """Loss of each sample (B,), from (B, K, H, W), target of this size and weights (B, K) of 0 or 1."""
        if isinstance(target, HeatmapTarget):
            errors = squared_error(prediction, target.along_y, target.along_x) * weights
        else:
            errors = (prediction.float() - target).square().mean((2, 3)) * weights
        if self.top_k is not None:
            if self.top_k > errors.shape[1]:
                raise ValueError(f'top_k={self.top_k}, but the skeleton has {errors.shape[1]} keypoints')
            errors = errors.topk(self.top_k, dim=1).values
        return self.loss_weight * errors.mean(1)

    def to_heatmaps(self, prediction: Tensor) -> Tensor:
        return prediction.float()

    def from_heatmaps(self, heatmaps: Tensor) -> Tensor:
        return heatmaps.float()


@MODELS.register_module()
class HeatmapCrossEntropyLoss(nn.Module):
    """Cross entropy between each map, as logits over its cells, and the target normalized to a distribution; weighted mean over
    the keypoints.

    Not published for Sapiens. It learns from far fewer samples than the squared error, whose first optimum is an empty map.

    Args:
        loss_weight: factor.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, prediction: Tensor, target: HeatmapTarget | Tensor, weights: Tensor) -> Tensor:
        """Loss of each sample (B,), from logits (B, K, H, W), target of this size and weights (B, K)."""
        if isinstance(target, HeatmapTarget):
            mass = target.mass()
            crossed = log_likelihood(prediction, target.along_y, target.along_x / mass.clamp(min=1e-12)[..., None])
        else:
            mass = target.flatten(2).sum(-1)
            log_probabilities = prediction.float().flatten(2).log_softmax(-1)
            crossed = (log_probabilities * target.flatten(2)).sum(-1) / mass.clamp(min=1e-12)
        weights = torch.where(mass > 0, weights, 0)
        return -self.loss_weight * (crossed * weights).sum(1) / weights.sum(1).clamp(min=1)

    def to_heatmaps(self, prediction: Tensor) -> Tensor:
        """Probability of each cell: the maps sum to 1."""
        return prediction.float().flatten(2).softmax(-1).view(prediction.shape)

    def from_heatmaps(self, heatmaps: Tensor) -> Tensor:
        """Logits of probabilities, the inverse of :meth:`to_heatmaps`."""
        heatmaps = heatmaps.float()
        return heatmaps.clamp(min=torch.finfo(heatmaps.dtype).tiny).log()
