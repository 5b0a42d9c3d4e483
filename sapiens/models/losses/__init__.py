from .depth import AlignedDepthLoss, DepthGradientLoss, ScaleShiftInvariantLoss, SiLogLoss
from .heatmap import HeatmapCrossEntropyLoss, HeatmapMSELoss
from .normal import NormalCosineLoss, NormalGradientLoss, NormalL1Loss
from .segmentation import SegCrossEntropyLoss, SegDiceLoss

__all__ = [
    'AlignedDepthLoss',
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
