"""Errors of depth on people."""

import torch
from mmengine.logging import print_log
from prettytable import PrettyTable

from sapiens.registry import METRICS

from .dense_functional import (
    ALIGNMENTS,
    DEPTH_ERRORS,
    depth_alignment,
    depth_error_sums,
    depth_errors,
    person_means,
    relative_depth,
)
from .streaming import StreamingMetric, field_of

__all__ = ['DepthMetric']


@METRICS.register_module()
class DepthMetric(StreamingMetric):
    """AbsRel, SqRel, RMSE, log-RMSE and delta1-3 on people, after an alignment of each image.

    Reports under ``<prefix>_<alignment>/``, for relative targets ``<prefix>_relative_<alignment>/``: ``AbsRel``, ``SqRel``,
    ``RMSE``, ``log-RMSE`` (lower is better; RMSE in the unit of the labels) and ``delta1``, ``delta2``, ``delta3`` (fractions;
    higher is better); see :func:`.dense_functional.depth_errors`. Also ``flat_RMSE``, a baseline that predicts flat people:
    every pixel at the mean depth of its person if the sample has ``gt_instance``, otherwise of all people of the image. The log
    has all numbers of both.

    Only pixels where ``valid_mask`` is true count. Images without any are skipped with a warning.

    Args:
        alignment: of each image's prediction to its target: ``'none'``; ``'median'``, a scale that makes the medians equal;
            ``'scale-shift'``, least-squares scale and shift, for relative predictions.
        target: ``'metric'``, the labels; ``'relative'``, scaled from 0 at the nearest valid pixel of the image to 1 at the
            farthest, as in training.
        average: ``'image'``, the mean of the values of the images (as mmseg's ``DepthMetric``), or ``'pixel'``, over all pixels,
            so that large people weigh more.
        min_depth: pixels with a smaller target count in RMSE only, since the others divide by it. The logarithm clips
            predictions to it.
        prefix: first part of the name before the slash.
        **options: collect_device, collect_dir of :class:`StreamingMetric`.

    Raises:
        ValueError: an unknown mode, or a ``min_depth`` that is not above 0.
    """

    default_prefix = 'depth'
    names = (*DEPTH_ERRORS, 'flat_RMSE')

    def __init__(
        self,
        alignment: str = 'scale-shift',
        target: str = 'metric',
        average: str = 'image',
        min_depth: float = 1e-3,
        prefix: str | None = None,
        **options,
    ):
        for name, value, known in (
            ('alignment', alignment, ALIGNMENTS),
            ('target', target, ('metric', 'relative')),
            ('average', average, ('image', 'pixel')),
        ):
            if value not in known:
                raise ValueError(f'DepthMetric: {name}={value!r}, expected one of {", ".join(map(repr, known))}')
        if not min_depth > 0:
            raise ValueError(f'DepthMetric: min_depth={min_depth}, expected a depth above 0')
        parts = [prefix or self.default_prefix, *(['relative'] if target == 'relative' else []), alignment]
        super().__init__('_'.join(parts), **options)
        self.alignment, self.target, self.average, self.min_depth = alignment, target, average, min_depth

    def measure(self, sample: dict) -> dict:
        """Errors of a sample: a dict with ``pred_depth`` and ``gt_depth`` (1, H, W), ``valid_mask`` (H, W) bool, and perhaps
        ``gt_instance`` (H, W) integer."""
        pred = field_of(sample, 'pred_depth')
        target = field_of(sample, 'gt_depth', pred)
        valid = field_of(sample, 'valid_mask', pred).bool()
        pred, target = pred[0, valid].double(), target[0, valid].double()
        if not len(target):
            return self.note('have no labeled pixel and are skipped', sample)
        if self.target == 'relative':
            target = relative_depth(target)
        scale, shift = depth_alignment(pred, target, self.alignment)
        aligned = scale * pred + shift
        persons = field_of(sample, 'gt_instance', valid)[valid] if 'gt_instance' in sample else None
        flat = person_means(target, persons)
        sums = torch.stack([depth_error_sums(values, target, self.min_depth) for values in (aligned, flat)]).cpu()
        odd = {}
        if not sums.isfinite().all():
            odd = self.note('have a prediction that is not finite or cannot be aligned', sample)
        elif scale < 0:
            odd = self.note('were aligned with a negative scale: the prediction is higher in front', sample)
        if self.average == 'pixel':
            return dict(sums=sums.numpy(), **odd)
        errors = torch.stack([depth_errors(row) for row in sums])
        # A target without a pixel of min_depth (a relative plane) has an RMSE only.
        defined = (sums[:, 1:2] > 0) | torch.tensor([name == 'RMSE' for name in DEPTH_ERRORS])
        return dict(errors=torch.where(defined, errors, 0).numpy(), defined=defined.long().numpy(), **odd)

    def report(self, sums: dict) -> dict[str, float]:
        if self.average == 'pixel' and 'sums' in sums:
            rows = torch.stack([depth_errors(row) for row in torch.from_numpy(sums['sums'])])
        elif 'errors' in sums:
            rows = torch.from_numpy(sums['errors']) / torch.from_numpy(sums['defined'])
        else:
            self._warn('no pixel is labeled; nothing is reported')
            return {}
        found, flat = (dict(zip(DEPTH_ERRORS, row.tolist(), strict=True)) for row in rows)
        table = PrettyTable(['', *DEPTH_ERRORS])
        table.align = 'r'
        for name, row in (('prediction', found), ('flat person', flat)):
            table.add_row([name, *(f'{value:.4f}' for value in row.values())])
        how = f'{self.target} targets, alignment {self.alignment}; average over {self.average}s'
        print_log(f'{self.prefix}: {sums["samples"]} images, {how}\n{table}', 'current')
        return found | dict(flat_RMSE=flat['RMSE'])
