"""What two variants of a study differ in, option by option."""

from typing import Any

from sapiens.metainfo.naming import near

from .plan import Plan
from .resolve import differences
from .state import read_record

__all__ = ['compare']


def compare(plan: Plan, first: str, second: str) -> list[tuple[str, str, Any, Any]]:
    """Compare the configs of two variants, and the code that their runs had.

    Returns:
        (stage, key, value of the first, value of the second) of each difference, for the first seed. A stage that one of them
        lacks is one difference.

    Raises:
        ValueError: no such variant.
    """
    names = list(dict.fromkeys(variant for variant, _ in plan.chains))
    for name in (first, second):
        if name not in names:
            raise ValueError(
                f'{plan.study.file} has no variant {name!r}{near(name, names)} (variants: {", ".join(names)})'
            )
    seed = plan.study.seeds[0]
    one, other = plan.chains[first, seed], plan.chains[second, seed]
    rows: list[tuple[str, str, Any, Any]] = []
    for stage in dict.fromkeys([*one, *other]):
        if stage not in one or stage not in other:
            rows.append((stage, 'runs', 'yes' if stage in one else 'no', 'yes' if stage in other else 'no'))
            continue
        pair = one[stage], other[stage]
        if pair[0] is pair[1]:
            continue
        changed = differences(pair[0].content, pair[1].content)
        rows += [(stage, key, *values) for key, values in changed.items()]
        parents = [run.parent.name if run.parent else 'none' for run in pair]
        if parents[0] != parents[1]:
            rows.append((stage, 'starts from', *parents))
        records = [read_record(run.folder) for run in pair]
        commits = [_code(record) for record in records]
        if all(records) and commits[0] != commits[1]:
            rows.append((stage, 'commit', *commits))
    return rows


def _code(record) -> str | None:
    if record is None or record.commit is None:
        return None
    return record.commit[:10] + (' (changed)' if record.is_dirty else '')
