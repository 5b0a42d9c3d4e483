from .eval_loops import TestLoop, ValLoop
from .hooks import (
    BadDataHook,
    CheckpointHook,
    DenseFigureHook,
    DenseShowHook,
    PosePictureHook,
    PoseShowHook,
    ReconstructionHook,
    ShowHook,
    StopHook,
    ThroughputHook,
    TrainingFigureHook,
    VisibleKeypointsHook,
    show_hook_for,
)
from .loops import TrainLoop
from .optim import OptimWrapper, ParamGroupConstructor
from .runner import Runner

__all__ = [
    'BadDataHook',
    'CheckpointHook',
    'DenseFigureHook',
    'DenseShowHook',
    'OptimWrapper',
    'ParamGroupConstructor',
    'PosePictureHook',
    'PoseShowHook',
    'ReconstructionHook',
    'Runner',
    'ShowHook',
    'StopHook',
    'TestLoop',
    'ThroughputHook',
    'TrainLoop',
    'TrainingFigureHook',
    'ValLoop',
    'VisibleKeypointsHook',
    'show_hook_for',
]
