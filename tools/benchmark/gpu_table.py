"""The tables of gpu_suite.py, as docs/performance.md has them."""

import statistics
from collections.abc import Callable, Iterator, Mapping

from gpu_cases import MODES, RECIPES, Case

__all__ = ['GOALS', 'report']

STEP = (
    *('recipe', 'size', 'mode', 'batch', 'step ms', 'images/s', 'MFU', 'GPU idle', 'peak GB'),
    *('error of the estimate', 'largest batch'),
)
PAIR = (
    *('part', 'size', 'mode', 'against', 'batch', 'sapiens ms', 'against ms', 'ratio: median (range)'),
    *('sapiens GB, both loaded', 'against GB, both loaded', 'losses'),
)
LOADING = ('recipe', 'images/s of one core', 'images/s of the GPU, size', 'cores')
# Columns of text.
TEXTS = ('recipe', 'size', 'mode', 'part', 'against')
# Text, recipe, size, value that is needed; of the best mode.
GOALS = (
    ('MFU of MAE 1b at 0.75', 'MAE 0.75', '1b', 0.50),
    ('MFU of finetuning of 1b, pose 308', 'pose 308', '1b', 0.45),
    ('MFU of finetuning of 1b, segmentation', 'segmentation', '1b', 0.45),
    ('MFU of finetuning of 1b, normals', 'normals', '1b', 0.45),
)
SPEED_UP = 2.0


class Found:
    """The results of cases by what they are about.

    Args:
        cases: all of them.
        rows: results by name of the case.
        peak: operations per second of the device, None where they are not known.
    """

    def __init__(self, cases: list[Case], rows: Mapping[str, Mapping], peak: float | None) -> None:
        self.peak, self.rows, self.cases = peak, rows, cases
        self.done = {case: rows[case.name] for case in cases if rows.get(case.name, {}).get('state') == 'done'}

    def of(self, kind: str) -> Iterator[tuple[Case, Mapping]]:
        return ((case, row) for case, row in self.done.items() if case.kind == kind)

    def one(self, kind: str, recipe: str, size: str, mode: str) -> Mapping | None:
        """Values of a case; None without a result."""
        found = (r['values'] for c, r in self.of(kind) if (c.recipe, c.size, c.mode) == (recipe, size, mode))
        return next(found, None)

    def estimate(self, case: Case) -> Mapping | None:
        mode = case.mode if 'checkpointing' in case.mode else 'eager'
        return self.one('estimate', case.recipe, case.size, mode)

    def mfu(self, case: Case, values: Mapping) -> float | None:
        """Operations of the model in a second, without those that are computed again, by those of the device."""
        traced = self.one('estimate', case.recipe, case.size, 'eager')
        if traced is None or self.peak is None:
            return None
        return traced['operations'] * values['images_per_s'] / self.peak

    def error(self, case: Case, row: Mapping) -> float | None:
        """Of the estimate of the peak: 0.1 is 10 % too much."""
        traced, peak = self.estimate(case), row['values']['peak_gb']
        if traced is None or peak is None:
            return None
        kind = 'FSDP2' if case.mode == 'FSDP2' else 'plain'
        return traced[kind][str(row['batch'])] / 1e9 / peak - 1


def report(cases: list[Case], rows: Mapping[str, Mapping], facts: Mapping[str, str], peak: float | None) -> str:
    """Tables in Markdown, goals, and what was left out.

    Args:
        cases: the whole suite.
        rows: results by name of the case (:class:`gpu_lanes.Results`).
        facts: of the machine and of the package, by name.
        peak: see :class:`Found`.
    """
    found = Found(cases, rows, peak)
    parts = [', '.join(f'{name} {value}' for name, value in facts.items() if value) + '.']
    for title, head, make in (
        ('Training step', STEP, _steps),
        ('Training step against others', PAIR, _pairs),
        ('Loading', LOADING, _loading),
    ):
        lines = list(make(found))
        parts.append(f'### {title}\n\n{_table(head, lines)}' if lines else f'### {title}\n\nNo results.')
    parts.append('Goals:\n\n' + '\n'.join(_goals(found)))
    parts.append('\n'.join(_left_out(found)))
    return '\n\n'.join(part for part in parts if part)


