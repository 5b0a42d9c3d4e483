from .averaging import ExponentialMovingAverage, MomentumAnnealingEMA
from .eval_loops import TestLoop, ValLoop
from .hooks.bad_data import BadDataHook
from .hooks.checkpoint import CheckpointHook
from .hooks.data_check import DataCheckHook
from .hooks.early_stopping import EarlyStoppingHook
from .hooks.garbage import GarbageHook
from .hooks.logger import LoggerHook
from .hooks.mfu import MFUHook
from .hooks.runtime_info import RuntimeInfoHook
from .hooks.stop import StopHook
from .hooks.test_figures.base import ShowHook
from .hooks.test_figures.boxes import BoxShowHook
from .hooks.test_figures.dense import DenseShowHook, show_hook_for
from .hooks.test_figures.pose import PoseShowHook
from .hooks.throughput import ThroughputHook
from .hooks.timer import IterTimerHook
from .hooks.training_figures.base import TrainingFigureHook
from .hooks.training_figures.boxes import BoxFigureHook
from .hooks.training_figures.dense import DenseFigureHook
from .hooks.training_figures.mae import ReconstructionHook
from .hooks.training_figures.pose import PosePictureHook
from .loops import TrainLoop
from .mmengine_loops import EpochBasedTrainLoop, IterBasedTrainLoop
from .optim.low_bit import LowBitAdamW
from .optim.optim_wrapper import OptimWrapper
from .optim.param_groups import ParamGroupConstructor
from .runner import Runner

__all__ = [
    'BadDataHook',
    'BoxFigureHook',
    'BoxShowHook',
    'CheckpointHook',
    'DataCheckHook',
    'DenseFigureHook',
    'DenseShowHook',
    'EarlyStoppingHook',
    'EpochBasedTrainLoop',
    'ExponentialMovingAverage',
    'GarbageHook',
    'IterBasedTrainLoop',
    'IterTimerHook',
    'LoggerHook',
    'LowBitAdamW',
    'MFUHook',
    'MomentumAnnealingEMA',
    'OptimWrapper',
    'ParamGroupConstructor',
    'PosePictureHook',
    'PoseShowHook',
    'ReconstructionHook',
    'Runner',
    'RuntimeInfoHook',
    'ShowHook',
    'StopHook',
    'TestLoop',
    'ThroughputHook',
    'TrainLoop',
    'TrainingFigureHook',
    'ValLoop',
    'show_hook_for',
]
