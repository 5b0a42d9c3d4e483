"""Typed results: plain arrays that draw and save themselves. Each class declares its files."""

from .base import Result, ResultFile
from .depth import DepthResult
from .features import FeatureResult
from .image_results import ImageResults
from .normal import NormalResult
from .pose import PoseResult
from .saving import Saving
from .seg import SegResult

__all__ = [
    'DepthResult',
    'FeatureResult',
    'ImageResults',
    'NormalResult',
    'PoseResult',
    'Result',
    'ResultFile',
    'Saving',
    'SegResult',
]
