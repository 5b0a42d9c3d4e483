"""Soles and laces. The uppers are cut from the suit."""

import functools

import numpy as np
from scipy.spatial import cKDTree

from ..appearance import Look
from ..body import Body
from ..materials import Material
from .labels import classes
from .shapes import sheet, tube
from .suit import load_suit
from .topology import unit

__all__ = ['add_laces', 'add_soles', 'sole_thickness']

_SOLES = {'low': 0.010, 'sneaker': 0.020, 'boot': 0.018}


def sole_thickness(look: Look) -> float:
    """Return the height in meters by which shoes lift the foot."""
    return _SOLES[look.shoe] if look.footwear == 'shoes' else 0.0


def add_soles(d) -> None:
    """Add a sole under each shoe: the outline of the foot, from the upper down to the ground."""
    suit, look = d.suit, d.look
    thick = sole_thickness(look)
    at = suit.coarse_places.p
    ground = d.ground
    angle = np.linspace(0, 2 * np.pi, 49)
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)
    tangent = np.stack([-np.sin(angle), np.cos(angle)], 1)
    welt = {'low': 0.003, 'sneaker': 0.002, 'boot': 0.004}[look.shoe]
    rise = {'low': 0.005, 'sneaker': 0.012, 'boot': 0.008}[look.shoe]
    for side, sign in (('Left', 1), ('Right', -1)):
        rows = np.flatnonzero((at[:, 0] * sign > 0) & (at[:, 2] < -0.79))
        foot = d.under[rows].astype(float)
        middle = 0.5 * (foot[:, :2].min(0) + foot[:, :2].max(0))
        reach = ((foot[:, :2] - middle) @ direction.T).max(0)
        for _ in range(2):
            reach[:-1] = 0.5 * reach[:-1] + 0.25 * (np.roll(reach[:-1], 1) + np.roll(reach[:-1], -1))
            reach[-1] = reach[0]
        slope = np.gradient(np.concatenate([reach[-2:-1], reach, reach[1:2]]))[1:-1] / (angle[1] - angle[0])
        outline = reach[:, None] * direction + slope[:, None] * tangent
        low = ground - thick
        profile = [
            (-0.006, ground + rise), (welt * 0.6, ground + rise), (welt, ground + rise - 0.003), (welt + 0.0015,
            ground - 0.3 * thick),
            (welt, low + 0.003), (welt - 0.003, low), (-0.02, low),
        ]  # fmt: skip
        rings = [
            np.concatenate([outline + grow * direction + middle, np.full((len(angle), 1), z)], 1)
            for grow, z in profile
        ]
        rings.append(np.concatenate([outline * 0.0 + middle, np.full((len(angle), 1), low)], 1))
        points = np.stack(rings)
        nearest = rows[cKDTree(foot).query(points.reshape(-1, 3))[1]]
        posed = d.pose(points.reshape(-1, 3).astype(np.float32), d.matrices[nearest]).reshape(points.shape)
        labels = classes(f'{side}_Shoe', f'{side}-shoe', f'{side.lower()}_foot')
        sheet(d, f'{side.lower()} sole', posed, look.sole_material, labels, outside=posed.mean((0, 1)))


@functools.cache
def _lace_spots(body: Body) -> tuple:
    """Return vertices of the fine suit and weights under five laces of each foot: both (2, 5, 9, 3)."""
    suit = load_suit(body)
    p = suit.places.p
    index, weights = [], []
    for sign in (1, -1):
        top = np.flatnonzero((p[:, 0] * sign > 0) & (p[:, 2] < -0.74) & (p[:, 2] > -0.806))
        q = p[top, :2] * [sign, 1]
        y = np.linspace(-0.118, -0.066, 5)
        middle = 0.172 + 0.15 * (y + 0.09)
        x = middle[:, None] + np.linspace(-0.02, 0.02, 9)
        spots = np.stack([x, np.broadcast_to(y[:, None], x.shape)], -1)
        distance, near = cKDTree(q).query(spots, k=3)
        weight = 1 / (distance + 0.002)
        index.append(top[near])
        weights.append(weight / weight.sum(-1, keepdims=True))
    return np.stack(index), np.stack(weights)


def add_laces(d, vertices: np.ndarray, normals: np.ndarray) -> None:
    """Add laces across the instep; ``vertices`` and ``normals`` (V, 3) are those of the fine suit draped as the shoes."""
    index, weights = _lace_spots(d.body)
    lace = Material('cloth', (0.62, 0.61, 0.58) if d.look.shoe == 'sneaker' else (0.03, 0.027, 0.025))
    for foot, side in enumerate(('Left', 'Right')):
        labels = classes(f'{side}_Shoe', f'{side}-shoe', f'{side.lower()}_foot')
        for row in range(index.shape[1]):
            line = (vertices[index[foot, row]] * weights[foot, row, :, :, None]).sum(1)
            up = unit((normals[index[foot, row]] * weights[foot, row, :, :, None]).sum(1))
            line[1:-1] = 0.5 * line[1:-1] + 0.25 * (line[2:] + line[:-2])
            lift = np.array([-2, 1, 1.8, 2.2, 2.4, 2.2, 1.8, 1, -2])[:, None] * 0.001
            tube(d, 'lace', line + lift * up, 0.0026 * d.scale, lace, labels, sides=5, flat=1.0)
