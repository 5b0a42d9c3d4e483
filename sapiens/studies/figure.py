"""Figures of a study: metrics by variant, curves with bands over seeds, and TensorBoard's hyperparameters."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sapiens.visualization import read_curves

from .metrics import find_name
from .power_law import fits_of, points_of
from .results import Results

__all__ = ['bands', 'draw_study', 'write_hparams']

POINTS = 200
"""Of a band, at most."""


def draw_study(results: Results, path: str | Path, width: float = 4.5) -> None:
    """Write a figure with two rows of panels, one column for each metric, and one for the power laws of the study.

    Above: mean and standard deviation over seeds of each variant, with single seeds as dots. Below: the curve of the metric over
    iterations, the mean of the seeds in a band of one standard deviation; none of a test. Power laws: results and fitted lines,
    above with logarithmic axes.

    Args:
        path: of the figure; the suffix selects the format.
        width: of a panel in inches.
    """
    from matplotlib.figure import Figure  # slow to import

    variants, metrics, fits = results.variants, results.plan.study.metrics, fits_of(results)
    columns = len(metrics) + bool(fits)
    longest = max(map(len, variants))
    # Names stand below the points.
    size = max(width, 0.25 * len(variants)) * columns, 1.4 * width + 0.05 * longest
    figure = Figure(figsize=size, layout='constrained')
    panels = figure.subplots(2, columns, squeeze=False)
    if fits:
        _draw_power_laws(results, *panels[:, -1])
    colors = _colors(len(variants))
    for (above, below), metric in zip(panels.T, metrics, strict=False):
        _draw_values(results, metric.name, above, colors)
        above.set_xticks(
            range(len(variants)),
            variants,
            rotation=90 if longest > 12 else 30,
            ha='center' if longest > 12 else 'right',
        )
        above.set(title=f'{metric.name} ({metric.better} is better)', xlim=(-0.5, len(variants) - 0.5))
        _draw_curves(results, metric.name, below, colors)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _colors(count: int) -> Sequence:
    from matplotlib import colormaps

    return colormaps['tab10'].colors[:count] if count <= 10 else colormaps['turbo'](np.linspace(0, 1, count))


def _draw_values(results: Results, metric: str, panel, colors: Sequence) -> None:
    """Mean, deviation and single values of each variant."""
    for place, (variant, color) in enumerate(zip(results.variants, colors, strict=True)):
        values = list(results.of(metric, variant).values())
        if values:
            panel.plot([place] * len(values), values, '.', color='gray', markersize=4)
            spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
            panel.errorbar(place, np.mean(values), spread, marker='o', capsize=4, color=color)
    panel.ticklabel_format(axis='y', useOffset=False)
    panel.grid(alpha=0.3)


def _draw_curves(results: Results, metric: str, panel, colors: Sequence) -> None:
    """The curve of each variant that has one. Without any, the panel stays empty."""
    from matplotlib.ticker import MaxNLocator

    for variant, color in zip(results.variants, colors, strict=True):
        places, mean, spread = bands(results, metric, variant)
        if len(places):
            panel.plot(places, mean, label=variant, marker='.' if len(places) <= 40 else None, color=color)
            panel.fill_between(places, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
    if not panel.lines:
        panel.set_axis_off()
        return
    panel.set(xlabel='iterations')
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.ticklabel_format(axis='y', useOffset=False)
    if len(panel.lines) <= 8:  # else the names below the panel above have to do, where colors are the same
        panel.legend(fontsize='small')
    panel.grid(alpha=0.3)


def _draw_power_laws(results: Results, *panels) -> None:
    for panel in panels:
        for name, fit in fits_of(results).items():
            x, error = points_of(results, fit.law)
            (dots,) = panel.plot(x, error, '.', label=name)
            if fit.is_known:
                line = np.geomspace(x.min(), x.max(), 50)
                panel.plot(line, fit.factor * line**fit.exponent, color=dots.get_color())
        panel.set(xlabel='x', ylabel='error')
        panel.grid(alpha=0.3, which='both')
        panel.legend(fontsize='small')
    panels[0].set(title='power laws', xscale='log', yscale='log')


def bands(results: Results, metric: str, variant: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The curve of a metric: iterations (N,), mean over seeds (N,), standard deviation (N,), float64. Empty without logs.

    Seeds are interpolated to the iterations of the longest one, within what each has reached.
    """
    stage, colon, name = metric.rpartition(':')
    curves = []
    for (one, _), chain in results.plan.chains.items():
        for run in reversed(chain.values()):
            if one != variant or run.stage.command == 'test' or (colon and run.stage.name != stage):
                continue
            try:
                logged = read_curves(run.folder)
            except ValueError:  # it has not logged yet
                continue
            if found := find_name(name, logged):
                curves.append(logged[found])
                break
    if not curves:
        return np.empty(0), np.empty(0), np.empty(0)
    places = max((x for x, _ in curves), key=len)
    if len(places) > POINTS:
        places = places[np.linspace(0, len(places) - 1, POINTS).astype(int)]
    rows = np.array([np.interp(places, x, y, right=np.nan) for x, y in curves])
    count = (~np.isnan(rows)).sum(0)
    places, rows, count = places[count > 0], rows[:, count > 0], count[count > 0]
    mean = np.nansum(rows, 0) / count
    spread = np.sqrt(np.nansum((rows - mean) ** 2, 0) / np.maximum(count - 1, 1))
    return places, mean, spread


def changed_options(results: Results) -> dict[str, dict[str, str]]:
    """{variant: {option: value}} of what the variants set, with the same options for each."""
    variants = {one.name: one for one in results.plan.study.variants}
    flat = {
        name: {
            f'{stage}:{key}': value
            for stage, options in variants[name].options.items()
            for key, value in options.items()
        }
        for name in results.variants
        if name in variants
    }
    keys: Sequence[str] = list(dict.fromkeys(key for options in flat.values() for key in options))
    return {name: {key: str(options.get(key, '')) for key in keys} for name, options in flat.items()}


def write_hparams(results: Results, folder: Path) -> None:
    """Write options and metrics of each variant and seed for the HParams page of TensorBoard.

    Args:
        folder: of the events, a folder for each run below it; what it held before is replaced.
    """
    import shutil

    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    shutil.rmtree(folder, ignore_errors=True)
    options = changed_options(results)
    for (variant, seed), _ in results.plan.chains.items():
        values = {metric.name: results.of(metric.name, variant).get(seed) for metric in results.plan.study.metrics}
        known = {name: value for name, value in values.items() if value is not None}
        if not known:
            continue
        settings = dict(variant=variant, seed=seed, **options.get(variant, {}))
        with SummaryWriter(str(folder / f'{variant}-seed{seed}')) as writer:
            for summary in hparams(settings, known):
                writer.file_writer.add_summary(summary)
            for name, value in known.items():
                writer.add_scalar(name, value, 0)
