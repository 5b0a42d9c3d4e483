"""Whether more of a metric is better."""

import re

__all__ = ['rule_of']

# Parts of the last segment of a name: those of this package's metrics, and usual names of other metrics.
GREATER = re.compile(
    r'(^|_)m?A[PR](?![a-z])|IoU|Dice|Acc|(^|_)(acc|top|auc|AUC|PCK|precision|recall|f1|F1)|^delta\d|(^|_)within_|PSNR|SSIM'
)
LESS = re.compile(
    r'(^|_)(loss|error|mean|median|RMSE|MSE|MAE|EPE|NME|MPJPE|FID)(?![a-z])|log-RMSE|AbsRel|SqRel'
    r'|(?-i:(^|_)(L2|X|Y|Z|SAD|MAD|grad|conn|gradient)$)',
    re.IGNORECASE,
)


def rule_of(name: str, rule: str | None = None, source: str = 'save_best') -> str:
    """Get the rule by which values of a metric are compared, ``'greater'`` or ``'less'`` (is better).

    Args:
        name: of the metric, with or without its prefix (``coco/AP``, ``depth_scale-shift/RMSE``, ``val_loss``).
        rule: what the user set; None derives it from the name.
        source: the setting that names the metric, for messages.

    Raises:
        ValueError: an unknown rule, the opposite of what is known of the metric, or a name of which nothing is known.
    """
    if rule not in (None, 'greater', 'less'):
        raise ValueError(f"rule={rule!r} of {source}={name!r} is not 'greater' or 'less'")
    last = name.rpartition('/')[2]
    greater, less = bool(GREATER.search(last)), bool(LESS.search(last))
    known = None if greater == less else 'greater' if greater else 'less'
    if rule is None and known is None:
        raise ValueError(f"{source}={name!r}: say whether more of it is better with rule='greater' or rule='less'")
    if rule is not None and known is not None and rule != known:
        raise ValueError(f'rule={rule!r} of {source}={name!r} keeps the worst: {known} is better. Leave rule out')
    return rule or known
