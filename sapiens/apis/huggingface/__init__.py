"""The processing of transformers."""

from .processor import ImageProcessor

__all__ = ['ImageProcessor']
