"""Average precision of 2D keypoints, for any skeleton and its keypoint groups."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from prettytable import PrettyTable

from sapiens.metainfo import Skeleton, get_skeleton, goliath308, match_keypoints
from sapiens.metainfo.naming import not_known
from sapiens.registry import METRICS

from .functional import keypoint_areas, oks_nms
from .oks_average import STATISTICS, average_oks
from .people import Detections, GroundTruth, read_detections, read_ground_truth, write_detections

__all__ = ['KeypointMetric']

WHOLE = 'whole'


@METRICS.register_module()
class KeypointMetric(BaseMetric):
    """COCO's average precision and recall over OKS, against every person of an annotation file.

    As published, and as mmpose's ``CocoMetric`` and ``CocoWholeBodyMetric`` with default settings: the score of a person is
    the box score times the mean of the keypoint scores above ``keypoint_score_thr``. NMS keeps one of people that nearly
    coincide. An image counts its 20 best people. Groups are ranked by the score of the whole person. Every person of the file
    without a prediction counts as missed.

    Reports, each under ``prefix/``: AP, AP .5, AP .75, AP (M), AP (L), AR, AR .5, AR .75, AR (M), AR (L) of all keypoints, and
    ``<group>_AP``, ``<group>_AR`` of each group. Values are in [0, 1], or -1 if the file has no such person. The log has a
    table with all ten for each group.

    Args:
        skeleton: of the predictions, in any form that :func:`sapiens.metainfo.get_skeleton` accepts.
        ann_file: COCO JSON annotated with ``skeleton`` (or with ``common_with``), read at once in the main process.
        groups: names of the skeleton's groups, and ``whole`` for all keypoints. None: ``whole``, and all proper subgroups
            except ``extra``; for coco17 that is the plain COCO AP.
        keypoint_score_thr: see above.
        nms: ``'oks'``, or ``'none'`` to count all predicted people.
        nms_thr: OKS above which two people are duplicates.
        common_with: skeleton of ``ann_file``, if it is another one. Keypoints are compared under its names, with its sigmas
            and groups.
        common_names: which keypoints are equal: ``'published'``, those of one name (53 of goliath308 and wholebody133, on
            body, feet and hands); ``'wide'``, also the knuckles and hand roots, whose names differ (65); or a list of names
            in ``common_with``, a subset of the wide ones.
        missing: keypoints of ``common_with`` without an equal one: ``'skip'`` leaves them out, and groups without any;
            ``'wrong'`` counts each as a miss, as the published evaluation does (its whole-body AP is then low).
        dump: COCO results file to write at each evaluation: people after NMS with their scores. ``sapiens score`` computes
            the same numbers from it.
        use_area: take areas from ``ann_file``; otherwise 0.53 of the box.
        prefix: default: ``dataset_name`` of the annotated skeleton with dashes (``coco``, ``coco-wholebody``).
        **options: collect_device, collect_dir of :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        FileNotFoundError: no ``ann_file``.
        ValueError: an unknown skeleton, group, keypoint or mode; predictions with another number of keypoints, or of
            images that ``ann_file`` does not list.
    """

    def __init__(
        self,
        skeleton: str | Path | Mapping | Skeleton,
        ann_file: str,
        groups: Sequence[str] | None = None,
        keypoint_score_thr: float = 0.2,
        nms: str = 'oks',
        nms_thr: float = 0.9,
        common_with: str | Path | Mapping | Skeleton | None = None,
        common_names: str | Sequence[str] = 'published',
        missing: str = 'skip',
        dump: str | None = None,
        use_area: bool = True,
        prefix: str | None = None,
        **options,
    ):
        for name, value, known in (('nms', nms, ('oks', 'none')), ('missing', missing, ('skip', 'wrong'))):
            if value not in known:
                raise ValueError(f'KeypointMetric: {name}={value!r}, expected one of {", ".join(map(repr, known))}')
        if common_with is None and (common_names != 'published' or missing != 'skip'):
            raise ValueError('KeypointMetric: common_names and missing have an effect only together with common_with')
        self.predicted = get_skeleton(skeleton)
        self.annotated = self.predicted if common_with is None else get_skeleton(common_with)
        # For each annotated keypoint the id of the equal predicted one, or -1.
        self.source = _common(self.predicted, self.annotated, common_names)
        self.groups = _groups(self.annotated, groups, self.source >= 0 if missing == 'skip' else None)
        super().__init__(prefix=prefix or self.annotated.dataset_name.replace('_', '-'), **options)
        self.ann_file, self.use_area, self.dump = str(ann_file), use_area, dump
        self.keypoint_score_thr, self.nms_thr = keypoint_score_thr, nms_thr if nms == 'oks' else None
        body = self.annotated.groups.get('body', ())
        # The area of a false detection decides whether it counts as medium or large. COCO's tools take the box. Results of
        # COCO-WholeBody have no box: their tools take the extent of the body's keypoints.
        self.area_ids = body if 0 < len(body) < len(self.annotated) else None
        # Only the main process computes metrics. It reads the file at once, so that a wrong file fails at the start.
        if is_main_process():
            self.people  # noqa: B018

    @cached_property
    def people(self) -> GroundTruth:
        """The annotated people."""
        return read_ground_truth(self.ann_file, self.annotated, self.use_area)

    @property
    def names(self) -> list[str]:
        """Names of the reported metrics, without the prefix."""
        parts = [f'{group}_{name}' for group in self.groups if group != WHOLE for name in ('AP', 'AR')]
        return [*(STATISTICS if WHOLE in self.groups else ()), *parts]

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch, one small tuple per sample.

        Args:
            data_batch: not used.
            data_samples: dicts with ``img_id``, ``id`` and ``pred_instances``: keypoints (n, K, 2) pixels of the image,
                keypoint_scores (n, K), and if known bboxes (n, 4) x1, y1, x2, y2 and bbox_scores (n,), which default to
                those of ``gt_instances``, then to 1. ``input_scale`` (2,), if known: width and height of the person's crop
                in pixels of the image, the scale on which NMS compares people; default: the extent of the keypoints.
        """
        for sample in data_samples:
            found = sample['pred_instances']
            points, scores = _array(found['keypoints']), _array(found['keypoint_scores'])
            if points.shape[1:] != (len(self.predicted), 2) or scores.shape != points.shape[:2]:
                raise ValueError(
                    f'sample {sample["id"]} of image {sample["img_id"]}: predicted keypoints {points.shape} with scores '
                    f'{scores.shape}, expected (n, {len(self.predicted)}, 2) and (n, {len(self.predicted)}) of skeleton '
                    f'{self.predicted.name!r}'
                )
            boxes = np.full((len(points), 6), np.nan, np.float32)
            if 'bboxes' in found:
                corners = _array(found['bboxes'])
                boxes[:, :2], boxes[:, 2:4] = corners[:, :2], corners[:, 2:4] - corners[:, :2]
            confidence = found.get('bbox_scores', sample.get('gt_instances', {}).get('bbox_scores', 1.0))
            boxes[:, 4] = _array(confidence)
            if 'input_scale' in sample and len(points) == 1:
                boxes[:, 5] = _array(sample['input_scale']).prod()
            people = np.concatenate([points.reshape(len(points), -1), scores, boxes], 1)
            self.results.append((sample['img_id'], sample['id'], people))

    def take(self) -> list:
        """Hand over the people since the last call, in plain values and arrays, and forget them."""
        taken = [list(result) for result in self.results]
        self.results = []
        return taken

    def put(self, records: list) -> None:
        """Add people that :meth:`take` has handed over, here or in another process."""
        self.results += [tuple(record) for record in records]

    def keep_images(self, image_ids: Iterable) -> None:
        """Evaluate against the people of some images only."""
        self.__dict__['people'] = self.people.of_images(image_ids)

    @property
    def num_units(self) -> int:
        """Number of images of the annotation file."""
        return len(self.people.image_ids)

    def redrawn(self, draws: Iterable[np.ndarray]) -> Iterator[dict[str, float]]:
        """The metrics, without the prefix, over each draw: positions of images, as often as they count."""
        people, detections = self.people, self._detections(self.results)
        try:
            for draw in draws:
                self.__dict__['people'] = people.redrawn(draw)
                yield self._evaluate(detections.redrawn(draw))
        finally:
            self.__dict__['people'] = people

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        if not results:
            text = f'{self.prefix}: no predictions; every ground-truth instance counts as missed'
            print_log(text, 'current', logging.WARNING)
        detections = self._detections(results)
        if self.dump is not None:
            write_detections(self.dump, detections, self.people, with_boxes=self.area_ids is None)
        return self._evaluate(detections)

    def rescore(self, path: str) -> dict[str, float]:
        """Evaluate a results file with its own scores, without NMS.

        Args:
            path: COCO results of the annotated skeleton, as ``dump`` writes them.

        Returns:
            What :meth:`evaluate` returned when the file was written, without the prefix.
        """
        return self._evaluate(read_detections(path, self.people, self.annotated))

    def _detections(self, results: list[tuple]) -> Detections:
        """Return the people after NMS, by image. Samples that distributed loaders repeat count once."""
        unique = list({(image_id, sample_id): people for image_id, sample_id, people in reversed(results)}.items())
        image = self.people.positions([image_id for (image_id, _), _ in unique], 'the prediction')
        order = sorted(range(len(unique)), key=lambda i: (image[i], unique[i][0][1]))
        count = len(self.predicted)
        rows = [unique[i][1] for i in order] or [np.zeros((0, 3 * count + 6), np.float32)]
        people = np.concatenate(rows)
        points = people[:, : 2 * count].reshape(-1, count, 2)[:, self.source]
        scores = people[:, 2 * count : 3 * count][:, self.source]
        points[:, self.source < 0] = np.nan
        valid = (scores > self.keypoint_score_thr) & (self.source >= 0)
        total = np.where(valid, scores, 0).sum(1, dtype=np.float64)
        detections = Detections(
            image=np.repeat(image[order], [len(row) for row in rows] if len(order) else []),
            keypoints=points,
            keypoint_scores=scores,
            boxes=people[:, -6:-2],
            scores=people[:, -2] * total / np.maximum(valid.sum(1), 1),
        )
        return detections if self.nms_thr is None else self._suppress(detections, people[:, -1])

    def _suppress(self, detections: Detections, crops: np.ndarray) -> Detections:
        points, scores = detections.keypoints, detections.scores
        areas = np.where(np.isnan(crops), keypoint_areas(points), crops)
        images = np.split(np.arange(len(detections)), np.flatnonzero(np.diff(detections.image)) + 1)
        sigmas = self.annotated.sigmas
        kept = [ids[oks_nms(points[ids], scores[ids], areas[ids], sigmas, self.nms_thr)] for ids in images]
        return detections.select(np.concatenate(kept))

    def _evaluate(self, detections: Detections) -> dict[str, float]:
        people, areas = self.people, detections.areas(self.area_ids)
        numbers = average_oks(people, detections, areas, self.annotated.sigmas, self.groups)
        self._report(numbers, detections)
        metrics = dict(numbers.get(WHOLE, {}))
        for group in numbers:
            if group != WHOLE:
                metrics |= {f'{group}_{name}': numbers[group][name] for name in ('AP', 'AR')}
        return metrics

    def _report(self, numbers: Mapping[str, Mapping[str, float]], detections: Detections) -> None:
        """Log the table, and likely causes of low numbers."""
        people = self.people
        table = PrettyTable(['group', 'points', *STATISTICS])
        table.align = 'r'
        table.align['group'] = 'l'
        for group, values in numbers.items():
            row = (f'{100 * value:.2f}' if value >= 0 else '-' for value in values.values())
            table.add_row([group, len(self.groups[group]), *row])
        unseen = ~np.isin(people.image, detections.image)
        print_log(
            f'{self.prefix}, in %: {len(detections)} people predicted, {len(people.image)} in {self.ann_file}, '
            f'{unseen.sum()} of them in images without a prediction\n{table}',
            'current',
        )
        wanted = np.unique(np.concatenate(list(self.groups.values())))
        never = wanted[np.isnan(detections.keypoints[:, wanted, 0]).all(0) & people.visible[:, wanted].any(0)]
        if len(detections) and len(never):
            names = ', '.join(self.annotated.keypoints[i] for i in never[:5]) + (', ...' if len(never) > 5 else '')
            text = f'{len(never)} annotated keypoints were never predicted and count as misses: {names}'
            print_log(f'{self.prefix}: {text}. Set groups= without them', 'current', logging.WARNING)


