"""The training loss on held-out data."""

import logging
from collections.abc import Sequence

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from sapiens.registry import METRICS

__all__ = ['ValLoss']


@METRICS.register_module()
class ValLoss(BaseMetric):
    """Mean of the loss that the model stored in labeled samples, as ``val_loss``; lower is better.

    Combines with any other metric: ``val_evaluator=[dict(type='KeypointMetric', ...), dict(type='ValLoss')]``. Samples without
    a ``loss`` (detected people without labels) are skipped. If all are, nothing is reported, with one warning.

    Args:
        prefix: reported as ``prefix/val_loss``; default: no prefix.
        collect_device, collect_dir: see :class:`mmengine.evaluator.BaseMetric`.
    """

    # MMEngine warns about metrics without a prefix; an empty one adds nothing to the name.
    default_prefix = ''
    names = ('val_loss',)
    # Loops have the model compute losses in prediction where a metric says so.
    needs_losses = True
    _warned = False

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        # One entry per sample even without a loss: ranks are merged by position, to drop the padding of the last batch.
        for sample in data_samples:
            loss = sample.get('loss')
            self.results.append((loss is not None, 0.0 if loss is None else float(loss)))

    def compute_metrics(self, results: list[tuple[bool, float]]) -> dict[str, float]:
        losses = [loss for labelled, loss in results if labelled]
        if losses:
            return dict(val_loss=sum(losses) / len(losses))
        if not self._warned:
            print_log('ValLoss: no sample has a loss; nothing is reported', 'current', logging.WARNING)
            self._warned = True
        return {}
