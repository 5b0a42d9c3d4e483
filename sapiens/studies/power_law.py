"""Power laws of a study: how an error falls with a quantity such as the steps of pretraining."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from .results import LEVEL, Results
from .study import PowerLaw

__all__ = ['Fit', 'fit_power_law', 'fits_of', 'points_of']


@dataclass(frozen=True)
class Fit:
    """``error = factor * x ** exponent``, by least squares of logarithms.

    Attributes:
        law: that was fitted.
        points: number of results: variants times seeds.
        factor, exponent: of the law; NaN with results of fewer than three different x.
        half: half of the width of the confidence interval of the exponent, by Student's t with ``points - 2`` degrees of freedom.
        deviation: standard deviation of the logarithm of the error around the law: 0.1 is about 10 %.
    """

    law: PowerLaw
    points: int
    factor: float = math.nan
    exponent: float = math.nan
    half: float = math.nan
    deviation: float = math.nan

    @property
    def is_known(self) -> bool:
        """Whether there are results of three different x."""
        return not math.isnan(self.exponent)

    def __str__(self) -> str:
        if not self.is_known:
            return f'{self.points} results, needs those of three variants'
        return (
            f'error = {self.factor:.3g} x^{self.exponent:.3g}, exponent {self.exponent:.3g} ± {self.half:.2g} '
            f'({LEVEL:.0%} interval, {self.points} results), deviation {self.deviation:.1%}'
        )


def points_of(results: Results, law: PowerLaw) -> tuple[np.ndarray, np.ndarray]:
    """x (N,) and error (N,), float64, of all variants of a law and their seeds that have a positive error."""
    metric = next(one for one in results.plan.study.metrics if one.name == law.metric)
    pairs = [
        (x, value if metric.better == 'lower' else 1 - value)
        for variant, x in law.points.items()
        for value in results.of(law.metric, variant).values()
    ]
    found = np.array([pair for pair in pairs if pair[1] > 0], np.float64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def fit_power_law(law: PowerLaw, x: np.ndarray, error: np.ndarray) -> Fit:
    """Fit a law to results.

    Args:
        x, error: (N,), positive.
    """
    if len(np.unique(x)) < 3:
        return Fit(law, len(x))
    line = stats.linregress(np.log(x), np.log(error))
    rest = np.log(error) - line.intercept - line.slope * np.log(x)
    free = len(x) - 2
    return Fit(
        law,
        len(x),
        math.exp(line.intercept),
        float(line.slope),
        float(stats.t.ppf((1 + LEVEL) / 2, free) * line.stderr),
        math.sqrt(float((rest**2).sum()) / free),
    )


def fits_of(results: Results) -> Mapping[str, Fit]:
    """{name: fit} of the laws of a study, those without results of planned variants left out."""
    found = {law.name: fit_power_law(law, *points_of(results, law)) for law in results.plan.study.power_laws}
    return {name: fit for name, fit in found.items() if fit.points}
