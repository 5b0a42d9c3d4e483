"""Detectors of people with one interface.

A detector takes a list of images (H, W, 3) uint8 RGB and returns (boxes (N, 4) x1, y1, x2, y2 in pixels, scores (N,)) of each,
both float32. :func:`build_detector` builds one from a short text.
"""

from . import automatic
from .base import PersonDetector, suppress
from .boxes_file import BoxesFile
from .build import DETECTORS, build_detector, check_detector

__all__ = ['DETECTORS', 'BoxesFile', 'PersonDetector', 'automatic', 'build_detector', 'check_detector', 'suppress']
