"""In which interval the score of a whole test set lies, from a random part of it.

The images of the part are drawn again and again, with repetition, as many as there are (the bootstrap). The standard deviation of
the scores is the error of a part that is drawn from a large set. The whole set is finite and contains the part, so the error is
smaller by the factor sqrt(1 - n / N) for n of N images. The interval is the score plus and minus 1.96 errors, 95 percent of a
normal distribution. Images are the units, with all their people. Neighboring frames of a video may be alike: the part is drawn
from the frames, so that this does not matter.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b

import numpy as np

__all__ = ['SHARE', 'chosen', 'interval_of', 'quiet']

SHARE = 20  # one of so many images
DRAWS = 200
_QUANTILE = 1.96


def chosen(names: Sequence[str], share: int = SHARE) -> list[str]:
    """A fixed random part of names, always the same, whatever their order: those with the smallest checksums."""
    ordered = sorted(set(names), key=lambda name: (blake2b(name.encode(errors='surrogateescape')).digest(), name))
    return ordered[: math.ceil(len(ordered) / share)]


def interval_of(
    metrics: Sequence, values: Callable[[dict], dict[str, float]], total: int, draws: int = DRAWS, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Intervals of the scores of a whole test set.

    Args:
        metrics: with the samples of the part, each with ``num_units``, ``redrawn`` and ``prefix``.
        values: scores from the metrics of an evaluation, by full name.
        total: images of the whole set.
        draws: number of repetitions.

    Returns:
        {score: (low, high)}.

    Raises:
        ValueError: fewer than two images.
    """
    count = metrics[0].num_units
    if count < 2:
        raise ValueError(f'{count} of {total} images: an interval needs two or more. Evaluate the whole set')
    random = np.random.default_rng(seed)
    positions = random.integers(0, count, (draws, count))
    scores: dict[str, list[float]] = {}
    with quiet():
        every = zip(*(_prefixed(metric, positions) for metric in metrics), strict=True)
        for parts in every:
            for name, value in values({key: one for part in parts for key, one in part.items()}).items():
                scores.setdefault(name, []).append(value)
        [whole] = zip(*(_prefixed(metric, [np.arange(count)]) for metric in metrics), strict=True)
        center = values({key: one for part in whole for key, one in part.items()})
    finite = math.sqrt(max(0.0, 1 - count / total))
    errors = {name: float(np.std(found, ddof=1)) * finite * _QUANTILE for name, found in scores.items()}
    return {name: (center[name] - error, center[name] + error) for name, error in errors.items()}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Log nothing inside the ``with`` block: metrics log a table for each evaluation."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _prefixed(metric, draws) -> Iterator[dict[str, float]]:
    for found in metric.redrawn(draws):
        yield {f'{metric.prefix}/{name}': value for name, value in found.items()}
