from .bad_data import BadDataHook
from .checkpoint import CheckpointHook
from .panel import PanelHook
from .predictions import PosePictureHook
from .reconstruction import ReconstructionHook
from .show import PoseShowHook, ShowHook, show_hook_for
from .stop import StopHook
from .throughput import ThroughputHook
from .visible_keypoints import VisibleKeypointsHook

__all__ = [
    'BadDataHook',
    'CheckpointHook',
    'PanelHook',
    'PosePictureHook',
    'PoseShowHook',
    'ReconstructionHook',
    'ShowHook',
    'StopHook',
    'ThroughputHook',
    'VisibleKeypointsHook',
    'show_hook_for',
]
