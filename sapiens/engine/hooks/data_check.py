"""Judges the data of a training before it goes wrong silently: classes of the model, and the labels of the first batches."""

import logging

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.logging import print_log

from sapiens.datasets.statistics import Doubt, MapStatistics, statistics_of
from sapiens.registry import HOOKS
from sapiens.tasks import JOINT, members_of, task_of

__all__ = ['DataCheckHook', 'check_names', 'split_by_task']


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
        # By name of the task in a model of several tasks, else under None.
        self.statistics: dict[str | None, MapStatistics] = {}
        self.batches: dict[str | None, int] = {}
        self.rows: dict[str | None, list[dict]] = {}

    def before_train(self, runner) -> None:
        model = runner.bare_model
        parts = members_of(model) or {None: model}
        # A model of one's own may have no task: then nothing is known of its labels.
        self.statistics = {
            name: statistics_of(task_of(part)) for name, part in parts.items() if hasattr(part, 'task_name')
        }
        self.batches, self.rows = dict.fromkeys(self.statistics, 0), {name: [] for name in self.statistics}
        check_names(model, runner.train_dataloader.dataset, 'train')

    def before_val(self, runner) -> None:
        check_names(runner.bare_model, runner.val_dataloader.dataset, 'val')

    def before_test(self, runner) -> None:
        check_names(runner.bare_model, runner.test_dataloader.dataset, 'test')

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        if all(count >= self.num_batches for count in self.batches.values()):
            return
        names = data_batch['data_samples'][0].metainfo.get('task', '').split(JOINT)
        for name in names if None not in self.batches else [None]:
            if self.batches.get(name, self.num_batches) >= self.num_batches:
                continue
            self.batches[name] += 1
            for image, sample in zip(data_batch['inputs'], data_batch['data_samples'], strict=True):
                self.rows[name].append(self.statistics[name].measure(image, sample))
            if self.batches[name] == self.num_batches:
                self.judge(name)

    def after_train(self, runner) -> None:
        for name, count in self.batches.items():
            if 0 < count < self.num_batches:
                self.judge(name)

    def judge(self, name: str | None = None) -> None:
        """Judge the samples of all ranks, of one task."""
        rows = [row for part in all_gather_object(self.rows[name]) for row in part]
        self.rows[name] = []
        doubts = self.statistics[name].judge(rows)
        if any(doubt.nothing for doubt in doubts):
            raise ValueError(self._message(name, doubts, len(rows)) + ': there is nothing to learn. ' + _ADVICE)
        if doubts:
            text = self._message(name, doubts, len(rows))
            print_log(f'{text}{"" if text.endswith("?") else "."} {_ADVICE}', 'current', logging.WARNING)

    def _message(self, name: str | None, doubts: list[Doubt], samples: int) -> str:
        found = '; '.join(doubt.text for doubt in doubts)
        task = '' if name is None else f' of {name!r}'
        return f'the first {self.batches[name]} batches{task} ({samples} samples over all ranks) have {found}'


_ADVICE = (
    'Check that images and labels belong together, and the units of the labels (docs/data.md): sapiens check CONFIG'
)


def split_by_task(model, dataset, split: str) -> dict[str, tuple]:
    """Split a model of several tasks, or its config, and its data into (model, dataset) by name; {} for a model of one task.

    Raises:
        ValueError: the data are for other tasks.
    """
    members = members_of(model)
    parts = getattr(dataset, 'tasks', {})
    parts = {task: part for names, part in parts.items() for task in names.split(JOINT)}
    if members and set(parts) != set(members):
        raise ValueError(
            f'the {split} data are for {", ".join(parts) or "no tasks"}, the model is for {", ".join(members)}: give '
            f'{split}_dataloader.dataset=dict(type="MultiTaskDataset", datasets=...) a dataset for each of them'
        )
    return {name: (member, parts[name]) for name, member in members.items()}


def check_names(model, dataset, split: str) -> None:
    """Refuse a dataset whose classes or keypoints are not those of the model, in names and order.

    Args:
        model: with ``task.classes`` or ``skeleton``, if it has some; or a model of several tasks.
        dataset: of the same tasks, with ``classes`` or the keypoints of a skeleton in its ``metainfo``, if it has some.

    Raises:
        ValueError: naming both lists and the two settings.
    """
    if parts := split_by_task(model, dataset, split):
        for name, (member, part) in parts.items():
            check_names(member, part, f'{split} ({name})')
        return
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