def _array(values) -> np.ndarray:
    return np.asarray(values.cpu() if hasattr(values, 'cpu') else values, np.float32)


def _common(predicted: Skeleton, annotated: Skeleton, names: str | Sequence[str]) -> np.ndarray:
    """(K_annotated,) ids of the predicted keypoints that are compared, -1 for the others."""
    if names == 'published':
        return match_keypoints(predicted, annotated)
    wide = {k: v for k, v in goliath308.WHOLEBODY_HANDS.items() if k in annotated and v in predicted}
    if names == 'wide':
        if not wide:
            raise ValueError(
                f"KeypointMetric: common_names='wide' knows pairs of goliath308 and wholebody133, not of "
                f"{predicted.name!r} and {annotated.name!r}: use 'published', or a list of names"
            )
        return match_keypoints(predicted, annotated, wide)
    if isinstance(names, str):
        raise ValueError(f"KeypointMetric: common_names={names!r}, expected 'published', 'wide' or a list of names")
    source = match_keypoints(predicted, annotated, wide)
    chosen = np.full_like(source, -1)
    for name in names:
        index = annotated.index(name)
        if source[index] < 0:
            raise ValueError(f'KeypointMetric: common_names has {name!r}, which {predicted.name!r} does not predict')
        chosen[index] = source[index]
    if not len(names):
        raise ValueError('KeypointMetric: common_names is empty: no keypoint to compare')
    return chosen


