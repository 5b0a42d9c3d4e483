"""Segmentation metrics over all pixels of a dataset."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from prettytable import PrettyTable

from sapiens.metainfo import ClassList, get_classes
from sapiens.metainfo.classes import IGNORE
from sapiens.registry import METRICS

from .dense_functional import class_scores, confusion_matrix
from .streaming import StreamingMetric, field_of, name_of

__all__ = ['SegMetric']

AVERAGES = 'found', 'labelled', 'all'


@METRICS.register_module()
class SegMetric(StreamingMetric):
    """Intersection over union and accuracy from one confusion matrix of all pixels, as mmseg's ``IoUMetric``.

    Reports, each under ``prefix/`` as a fraction in [0, 1]: ``mIoU``, the mean intersection / union over classes; ``mAcc``, the
    mean recall over labeled classes; ``aAcc``, the fraction of correct pixels. With ``min_share`` also ``mIoU@<min_share>`` and
    ``mAcc@<min_share>``. The log has a table with a row for each class.

    A pixel counts if its label is not 255 and ``valid_mask``, if the sample has one, is true.

    Args:
        classes: of the labels, in any form that :func:`sapiens.metainfo.get_classes` accepts.
        average_over: classes in the means. ``'found'``: classes that are labeled or predicted somewhere (as in mmseg and for
            the first Sapiens models; a class that is only predicted has IoU 0). ``'labelled'``: classes that are labeled
            somewhere. ``'all'``: all classes; an absent one counts 0 (as for the second Sapiens models).
        min_share: also report means over the classes that cover at least this fraction of the labeled pixels.
        **options: prefix, collect_device, collect_dir of :class:`StreamingMetric`.

    Raises:
        ValueError: unknown classes or mode; a fraction outside [0, 1]; labels or predictions that are not classes, with
            the image.
    """

    default_prefix = 'seg'

    def __init__(
        self,
        classes: str | Path | Mapping | ClassList,
        average_over: str = 'found',
        min_share: float | None = None,
        **options,
    ):
        if average_over not in AVERAGES:
            known = ', '.join(map(repr, AVERAGES))
            raise ValueError(f'SegMetric: average_over={average_over!r}, expected one of {known}')
        if min_share is not None and not 0 < min_share <= 1:
            raise ValueError(f'SegMetric: min_share={min_share}, expected a fraction above 0 and up to 1, or None')
        super().__init__(**options)
        self.classes = get_classes(classes)
        self.average_over, self.min_share = average_over, min_share

    @property
    def names(self) -> list[str]:
        """Names of the reported metrics, without the prefix."""
        ends = [''] if self.min_share is None else ['', f'@{self.min_share:g}']
        return [f'{name}{end}' for end in ends for name in ('mIoU', 'mAcc')] + ['aAcc']

    def measure(self, sample: dict) -> dict:
        """Confusion matrix of a sample: a dict with ``pred_sem_seg`` and ``gt_sem_seg``, both (H, W) integer, and perhaps
        ``valid_mask`` (H, W) bool."""
        pred = field_of(sample, 'pred_sem_seg')
        label = field_of(sample, 'gt_sem_seg', pred)
        counted = label != IGNORE
        if 'valid_mask' in sample:
            counted &= field_of(sample, 'valid_mask', pred).bool()
        confusion = confusion_matrix(pred[counted], label[counted], len(self.classes)).cpu()
        if confusion[-1].any() or confusion[:, -1].any():
            side, ids = ('label', label) if confusion[-1].any() else ('prediction', pred)
            wrong = torch.unique(ids[counted & ((ids < 0) | (ids >= len(self.classes)))]).tolist()
            raise ValueError(
                f'{name_of(sample)}: {side} {wrong[0]} is not a class of {self.classes.name!r} ({len(self.classes)} classes, '
                f'{IGNORE} is ignored)' + ('' if side == 'label' else ': the model has other classes')
            )
        return dict(confusion=confusion[:-1, :-1].numpy())

    def report(self, sums: dict) -> dict[str, float]:
        confusion = sums['confusion']
        if not confusion.sum():
            self._warn('no pixel is labeled; nothing is reported')
            return {}
        iou, accuracy = (scores.numpy() for scores in class_scores(torch.from_numpy(confusion)))
        fraction = confusion.sum(1) / confusion.sum()
        self._log(confusion, iou, accuracy, fraction, sums['samples'])
        metrics = dict(
            mIoU=self._mean(iou, fraction),
            mAcc=self._mean(accuracy, fraction),
            aAcc=float(confusion.trace() / confusion.sum()),
        )
        if self.min_share is not None:
            common = fraction >= self.min_share
            for name, scores in (('mIoU', iou), ('mAcc', accuracy)):
                metrics[f'{name}@{self.min_share:g}'] = float(scores[common].mean()) if common.any() else 0.0
        return metrics

    def _mean(self, scores: np.ndarray, fraction: np.ndarray) -> float:
        if self.average_over == 'all':
            return float(np.nan_to_num(scores, nan=0.0).mean())
        if self.average_over == 'labelled':
            scores = scores[fraction > 0]
        return float(np.nanmean(scores))

    def _log(self, confusion, iou, accuracy, fraction, samples: int) -> None:
        table = PrettyTable(['class', 'IoU', 'Acc', 'pixels', 'most confused with'])
        table.align = 'r'
        table.align['class'] = table.align['most confused with'] = 'l'
        mistakes = confusion - np.diag(confusion.diagonal())
        for index, name in enumerate(self.classes.classes):
            other = mistakes[index].argmax()
            lost = mistakes[index, other] / max(confusion[index].sum(), 1)
            taken = f'{self.classes.classes[other]} {100 * lost:.1f}' if lost else ''
            table.add_row([name, _percent(iou[index]), _percent(accuracy[index]), _percent(fraction[index], 3), taken])
        text = f'{self.prefix}, in %: {samples} images, {confusion.sum()} labeled pixels; "-" for absent classes'
        print_log(f'{text}\n{table}', 'current')


def _percent(fraction: float, digits: int = 2) -> str:
    return '-' if np.isnan(fraction) else f'{100 * fraction:.{digits}f}'
