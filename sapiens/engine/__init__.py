from .hooks import (
    BadDataHook,
    CheckpointHook,
    DensePictureHook,
    DenseShowHook,
    DepthPictureHook,
    NormalPictureHook,
    PanelHook,
    PosePictureHook,
    PoseShowHook,
    ReconstructionHook,
    SegPictureHook,
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
    'DensePictureHook',
    'DenseShowHook',
    'DepthPictureHook',
    'NormalPictureHook',
    'OptimWrapper',
    'PanelHook',
    'ParamGroupConstructor',
    'PosePictureHook',
    'PoseShowHook',
    'ReconstructionHook',
    'Runner',
    'SegPictureHook',
    'ShowHook',
    'StopHook',
    'ThroughputHook',
    'TrainLoop',
    'VisibleKeypointsHook',
    'show_hook_for',
]
