from .hooks import BadDataHook, CheckpointHook, ReconstructionHook, StopHook, ThroughputHook
from .loops import TrainLoop
from .optim import OptimWrapper, ParamGroupConstructor
from .runner import Runner

__all__ = [
    'BadDataHook',
    'CheckpointHook',
    'OptimWrapper',
    'ParamGroupConstructor',
    'ReconstructionHook',
    'Runner',
    'StopHook',
    'ThroughputHook',
    'TrainLoop',
]
