"""Transforms of the pipelines. Importing it registers them."""

from .background import RandomBackground
from .decoding import BadImage
from .dense import LoadDense
from .labels import LoadLabels
from .loading import LoadRandomResizedCrop, LoadResize
from .occlusion import CoarseDropout
from .packing import PackDense, PackImage, PackPose
from .photometric import PhotometricDistortion, RandomBlur
from .random_geometry import RandomCrop, RandomFlip, RandomResize, RandomRotate, Resize
from .rejection import Rejected
from .topdown import LoadPerson

__all__ = [
    'BadImage',
    'CoarseDropout',
    'LoadDense',
    'LoadLabels',
    'LoadPerson',
    'LoadRandomResizedCrop',
    'LoadResize',
    'PackDense',
    'PackImage',
    'PackPose',
    'PhotometricDistortion',
    'RandomBackground',
    'RandomBlur',
    'RandomCrop',
    'RandomFlip',
    'RandomResize',
    'RandomRotate',
    'Rejected',
    'Resize',
]
