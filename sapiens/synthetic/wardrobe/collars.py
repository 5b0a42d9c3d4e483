"""Collars, hoods, and the button line."""

import numpy as np

from ..appearance import OUTER, Garment
from ..materials import Material
from .places import WAIST
from .topology import unit

__all__ = ['add_collar_and_buttons']

# Profiles of collars: (up, out) in meters from the rim of the neckline, from the inside over the top to the outside.
_COLLARS = {
    'collar': [
        (-0.004, -0.001), (0.012, -0.003), (0.027, -0.004), (0.031, -0.002), (0.032, 0.001), (0.030, 0.004), (0.020,
        0.009), (0.004, 0.015),
        (-0.014, 0.020), (-0.016, 0.019), (-0.013, 0.017),
    ],
    'stand': [(-0.006, -0.001), (0.015, -0.003), (0.034, -0.002), (0.037, 0.002), (0.033, 0.006), (0.014, 0.006),
    (-0.008, 0.006)],
    'turtle': [
        (-0.01, -0.002), (0.002, 0.002), (0.008, 0.006), (0.004, 0.011), (-0.012, 0.013), (-0.032, 0.014), (-0.04, 0.012),
        (-0.038, 0.006),
    ],
}  # fmt: skip


def add_collar_and_buttons(
    d, g: Garment, rim: np.ndarray, vertices: np.ndarray, normals: np.ndarray, inside: np.ndarray
) -> None:
    """Add a collar or hood, and the button line.

    Args:
        rim: rows of the arrays of the garment along its neckline: position, normal, ..., and x, y on the template last.
        vertices, normals: (V, 3) of the fine suit draped as this garment; ``inside`` (V,) positive inside the garment.
    """
    if g.neck in ('collar', 'stand', 'turtle', 'hood') and len(rim) > 12:
        _collar(d, g, rim)
    closed_coat = g.kind in OUTER and not g.open
    if g.kind in ('shirt', 'polo') or closed_coat or (g.kind == 'jumpsuit' and g.neck == 'collar'):
        _button_line(d, g, vertices, normals, inside)


def _collar(d, g: Garment, rim: np.ndarray) -> None:
    size = d.scale
    turn = np.arctan2(rim[:, 11], -(rim[:, 12] + 0.03))
    order = np.argsort(turn)
    turn, rim = turn[order], rim[order]
    gap = {'collar': 0.1, 'stand': 0.06}.get(g.neck, 0.0)
    if g.kind in ('coat', 'jacket'):
        gap = max(gap, np.abs(turn).min() + 0.02)
    count = 49
    phi = np.linspace(gap, 2 * np.pi - gap, count)
    wrapped = np.concatenate([turn - 2 * np.pi, turn, turn + 2 * np.pi])
    x = np.stack([np.interp(phi, wrapped, np.tile(rim[:, k], 3)) for k in range(3)], 1)
    for _ in range(3):
        x[1:-1] = 0.5 * x[1:-1] + 0.25 * (x[2:] + x[:-2])
    turns = d.posed.transforms[[d.body.bones['spine01'], d.body.bones['neck02']], :3, :3]
    up = unit(turns.mean(0) @ [0, -0.2, 1.0])
    center = x.mean(0)
    out = x - center
    out = unit(out - (out @ up)[:, None] * up)
    back = 0.5 - 0.5 * np.cos(phi)  # 0 at the front, 1 at the nape
    big = 1.5 if g.kind == 'coat' else 1.2 if g.kind == 'jacket' else 1.0
    if g.neck == 'hood':
        radius = (0.010 + 0.026 * back**0.7)[:, None]
        theta = np.radians(np.linspace(200, -75, 10))[None]
        rows_out = radius * (0.9 + np.cos(theta)) * 1.1
        rows_up = radius * (0.35 + np.sin(theta))
        rows_up = rows_up - 0.07 * np.linspace(0, 1, 10)[None] ** 2 * (back[:, None] ** 3)
        rows_up = np.concatenate([rows_up, rows_up[:, -1:] + 0.004], 1)
        rows_out = np.concatenate([rows_out, rows_out[:, -1:] * 0.25], 1)
    else:
        profile = np.array(_COLLARS[g.neck]) * big
        rows_up = np.tile(profile[:, 0], (count, 1))
        rows_out = np.tile(profile[:, 1], (count, 1))
        front = ((1 - back) ** 2)[:, None]
        if g.neck == 'collar':  # lower at the front, with points
            rows_up = np.where(rows_up > 0, rows_up * (1 - 0.45 * front), rows_up * (1 + 1.6 * front**2))
            rows_out = rows_out + 0.004 * front * (np.arange(len(profile)) > 4)
        elif g.neck == 'stand':
            rows_up = rows_up * (1 - 0.25 * front)
    points = x[:, None] + size * (rows_up[..., None] * up + rows_out[..., None] * out[:, None])
    v = np.concatenate([np.zeros((count, 1)), np.cumsum(np.hypot(np.diff(rows_up), np.diff(rows_out)), 1)], 1) * size
    u = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(x, axis=0), axis=1))])
    u = np.broadcast_to(u[:, None], v.shape)
    material = g.trim if g.neck == 'turtle' or g.material.pattern == 'print' else g.material
    d.sheet(f'{g.kind} collar', points, out, material, np.stack([u, v], -1), g)


