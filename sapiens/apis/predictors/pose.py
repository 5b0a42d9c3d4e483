"""Predictor of keypoints."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from torch import nn

from sapiens.metainfo import Skeleton, correspondences, get_skeleton
from sapiens.metainfo.convert_keypoints import gather_keypoints
from sapiens.utils.crop import heatmap_to_image

from ..preprocess import PersonInput
from ..results import PoseResult
from .base import Predictor

__all__ = ['SKELETONS', 'PosePredictor']

# Number of keypoints -> skeleton that a larger model can be reduced to.
SKELETONS = {17: 'coco17', 133: 'wholebody133', 308: 'goliath308'}


class PosePredictor(Predictor):
    """Predicts the keypoints of each box.

    Args:
        num_keypoints: number of keypoints to compute, a key of :data:`SKELETONS`; all by default.
        keypoints_as: skeleton of the results, in any form that :func:`sapiens.metainfo.get_skeleton` accepts. Only what it needs
            is computed. Points without a partner are NaN with score 0 (:func:`sapiens.metainfo.correspondences`).
        heatmaps: keep the heatmaps.
        detector: finds people where no boxes are given; see :func:`sapiens.apis.load_model`.

    Raises:
        ValueError: a number of keypoints that the model cannot give, a skeleton that shares no point with the model's, or both
            options.
    """

    options = ('flip_test', 'num_keypoints', 'keypoints_as', 'heatmaps', 'detector')

    def __init__(
        self,
        task: str,
        network: nn.Module,
        preprocess: PersonInput,
        *,
        num_keypoints: int | None = None,
        keypoints_as: str | Path | Mapping | Skeleton | None = None,
        heatmaps: bool = False,
        detector: Callable | None = None,
        **options,
    ) -> None:
        super().__init__(task, network, preprocess, **options)
        self.detector = detector
        self.skeleton, self.matches = network.skeleton, None
        self.predict_options['output_heatmaps'] = heatmaps
        if num_keypoints is not None and keypoints_as is not None:
            raise ValueError(f'num_keypoints={num_keypoints!r} and keypoints_as={keypoints_as!r}: give one of them')
        if num_keypoints is not None and num_keypoints != len(self.skeleton):
            keypoints_as = self._skeleton_of(num_keypoints)
        if keypoints_as is not None and get_skeleton(keypoints_as).name != self.skeleton.name:
            self._convert_to(get_skeleton(keypoints_as))

    def _skeleton_of(self, count: int) -> str:
        if count not in SKELETONS or count > len(self.skeleton):
            known = [number for number in SKELETONS if number <= len(self.skeleton)]
            raise ValueError(f'num_keypoints={count!r}: {self.skeleton!r} can give {" or ".join(map(str, known))}')
        return SKELETONS[count]

    def _convert_to(self, target: Skeleton) -> None:
        self.matches = correspondences(self.skeleton, target)
        needed = [name for match in self.matches if match for name in match.sources]
        self.predict_options['keypoints'] = list(dict.fromkeys(needed))
        self.skeleton = target

    def read(self, samples: list) -> list:
        """Return the people of predicted samples, in memory of the host: instances, heatmaps, and geometry of the crop."""
        outputs = []
        for sample in samples:
            maps = None
            if self.predict_options['output_heatmaps']:
                maps = sample.pred_fields.heatmaps.float().cpu().numpy()
            outputs.append((sample.pred_instances, maps, sample.input_center, sample.input_scale))
        return outputs

    def result(self, image: np.ndarray, path: str, outputs: list) -> PoseResult:
        count = len(self.network.skeleton)
        points = _join([found.keypoints for found, *_ in outputs], (count, 2))
        scores = _join([found.keypoint_scores for found, *_ in outputs], (count,))
        if self.matches is not None:
            points, scores = gather_keypoints(points, scores, self.matches)
        result = PoseResult(
            image=image,
            path=path,
            keypoints=points,
            scores=scores,
            boxes=_join([found.bboxes for found, *_ in outputs], (4,)),
            box_scores=_join([found.bbox_scores for found, *_ in outputs], ()),
            skeleton=self.skeleton,
        )
        if self.predict_options['output_heatmaps']:
            result.heatmaps = [maps for _, maps, *_ in outputs]
            result.heatmap_transforms = np.array(
                [heatmap_to_image(maps.shape, center, scale) for _, maps, center, scale in outputs]
            ).reshape(-1, 2, 3)
        return result


def _join(parts: list[np.ndarray], shape: tuple) -> np.ndarray:
    """Join the people of an image to one array (N, *shape)."""
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros((0, *shape), np.float32)
