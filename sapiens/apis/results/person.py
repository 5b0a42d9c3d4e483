"""Boxes of the people of an image."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from sapiens.utils.counting import count_of
from sapiens.visualization.boxes import draw_boxes

from ..found import Found
from ..writers.box_formats import box_document
from .base import PICTURE, Result, ResultFile
from .saving import Saving

__all__ = ['PersonResult']


@dataclass(repr=False)
class PersonResult(Result):
    """Boxes of the N people of an image, best first.

    Attributes:
        boxes: (N, 4) float32 x1, y1, x2, y2: edges of what shows of each person, in pixels of the image (0 and the width are the
            edges of the image).
        scores: (N,) float32 in [0, 1].
    """

    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    task: ClassVar[str] = 'person'
    files: ClassVar[tuple[ResultFile, ...]] = (
        ResultFile(
            'json',
            '.json',
            lambda result, saving: box_document(result),
            default=True,
            about='people: boxes (x1, y1, x2, y2 in pixels) and scores',
        ),
        PICTURE,
    )

    def __len__(self) -> int:
        return len(self.boxes)

    def draw(self, **options) -> np.ndarray:
        """Draw the boxes over the image; options of :func:`sapiens.visualization.draw_boxes`."""
        return draw_boxes(self.image, self.boxes, self.scores, **options)

    def drawing(self, saving: Saving) -> np.ndarray:
        return self.draw()

    def frame_record(self, saving: Saving) -> dict:
        return box_document(self)

    def found(self, saving: Saving) -> Found:
        return Found(len(self), 0, 0)

    def summary(self) -> str:
        return count_of(len(self), 'person', 'people')
