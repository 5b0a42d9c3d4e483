"""Pictures of a test: one for every image, with the labels beside what was predicted."""

import itertools
from abc import abstractmethod
from pathlib import Path

import numpy as np
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.structures import BaseDataElement
from PIL import Image

from sapiens.datasets.transforms.decoding import EncodedImage
from sapiens.datasets.transforms.loading import read_file
from sapiens.metainfo import get_skeleton
from sapiens.registry import HOOKS
from sapiens.utils.crop import heatmap_to_image
from sapiens.visualization import draw_heatmaps, draw_pose
from sapiens.visualization.layout import caption, join

from .drawings import DRAWINGS
from .predictions import heatmaps_of

__all__ = ['DenseShowHook', 'PoseShowHook', 'ShowHook', 'show_hook_for']


class ShowHook(Hook):
    """Writes ``<out_dir>/<name of the image>.jpg``. Samples of one image that come one after the other share a picture.

    Several processes see different samples, also of one image: each writes its own files, ``<name>.rank<i>.jpg``. An image
    that comes again later, or another one of the same name, gets ``<name>-2.jpg``.

    A task adds its drawing, :meth:`picture`.

    Args:
        out_dir: folder to write to.
        limit: pictures over all processes, the first ones; None for all.

    Raises:
        ValueError: a limit below 1.
    """

    priority = 'LOW'

    def __init__(self, out_dir: str | Path, limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f'limit={limit} must be 1 or more, or None for all images')
        self.out_dir, self.limit = Path(out_dir), limit

    @abstractmethod
    def picture(self, image: np.ndarray, samples: list) -> np.ndarray:
        """uint8 RGB picture of an image, uint8 RGB (H, W, 3), and what :meth:`keep` kept of its samples."""

    def keep(self, sample: BaseDataElement):
        """What to keep of a sample until its image is complete."""
        return sample

    def before_test(self, runner) -> None:
        self.model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.waiting: list = []
        self.path: str | None = None
        self.written: set[str] = set()
        ranks = get_world_size()
        self.share = None if self.limit is None else self.limit // ranks + (get_rank() < self.limit % ranks)
        self.out_dir.mkdir(parents=True, exist_ok=True)

    @property
    def done(self) -> bool:
        return self.share is not None and len(self.written) >= self.share

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        for sample in outputs:
            if sample.get('img_path') != self.path:
                self.flush()
            if self.done:
                return
            self.path = sample.get('img_path')
            self.waiting.append(self.keep(sample))

    def after_test_epoch(self, runner, metrics=None) -> None:
        self.flush()
        runner.logger.info(f'{len(self.written)} pictures: {self.out_dir}')

    def flush(self) -> None:
        """Write the picture of the samples that wait."""
        if self.waiting:
            image = EncodedImage(read_file(self.path))
            pixels, _ = image.crop((0, 0, *image.size), image.size, exact=True)
            picture = self.picture(pixels, self.waiting)
            # Thin coloured lines need their colour at full resolution.
            Image.fromarray(picture).save(self.out_dir / self.free_name(), quality=92, subsampling=0)
        self.waiting = []

    def free_name(self) -> str:
        """A name for the picture that was not used in this test."""
        rank = f'.rank{get_rank()}' if get_world_size() > 1 else ''
        stem = Path(self.path).stem
        for number in itertools.count(1):
            name = f'{stem}{f"-{number}" if number > 1 else ""}{rank}.jpg'
            if name not in self.written:
                self.written.add(name)
                return name


