"""Sizes of what is drawn, as fractions of the shorter side of a picture: pictures of all sizes look alike."""

from collections.abc import Sequence

__all__ = ['BOX', 'LEGEND', 'LEGEND_OF_WIDTH', 'RADIUS', 'RIM', 'STICK', 'TEXT', 'pixels']

# In thousandths of the shorter side.
BOX = 3.0  # thickness of the lines of a box
LEGEND = 42.0  # height of a line of a legend
LEGEND_OF_WIDTH = 34.0  # the same in thousandths of the width, at least: readable where a wide picture has 390 pixels
RADIUS = (0.8, 2.0, 16.0)  # of a keypoint: smallest of a dense group, smallest of a person, largest
RIM = 1.6  # dark rim of keypoints, boxes and texts
STICK = 8.0  # radius and half the width in OpenPose's style: 4 pixels of 512, where they are published
TEXT = 35.0  # height of a line of text, of which letters take two thirds


def pixels(thousandths: float, shape: Sequence[int], least: float = 0.0) -> float:
    """Convert thousandths of the shorter side of a picture of ``shape`` (H, W, ...) to pixels, at least ``least``."""
    return max(thousandths * min(shape[:2]) / 1000, least)
