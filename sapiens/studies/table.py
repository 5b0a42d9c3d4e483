"""Tables of a study: Markdown, CSV and JSON."""

import csv
import io
import json
import math
import os
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sapiens.utils.counting import count_of
from sapiens.utils.files import replace_between

from .child import LOG
from .plan import Run
from .power_law import Fit, fits_of
from .results import LEVEL, Difference, Results, with_spread
from .state import Record
from .study import Metric

__all__ = ['as_csv', 'as_json', 'as_markdown', 'insert', 'warnings_of']

EMPTY = '-'
WIDTH = 120
"""Characters of a line in a document."""


def as_markdown(
    results: Results,
    sizes: dict[str, tuple[int, int]] | None = None,
    links_from: Path | None = None,
    list_runs: bool = True,
    choice: str = '',
) -> str:
    """Write the results as Markdown: variants, checks, power laws, runs, and what to be careful with.

    Args:
        sizes: {variant: (parameters, operations of an image)} of the models.
        links_from: folder of the document, to which links are relative; default: the current folder.
        list_runs: with a row for each run, which links its files; without, a sentence on all: for documents whose readers
            do not have them.
        choice: options by which a command takes these variants and seeds: `` --only 'decay-*'``.
    """
    parts = [_variants(results, sizes or {})]
    if verdicts := results.verdicts():
        parts.append(_rows(['check', 'verdict', 'reason'], [(f'`{v.check}`', v.verdict, v.reason) for v in verdicts]))
    if fits := fits_of(results):
        rows = [(f'`{name}`', f'`{fit.law.metric}`', fit) for name, fit in fits.items()]
        parts.append(_rows(['power law', 'metric', 'fit'], rows))
    parts.append(_runs(results, links_from or Path.cwd()) if list_runs else summary_of(results, choice))
    parts += [f'Note: {text}' for text in warnings_of(results)]
    return '\n\n'.join(parts if list_runs else map(_wrap, parts))


def _wrap(text: str) -> str:
    """Break the lines of a paragraph, but not of a table."""
    lines = text.splitlines()
    return '\n'.join(
        line if line.startswith('|') else textwrap.fill(line, WIDTH, break_on_hyphens=False) for line in lines
    )


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]], right: int = 0) -> str:
    """A Markdown table whose last ``right`` columns are aligned to the right."""
    left = len(columns) - right
    lines = ['| ' + ' | '.join(columns) + ' |', '|' + '---|' * left + '--:|' * right]
    lines += [
        '| ' + ' | '.join(str(cell).replace('|', '\\|').replace('\n', ' ') for cell in row) + ' |' for row in rows
    ]
    return '\n'.join(lines)


def _variants(results: Results, sizes: dict[str, tuple[int, int]]) -> str:
    study = results.plan.study
    columns = ['variant']
    for metric in study.metrics:
        arrow = '↑' if metric.better == 'higher' else '↓'
        columns += [f'{metric.name} {arrow}', f'difference to {study.reference}']
    columns += ['seeds', 'minutes']
    columns += ['parameters', 'GFLOPs'] if sizes else []
    rows = []
    for variant in results.variants:
        row = [variant]
        for metric in study.metrics:
            row += [
                mean_and_spread(list(results.of(metric.name, variant).values())),
                _difference(results, metric, variant),
            ]
        row += [_count(results, variant), _minutes(results, variant)]
        if sizes:
            parameters, operations = sizes.get(variant, (None, None))
            row += [f'{parameters:,}', f'{operations / 1e9:.2f}'] if parameters else [EMPTY, EMPTY]
        rows.append(row)
    text = _rows(columns, rows, right=len(columns) - 1)
    return f'{text}\n\nMean ± standard deviation over seeds. Differences: mean, and {LEVEL:.0%} interval of paired seeds (t).'


def mean_and_spread(values: Sequence[float]) -> str:
    """'0.512 ± 0.004', without a spread for one value."""
    if not values:
        return EMPTY
    if len(values) == 1:
        return f'{values[0]:.4g}'
    return with_spread(float(np.mean(values)), float(np.std(values, ddof=1)))


