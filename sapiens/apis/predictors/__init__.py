"""Predictors: models with their pre- and postprocessing."""

from .base import Predictor
from .dense import DensePredictor
from .features import FeaturePredictor
from .pose import SKELETONS, PosePredictor

__all__ = ['SKELETONS', 'DensePredictor', 'FeaturePredictor', 'PosePredictor', 'Predictor']
