"""Judges the data of a training before it goes wrong silently: classes of the model, and the labels of the first batches."""

import logging

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.logging import print_log

from sapiens.datasets.statistics import Doubt, statistics_of
from sapiens.registry import HOOKS
from sapiens.tasks import task_of

__all__ = ['DataCheckHook', 'check_names']


@HOOKS.register_module(name=['DataCheckHook', 'VisibleKeypointsHook'])  # the second is its former name
class DataCheckHook(Hook):
    """Stops a run whose data cannot be right, and warns of data that are strange.

    Before the first step, the classes and keypoints of the data must be those of the model. Then the labels of the first batches
    of all ranks are judged by what the task declares (:mod:`sapiens.datasets.statistics`). Without any label that counts, the run
    stops: the loss would still fall. Other doubts are logged: one value everywhere, a depth a hundred times as far as the rest,
    keypoints in one place. The causes are usually boxes of other images, other units, a wrong folder, or masks of 0 and 255.

    Args:
        num_batches: number of batches to judge. A shorter run is judged at its end.

    Raises:
        ValueError: ``num_batches`` below 1; classes or keypoints that do not fit the model; on every rank, if none of these
            batches has a label that counts.
    """

    priority = 'VERY_HIGH'  # before the first checkpoint

    def __init__(self, num_batches: int = 5) -> None:
        if not (isinstance(num_batches, int) and num_batches >= 1):
            raise ValueError(f'num_batches={num_batches!r}: expected 1 or more')
        self.num_batches = num_batches
        self.batches, self.rows, self.statistics = 0, [], None

    def before_train(self, runner) -> None:
        self.batches, self.rows = 0, []
        model = runner.bare_model
        # A model of one's own may have no task: then nothing is known of its labels.
        self.statistics = statistics_of(task_of(model)) if hasattr(model, 'task_name') else None
        check_names(model, runner.train_dataloader.dataset, 'train')

    def before_val(self, runner) -> None:
        check_names(runner.bare_model, runner.val_dataloader.dataset, 'val')

    def before_test(self, runner) -> None:
        check_names(runner.bare_model, runner.test_dataloader.dataset, 'test')

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        if self.batches >= self.num_batches or self.statistics is None:
            return
        self.batches += 1
        for image, sample in zip(data_batch['inputs'], data_batch['data_samples'], strict=True):
            self.rows.append(self.statistics.measure(image, sample))
        if self.batches == self.num_batches:
            self.judge()

    def after_train(self, runner) -> None:
        if 0 < self.batches < self.num_batches:
            self.judge()

    def judge(self) -> None:
        """Judge the samples of all ranks."""
        rows = [row for part in all_gather_object(self.rows) for row in part]
        self.rows = []
        doubts = self.statistics.judge(rows)
        if any(doubt.nothing for doubt in doubts):
            raise ValueError(self._message(doubts, len(rows)) + ': there is nothing to learn. ' + _ADVICE)
        if doubts:
            text = self._message(doubts, len(rows))
            print_log(f'{text}{"" if text.endswith("?") else "."} {_ADVICE}', 'current', logging.WARNING)

    def _message(self, doubts: list[Doubt], samples: int) -> str:
        found = '; '.join(doubt.text for doubt in doubts)
        return f'the first {self.batches} batches ({samples} samples over all ranks) have {found}'


_ADVICE = (
    'Check that images and labels belong together, and the units of the labels (docs/data.md): sapiens check CONFIG'
)


def check_names(model, dataset, split: str) -> None:
    """Refuse a dataset whose classes or keypoints are not those of the model, in names and order.

    Args:
        model: with ``task.classes`` or ``skeleton``, if it has some.
        dataset: with ``classes`` or the keypoints of a skeleton in its ``metainfo``, if it has some.

    Raises:
        ValueError: naming both lists and the two settings.
    """
    metainfo = getattr(dataset, 'metainfo', None) or {}
    known = getattr(getattr(model, 'task', None), 'classes', None)
    if known is not None and 'classes' in metainfo and tuple(metainfo['classes']) != tuple(known.classes):
        raise ValueError(
            f'the {split} data have the {len(metainfo["classes"])} classes of {metainfo.get("class_list")!r}, the model predicts '
            f'the {len(known.classes)} of {known.name!r}, in names or order not the same: set model.task.classes and '
            f'{split}_dataloader.dataset.classes to one list, or map the labels with source_classes'
        )
    skeleton, named = getattr(model, 'skeleton', None), metainfo.get('keypoint_id2name', {})
    if skeleton is not None and named and tuple(named.values()) != tuple(skeleton.keypoints):
        raise ValueError(
            f'the {split} data have the {len(named)} keypoints of {metainfo.get("dataset_name")!r}, the model predicts the '
            f'{len(skeleton)} of {skeleton.name!r}, in names or order not the same: set model.skeleton and '
            f'{split}_dataloader.dataset.skeleton to one skeleton, or map the labels with source_skeleton'
        )