@HOOKS.register_module()
class PoseShowHook(ShowHook):
    """Writes [ground truth | prediction | heatmaps] of all people of an image; see :class:`ShowHook`.

    The boxes that the model was given are drawn with the prediction. The ground truth is what a metric of the test compares
    with (its ``people``), so that detected boxes have one too; where no metric has people of the model's skeleton, it is
    what the samples bring.

    Args:
        out_dir: folder to write to.
        limit: pictures over all processes, the first ones; None for all.
        threshold: least score of a keypoint that is drawn.
        box_threshold: least score of a box whose person is drawn; labelled boxes have 1.
        heatmaps: draw the last part. Costs memory in the test: every keypoint's map of a whole batch.
    """

    def __init__(
        self,
        out_dir: str | Path,
        limit: int | None = None,
        threshold: float = 0.3,
        box_threshold: float = 0.3,
        heatmaps: bool = False,
    ) -> None:
        super().__init__(out_dir, limit)
        self.threshold, self.box_threshold, self.heatmaps = threshold, box_threshold, heatmaps

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
        """Labelled keypoints (N, K, 2) of the people of an image in its pixels, and (N, K) bool, which are labelled."""
        for metric in self.metrics:
            people, image = metric.people, samples[0]['img_id']
            if image in people.image_ids:
                mine = (people.image == people.image_ids.index(image)) & ~people.crowd & people.visible.any(1)
                return people.keypoints[mine], people.visible[mine]
        count = len(self.skeleton)
        return _stacked(samples, 'true_keypoints', count, 2), _stacked(samples, 'visible', count) > 0

    def picture(self, image: np.ndarray, samples: list[dict]) -> np.ndarray:
        count = len(self.skeleton)
        true_points, visible = self.truth(samples)
        shown = [sample for sample in samples if sample['shown']]
        boxes, scores = _stacked(shown, 'boxes', 4), _stacked(shown, 'scores', count)
        points = _stacked(shown, 'keypoints', count, 2)
        left_out = len(samples) - len(shown)
        texts = [
            f'ground truth: {len(true_points)} people' if len(true_points) else 'no labelled people',
            f'prediction: {len(shown)} people'
            + (f', {left_out} boxes below {self.box_threshold:g} left out' if left_out else ''),
        ]
        parts = [
            draw_pose(image, true_points, visible, self.skeleton, threshold=0.5),
            draw_pose(image, points, scores, self.skeleton, boxes=boxes, threshold=self.threshold),
        ]
        if self.heatmaps:
            texts.append('maximum of the heatmaps, 0 to 1')
            maps, transforms = ([sample[key] for sample in shown] for key in ('heatmaps', 'transform'))
            parts.append(draw_heatmaps(image, maps, self.skeleton, transforms=transforms, threshold=self.threshold))
        tiles = [
            join([caption(image.shape[1], text), part], 0, gap=0) for text, part in zip(texts, parts, strict=True)
        ]
        return join(tiles, axis=1)


def _stacked(samples: list[dict], key: str, *shape: int) -> np.ndarray:
    """(N, *shape) of the samples that have the key."""
    return np.concatenate([np.zeros((0, *shape))] + [sample[key] for sample in samples if key in sample])


@HOOKS.register_module()
class DenseShowHook(ShowHook):
    """Writes [image | ground truth | prediction | error] of each image, as the task of the model is drawn; see
    :class:`ShowHook`. Predicted depth is aligned by scale and shift.

    Args:
        out_dir: folder to write to.
        limit: pictures over all processes, the first ones; None for all.
        side: longer side of a tile in pixels.

    Raises:
        ValueError: a task without a drawing.
    """

    def __init__(self, out_dir: str | Path, limit: int | None = None, side: int = 640) -> None:
        super().__init__(out_dir, limit)
        self.side = side

    def before_test(self, runner) -> None:
        super().before_test(runner)
        kind = self.model.task.kind
        if kind not in DRAWINGS:
            raise ValueError(
                f'{type(self.model.task).__name__} has no drawing of test results (there is one for pred_'
                f'{", pred_".join(DRAWINGS)}): leave out --show-dir'
            )
        self.drawing = DRAWINGS[kind](self.side)

    def keep(self, sample: BaseDataElement) -> dict:
        return dict(self.drawing.labels(sample), prediction=self.drawing.prediction(sample))

    def picture(self, image: np.ndarray, samples: list[dict]) -> np.ndarray:
        rows = [self.drawing.row(image, sample, sample['prediction']) for sample in samples]
        return self.drawing.panel(self.model, rows)


# Type of the model -> the hook that draws what it predicts.
SHOW_HOOKS = {'DenseEstimator': DenseShowHook, 'PoseEstimator': PoseShowHook}


def show_hook_for(model_type: str) -> type[ShowHook]:
    """The hook that draws the predictions of a type of model.

    Raises:
        ValueError: there is none.
    """
    name = str(model_type).rpartition('.')[2]
    if name not in SHOW_HOOKS:
        raise ValueError(
            f'model.type={model_type!r} has no drawing of test results (there is one for {", ".join(SHOW_HOOKS)}): leave out '
            '--show-dir'
        )
    return SHOW_HOOKS[name]
