"""Transforms of the pipelines. Importing it registers them."""

from .decoding import BadImage
from .loading import LoadRandomResizedCrop, LoadResize
from .packing import PackImage

__all__ = ['BadImage', 'LoadRandomResizedCrop', 'LoadResize', 'PackImage']
