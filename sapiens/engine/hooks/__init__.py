from .bad_data import BadDataHook
from .checkpoint import CheckpointHook
from .stop import StopHook
from .test_figures import DenseShowHook, PoseShowHook, ShowHook, show_hook_for
from .throughput import ThroughputHook
from .training_figures import DenseFigureHook, PosePictureHook, ReconstructionHook, TrainingFigureHook
from .visible_keypoints import VisibleKeypointsHook

__all__ = [
    'BadDataHook',
    'CheckpointHook',
    'DenseFigureHook',
    'DenseShowHook',
    'PosePictureHook',
    'PoseShowHook',
    'ReconstructionHook',
    'ShowHook',
    'StopHook',
    'ThroughputHook',
    'TrainingFigureHook',
    'VisibleKeypointsHook',
    'show_hook_for',
]
