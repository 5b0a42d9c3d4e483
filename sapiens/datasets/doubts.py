"""What is strange about the known values of one map: units and codings that were mixed up.

Functions take values (n, K) and return a sentence, '' if nothing is strange. Fields of tasks name them (``doubt``).
"""

import numpy as np

from .statistics import FARTHEST

__all__ = ['dark_albedo', 'extreme_alpha', 'far_points']

# Meters: people beyond or nearer than this are not photographed.
_FAR, _NEAR = 100, 0.05
_HALF = 0.5
# Median of linear albedo over the pixels of people. For 60 images of rendered people, quartiles 0.09, 0.14 and 0.26; for linear
# files read as sRGB-coded 0.009, 0.018 and 0.055; for sRGB-coded files read as linear 0.33, 0.41 and 0.55.
_DARK, _BRIGHT = 0.05, 0.33


def far_points(points: np.ndarray) -> str:
    """Doubts about points (n, 3) in meters."""
    depth = points[:, 2]
    median = float(np.median(depth))
    if median > _FAR:
        return f'half of the points farther than {_FAR} m: are they millimeters? Set depth_scale=0.001 of the dataset'
    if median < _NEAR:
        return f'half of the points nearer than {_NEAR} m: is the unit of the depth a meter? Set depth_scale= of the dataset'
    if float(depth.max()) > FARTHEST * median:
        return f'a farthest point more than {FARTHEST} times as far as the median: is it a value for the background?'
    return ''


def extreme_alpha(alpha: np.ndarray) -> str:
    """Doubts about alpha (n, 1)."""
    if alpha.max() < _HALF:
        return 'no pixel that people cover by half: are its values 0 to 1, or 0 to the largest of their type?'
    return 'all pixels covered by people: is it alpha?' if alpha.min() > _HALF else ''


def dark_albedo(albedo: np.ndarray) -> str:
    """Doubts about linear albedo (n, 3)."""
    median = float(np.median(albedo))
    if median < _DARK:
        return (
            f'a median below {_DARK}, which is nearly black: are the files linear, and read as sRGB (albedo_coding)?'
        )
    if median > _BRIGHT:
        return f'a median above {_BRIGHT}, which is nearly white: are the files sRGB-coded, and read as linear (albedo_coding)?'
    return ''