def _groups(skeleton: Skeleton, names: Sequence[str] | None, compared: np.ndarray | None) -> dict[str, np.ndarray]:
    """{group: ids}, the parts first. ``compared``: (K,) bool, the keypoints to which groups are restricted."""
    if WHOLE in skeleton.groups:
        raise ValueError(f'skeleton {skeleton.name!r} calls a group {WHOLE!r}, which means all keypoints: rename it')
    everything = np.arange(len(skeleton))
    known = dict(skeleton.groups) | {WHOLE: everything}
    if isinstance(names, str) or (names is not None and not len(names)):
        raise ValueError(f'KeypointMetric: groups must be a list of names, not {names!r}')
    for name in names or ():
        if name not in known:
            raise ValueError(not_known(f'skeleton {skeleton.name!r}: group', name, known))
    if names is None:
        parts = [name for name, ids in skeleton.groups.items() if len(ids) < len(skeleton) and name != 'extra']
        chosen = [*parts, WHOLE]
    else:
        chosen = [name for name in known if name in names]
    groups = {name: known[name] for name in chosen}
    if compared is None:
        return groups
    groups = {name: ids[compared[ids]] for name, ids in groups.items()}
    empty = [name for name, ids in groups.items() if not len(ids)]
    if names is not None and empty:
        raise ValueError(f'KeypointMetric: no keypoint of {", ".join(empty)} is compared: choose other groups')
    return {name: ids for name, ids in groups.items() if len(ids)}
