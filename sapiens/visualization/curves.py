"""Curves of logged values, several training runs in one figure."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

__all__ = ['Curves', 'draw_curves', 'read_curves']

# (x, y) of each logged name
Curves = dict[str, tuple[np.ndarray, np.ndarray]]
# Keys of a row that are not values.
PLACE = ('iter', 'step', 'epoch')


def read_curves(work_dir: str | Path, minutes: bool = False) -> Curves:
    """Read the logged values of a run.

    A resumed run has several logs. A later log replaces the earlier ones from its first iteration on.

    Args:
        work_dir: of the run; logs are ``<date>/vis_data/scalars.json``.
        minutes: use minutes of training, without evaluation, as x; computed from the logged ``time`` of an iteration.

    Returns:
        name -> (iterations or minutes (N,), values (N,)), both float64, in order.

    Raises:
        ValueError: no log, or a line that is not JSON.
    """
    rows: list[dict] = []
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    for file in files:
        try:
            new = [json.loads(line) for line in file.read_text().splitlines()]
        except ValueError as error:
            raise ValueError(f'{file} is not a log of scalars: {error}') from None
        if new:
            rows = [row for row in rows if row['step'] < new[0]['step']] + new
    if not rows:
        raise ValueError(
            f'{work_dir}: no */vis_data/scalars.json with numbers in it; give the work dir of a training run'
        )
    clock = _clock(rows) if minutes else float
    points: dict[str, list] = {}
    for row in rows:
        for name, value in row.items():
            if 'iter' not in row and name in ('time', 'data_time'):
                name = f'val_{name}'  # of evaluations
            if name not in PLACE and isinstance(value, int | float):
                points.setdefault(name, []).append((clock(row['step']), value))
    return {name: tuple(np.array(values, np.float64).T) for name, values in points.items()}


def _clock(rows: Sequence[dict]):
    """Iteration -> minutes of training. Rows of evaluation have no ``iter``, and their ``time`` is another one."""
    trained = sorted({row['iter']: row['time'] for row in rows if 'iter' in row and 'time' in row}.items())
    steps = np.array([0, *(step for step, _ in trained)], np.float64)
    seconds = np.cumsum([0, *(np.diff(steps) * [time for _, time in trained])])
    return lambda step: float(np.interp(step, steps, seconds / 60))


def draw_curves(
    runs: Mapping[str, Curves],
    names: Sequence[str],
    path: str | Path,
    x: str = 'iterations',
    width: float = 4.5,
    baselines: Mapping[str, float] | None = None,
) -> None:
    """Write a figure with a panel per name and a line per run. All panels have the same x axis. Few points are marked.

    Args:
        runs: curves by the name of the run.
        names: logged names.
        path: of the figure; the suffix selects the format.
        x: label of the x axis.
        width: of a panel in inches.
        baselines: a value to compare with by logged name, drawn as a dashed line across its panel.

    Raises:
        ValueError: a name that no run logged, or a baseline of a name that is not drawn.
    """
    from matplotlib.figure import Figure  # slow to import
    from matplotlib.ticker import MaxNLocator

    known = sorted({name for curves in runs.values() for name in curves})
    for name in names:
        if name not in known:
            raise ValueError(f'{name!r} was logged by no run; they have {", ".join(known)}')
    for name in baselines or ():
        if name not in names:
            raise ValueError(f'baseline of {name!r}, which is not drawn: expected one of {", ".join(names)}')
    figure = Figure(figsize=(width * len(names), 0.7 * width), layout='constrained')
    panels = figure.subplots(1, len(names), sharex=True, squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        for run, curves in runs.items():
            places, values = curves.get(name, ((), ()))
            marker = 'o' if len(places) == 1 else '.' if len(places) <= 40 else None
            # An empty line keeps the colors of the runs equal in all panels, and has no place in the legend.
            panel.plot(places, values, label=run if len(places) else None, marker=marker)
        if baselines and name in baselines:
            value = baselines[name]
            panel.axhline(value, color='gray', linestyle='--', linewidth=1, label=f'baseline {value:g}')
        panel.set(title=name, xlabel=x)
        panel.grid(alpha=0.3)
        panel.legend()
        if x == 'iterations':
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(path, dpi=100)
