from .keypoints import KeypointMetric
from .reconstruction import ReconstructionLoss
from .val_loss import ValLoss

__all__ = ['KeypointMetric', 'ReconstructionLoss', 'ValLoss']
