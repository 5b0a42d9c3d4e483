"""Lines of a run on the terminal: a step, the progress of an evaluation, its metrics."""

import re
from collections.abc import Mapping, Sequence

from sapiens.utils.terminal import TIMED_WIDTH

__all__ = ['TIMES', 'metric_table', 'progress_line', 'training_line']

# Values with a place of their own, and those that others are computed from.
PLACED = (
    'loss',
    'lr',
    'base_lr',
    'time',
    'data_time',
    'images_per_s',
    'data_share',
    'memory',
    'iter',
    'step',
    'epoch',
)
SHORT = dict(grad_norm='gradient', skipped_steps='skipped', tflops='TFLOP/s', mfu='MFU')
BETTER = 'better before'
TIMES = ('time', 'data_time')
# A part of the loss: ``loss_l1``, in a model of several tasks ``pose_loss_l1``, or ``pose_loss`` if it is the only one.
_PART = re.compile(r'(?P<task>.+)_loss(_.+)?|loss_(?P<part>.+)')


def show_number(value: float) -> str:
    """Four digits after the point, and powers of ten where these say little."""
    if isinstance(value, int):
        return str(value)
    return f'{value:.4f}' if value == 0 or 1e-3 <= abs(value) < 1e4 else f'{value:.2e}'


def show_short(value: float) -> str:
    """Three significant digits."""
    return str(value) if isinstance(value, int) else f'{value:#.3g}'.rstrip('.')


def show_seconds(seconds: float) -> str:
    """The two largest units: ``8s``, ``12m05s``, ``5h12m``, ``2d03h``."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f'{days}d{hour:02}h'
    if hours:
        return f'{hours}h{minute:02}m'
    return f'{minutes}m{second:02}s' if minutes else f'{second}s'


def show_bytes(mebibytes: float) -> str:
    return f'{mebibytes / 1024:.1f} GiB' if mebibytes >= 1024 else f'{mebibytes:.0f} MiB'


def training_line(values: Mapping[str, float], step: int, steps: int, eta: float | None, epoch: str = '') -> str:
    """Describe a step: place, time left, loss with its parts, learning rate, speed, memory, waiting for data, other values.

    Parts and other values that do not fit :data:`TIMED_WIDTH` columns are left out; the log file has them.

    Args:
        values: of the log by name; of these ``lr``, ``images_per_s`` (1/s), ``memory`` (MiB), ``data_share`` (fraction) and
            ``loss`` have places.
        step, steps: done and in all.
        eta: seconds left.
        epoch: such as ``3/20``.
    """
    place = f'step {step:>{len(str(steps))}}/{steps}'
    begin = [f'epoch {epoch}', place] if epoch else [place]
    begin += [f'eta {show_seconds(eta)}'] if eta is not None else []
    begin += [f'loss {show_number(values["loss"])}'] if 'loss' in values else []
    rate = values.get('base_lr', values.get('lr'))
    end = [f'lr {rate:.1e}'] if rate is not None else []
    end += [f'{show_short(values["images_per_s"])} img/s'] if 'images_per_s' in values else []
    end += [show_bytes(values['memory'])] if 'memory' in values else []
    end += [f'wait {values["data_share"]:.0%}'] if 'data_share' in values else []
    parts = [f'{name} {show_short(value)}' for name, value in _loss_parts(values).items()]
    others = {name: value for name, value in values.items() if name not in PLACED and not _PART.fullmatch(name)}
    rest = [f'{SHORT.get(name, name)} {show_short(value)}' for name, value in others.items()]
    left = TIMED_WIDTH - len('  '.join([*begin, *end]))
    line = '  '.join([*begin, *end])
    if parts and (text := _as_many(parts, ', ', left - len(' ()'))):
        line = '  '.join([f'{"  ".join(begin)} ({text})', *end])
    if rest and (text := _as_many(rest, '  ', TIMED_WIDTH - len(line) - 2)):
        line = f'{line}  {text}'
    return line


def _loss_parts(values: Mapping[str, float]) -> dict[str, float]:
    """The parts of a loss: ``l1`` of ``loss_l1``; of a model of several tasks ``pose``, that is ``pose_loss`` or the sum of all
    ``pose_loss_*``."""
    parts: dict[str, float] = {}
    for name, value in values.items():
        if found := _PART.fullmatch(name):
            key = found['task'] or found['part']
            parts[key] = parts.get(key, 0.0) + value
    return parts


def _as_many(words: Sequence[str], between: str, width: int) -> str:
    """As many of the words as fit a width, and dots if these are not all or none."""
    for count in range(len(words), 0, -1):
        text = between.join([*words[:count], *(['…'] if count < len(words) else [])])
        if len(text) <= width:
            return text
    return '…' if width > 0 else ''


def progress_line(kind: str, batch: int, batches: int, eta: float | None) -> str:
    """Describe how far an evaluation is."""
    left = '' if eta is None else f'  eta {show_seconds(eta)}'
    return f'{kind}  batch {batch:>{len(str(batches))}}/{batches}{left}'


def metric_table(
    title: str, metrics: Mapping[str, float], best: Mapping[str, float] | None = None, width: int = TIMED_WIDTH
) -> str:
    """Format metrics as a table: names above numbers, below them what was better before. A block for each prefix of names.

    Args:
        title: first line.
        metrics: ``prefix/name`` or ``name`` -> value.
        best: best values so far by the same names.
        width: of the table in columns.
    """
    groups: dict[str, list] = {}
    prefix = ''
    for key, value in metrics.items():
        prefix = key.rpartition('/')[0] or prefix  # a name without one joins the block before
        earlier = best[key] if best and best.get(key, value) != value else None
        cell = key.rpartition('/')[2], show_number(value), '' if earlier is None else show_number(earlier)
        groups.setdefault(prefix, []).append(cell)
    margin = max(map(len, (*groups, BETTER)))
    lines = [title]
    for prefix, cells in groups.items():
        for row in _rows(cells, width - margin - 2):
            columns = [max(map(len, cell)) for cell in row]
            for label, texts in zip((prefix, '', BETTER), zip(*row, strict=True), strict=True):
                if any(texts):
                    numbers = '  '.join(f'{text:>{column}}' for text, column in zip(texts, columns, strict=True))
                    lines.append(f'  {label:<{margin}}  {numbers}'.rstrip())
    return '\n'.join(lines)


def _rows(cells: Sequence[tuple[str, ...]], width: int) -> list[list[tuple[str, ...]]]:
    """Cells in rows of a width."""
    rows, used = [], width
    for cell in cells:
        size = 2 + max(map(len, cell))
        if used + size > width:
            rows.append([])
            used = 0
        rows[-1].append(cell)
        used += size
    return rows