def _button_line(d, g: Garment, vertices: np.ndarray, normals: np.ndarray, inside: np.ndarray) -> None:
    """Add a strip down the front with buttons."""
    p, size = d.suit.places.p, d.scale
    lowest = 0.3 if g.kind == 'polo' else WAIST if g.kind == 'jumpsuit' else -1
    rows = np.flatnonzero((np.abs(p[:, 0]) < 4e-4) & (p[:, 1] < -0.03) & (inside > 0.004) & (p[:, 2] > lowest))
    if len(rows) < 4:
        return
    rows = rows[np.argsort(-p[rows, 2])]
    line, normal = vertices[rows].astype(float), normals[rows]
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    s = np.linspace(0, length[-1], 40)
    line = np.stack([np.interp(s, length, line[:, k]) for k in range(3)], 1)
    normal = unit(np.stack([np.interp(s, length, normal[:, k]) for k in range(3)], 1))
    along = unit(np.gradient(line, axis=0))
    across = unit(np.cross(along, normal))
    wide = 0.015 * size * (1.25 if g.kind in OUTER else 1)
    lift = 0.0025
    columns = np.array([(-1, -0.004), (-1, lift), (-0.4, lift + 8e-4), (0.4, lift + 8e-4), (1, lift), (1, -0.004)])
    height = columns[:, 1] - 0.06 * wide * columns[:, 0] ** 2
    points = line[:, None] + wide * columns[:, :1] * across[:, None] + height[:, None] * normal[:, None]
    uv = np.stack(np.broadcast_arrays(wide * columns[None, :, 0], -s[:, None]), -1)
    d.sheet(f'{g.kind} placket', points, normal, g.trim if g.material.pattern == 'print' else g.material, uv, g)
    spacing = (0.085 if g.kind in ('shirt', 'jumpsuit') else 0.05 if g.kind == 'polo' else 0.11) * size
    index = np.clip(np.searchsorted(s, np.arange(0.02 * size, length[-1] - 0.01, spacing)), 0, len(s) - 1)
    radius = (0.0055 if g.kind not in OUTER else 0.011) * size
    angle = np.linspace(0, 2 * np.pi, 11)
    light = np.mean(g.material.color) > 0.25
    color = tuple(float(c) * (0.35 if light else 1.0) + (0.0 if light else 0.04) for c in g.trim.color)
    for i in index:
        circle = np.cos(angle)[:, None] * across[i] + np.sin(angle)[:, None] * along[i]
        rings = [
            line[i] + r * radius * circle + h * normal[i]
            for r, h in ((1, 0.003), (0.97, 0.0057), (0.6, 0.006), (0, 0.0052))
        ]
        d.sheet(f'{g.kind} button', np.array(rings), normal[i], Material('glossy', color, gloss=0.5), None, g)
