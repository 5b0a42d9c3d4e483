from .backbones.archs import SAPIENS2_ARCHS, SAPIENS_ARCHS
from .backbones.interface import Encoder
from .backbones.mmpretrain_backbone import MMPretrainBackbone
from .backbones.sapiens_v1 import SapiensViT
from .backbones.sapiens_v2 import Sapiens2ViT
from .backbones.timm_backbone import TimmBackbone
from .codecs.center_boxes import CenterBoxes
from .codecs.heatmap_target import HeatmapTarget
from .codecs.udp_heatmap import UDPHeatmap
from .data_preprocessor import ImageNormalizer
from .estimators.albedo_task import AlbedoTask
from .estimators.boxes import BoxEstimator
from .estimators.dense import DenseEstimator
from .estimators.dense_task import DenseTask
from .estimators.dense_tasks import DepthTask, NormalTask, SegTask
from .estimators.matting_task import MattingTask
from .estimators.multi_task import MultiTaskEstimator
from .estimators.pointmap_task import PointmapTask
from .estimators.pose import PoseEstimator
from .heads.center import CenterHead
from .heads.deconv import DeconvHead
from .heads.dense import DenseHead
from .heads.heatmap import HeatmapHead
from .heads.pixel_shuffle import PixelShuffleHead
from .losses.albedo import AlbedoChromaticityLoss, AlbedoGradientLoss, AlbedoL1Loss, AlbedoLowFrequencyLoss
from .losses.boxes import BoxGIoULoss, BoxL1Loss, CenterFocalLoss
from .losses.depth import AlignedDepthLoss, DepthGradientLoss, ScaleShiftInvariantLoss, SiLogLoss
from .losses.heatmap import HeatmapCrossEntropyLoss, HeatmapMSELoss
from .losses.matting import MattingGradientLoss, MattingL1Loss, MattingLaplacianLoss
from .losses.normal import NormalCosineLoss, NormalGradientLoss, NormalL1Loss
from .losses.pointmap import (
    PointmapIntrinsicsLoss,
    PointmapL1Loss,
    PointmapMultiscaleL1Loss,
    PointmapNormalLoss,
    PointmapScaleLoss,
    PointmapShiftInvariantLoss,
    PointmapSiLogLoss,
)
from .losses.segmentation import SegCrossEntropyLoss, SegDiceLoss
from .mae import MAE, MAEDecoder

__all__ = [
    'MAE',
    'SAPIENS2_ARCHS',
    'SAPIENS_ARCHS',
    'AlbedoChromaticityLoss',
    'AlbedoGradientLoss',
    'AlbedoL1Loss',
    'AlbedoLowFrequencyLoss',
    'AlbedoTask',
    'AlignedDepthLoss',
    'BoxEstimator',
    'BoxGIoULoss',
    'BoxL1Loss',
    'CenterBoxes',
    'CenterFocalLoss',
    'CenterHead',
    'DeconvHead',
    'DenseEstimator',
    'DenseHead',
    'DenseTask',
    'DepthGradientLoss',
    'DepthTask',
    'Encoder',
    'HeatmapCrossEntropyLoss',
    'HeatmapHead',
    'HeatmapMSELoss',
    'HeatmapTarget',
    'ImageNormalizer',
    'MAEDecoder',
    'MMPretrainBackbone',
    'MattingGradientLoss',
    'MattingL1Loss',
    'MattingLaplacianLoss',
    'MattingTask',
    'MultiTaskEstimator',
    'NormalCosineLoss',
    'NormalGradientLoss',
    'NormalL1Loss',
    'NormalTask',
    'PixelShuffleHead',
    'PointmapIntrinsicsLoss',
    'PointmapL1Loss',
    'PointmapMultiscaleL1Loss',
    'PointmapNormalLoss',
    'PointmapScaleLoss',
    'PointmapShiftInvariantLoss',
    'PointmapSiLogLoss',
    'PointmapTask',
    'PoseEstimator',
    'Sapiens2ViT',
    'SapiensViT',
    'ScaleShiftInvariantLoss',
    'SegCrossEntropyLoss',
    'SegDiceLoss',
    'SegTask',
    'SiLogLoss',
    'TimmBackbone',
    'UDPHeatmap',
]
