from .inputs import find_images
from .loading.build import build_model, load_encoder
from .loading.load_model import load_model
from .predictors.features import extract_features
from .results import DepthResult, FeatureResult, NormalResult, PoseResult, Result, SegResult

__all__ = [
    'DepthResult',
    'FeatureResult',
    'NormalResult',
    'PoseResult',
    'Result',
    'SegResult',
    'build_model',
    'extract_features',
    'find_images',
    'load_encoder',
    'load_model',
]
