from .inputs import find_images
from .loading.build import build_model, load_encoder
from .loading.load_model import load_model
from .predictors.features import extract_features
from .predictors.side_by_side import Pipeline
from .results import (
    AlbedoResult,
    DepthResult,
    FeatureResult,
    ImageResults,
    MattingResult,
    NormalResult,
    PersonResult,
    PointmapResult,
    PoseResult,
    Result,
    SegResult,
)

__all__ = [
    'AlbedoResult',
    'DepthResult',
    'FeatureResult',
    'ImageResults',
    'MattingResult',
    'NormalResult',
    'PersonResult',
    'Pipeline',
    'PointmapResult',
    'PoseResult',
    'Result',
    'SegResult',
    'build_model',
    'extract_features',
    'find_images',
    'load_encoder',
    'load_model',
]
