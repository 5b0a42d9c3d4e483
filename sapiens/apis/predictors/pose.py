"""Predictor of keypoints."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from mmpose.structures import PoseDataSample
from torch import nn

from sapiens.datasets.transforms import LoadPerson
from sapiens.metainfo import Skeleton, correspondences, get_skeleton
from sapiens.metainfo.convert_keypoints import gather_keypoints
from sapiens.utils.crop import heatmap_to_image

from ..preprocess import PersonInput
from ..results import PoseResult
from .base import Predictor

__all__ = ['SKELETONS', 'VIEWS', 'PosePredictor']

# Number of keypoints -> skeleton that a larger model can be reduced to.
SKELETONS = {17: 'coco17', 133: 'wholebody133', 308: 'goliath308'}
# Crops of a person: shifts as fractions of the box, and a factor on its size.
VIEWS = (
    (0.0, 0.0, 1.0),
    (0.06, 0.0, 1.0),
    (-0.06, 0.0, 1.0),
    (0.0, 0.06, 1.0),
    (0.0, -0.06, 1.0),
    (0.0, 0.0, 0.88),
    (0.0, 0.0, 1.14),
)


class PosePredictor(Predictor):
    """Predicts the keypoints of each box.

    Args:
        num_keypoints: number of keypoints to compute, a key of :data:`SKELETONS`; all by default.
        keypoints_as: skeleton of the results, in any form that :func:`sapiens.metainfo.get_skeleton` accepts. Only what it needs
            is computed. Points without a partner are NaN with score 0 (:func:`sapiens.metainfo.correspondences`).
        heatmaps: keep the heatmaps.
        views: crops of each person, the first ones of :data:`VIEWS`. A keypoint is the median of its places and of its scores in
            them, along x and y. Small models depend on where exactly the crop lies. The time grows with the number.
        detector: finds people where no boxes are given; see :func:`sapiens.apis.load_model`.

    Raises:
        ValueError: a number of keypoints that the model cannot give, a skeleton that shares no point with the model's, or both
            options; a number of views that there is not, or several with heatmaps or with inputs that are no crops.
    """

    options = ('flip_test', 'num_keypoints', 'keypoints_as', 'heatmaps', 'views', 'detector')

    def __init__(
        self,
        task: str,
        network: nn.Module,
        preprocess: PersonInput,
        *,
        num_keypoints: int | None = None,
        keypoints_as: str | Path | Mapping | Skeleton | None = None,
        heatmaps: bool = False,
        views: int = 1,
        detector: Callable | None = None,
        **options,
    ) -> None:
        if isinstance(views, bool) or not isinstance(views, int) or not 1 <= views <= len(VIEWS):
            raise ValueError(f'views={views!r}: expected the number of crops of a person, 1 to {len(VIEWS)}')
        if views > 1:
            if heatmaps:
                raise ValueError(f'views={views} and heatmaps=True: heatmaps are of one crop')
            if type(preprocess) is not PersonInput:
                raise ValueError(
                    f"views={views}: for crops as the config makes them, not with processing='huggingface' or a model of several "
                    'tasks'
                )
            preprocess = SeveralViews(preprocess.transform, preprocess.padding, views)
        super().__init__(task, network, preprocess, **options)
        self.detector, self.views = detector, views
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
        if self.views > 1:
            points = np.median(points.reshape(-1, self.views, count, 2), 1)
            scores = np.median(scores.reshape(-1, self.views, count), 1)
            outputs = outputs[:: self.views]
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


class SeveralViews(PersonInput):
    """Makes several crops of each box, one after the other.

    Args:
        transform, padding: as for :class:`~sapiens.apis.preprocess.PersonInput`.
        views: crops of a box, the first ones of :data:`VIEWS`.
    """

    def __init__(self, transform: LoadPerson, padding: float, views: int) -> None:
        super().__init__(transform, padding)
        self.views = VIEWS[:views]

    def samples(self, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> list[PoseDataSample]:
        """Return the samples of each box, whose geometry is that of the crop. Their box is the given one."""
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        centers, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        per_view = []
        for x, y, factor in self.views:
            center, half = centers + sizes * np.float32((x, y)), sizes * np.float32(factor / 2)
            made = super().samples(image, np.concatenate([center - half, center + half], 1), scores)
            for sample, box in zip(made, boxes, strict=True):
                sample.gt_instances.bboxes = box[None]
            per_view.append(made)
        return [sample for person in zip(*per_view, strict=True) for sample in person]


def _join(parts: list[np.ndarray], shape: tuple) -> np.ndarray:
    """Join the people of an image to one array (N, *shape)."""
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros((0, *shape), np.float32)
