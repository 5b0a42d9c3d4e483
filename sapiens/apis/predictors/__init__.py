"""Predictors: models with their pre- and postprocessing."""

from .base import Predictor
from .dense import DensePredictor
from .features import FeaturePredictor
from .multi_task import MultiTaskPredictor
from .person import PersonPredictor
from .pointmap import PointmapPredictor
from .pose import SKELETONS, VIEWS, PosePredictor
from .side_by_side import Pipeline

__all__ = [
    'SKELETONS',
    'VIEWS',
    'DensePredictor',
    'FeaturePredictor',
    'MultiTaskPredictor',
    'PersonPredictor',
    'Pipeline',
    'PointmapPredictor',
    'PosePredictor',
    'Predictor',
]
