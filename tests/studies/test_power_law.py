"""Power laws of studies: the fit, its interval, the table, the figure, and wrong entries."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from sapiens.studies.figure import draw_study
from sapiens.studies.load import load_study
from sapiens.studies.power_law import fit_power_law, fits_of, points_of
from sapiens.studies.results import Results, collect
from sapiens.studies.study import Metric, PowerLaw
from sapiens.studies.table import as_json, as_markdown

from .toy import STUDY, plan_of, write_study

LAW = PowerLaw('law', 'val_loss', {'a': 1.0, 'b': 2.0, 'c': 4.0})
ENTRY = """
power_laws = [dict(name='decay', metric='AP', points={'decay-1.0': 1, 'decay-0.5': 2, 'decay-0.25': 4})]
"""
WITH_LAW = STUDY.replace('(1.0, 0.5)', '(1.0, 0.5, 0.25)') + ENTRY


def test_a_law_is_recovered():
    x = np.repeat([1.0, 2.0, 4.0, 8.0], 2)
    fit = fit_power_law(LAW, x, 0.7 * x**-0.3)
    assert (fit.factor, fit.exponent) == pytest.approx((0.7, -0.3)) and fit.points == 8
    assert fit.half == pytest.approx(0, abs=1e-7) and fit.deviation == pytest.approx(0, abs=1e-7)


def test_the_interval_is_that_of_a_regression():
    x, noise = np.array([1.0, 2.0, 4.0, 8.0]), np.array([0.1, -0.1, -0.1, 0.1])
    fit = fit_power_law(LAW, x, x**-0.5 * np.exp(noise))  # the noise is orthogonal to a constant and to log x
    deviation = math.sqrt((noise**2).sum() / 2)
    spread = (np.log(x) - np.log(x).mean()) ** 2
    assert (fit.factor, fit.exponent, fit.deviation) == pytest.approx((1.0, -0.5, deviation))
    assert fit.half == pytest.approx(4.302653 * deviation / math.sqrt(spread.sum()))  # t of 0.975 with 2 degrees


def test_the_interval_holds_the_law_as_often_as_it_says():
    generator, x = np.random.default_rng(0), np.repeat([1.0, 2.0, 4.0, 8.0], 2)
    fits = [fit_power_law(LAW, x, x**-0.3 * np.exp(generator.normal(0, 0.05, 8))) for _ in range(1000)]
    share = np.mean([abs(fit.exponent + 0.3) < fit.half for fit in fits])
    assert share == pytest.approx(0.95, abs=0.02)


def test_two_places_give_no_law():
    fit = fit_power_law(LAW, np.array([1.0, 1.0, 2.0]), np.array([0.5, 0.4, 0.3]))
    assert not fit.is_known and str(fit) == '3 results, needs those of three variants'


def test_the_error_of_a_score_is_what_it_lacks():
    study = SimpleNamespace(seeds=[0, 1], metrics=[Metric('AP', 'higher')], power_laws=[])
    values = {('AP', 'a', 0): 0.25, ('AP', 'b', 0): 0.5, ('AP', 'b', 1): 1.0}  # no error: no logarithm
    x, error = points_of(Results(SimpleNamespace(study=study), {}, values), PowerLaw('law', 'AP', {'a': 1, 'b': 2}))
    assert x.tolist() == [1, 2] and error.tolist() == [0.75, 0.5]


def test_laws_are_in_the_table_and_the_figure(tmp_path):
    plan = plan_of(tmp_path, WITH_LAW)
    assert fits_of(collect(plan)) == {}
    values = {('AP', f'decay-{rate}', seed): 1 - 0.5 * rate**0.25 for rate in (1.0, 0.5, 0.25) for seed in (0, 1)}
    results = Results(plan, collect(plan).states, values)
    assert '| `decay` | `AP` | error = 0.5 x^-0.25, exponent -0.25 ± ' in as_markdown(results)
    (law,) = json.loads(as_json(results))['power_laws']
    assert (law['name'], law['metric'], law['points']) == ('decay', 'AP', 6)
    assert law['exponent'] == pytest.approx(-0.25)
    draw_study(results, tmp_path / 'figure.png')
    assert (tmp_path / 'figure.png').stat().st_size > 10_000


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ("metric='AP'", "metric='AR'", "metric='AR' of power law decay is not in metrics"),
        ("'decay-0.25': 4", "'decay-0.3': 4", "power law decay has no variant 'decay-0.3'; did you mean"),
        ("'decay-0.25': 4", "'decay-0.25': 2", 'with three different x'),
        ("'decay-0.25': 4", "'decay-0.25': 0", 'has x=0 at decay-0.25, expected a number above 0'),
        ('points=', 'point=', "a power law has an unknown key 'point'"),
    ],
)
def test_wrong_laws_are_refused(tmp_path, old, new, message):
    with pytest.raises(ValueError, match='study') as error:
        load_study(write_study(tmp_path, WITH_LAW.replace(old, new), 'study'))
    assert message in str(error.value)