def _difference(results: Results, metric: Metric, variant: str) -> str:
    if variant == results.plan.study.reference:
        return ''
    found = results.against_reference(metric, variant)
    if found.seeds == 0:
        return EMPTY
    if found.half is None:
        return f'{found.mean:+.4g} (one seed, no interval)'
    return with_spread(found.mean, found.half, '+')


def _chains(results: Results, variant: str) -> list[dict[str, Run]]:
    return [chain for (name, _), chain in results.plan.chains.items() if name == variant]


def _count(results: Results, variant: str) -> str:
    chains = _chains(results, variant)
    done = sum(all(results.states[run.hash].name == 'done' for run in chain.values()) for chain in chains)
    return str(done) if done == len(chains) else f'{done} of {len(chains)}'


def _minutes(results: Results, variant: str) -> str:
    """Mean time of a seed, shared stages included."""
    totals = []
    for chain in _chains(results, variant):
        records = [results.states[run.hash].record for run in chain.values()]
        if all(record is not None for record in records):
            totals.append(sum(record.seconds for record in records) / 60)
    return f'{np.mean(totals):.1f}' if totals else EMPTY


def _runs(results: Results, links_from: Path) -> str:
    rows = []
    for run in results.plan.runs:
        state = results.states[run.hash]
        record = state.record
        text = state.name if state.name == 'done' else f'{state.name}: {state.why}' if state.why else state.name
        log, checkpoint = run.folder / LOG, record and record.checkpoint and run.folder / record.checkpoint
        rows.append(
            [
                ', '.join(run.variants),
                run.stage.name,
                run.seed,
                text,
                _config(run.config, links_from),
                _commit(record),
                _link('log', log, links_from) if log.is_file() else EMPTY,
                _link(checkpoint.name, checkpoint, links_from) if checkpoint and checkpoint.exists() else EMPTY,
                f'{record.step_seconds:.3g}' if record and record.step_seconds else EMPTY,
                f'{record.memory / 2**30:.2f}' if record and record.memory else EMPTY,
            ]
        )
    columns = ['variants', 'stage', 'seed', 'state', 'config', 'commit', 'log', 'checkpoint', 'step s', 'memory GiB']
    return _rows(columns, rows, right=2)


def summary_of(results: Results, choice: str = '') -> str:
    """Number of runs, seeds, time, dates, commit and machine in a few sentences."""
    study = results.plan.study
    done = [state.record for state in results.states.values() if state.name == 'done' and state.record is not None]
    own, seeds = [record for record in done if not record.origin], ', '.join(map(str, study.seeds))
    text = f'{len(done)} of {count_of(len(results.states), "run")} are done, of '
    text += f'{"seed" if len(study.seeds) == 1 else "seeds"} {seeds}'
    if len(own) < len(done):
        text += f'. {len(done) - len(own)} of them are those of other studies'
    if own:
        text += f'. The study took {sum(record.seconds for record in own) / 3600:.2f} h of runs'
        days = sorted({time.strftime('%Y-%m-%d', time.gmtime(record.attempts[-1].start)) for record in own})
        text += f', on {" to ".join(dict.fromkeys((days[0], days[-1])))}'
        text += f', with commit {", ".join(sorted({_commit(record) for record in own}))}'
        text += f', on {"; ".join(sorted({record.machine for record in own}))}'
    # Studies of this package are found by name.
    name = study.name if '/' in study.name else Path(study.file).name
    return f'{text}. `sapiens ablate {name} table{choice}` lists them.'


def _link(text: str, path: Path, links_from: Path) -> str:
    return f'[{text}]({os.path.relpath(path, links_from)})'


def _config(config: str, links_from: Path) -> str:
    from sapiens.utils.config import find_config

    try:
        return _link(Path(config).stem, find_config(config), links_from)
    except FileNotFoundError:
        return config


def _commit(record: Record | None) -> str:
    if record is None or record.commit is None:
        return EMPTY
    return record.commit[:10] + (' (changed)' if record.is_dirty else '')


