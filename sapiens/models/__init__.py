from .backbones import SAPIENS_ARCHS, SapiensViT
from .codecs import UDPHeatmap
from .data_preprocessor import ImageNormalizer
from .estimators import PoseEstimator
from .heads import HeatmapHead
from .losses import HeatmapCrossEntropyLoss, HeatmapMSELoss
from .mae import MAE, MAEDecoder

__all__ = [
    'MAE',
    'SAPIENS_ARCHS',
    'HeatmapCrossEntropyLoss',
    'HeatmapHead',
    'HeatmapMSELoss',
    'ImageNormalizer',
    'MAEDecoder',
    'PoseEstimator',
    'SapiensViT',
    'UDPHeatmap',
]
