from .bad_data import BadDataHook
from .checkpoint import CheckpointHook
from .panel import PanelHook
from .predictions import DensePictureHook, DepthPictureHook, NormalPictureHook, PosePictureHook, SegPictureHook
from .reconstruction import ReconstructionHook
from .show import DenseShowHook, PoseShowHook, ShowHook, show_hook_for
from .stop import StopHook
from .throughput import ThroughputHook
from .visible_keypoints import VisibleKeypointsHook

__all__ = [
    'BadDataHook',
    'CheckpointHook',
    'DensePictureHook',
    'DenseShowHook',
    'DepthPictureHook',
    'NormalPictureHook',
    'PanelHook',
    'PosePictureHook',
    'PoseShowHook',
    'ReconstructionHook',
    'SegPictureHook',
    'ShowHook',
    'StopHook',
    'ThroughputHook',
    'VisibleKeypointsHook',
    'show_hook_for',
]
