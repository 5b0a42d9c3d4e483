"""Which names an evaluator will report, known before the first evaluation."""

from collections.abc import Sequence

from mmengine.evaluator import BaseMetric
from mmengine.runner import BaseLoop

from sapiens.metainfo.naming import near

__all__ = ['refuse_unreported', 'reported_names']


def reported_names(metrics: Sequence[BaseMetric]) -> list[str] | None:
    """Full names (``coco/AP``) of what metrics report; None where one of them does not say.

    Metrics of this package have ``names``, without the prefix.
    """
    found = []
    for metric in metrics:
        names = getattr(metric, 'names', None)
        if names is None:
            return None
        found += [f'{metric.prefix}/{name}' if metric.prefix else name for name in names]
    return found


def refuse_unreported(name: str, loop: BaseLoop | None, source: str) -> None:
    """Check that the metrics of a validation report ``name``, as far as they say what they report.

    Args:
        loop: the validation; None without one.
        source: the setting that names the metric, for messages.

    Raises:
        ValueError: no validation, or another name; the message has the near and all names.
    """
    if loop is None:
        raise ValueError(f'{source}={name!r}: the run has no validation that could report it')
    names = reported_names(getattr(getattr(loop, 'evaluator', None), 'metrics', ()))
    if names and name not in names:
        raise ValueError(
            f'{source}={name!r} is not among the metrics{near(name, names)} (reported: {", ".join(names)})'
        )
