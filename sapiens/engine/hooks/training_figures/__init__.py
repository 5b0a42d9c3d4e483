from .base import TrainingFigureHook
from .dense import DenseFigureHook
from .mae import ReconstructionHook
from .pose import PosePictureHook

__all__ = ['DenseFigureHook', 'PosePictureHook', 'ReconstructionHook', 'TrainingFigureHook']
