"""Heatmaps of a pose model for figures."""

import numpy as np
from mmpose.structures import PoseDataSample

from sapiens.models import HeatmapCrossEntropyLoss

__all__ = ['heatmaps_of']


def heatmaps_of(sample: PoseDataSample, model) -> np.ndarray:
    """Get the predicted heatmaps (K, H, W) of a sample, zero for keypoints that were not predicted.

    A map equal to its target has a peak of 1, also if the maps are probabilities.
    """
    maps = sample.pred_fields.heatmaps.float().cpu().numpy()
    if isinstance(getattr(model, 'loss_module', None), HeatmapCrossEntropyLoss):
        maps = maps * (2 * np.pi * model.codec.sigma**2)  # the sum of a Gaussian with peak 1
    names = model.test_cfg.get('keypoints')
    if names is None:
        return maps
    complete = np.zeros((len(model.skeleton), *maps.shape[1:]), np.float32)
    complete[[model.skeleton.index(name) for name in names]] = maps
    return complete
