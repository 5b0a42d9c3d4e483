"""Typed results: plain arrays that draw and save themselves. Each class declares its files."""

from .albedo import AlbedoResult
from .base import Result, ResultFile
from .depth import DepthResult
from .features import FeatureResult
from .image_results import ImageResults
from .matting import MattingResult
from .normal import NormalResult
from .person import PersonResult
from .pointmap import PointmapResult
from .pose import PoseResult
from .saving import Saving
from .seg import SegResult

__all__ = [
    'AlbedoResult',
    'DepthResult',
    'FeatureResult',
    'ImageResults',
    'MattingResult',
    'NormalResult',
    'PersonResult',
    'PointmapResult',
    'PoseResult',
    'Result',
    'ResultFile',
    'Saving',
    'SegResult',
]
