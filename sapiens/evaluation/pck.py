"""Percentage of correct keypoints of labeled people."""

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric

from sapiens.registry import METRICS

__all__ = ['PCKMetric']


@METRICS.register_module()
class PCKMetric(BaseMetric):
    """Fraction of the labeled keypoints that are predicted near enough, as ``PCK@<fraction>``; higher is better.

    Near enough is a distance of at most the fraction times the longer side of the person's box. All keypoints of all people count
    alike; a keypoint that is not predicted (NaN) is a miss. Samples without labels (detected people) are skipped.

    Unlike :class:`KeypointMetric` it tells models apart whose keypoints are mostly wrong, and it needs annotated boxes.

    Args:
        fractions: of the longer side of the box.
        prefix, collect_device, collect_dir: see :class:`mmengine.evaluator.BaseMetric`; no prefix by default.

    Raises:
        ValueError: no fraction, or one that is not above 0.
    """

    # MMEngine warns about metrics without a prefix; an empty one adds nothing to the name.
    default_prefix = ''

    def __init__(self, fractions: Sequence[float] = (0.1, 0.05), **options) -> None:
        if not fractions or not all(fraction > 0 for fraction in fractions):
            raise ValueError(
                f'PCKMetric: fractions={fractions!r}, expected fractions of the longer side of the box, above 0'
            )
        super().__init__(**options)
        self.fractions = tuple(fractions)

    @property
    def names(self) -> list[str]:
        """Names of the reported metrics, without the prefix."""
        return [f'PCK@{fraction:g}' for fraction in self.fractions]

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the keypoints of a batch.

        Args:
            data_batch: not used.
            data_samples: dicts with ``pred_instances`` of one person, whose keypoints (1, K, 2) are pixels of the image, and
                ``gt_instances``: bboxes (1, 4) x1, y1, x2, y2 and, of labeled people, keypoints (1, K, 2) and
                keypoints_visible (1, K).
        """
        for sample in data_samples:
            # One entry per sample even without labels: ranks are merged by position, to drop the padding of the last batch.
            right, labeled = np.zeros(len(self.fractions), int), 0
            person = sample['gt_instances']
            if 'keypoints' in person:
                known = _array(person['keypoints_visible'])[0] > 0
                distance = np.linalg.norm(
                    _array(sample['pred_instances']['keypoints']) - _array(person['keypoints']), axis=-1
                )
                x1, y1, x2, y2 = _array(person['bboxes'])[0]
                reach = np.array(self.fractions) * max(x2 - x1, y2 - y1)
                right, labeled = (distance[0, known] <= reach[:, None]).sum(1), int(known.sum())
            self.results.append((right, labeled))

    def compute_metrics(self, results: list[tuple[np.ndarray, int]]) -> dict[str, float]:
        total = sum(labeled for _, labeled in results)
        if not total:
            return {}
        right = np.sum([right for right, _ in results], axis=0)
        return {name: float(count / total) for name, count in zip(self.names, right, strict=True)}


def _array(values) -> np.ndarray:
    return np.asarray(values.cpu() if hasattr(values, 'cpu') else values, np.float32)
