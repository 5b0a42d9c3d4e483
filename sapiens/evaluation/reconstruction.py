"""Held-out loss of masked autoencoders."""

from collections.abc import Sequence

from mmengine.evaluator import BaseMetric

from sapiens.registry import METRICS

__all__ = ['ReconstructionLoss']


@METRICS.register_module()
class ReconstructionLoss(BaseMetric):
    """Mean over images of the loss on their removed patches; lower is better.

    Every image has the mask that its position in the dataset decides (see :meth:`sapiens.models.MAE.predict`), so two
    checkpoints are compared on the same patches.
    """

    default_prefix = 'mae'
    names = ('loss',)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        self.results.extend(float(sample['reconstruction_loss']) for sample in data_samples)

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return dict(loss=sum(results) / len(results))
