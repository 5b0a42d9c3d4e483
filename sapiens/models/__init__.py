from .backbones import SAPIENS_ARCHS, Encoder, SapiensViT
from .codecs import UDPHeatmap
from .data_preprocessor import ImageNormalizer
from .estimators import DenseEstimator, DenseTask, DepthTask, NormalTask, PoseEstimator, SegTask
from .heads import DenseHead, HeatmapHead
from .losses import (
    AlignedDepthLoss,
    DepthGradientLoss,
    HeatmapCrossEntropyLoss,
    HeatmapMSELoss,
    NormalCosineLoss,
    NormalGradientLoss,
    NormalL1Loss,
    ScaleShiftInvariantLoss,
    SegCrossEntropyLoss,
    SegDiceLoss,
    SiLogLoss,
)
from .mae import MAE, MAEDecoder

__all__ = [
    'MAE',
    'SAPIENS_ARCHS',
    'AlignedDepthLoss',
    'DenseEstimator',
    'DenseHead',
    'DenseTask',
    'DepthGradientLoss',
    'DepthTask',
    'Encoder',
    'HeatmapCrossEntropyLoss',
    'HeatmapHead',
    'HeatmapMSELoss',
    'ImageNormalizer',
    'MAEDecoder',
    'NormalCosineLoss',
    'NormalGradientLoss',
    'NormalL1Loss',
    'NormalTask',
    'PoseEstimator',
    'SapiensViT',
    'ScaleShiftInvariantLoss',
    'SegCrossEntropyLoss',
    'SegDiceLoss',
    'SegTask',
    'SiLogLoss',
    'UDPHeatmap',
]
