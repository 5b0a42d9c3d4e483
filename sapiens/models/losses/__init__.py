from .depth import DepthGradientLoss, ScaleShiftInvariantLoss, SiLogLoss
from .heatmap import HeatmapCrossEntropyLoss, HeatmapMSELoss
from .normal import NormalCosineLoss, NormalGradientLoss, NormalL1Loss
from .segmentation import SegCrossEntropyLoss, SegDiceLoss

__all__ = [
    'DepthGradientLoss',
    'HeatmapCrossEntropyLoss',
    'HeatmapMSELoss',
    'NormalCosineLoss',
    'NormalGradientLoss',
    'NormalL1Loss',
    'ScaleShiftInvariantLoss',
    'SegCrossEntropyLoss',
    'SegDiceLoss',
    'SiLogLoss',
]
