"""Figures of pose estimation in a test."""

from pathlib import Path

import numpy as np
from mmengine.structures import BaseDataElement

from sapiens.coco import BOX_THRESHOLD
from sapiens.metainfo import get_skeleton
from sapiens.metainfo.palettes import PALETTES
from sapiens.registry import HOOKS
from sapiens.utils.counting import count_of
from sapiens.utils.crop import heatmap_to_image
from sapiens.visualization import draw_heatmaps, draw_pose
from sapiens.visualization.layout import caption, join, resized_points
from sapiens.visualization.pose import heatmap_limit
from sapiens.visualization.tiles import arrange

from ..pose_heatmaps import heatmaps_of
from .base import ShowHook

__all__ = ['PoseShowHook']


@HOOKS.register_module()
class PoseShowHook(ShowHook):
    """Draws [ground truth | prediction | heatmaps] of all people of an image; see :class:`ShowHook`.

    The input boxes are drawn with the predictions. The ground truth is that of a test metric (its ``people``), so detected
    boxes have one too. Without a metric of the model's skeleton it is that of the samples.

    Args:
        out_dir: output folder.
        limit: maximum number of figures over all processes; None for all.
        threshold: minimum score of a drawn keypoint.
        box_threshold: minimum score of the box of a drawn person; labeled boxes have 1.
        heatmaps: draw the last part. Needs memory for all heatmaps of a batch.
        task: of a model of several tasks, the one that is shown.
        palette: see :func:`sapiens.metainfo.palettes.with_palette`.
        side: longer side of a part in pixels, less where the figure would be too large; see
            :func:`sapiens.visualization.tiles.arrange`.
    """

    def __init__(
        self,
        out_dir: str | Path,
        limit: int | None = None,
        threshold: float = 0.3,
        box_threshold: float = BOX_THRESHOLD,
        heatmaps: bool = False,
        task: str | None = None,
        palette: str = PALETTES[0],
        side: int = 960,
    ) -> None:
        super().__init__(out_dir, limit, task)
        self.threshold, self.box_threshold, self.heatmaps = threshold, box_threshold, heatmaps
        self.palette, self.side = palette, side

    def before_test(self, runner) -> None:
        super().before_test(runner)
        self.skeleton = get_skeleton(self.model.skeleton)
        self.metrics = [
            metric
            for metric in runner.test_loop.evaluator.metrics
            if getattr(getattr(metric, 'annotated', None), 'keypoints', None) == self.skeleton.keypoints
        ]
        self.test_cfg = self.model.test_cfg
        if self.heatmaps:
            self.model.test_cfg = {**self.test_cfg, 'output_heatmaps': True}

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        super().after_test_iter(runner, batch_idx, data_batch, outputs)
        if self.done:
            self.model.test_cfg = self.test_cfg

    def after_test_epoch(self, runner, metrics=None) -> None:
        super().after_test_epoch(runner, metrics)
        self.model.test_cfg = self.test_cfg

    def keep(self, sample: BaseDataElement) -> dict:
        truth, pred = sample.gt_instances, sample.pred_instances
        kept = dict(
            img_id=sample.get('img_id'),
            boxes=pred.bboxes,
            keypoints=pred.keypoints,
            scores=pred.keypoint_scores,
            shown=bool(pred.bbox_scores[0] >= self.box_threshold),
        )
        if 'keypoints' in truth:
            kept.update(true_keypoints=truth.keypoints, visible=truth.keypoints_visible)
        if self.heatmaps and kept['shown']:
            kept['heatmaps'] = heatmaps_of(sample, self.model).astype(np.float16)
            kept['transform'] = heatmap_to_image(kept['heatmaps'].shape, sample.input_center, sample.input_scale)
        return kept

    def truth(self, samples: list[dict]) -> tuple[np.ndarray, np.ndarray]:
        """Get the labeled keypoints (N, K, 2) of the people of an image in its pixels, and which are labeled, (N, K) bool."""
        for metric in self.metrics:
            people, image = metric.people, samples[0]['img_id']
            if image in people.image_ids:
                mine = (people.image == people.image_ids.index(image)) & ~people.crowd & people.visible.any(1)
                return people.keypoints[mine], people.visible[mine]
        count = len(self.skeleton)
        return _concatenate(samples, 'true_keypoints', count, 2), _concatenate(samples, 'visible', count) > 0

    def figure(self, image: np.ndarray, samples: list[dict]) -> np.ndarray:
        count = len(self.skeleton)
        true_points, visible = self.truth(samples)
        shown = [sample for sample in samples if sample['shown']]
        boxes, scores = _concatenate(shown, 'boxes', 4), _concatenate(shown, 'scores', count)
        points = _concatenate(shown, 'keypoints', count, 2)
        left_out = len(samples) - len(shown)
        texts = [
            f'ground truth: {count_of(len(true_points), "person", "people")}'
            if len(true_points)
            else 'no labeled people',
            f'prediction: {count_of(len(shown), "person", "people")}'
            + (f', {left_out} boxes below {self.box_threshold:g} left out' if left_out else ''),
        ]
        look = dict(threshold=self.threshold, palette=self.palette)
        original, image = image, arrange([image], 3 if self.heatmaps else 2, self.side).scaled(image)
        true_points, points = (resized_points(one, original, image) for one in (true_points, points))
        boxes = resized_points(boxes.reshape(-1, 2, 2), original, image).reshape(-1, 4)
        parts = [
            draw_pose(image, true_points, visible, self.skeleton, threshold=0.5, palette=self.palette),
            draw_pose(image, points, scores, self.skeleton, boxes=boxes, **look),
        ]
        if self.heatmaps:
            maps, transforms = ([sample[key] for sample in shown] for key in ('heatmaps', 'transform'))
            transforms = [_resized(transform, original, image) for transform in transforms]
            highest = heatmap_limit(maps)
            texts.append(f'maximum of the heatmaps, brightest: {highest:.2g}')
            parts.append(draw_heatmaps(image, maps, self.skeleton, transforms=transforms, limit=highest, **look))
        tiles = [
            join([caption(image.shape[1], text), part], 0, gap=0) for text, part in zip(texts, parts, strict=True)
        ]
        return join(tiles, axis=1)


def _resized(transform: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """A transform (2, 3) to pixels of an image as one to pixels of a resized image."""
    scale = np.array(after.shape[1::-1]) / np.array(before.shape[1::-1])
    moved = np.asarray(transform, np.float64) * scale[:, None]
    moved[:, 2] += 0.5 * scale - 0.5
    return moved


def _concatenate(samples: list[dict], key: str, *shape: int) -> np.ndarray:
    """(N, *shape) of the samples with the key."""
    return np.concatenate([np.zeros((0, *shape))] + [sample[key] for sample in samples if key in sample])
