"""Average precision of boxes of people, and recall by their height."""

import logging
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from sapiens.coco import BOX_THRESHOLD, AnnotatedPeople, read_people
from sapiens.registry import METRICS

__all__ = ['HEIGHTS', 'BoxMetric', 'match_boxes']

# Names of the numbers of COCO's summary, and their positions in it.
STATISTICS = {
    **{'AP': 0, 'AP .5': 1, 'AP .75': 2, 'AP (S)': 3, 'AP (M)': 4, 'AP (L)': 5},
    **{'AR': 8, 'AR (S)': 9, 'AR (M)': 10, 'AR (L)': 11},
}
# Ranges of the height of a person in pixels of the image.
HEIGHTS = {'40-96': (40, 96), '96-192': (96, 192), '192+': (192, np.inf)}


@METRICS.register_module()
class BoxMetric(BaseMetric):
    """COCO's average precision and recall of boxes, against every person of an annotation file.

    As COCO's tools: crowds are ignored, together with the boxes that they hold; an image counts its 100 best boxes; S, M and L
    are people of up to 32², 96² and more square pixels. Every image of the file without a prediction counts as one in which
    nobody was found.

    Reports, each under ``prefix/``: AP (over IoU from .5 to .95), AP .5, AP .75, AP (S), AP (M), AP (L), AR, AR (S), AR (M),
    AR (L); and ``recall 40-96``, ``recall 96-192`` and ``recall 192+``: the share of the people of these heights in pixels that a
    box with a score of at least ``score_threshold`` overlaps by an IoU of .5. Values are in [0, 1], or -1 if the file has no such
    person.

    Args:
        ann_file: COCO JSON, read at once in the main process.
        score_threshold: of the boxes that count in the recall by height; default that of detectors,
            :data:`sapiens.coco.BOX_THRESHOLD`.
        prefix: of the names.
        **options: collect_device, collect_dir of :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        FileNotFoundError: no ``ann_file``.
        ValueError: a file of another format, or without a person; predictions of images that it does not list.
    """

    default_prefix = 'person'
    names = (*STATISTICS, *(f'recall {name}' for name in HEIGHTS))

    def __init__(
        self, ann_file: str, score_threshold: float = BOX_THRESHOLD, prefix: str | None = None, **options
    ) -> None:
        super().__init__(prefix=prefix, **options)
        if not 0 <= score_threshold <= 1:
            raise ValueError(f'BoxMetric: score_threshold={score_threshold!r}, expected 0 to 1')
        self.ann_file, self.score_threshold = str(ann_file), score_threshold
        # Only the main process computes metrics. It reads the file at once, so that a wrong file fails at the start.
        if is_main_process():
            self.truth  # noqa: B018

    @cached_property
    def people(self) -> AnnotatedPeople:
        """The annotations of the file."""
        return read_people(self.ann_file)

    @cached_property
    def truth(self) -> dict:
        """The people of the file as a COCO file."""
        people = self.people
        with np.errstate(invalid='ignore'):
            good = np.isin(people.categories, people.person_categories) & np.isfinite(people.boxes).all(1)
        rows = np.flatnonzero(good & (people.image >= 0))
        if not len(rows):
            raise ValueError(f'{self.ann_file!r} has no box of a person')
        areas = np.where(people.has_area, people.areas, people.boxes[:, 2:].prod(1))
        return _coco(people.image_ids.tolist(), people.image_id[rows], people.boxes[rows],
                     area=areas[rows], iscrowd=people.crowd[rows].astype(int))  # fmt: skip

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the boxes of a batch.

        Args:
            data_batch: not used.
            data_samples: dicts with ``img_id`` and ``pred_instances``: bboxes (n, 4) x1, y1, x2, y2 in pixels of the image and
                scores (n,).
        """
        for sample in data_samples:
            found = sample['pred_instances']
            boxes, scores = np.asarray(found['bboxes'], np.float64), np.asarray(found['scores'], np.float64)
            self.results.append((sample['img_id'], boxes.reshape(-1, 4), scores))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        # Samples that distributed loaders repeat count once.
        found = {image_id: (boxes, scores) for image_id, boxes, scores in results}
        unknown = sorted(str(image_id) for image_id in found if image_id not in set(self.people.image_ids.tolist()))
        if unknown:
            raise ValueError(
                f'the predictions have {len(unknown)} image(s) that {self.ann_file!r} does not list: '
                f'{", ".join(unknown[:10])}. Evaluate on the annotation file that the predicted images come from'
            )
        if not any(len(scores) for _, scores in found.values()):
            print_log(f'{self.prefix}: nobody was found in {len(found)} images', 'current', logging.WARNING)
        numbers = {**self._average(found), **self._recall(found)}
        count = sum(int((scores >= self.score_threshold).sum()) for _, scores in found.values())
        print_log(
            f'{self.prefix}: {count} people found with a score of {self.score_threshold:g} or more, '
            f'{len(self.truth["annotations"])} boxes in {self.ann_file}',
            'current',
        )
        return numbers

    def _average(self, found: dict) -> dict[str, float]:
        """COCO's numbers."""
        images = [image_id for image_id, (_, scores) in found.items() for _ in scores]
        if not images:
            return {name: 0.0 for name in STATISTICS}
        boxes, scores = (np.concatenate(parts) for parts in zip(*found.values(), strict=True))
        sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
        detections = _coco(self.people.image_ids.tolist(), images, sizes, area=sizes[:, 2:].prod(1), score=scores)
        evaluation = COCOeval_faster(
            COCO(self.truth), COCO(detections), iouType='bbox', print_function=lambda *_: None
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return {name: float(evaluation.stats[index]) for name, index in STATISTICS.items()}

    def _recall(self, found: dict) -> dict[str, float]:
        """Share of the people of each range of heights that were found."""
        hits, heights = [], []
        people: dict[int, list] = {}
        for one in self.truth['annotations']:
            if not one['iscrowd']:
                people.setdefault(one['image_id'], []).append(one['bbox'])
        for image_id, own in people.items():
            boxes, scores = found.get(image_id, (np.zeros((0, 4)), np.zeros(0)))
            order = np.argsort(-scores, kind='stable')
            order = order[scores[order] >= self.score_threshold]
            corners = np.array(own)
            heights += corners[:, 3].tolist()
            corners[:, 2:] += corners[:, :2]
            hits += np.isin(np.arange(len(corners)), match_boxes(corners, boxes[order])).tolist()
        hits, heights = np.array(hits, bool), np.array(heights)
        shares = {}
        for name, (low, high) in HEIGHTS.items():
            inside = (heights >= low) & (heights < high)
            shares[f'recall {name}'] = float(hits[inside].mean()) if inside.any() else -1.0
        return shares


def match_boxes(people: np.ndarray, boxes: np.ndarray, least: float = 0.5) -> np.ndarray:
    """The person (M,) of each box, -1 for none. Boxes, best first, each take the open person that they overlap most.

    Args:
        people, boxes: (N, 4) and (M, 4) x1, y1, x2, y2 of one image.
        least: IoU.
    """
    low = np.maximum(people[:, None, :2], boxes[None, :, :2])
    high = np.minimum(people[:, None, 2:], boxes[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(2)
    areas = [(one[:, 2:] - one[:, :2]).prod(1) for one in (people, boxes)]
    overlap = shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)
    owner, is_open = np.full(len(boxes), -1), np.ones(len(people), bool)
    for index, column in enumerate(overlap.T if len(people) else ()):
        best = int(np.where(is_open, column, -1.0).argmax())
        if is_open[best] and column[best] >= least:
            owner[index], is_open[best] = best, False
    return owner


def _coco(image_ids: list, images: Sequence, boxes: np.ndarray, **columns: np.ndarray) -> dict:
    """A COCO file of boxes x, y, width, height; ids start at 1, since 0 means unmatched."""
    values = zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True)
    rows = [
        dict(zip(columns, row, strict=True), id=number, category_id=1, image_id=int(image), bbox=box)
        for number, (image, box, row) in enumerate(zip(images, boxes.tolist(), values, strict=True), 1)
    ]
    return dict(
        images=[dict(id=image_id) for image_id in image_ids],
        annotations=rows,
        categories=[dict(id=1, name='person')],
    )
