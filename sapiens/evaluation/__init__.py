from .albedo import AlbedoMetric
from .boxes import BoxMetric
from .depth import DepthMetric
from .direction import rule_of
from .keypoints import KeypointMetric
from .matting import MattingMetric
from .normal import NormalMetric
from .pck import PCKMetric
from .pointmap import PointmapMetric
from .reconstruction import ReconstructionLoss
from .reported import refuse_unreported, reported_names
from .segmentation import SegMetric
from .streaming import StreamingMetric
from .val_loss import ValLoss

__all__ = [
    'AlbedoMetric',
    'BoxMetric',
    'DepthMetric',
    'KeypointMetric',
    'MattingMetric',
    'NormalMetric',
    'PCKMetric',
    'PointmapMetric',
    'ReconstructionLoss',
    'SegMetric',
    'StreamingMetric',
    'ValLoss',
    'refuse_unreported',
    'reported_names',
    'rule_of',
]
