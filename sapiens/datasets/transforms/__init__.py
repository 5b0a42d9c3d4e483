"""Transforms of the pipelines. Importing it registers them."""

from .decoding import BadImage
from .loading import LoadRandomResizedCrop, LoadResize
from .occlusion import CoarseDropout
from .packing import PackImage, PackPose
from .photometric import PhotometricDistortion, RandomBlur
from .rejection import Rejected
from .topdown import LoadPerson

__all__ = [
    'BadImage',
    'CoarseDropout',
    'LoadPerson',
    'LoadRandomResizedCrop',
    'LoadResize',
    'PackImage',
    'PackPose',
    'PhotometricDistortion',
    'RandomBlur',
    'Rejected',
]
