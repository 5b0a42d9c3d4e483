"""Trim and texture coordinates of a garment."""

import numpy as np

from ..appearance import Garment
from .labels import LOWER

__all__ = ['texture_coordinates', 'trim_field']


def trim_field(g: Garment, edges: dict) -> np.ndarray:
    """Return (V,) values that are positive on the trim."""
    widths = {
        'tshirt': {'neck': 0.016}, 'tank': {'neck': 0.01, 'sleeve': 0.01}, 'polo': {'sleeve': 0.018},
        'sweater': {'neck': 0.02, 'sleeve': 0.045, 'hem': 0.045}, 'hoodie': {'sleeve': 0.05, 'hem': 0.05},
        'cardigan': {'neck': 0.02, 'sleeve': 0.04, 'hem': 0.04, 'front': 0.022}, 'jacket': {'hem': 0.04, 'sleeve': 0.03},
        'trousers': {'top': 0.03}, 'jeans': {'top': 0.032}, 'shorts': {'top': 0.03}, 'jumpsuit': {'neck': 0.012},
        'shirt': {'sleeve': 0.045}, 'dress': {'neck': 0.01},
    }.get(g.kind, {})  # fmt: skip
    least = np.full(len(next(iter(edges.values()))), -1.0)
    for edge, width in widths.items():
        if edge in edges and not (edge == 'sleeve' and g.sleeve < 0.5 and g.kind in ('shirt', 'jacket')):
            least = np.maximum(least, width - edges[edge])
    return least


def texture_coordinates(d, g: Garment, used: np.ndarray, split: np.ndarray, panel: np.ndarray) -> np.ndarray:
    """Return (N, 2) texture coordinates in meters with a whole number of periods of the pattern around each panel.

    Args:
        used: (N,) indices of vertices that are doubled along seams; split: (F, 3) their triangles; panel: (F,) panels of these.
    """
    legs = g.kind in LOWER or g.kind == 'jumpsuit'
    texture = (d.suit.texture_lower if legs else d.suit.texture_upper)[used]
    around = np.array([0.95, 0.34, 0.34, 0.52, 0.52]) * d.scale
    if not legs:
        around[3:] = around[0]
    period = g.material.scale
    if g.material.pattern in ('stripes_u', 'checks', 'dots', 'tiles'):
        around = np.maximum(np.round(around / period), 1) * period
    size = np.ones(len(used))
    for index in range(5):
        size[split[panel == index]] = around[index]
    out = np.stack([texture[:, 0] * size, (texture[:, 1] - 0.3) * d.scale], 1)
    if g.material.pattern == 'print':  # one motif on the chest
        off = np.ones(len(used), bool)
        off[split[panel == 0]] = False
        out[off | (np.abs(texture[:, 0]) > 0.25), 1] += 5
    return out
