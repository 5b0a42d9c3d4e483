"""Keypoints of the people of an image."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from sapiens.metainfo import Skeleton
from sapiens.metainfo.palettes import with_palette
from sapiens.utils.counting import count_of
from sapiens.visualization import draw_heatmaps
from sapiens.visualization.legend import draw_entries, skeleton_entries
from sapiens.visualization.people import draw_part, draw_people
from sapiens.visualization.pose import is_inside

from ..found import Found
from ..writers.pose_formats import meta_info, pose_document
from .base import PICTURE, Result, ResultFile
from .saving import Saving

__all__ = ['PoseResult']


def _drawing(saving: Saving) -> dict:
    names = ('style', 'threshold', 'radius', 'thickness', 'show_indices', 'palette')
    return {name: getattr(saving, name) for name in names}


def _part(part: str) -> ResultFile:
    """Enlarged image of a part of the people; missing where none is visible."""

    def content(result: 'PoseResult', saving: Saving) -> np.ndarray | None:
        return draw_part(result.image, result.keypoints, result.scores, result.skeleton, part, **_drawing(saving))

    return ResultFile(part, f'_{part}.{{picture_format}}', content, sometimes=True, about=f'close-up of each {part}')


def _heatmaps(result: 'PoseResult', saving: Saving) -> np.ndarray:
    transforms = result.heatmap_transforms
    return draw_heatmaps(result.image, result.heatmaps, None, transforms=transforms, threshold=saving.threshold)


@dataclass(repr=False)
class PoseResult(Result):
    """Keypoints of the N people of an image.

    Attributes:
        keypoints: (N, K, 2) float32; NaN for keypoints that were not predicted.
        scores: (N, K) float32; 0 for keypoints that were not predicted.
        boxes: (N, 4) float32, the input boxes.
        box_scores: (N,) float32; 1 for boxes without a score.
        skeleton: names, links and colors of the K keypoints.
        heatmaps: (k, h, w) float32 of each person, for the k keypoints of the model that were computed; None unless requested.
        heatmap_transforms: (N, 2, 3), from cells of the heatmaps to pixels of the image.
        track_ids: (N,) int, one id per person throughout a video; None for images.
    """

    keypoints: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 2), np.float32))
    scores: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    box_scores: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    skeleton: Skeleton | None = None
    heatmaps: list[np.ndarray] | None = None
    heatmap_transforms: np.ndarray | None = None
    track_ids: np.ndarray | None = None
    task: ClassVar[str] = 'pose'
    files: ClassVar[tuple[ResultFile, ...]] = (
        ResultFile(
            'json',
            '.json',
            lambda result, saving: pose_document(result, saving.json_layout),
            default=True,
            about='people: boxes, keypoints (x, y in pixels) and scores',
        ),
        PICTURE,
        ResultFile(
            'heatmaps', '_heatmaps.{picture_format}', _heatmaps, needs='heatmaps', about='heatmaps over the image'
        ),
        _part('face'),
        _part('hand'),
    )

    @classmethod
    def check(cls, saving: Saving, skeleton: Skeleton) -> None:
        """Check that the drawings that the options ask for exist for a skeleton.

        Raises:
            ValueError: one does not, such as the face of a skeleton without keypoints on it.
        """
        count = len(skeleton)
        points, scores = np.zeros((0, count, 2), np.float32), np.zeros((0, count), np.float32)
        nobody = cls(np.zeros((8, 8, 3), np.uint8), keypoints=points, scores=scores, skeleton=skeleton)
        for file in cls.chosen(saving):
            if not file.needs:
                file.content(nobody, saving)

    def __len__(self) -> int:
        return len(self.keypoints)

    def draw(self, **options) -> np.ndarray:
        """Draw the people over the image; options of :func:`sapiens.visualization.draw_people`."""
        return draw_people(
            self.image, self.keypoints, self.scores, self.skeleton, boxes=self.boxes, ids=self.track_ids, **options
        )

    def drawing(self, saving: Saving) -> np.ndarray:
        return self.draw(show_boxes=saving.show_boxes, **_drawing(saving))

    def legend(self, saving: Saving, width: int, line: int) -> np.ndarray | None:
        if saving.style != 'default':  # its colors are OpenPose's, which programs read
            return None
        drawn = is_inside(self.keypoints, self.image) & (self.scores >= saving.threshold)
        return draw_entries(skeleton_entries(with_palette(self.skeleton, saving.palette), drawn), width, line)

    def frame_header(self) -> dict:
        return dict(meta_info=meta_info(self.skeleton))

    def frame_record(self, saving: Saving) -> dict:
        return dict(instance_info=pose_document(self, saving.json_layout)['instance_info'])

    def found(self, saving: Saving) -> Found:
        known = ~np.isnan(self.keypoints).any(-1)
        return Found(len(self), int(known.sum()), int((known & (self.scores >= saving.threshold)).sum()))

    def summary(self) -> str:
        return f'{count_of(len(self), "person", "people")}, {self.keypoints.shape[1]} keypoints each'