def _table(head: tuple[str, ...], lines: list[tuple]) -> str:
    marks = ['---' if name in TEXTS else '--:' for name in head]
    return '\n'.join(f'| {" | ".join(map(str, line))} |' for line in (head, marks, *lines))


def _number(value: float | None, form: str) -> str:
    return '' if value is None else format(value, form)


def _steps(found: Found) -> Iterator[tuple]:
    def place(item: tuple[Case, Mapping]) -> tuple:
        return [*RECIPES].index(item[0].recipe), item[0].size not in ('1b', 'tiny'), [*MODES].index(item[0].mode)

    for case, row in sorted(found.of('step'), key=place):
        values, most = row['values'], found.one('largest', case.recipe, case.size, case.mode)
        yield (
            case.recipe,
            case.size,
            case.mode,
            row['batch'],
            f'{values["step_ms"]:.1f}',
            f'{values["images_per_s"]:.1f}',
            _number(found.mfu(case, values), '.1%'),
            _number(values['idle'], '.1%'),
            _number(values['peak_gb'], '.2f'),
            _number(found.error(case, row), '+.1%'),
            '' if most is None else f'{most["largest"]}{"" if most["is_seen"] else " or more"}',
        )


def _pairs(found: Found) -> Iterator[tuple]:
    for case, row in found.of('pair'):
        values = row['values']
        ours, theirs, ratios = values['sapiens'], values['against'], values['ratios']
        part = f'{case.recipe}, {values["note"]}'
        yield (
            part,
            case.size,
            case.mode,
            case.opponent,
            row['batch'],
            *(f'{statistics.median(side["ms"]):.1f}' for side in (ours, theirs)),
            f'{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})',
            *(_number(side['peak_gb'], '.2f') for side in (ours, theirs)),
            ', '.join(f'{loss:.6f}' for loss in values.get('losses', ())),
        )


def _loading(found: Found) -> Iterator[tuple]:
    for case, row in found.of('loading'):
        rate = row['values']['images_per_s']
        eaten = [
            (other['values']['images_per_s'], step.size)
            for step, other in found.of('step')
            if step.recipe == case.recipe
        ]
        best = max(eaten, default=None)
        needs = ('', '') if best is None else (f'{best[0]:.1f}, {best[1]}', f'{best[0] / rate:.1f}')
        yield case.recipe, f'{rate:.1f}', *needs


def _goals(found: Found) -> Iterator[str]:
    for text, recipe, size, goal in GOALS:
        rates = [
            (found.mfu(case, row['values']), case.mode)
            for case, row in found.of('step')
            if (case.recipe, case.size) == (recipe, size)
        ]
        yield _verdict(text, f'{goal:.0%}', max((r for r in rates if r[0] is not None), default=None), goal, '.1%')
    for recipe in ('MAE 0.95', 'MAE 0.75'):
        ratios = [
            (statistics.median(row['values']['ratios']), f'{case.size}, {case.mode}')
            for case, row in found.of('pair')
            if (case.opponent, case.recipe, case.size) == ('mmpretrain', recipe, '1b')
        ]
        text = f"speed of {recipe} compared with mmpretrain's"
        yield _verdict(text, f'{SPEED_UP:g}x', max(ratios, default=None), SPEED_UP, '.2f')


def _verdict(text: str, goal: str, best: tuple[float, str] | None, needed: float, form: str) -> str:
    if best is None:
        return f'- {text}: {goal}, not measured'
    verdict = 'reached' if best[0] >= needed else 'not reached'
    return f'- {text}: {goal}, {verdict} ({best[0]:{form}}, {best[1]})'


def _left_out(found: Found) -> Iterator[str]:
    """Cases without values, by reason."""
    reasons: dict[str, list[str]] = {}
    texts: dict[str, Callable[[Mapping], str]] = dict(
        missing=lambda row: row['error'],
        memory=lambda row: f'out of memory with {row["batch"]} images',
        failed=lambda row: f'failed: {row["error"]}',
    )
    for case in found.cases:
        row = found.rows.get(case.name)
        if row is None or row['state'] == 'stopped':
            reasons.setdefault('not run yet (--resume)', []).append(case.name)
        elif row['state'] != 'done':
            reasons.setdefault(texts[row['state']](row), []).append(case.name)
    for reason, names in reasons.items():
        yield f'Left out, {reason}: {", ".join(names)}.'