def warnings_of(results: Results) -> list[str]:
    """What limits the comparison: several commits, changed code, several machines, one seed."""
    records = [state.record for state in results.states.values() if state.record is not None and state.name == 'done']
    commits = sorted({record.commit[:10] for record in records if record.commit})
    machines = sorted({record.machine for record in records})
    found = []
    if len(commits) > 1:
        found.append(
            f'its runs are of {len(commits)} commits ({", ".join(commits)}): differences may be those of the code.'
        )
    dirty = sum(record.is_dirty for record in records)
    if dirty:
        found.append(f'{dirty} of {len(records)} runs had changes in the code that no commit has.')
    if len(machines) > 1:
        found.append(f'its runs are of {len(machines)} machines ({"; ".join(machines)}): times do not compare.')
    found += missing_of(results)
    if len(results.plan.study.seeds) == 1:
        found.append('there is one seed, so no spread and no interval.')
    return found


def missing_of(results: Results) -> list[str]:
    """Metrics that runs lack which are done: what they have reported is no finite number, or they have not reported it."""
    found = []
    for metric in results.plan.study.metrics:
        stage, colon, _ = metric.name.rpartition(':')
        names = [
            f'{variant} (seed {seed})'
            for (variant, seed), chain in results.plan.chains.items()
            if (not colon or stage in chain) and (metric.name, variant, seed) not in results.values
            if all(results.states[run.hash].name == 'done' for run in chain.values())
        ]
        if names:
            found.append(f'no finite {metric.name} of {", ".join(names)}, whose runs are done.')
    return found


def as_rows(results: Results) -> list[dict]:
    """A dict for each variant and seed: metrics, cost, and where its files lie."""
    rows = []
    for (variant, seed), chain in results.plan.chains.items():
        last = next(reversed(chain.values()))
        states = [results.states[run.hash] for run in chain.values()]
        record = states[-1].record
        values = {
            metric.name: results.values.get((metric.name, variant, seed)) for metric in results.plan.study.metrics
        }
        row = dict(
            variant=variant,
            seed=seed,
            state=next((state.name for state in states if state.name != 'done'), 'done'),
            error=next((state.why for state in states if state.why), ''),
        )
        cost = dict(
            seconds=sum(state.record.seconds for state in states if state.record),
            memory=max((state.record.memory or 0 for state in states if state.record), default=0) or None,
            commit=record and record.commit,
            config=last.config,
            folder=str(last.folder),
        )
        rows.append(row | values | cost | values)  # a metric may be called memory
    return rows


def as_csv(results: Results) -> str:
    """A line for each variant and seed."""
    rows, text = as_rows(results), io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(results: Results) -> str:
    """Rows, means, differences with intervals, and verdicts."""
    study = results.plan.study

    def numbers(found: Difference | Fit) -> dict:
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in asdict(found).items()
            if key != 'law'
        }

    summary = {
        variant: {
            metric.name: dict(
                mean=float(np.mean(values)) if (values := list(results.of(metric.name, variant).values())) else None,
                deviation=float(np.std(values, ddof=1)) if len(values) > 1 else None,
                difference=numbers(results.against_reference(metric, variant)),
            )
            for metric in study.metrics
        }
        for variant in results.variants
    }
    verdicts = [dict(check=v.check, verdict=v.verdict, difference=numbers(v.difference)) for v in results.verdicts()]
    laws = [
        dict(name=name, metric=fit.law.metric, **numbers(fit))
        for name, fit in fits_of(results).items()
        if fit.is_known
    ]
    content = dict(
        study=study.name, reference=study.reference, variants=summary, checks=verdicts, power_laws=laws, rows=as_rows(results),
        notes=warnings_of(results),
    )  # fmt: skip
    return json.dumps(content, indent=1) + '\n'


def insert(text: str, file: Path, name: str) -> None:
    """Replace what stands between the markers of a study in a document.

    Raises:
        ValueError: the document has no markers, which the message gives.
    """
    replace_between(file, *(f'<!-- {which} of ablation {name} -->' for which in ('begin', 'end')), text)
