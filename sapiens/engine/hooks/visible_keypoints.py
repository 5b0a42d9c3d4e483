"""Stops a pose training whose data have no labelled keypoints."""

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook

from sapiens.registry import HOOKS

__all__ = ['VisibleKeypointsHook']


@HOOKS.register_module()
class VisibleKeypointsHook(Hook):
    """Stops a run if the first batches of all ranks have no labelled keypoint inside a crop.

    The cause is usually boxes of other images, keypoints in other units, or a wrong image folder. The loss would still fall.

    Args:
        num_batches: number of batches to check. A shorter run is checked at its end.

    Raises:
        ValueError: ``num_batches`` below 1.
        RuntimeError: on every rank, if none of these batches has a keypoint.
    """

    priority = 'VERY_HIGH'  # before the first checkpoint

    def __init__(self, num_batches: int = 5) -> None:
        if not (isinstance(num_batches, int) and num_batches >= 1):
            raise ValueError(f'num_batches={num_batches!r}: expected 1 or more')
        self.num_batches = num_batches
        self.batches, self.samples, self.labelled, self.inside = 0, 0, 0, 0

    def before_train(self, runner) -> None:
        self.batches, self.samples, self.labelled, self.inside = 0, 0, 0, 0

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        if self.batches >= self.num_batches:
            return
        self.batches += 1
        for sample in data_batch['data_samples']:
            self.samples += 1
            labels = getattr(sample, 'gt_instance_labels', None)
            if labels is None or 'keypoint_weights' not in labels:
                continue
            weighted = labels.keypoint_weights > 0
            height, width = sample.img_shape
            points = labels.keypoints
            inside = (points > -0.5).all(-1) & (points[..., 0] < width - 0.5) & (points[..., 1] < height - 0.5)
            self.labelled += int(weighted.sum())
            self.inside += int((weighted & inside).sum())
        if self.batches == self.num_batches:
            self.check(runner)

    def after_train(self, runner) -> None:
        if 0 < self.batches < self.num_batches:
            self.check(runner)

    def check(self, runner) -> None:
        """Raise if no rank has seen a keypoint."""
        counts = torch.tensor([self.samples, self.labelled, self.inside], device=runner.optim_wrapper.device)
        all_reduce(counts)
        samples, labelled, inside = counts.tolist()
        if inside:
            return
        found = f'{labelled} labelled keypoints, all of them outside the crops' if labelled else 'no labelled keypoint'
        raise RuntimeError(
            f'the first {self.batches} batches ({samples} samples over all ranks) have {found}: there is nothing to learn. '
            'Check that ann_file, img_prefix and skeleton belong together, that boxes are x, y, w, h in pixels, and that '
            'keypoints are in pixels, with v > 0 where they are known: sapiens check CONFIG'
        )
