"""Transforms of the pipelines. Importing it registers them."""

from .alpha import ComposeRGBA, CropToAlpha
from .background import RandomBackground
from .boxes import PackBoxes
from .decoding import BadImage
from .degradation import GaussianBlur, GaussianNoise, JPEGCompression, LowerResolution, Solarize
from .dense import LoadDense
from .labels import LoadLabels
from .loading import LoadLetterbox, LoadRandomResizedCrop, LoadResize
from .occlusion import CoarseDropout
from .packing import PackDense, PackImage, PackPose
from .photometric import PhotometricDistortion, RandomBlur
from .random_geometry import (
    Letterbox,
    RandomAreaCrop,
    RandomCrop,
    RandomFlip,
    RandomResize,
    RandomRotate,
    Resize,
    ScaleJitter,
)
from .rejection import Rejected, RejectLabels
from .topdown import LoadPerson

__all__ = [
    'BadImage',
    'CoarseDropout',
    'ComposeRGBA',
    'CropToAlpha',
    'GaussianBlur',
    'GaussianNoise',
    'JPEGCompression',
    'Letterbox',
    'LoadDense',
    'LoadLabels',
    'LoadLetterbox',
    'LoadPerson',
    'LoadRandomResizedCrop',
    'LoadResize',
    'LowerResolution',
    'PackBoxes',
    'PackDense',
    'PackImage',
    'PackPose',
    'PhotometricDistortion',
    'RandomAreaCrop',
    'RandomBackground',
    'RandomBlur',
    'RandomCrop',
    'RandomFlip',
    'RandomResize',
    'RandomRotate',
    'RejectLabels',
    'Rejected',
    'Resize',
    'ScaleJitter',
    'Solarize',
]
