"""Where the people of an image are: detectors behind one interface.

A detector is a function of images (a list of (H, W, 3) uint8 RGB) that returns (boxes (N, 4) x1, y1, x2, y2 in pixels, scores
(N,)) of each, both float32. :func:`build_detector` makes one from a short text.
"""

from .base import PersonDetector, suppress
from .boxes_file import BoxesFile
from .build import DETECTORS, build_detector

__all__ = ['DETECTORS', 'BoxesFile', 'PersonDetector', 'build_detector', 'suppress']
