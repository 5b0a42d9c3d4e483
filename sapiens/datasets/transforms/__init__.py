"""Transforms of the pipelines. Importing it registers them."""

from .alpha import ComposeRGBA, CropToAlpha
from .background import RandomBackground
from .boxes import PackBoxes
from .decoding import BadImage
from .degradation import GaussianBlur, GaussianNoise, JPEGCompression, LowerResolution, Solarize
from .dense import LoadDense
from .distractors import HoldObjects, PasteObjects, PastePeople
from .joint import MovePerson, PackTasks, PersonCrop
from .labels import LoadLabels
from .loading import LoadLetterbox, LoadRandomResizedCrop, LoadResize
from .matte import CutByBorder, LoadMatte
from .occlusion import CoarseDropout
from .packing import PackDense, PackImage, PackPose
from .photograph import Defocus, MotionBlur, RandomGrayscale, SensorNoise, ToneCurve
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
    'CutByBorder',
    'Defocus',
    'GaussianBlur',
    'GaussianNoise',
    'HoldObjects',
    'JPEGCompression',
    'Letterbox',
    'LoadDense',
    'LoadLabels',
    'LoadLetterbox',
    'LoadMatte',
    'LoadPerson',
    'LoadRandomResizedCrop',
    'LoadResize',
    'LowerResolution',
    'MotionBlur',
    'MovePerson',
    'PackBoxes',
    'PackDense',
    'PackImage',
    'PackPose',
    'PackTasks',
    'PasteObjects',
    'PastePeople',
    'PersonCrop',
    'PhotometricDistortion',
    'RandomAreaCrop',
    'RandomBackground',
    'RandomBlur',
    'RandomCrop',
    'RandomFlip',
    'RandomGrayscale',
    'RandomResize',
    'RandomRotate',
    'RejectLabels',
    'Rejected',
    'Resize',
    'ScaleJitter',
    'SensorNoise',
    'Solarize',
    'ToneCurve',
]
