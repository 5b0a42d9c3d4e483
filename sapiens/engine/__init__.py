from .hooks import (
    BadDataHook,
    CheckpointHook,
    PanelHook,
    PosePictureHook,
    PoseShowHook,
    ReconstructionHook,
    ShowHook,
    StopHook,
    ThroughputHook,
    VisibleKeypointsHook,
    show_hook_for,
)
from .loops import TrainLoop
from .optim import OptimWrapper, ParamGroupConstructor
from .runner import Runner

__all__ = [
    'BadDataHook',
    'CheckpointHook',
    'OptimWrapper',
    'PanelHook',
    'ParamGroupConstructor',
    'PosePictureHook',
    'PoseShowHook',
    'ReconstructionHook',
    'Runner',
    'ShowHook',
    'StopHook',
    'ThroughputHook',
    'TrainLoop',
    'VisibleKeypointsHook',
    'show_hook_for',
]
