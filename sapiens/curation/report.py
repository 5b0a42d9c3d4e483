"""The page that shows what was kept and removed, to choose thresholds by looking."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sapiens.datasets.transforms.decoding import BadImage
from sapiens.utils.files import write_atomically

from .filters import Filter
from .photo import Photo
from .reading import read_ahead, read_row
from .statistics import BINS, Example, Statistics
from .verdicts import UNREADABLE, UNSCORED

__all__ = ['write_report']

_TILE = 160
_WIDTH, _HEIGHT = 640, 120
_STYLE = """
body { font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em; }
table { border-collapse: collapse; } td, th { padding: .2em .8em; text-align: right; } td:first-child, .bars { text-align: left; }
.bar { background: #4477aa; height: 1em; display: inline-block; }
.tiles { display: flex; flex-wrap: wrap; gap: 8px; } figure { margin: 0; width: 160px; font-size: 12px; }
figure img { max-width: 160px; max-height: 160px; display: block; } figcaption { overflow-wrap: anywhere; color: #555; }
"""


def write_report(path: Path, found: Statistics, filters: Sequence[Filter]) -> Path:
    """Write the page as one file. The images of the examples are read again."""
    parts = [f'<h1>Curation of {found.inputs:,} images, {found.kept:,} kept</h1>', _funnel(found, filters)]
    if found.people:
        numbers = ', '.join(f'{count:,} with {number}' for number, count in sorted(found.people.items()) if number)
        parts.append(f'<p>People in the kept images: {numbers}.</p>')
    if examples := found.examples.get(('', 'kept')):
        parts += ['<h2>Kept</h2>', '<p>A random sample.</p>', _tiles(examples)]
    for one in filters:
        if not one.score:
            continue
        parts.append(f'<h2>{html.escape(one.name)}: {type(one).__name__}, threshold {one.threshold:g}</h2>')
        parts.append(_histogram(found.histograms.get(one.name, np.zeros((2, BINS))), one))
        for what, text in (('removed', 'Removed by it'), ('kept', 'Kept in the end')):
            if examples := found.examples.get((one.name, what)):
                pairs = ', each before the image that it is near to' if 'of' in one.columns else ''
                parts += [f'<p>{text}, nearest to the threshold first{pairs}.</p>', _tiles(examples, found.originals)]
    text = f'<!doctype html><meta charset="utf-8"><title>Curation</title><style>{_STYLE}</style>\n' + '\n'.join(parts)
    write_atomically(path, text + '\n')
    return path


def _funnel(found: Statistics, filters: Sequence[Filter]) -> str:
    left, rows = found.inputs, [f'<tr><td>inputs<td><td>{found.inputs:,}<td>{_bar(1.0)}']
    for name in (UNREADABLE, *(one.name for one in filters), UNSCORED):
        left -= found.removed[name]
        if name != UNSCORED or found.removed[name]:
            fraction = left / max(found.inputs, 1)
            rows.append(
                f'<tr><td>{html.escape(name)}<td>-{found.removed[name]:,}<td>{left:,}<td class="bars">{_bar(fraction)}'
            )
    return '<table><tr><th>filter<th>removed<th>left<th>' + '\n'.join(rows) + '</table>'


def _bar(fraction: float) -> str:
    return f'<span class="bar" style="width: {400 * fraction:.0f}px"></span> {100 * fraction:.1f} %'


def _histogram(counts: np.ndarray, one: Filter) -> str:
    """Scores of the images that it saw, on a square-root scale: blue passed, red removed."""
    low, high = one.limits
    top, width = max(float(np.sqrt(counts.sum(0).max())), 1.0), _WIDTH / BINS
    bars = []
    for index, (passed, removed) in enumerate(counts.T.tolist()):
        total = np.sqrt(passed + removed) / top * _HEIGHT
        part = total * removed / max(passed + removed, 1)
        for height, bottom, color in ((part, 0.0, '#cc3311'), (total - part, part, '#4477aa')):
            if height:
                y = _HEIGHT - bottom - height
                bars.append(
                    f'<rect x="{index * width:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{height:.1f}" fill="{color}"/>'
                )
    x = np.clip((one.threshold - low) / (high - low), 0, 1) * _WIDTH
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT + 20}" viewBox="0 0 {_WIDTH} {_HEIGHT + 20}">{"".join(bars)}'
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT}" stroke="black" stroke-dasharray="4"/>'
        f'<text y="{_HEIGHT + 15}" font-size="12">{low:g}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 15}" font-size="12" text-anchor="end">{high:g} and more</text></svg>'
        f'<p>{html.escape(one.score)}: {counts[0].sum():,.0f} passed (blue), {counts[1].sum():,.0f} removed (red), counts on a '
        'square-root scale.</p>'
    )


def _tiles(examples: list[Example], originals: Mapping[str, dict] | None = None) -> str:
    """Images with their scores; each is followed by its original, where it has one."""
    shown = []
    for score, key, row in examples:
        shown.append(('' if np.isnan(score) else f'<b>{score:.3g}</b> ', key, row))
        if original := (originals or {}).get(row.get('of')):
            shown.append(('near to ', original['key'], original))
    tiles = []
    for (text, key, row), image in zip(shown, read_ahead((row for _, _, row in shown), _thumbnail), strict=True):
        picture = f'<img src="data:image/jpeg;base64,{image}">' if image else '<p>cannot be read again</p>'
        path = html.escape(row['path'])
        name = path.rpartition('/')[2]
        tiles.append(f'<figure title="{path}">{picture}<figcaption>{text}{name}<br>{key}</figcaption></figure>')
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _thumbnail(row: dict) -> str:
    try:
        image = Image.fromarray(Photo(read_row(row)).small)
    except (BadImage, OSError):
        return ''
    image.thumbnail((_TILE, _TILE))
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
