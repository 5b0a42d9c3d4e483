"""Errors of surface normals on people."""

import numpy as np
import torch
from mmengine.logging import print_log
from prettytable import PrettyTable

from sapiens.registry import METRICS

from .dense_functional import angular_error, median
from .streaming import StreamingMetric, field_of

__all__ = ['NormalMetric']

THRESHOLDS = 5, 11.25, 22.5, 30
RESOLUTION = 0.05  # degrees, of the histogram that gives the median
_BINS = round(180 / RESOLUTION)
_NAMES = 'mean', 'median', 'RMSE', *(f'within_{threshold:g}' for threshold in THRESHOLDS)


@METRICS.register_module()
class NormalMetric(StreamingMetric):
    """Angle between predicted and true normals, in degrees, on the pixels of people.

    Reports, each under ``prefix/``: ``mean``, ``median``, ``RMSE`` (degrees; lower is better), and ``within_5``,
    ``within_11.25``, ``within_22.5``, ``within_30``, the fractions of pixels with a smaller angle. Also ``flat_mean``, a
    baseline that predicts (0, 0, -1), towards the camera, everywhere. The log has all numbers of both.

    Only pixels where ``valid_mask`` is true count. Images without any are skipped with a warning.

    Args:
        average: ``'pixel'``, over all pixels; the median comes from a histogram and is within 0.025 degrees of the exact one.
            ``'image'``: the mean of the values of the images, all exact.
        **options: prefix, collect_device, collect_dir of :class:`StreamingMetric`.

    Raises:
        ValueError: an unknown mode.
    """

    default_prefix = 'normal'
    names = (*_NAMES, 'flat_mean')

    def __init__(self, average: str = 'pixel', **options):
        if average not in ('pixel', 'image'):
            raise ValueError(f"NormalMetric: average={average!r}, expected 'pixel' or 'image'")
        super().__init__(**options)
        self.average = average

    def measure(self, sample: dict) -> dict:
        """Angles of a sample: a dict with ``pred_normal`` and ``gt_normal`` (3, H, W) in one frame, the camera's (x right, y
        down, z forward), and ``valid_mask`` (H, W) bool."""
        pred = field_of(sample, 'pred_normal')
        target = field_of(sample, 'gt_normal', pred)
        valid = field_of(sample, 'valid_mask', pred).bool()
        pred, target = pred[:, valid], target[:, valid]
        if not pred.shape[1]:
            return self.note('have no labeled pixel and are skipped', sample)
        facing = torch.zeros_like(target)
        facing[2] = -1
        angles = [angular_error(normal, target) for normal in (pred, facing)]
        sums = torch.stack([_sums(values) for values in angles]).cpu()
        odd = {}
        if not sums.isfinite().all():
            odd = self.note('have a prediction that is not finite', sample)
        if self.average == 'image':
            medians = [float(median(values)) for values in angles]
            return dict(errors=_errors(sums.numpy(), medians), images=1, **odd)
        # NaN falls into the last bin; the sums tell of it.
        bins = [(values.nan_to_num(180) / RESOLUTION).long().clamp(max=_BINS - 1) for values in angles]
        histogram = torch.stack([torch.bincount(index, minlength=_BINS) for index in bins]).cpu()
        return dict(sums=sums.numpy(), histogram=histogram.numpy(), **odd)

    def report(self, sums: dict) -> dict[str, float]:
        if 'errors' in sums:
            rows = sums['errors'] / sums['images']
        elif 'sums' in sums:
            rows = _errors(sums['sums'], [_histogram_median(row) for row in sums['histogram']])
        else:
            self._warn('no pixel is labeled; nothing is reported')
            return {}
        found, flat = (dict(zip(_NAMES, row.tolist(), strict=True)) for row in rows)
        table = PrettyTable(['', *(f'{name} %' if name.startswith('within') else name for name in _NAMES)])
        table.align = 'r'
        for name, row in (('prediction', found), ('facing the camera', flat)):
            table.add_row([name, *(f'{row[key] * (100 if key.startswith("within") else 1):.2f}' for key in _NAMES)])
        text = f'{self.prefix}, in degrees: {sums["samples"]} images; average over {self.average}s'
        print_log(f'{text}\n{table}', 'current')
        return found | dict(flat_mean=flat['mean'])


def _sums(angles: torch.Tensor) -> torch.Tensor:
    """(7,) float64: number of angles, sum, sum of squares, numbers below the thresholds."""
    angles = angles.double()
    below = [(angles < threshold).sum() for threshold in THRESHOLDS]
    return torch.stack([angles.new_tensor(len(angles)), angles.sum(), angles.square().sum(), *below]).double()


def _errors(sums: np.ndarray, medians: list[float]) -> np.ndarray:
    """(n, 7), named by ``_NAMES``, from (n, 7) sums and n medians."""
    means = sums[:, 1:] / sums[:, :1]
    return np.column_stack([means[:, 0], medians, np.sqrt(means[:, 1]), means[:, 2:]])


def _histogram_median(histogram: np.ndarray) -> float:
    """The mean of the two angles in the middle, each at the center of its bin."""
    up_to = np.cumsum(histogram)
    middle = (up_to[-1] - 1) // 2, up_to[-1] // 2
    return float((np.searchsorted(up_to, middle, side='right') + 0.5).mean() * RESOLUTION)
