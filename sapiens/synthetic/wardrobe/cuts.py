"""Edges of garments as fields over places, positive inside."""

import numpy as np

from ..appearance import Garment
from .labels import FEET, LOWER
from .places import GROIN, PIT, WAIST, Places
from .topology import smoothstep

__all__ = ['deep_inside', 'edge_fields', 'least_inside', 'opening']


def edge_fields(g: Garment, at: Places) -> dict:
    """Return signed distances in meters of places to the edges of a garment, positive inside: 'neck', 'sleeve', ... -> (V,)."""
    x, y, z = at.p.T
    ax = np.abs(x)
    arm = at.arm_weight > 0.3
    far = np.full(len(x), 0.3)
    out = {}
    if g.kind in FEET:
        top = g.hem + (0.018 * smoothstep(-0.02, -0.08, y) if g.kind == 'shoes' and g.hem < -0.72 else 0)
        return {'top': np.where(arm, -0.3, top - z)}
    if g.kind == 'belt':
        middle = WAIST - 0.032 + 0.15 * (y + 0.03)
        return {'top': np.where(arm, -0.3, middle + 0.016 - z), 'hem': np.where(arm, -0.3, z - middle + 0.016)}
    if g.kind in LOWER or g.kind == 'skirt':
        out['top'] = np.where(arm, -0.3, np.where(z > 0.3, -0.3, WAIST - 0.02 - z + 0.15 * (y + 0.03)))
        out['hem'] = z - g.hem
        return out
    # Neckline: a superellipse seen from the front, shallower at the back.
    front = smoothstep(0.01, -0.06, y)
    width, power = {
        'round': (0.072, 2.2), 'v': (0.07, 1.15), 'boat': (0.115, 3.0), 'square': (0.09, 5.0), 'turtle': (0.07, 2.0),
        'collar': (0.060, 1.5),
        'hood': (0.07, 2.0), 'stand': (0.064, 2.0),
    }[g.neck]  # fmt: skip
    if g.kind == 'tank':
        width += 0.02
    if g.sleeve <= 0.1:  # shoulders stay wide enough
        width = min(width, 0.112 + 0.3 * min(g.sleeve, 0))
    if g.neck == 'turtle':
        out['neck'] = np.where(ax < 0.2, 0.597 - z, far)
    else:
        rim = 0.575
        depth = (rim - PIT + g.depth) * front + (0.035 if g.neck != 'boat' else 0.05) * (1 - front)
        r = ((ax / width) ** power + (np.maximum(rim - z, 0) / depth) ** power) ** (1 / power) - 1
        out['neck'] = np.where((ax < 0.25) & (z > 0.2), r * np.minimum(width, depth), far)
    if g.sleeve > 0.1:
        out['sleeve'] = np.where(at.arm_weight > 0.02, g.sleeve * 0.485 - at.arm, far)
    else:
        # Armhole, from the top of the shoulder down to the armpit.
        hole = 0.15 + 0.3 * min(g.sleeve, 0) + 3.0 * np.clip(0.5 - z, 0, 0.12) ** 2
        out['sleeve'] = np.minimum(hole - ax, (0.55 - at.arm_weight) * 0.2)
    hem = WAIST - 0.03 if g.kind in ('dress', 'coat') else max(g.hem, -0.03)
    hem += g.lap * max(GROIN - hem, 0) * smoothstep(0.03, -0.05, y)
    if g.kind == 'jumpsuit':
        out['hem'] = np.where(arm, far, z - g.hem)
    else:
        out['hem'] = np.where(arm, far, z - hem - 0.02 * (ax / 0.15) ** 2 * (g.kind == 'shirt'))
    if g.open:
        half = opening(g, z)
        out['front'] = np.where((y < -0.02) & (ax < 0.25), ax - half, far)
    return out


def opening(g: Garment, z: np.ndarray) -> np.ndarray:
    """Return the half-width of the front opening of a garment at a height on the template."""
    return 0.012 + g.open * (0.35 + 0.65 * smoothstep(0.5, -0.05, z))


def least_inside(edges: dict) -> np.ndarray:
    return np.minimum.reduce(list(edges.values()))


def deep_inside(g: Garment, edges: dict) -> np.ndarray:
    """Return the distance in meters of places from the region that is visible under the edges of a garment, negative in it."""
    snug, wide = 0.012 + 0.3 * g.ease, 0.012 + g.ease + 0.8 * g.flare
    reach = {'neck': snug, 'top': snug, 'sleeve': wide, 'hem': wide, 'front': 0.04 + g.ease}
    return np.minimum.reduce([values - reach[edge] for edge, values in edges.items()])
