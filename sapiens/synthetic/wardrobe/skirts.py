"""Skirts, and the lower parts of dresses and coats: lofted around both legs."""

import functools

import numpy as np
from scipy.spatial import cKDTree

from ..appearance import Garment
from ..body import REGIONS, Body
from ..mesh import cut, grid_faces, vertex_normals
from .cuts import opening
from .places import CROTCH, WAIST
from .rims import turn_in_borders
from .suit import dense_weights, load_suit
from .topology import along, smoothstep, unit

__all__ = ['add_skirt']

_SKIRT_ROWS, _SKIRT_COLUMNS = 28, 80
_SKIRT_TOP, _SKIRT_BOTTOM = 0.165, -0.70


def add_skirt(d, g: Garment) -> None:
    """Add a skirt around both legs from the waist to the hem, open at the front if the garment is."""
    size = d.scale
    weights, heights = _skirt_weights(d.body)
    rest, inner = _skirt_rings(d, g, heights)
    # The last row lies exactly on the hem.
    last = (heights[0] - g.hem) / (heights[0] - heights[1])
    keep = min(int(np.ceil(last)), _SKIRT_ROWS - 1)
    for ring in (rest, inner):
        ring[keep] = ring[keep - 1] + (last - (keep - 1)) * (ring[keep] - ring[keep - 1])
    used = slice(1 if g.kind == 'skirt' else 0, keep + 1)
    heights, rest, inner = heights[used], rest[used], inner[used]
    shape = rest.shape[:2]
    weights = weights.reshape(_SKIRT_ROWS, _SKIRT_COLUMNS, -1)[used].reshape(shape[0] * shape[1], -1)
    matrices = (weights @ d.transforms).reshape(-1, 4, 4)
    posed, lining = (
        d.pose(ring.reshape(-1, 3).astype(np.float32), matrices).reshape(*shape, 3) for ring in (rest, inner)
    )
    # Gravity: on lying legs, cloth above them falls onto them, and little hangs through below.
    level = (1 - np.abs(unit(np.gradient(lining, axis=0))[..., 2])) ** 0.7
    off = posed - lining
    off[..., 2] *= np.where(off[..., 2] > 0, 1 - level, 1 - 0.6 * level)
    posed = _clear_legs(d, _around(lining + off))
    full = np.zeros((_SKIRT_ROWS, *posed.shape[1:]), np.float32)  # rows as in the weights
    full[used] = posed
    if d.skirt_posed is not None:  # outside of the inner layer
        rows, below = np.arange(_SKIRT_ROWS)[used], d.skirt_posed
        both = np.abs(below[rows]).any((1, 2))
        n = vertex_normals(posed.reshape(-1, 3), grid_faces(*shape, closed=True)[:, ::-1]).reshape(posed.shape)
        lift = np.einsum('ijk,ijk->ij', below[rows] - posed, n) + 0.008 * size
        lift = np.clip(lift, 0, 0.15) * both[:, None]
        posed = posed + _around(np.maximum(lift, _around(lift))[..., None]) * n
    d.skirt_posed = full
    _under_tops(d, posed, heights)

    # Columns: doubled at the back.
    columns = np.arange(_SKIRT_COLUMNS // 2, _SKIRT_COLUMNS // 2 * 3 + 1)
    turn = columns / _SKIRT_COLUMNS - 1
    columns %= _SKIRT_COLUMNS
    period = g.material.scale
    u = np.broadcast_to(turn * max(round(0.95 * size / period), 1) * period, (shape[0], len(columns)))
    v = np.broadcast_to((heights[:, None] - 0.3) * size, u.shape)
    faces = grid_faces(shape[0], len(columns))[:, ::-1].copy()
    normals = vertex_normals(posed.reshape(-1, 3).astype(np.float32), grid_faces(*shape, closed=True)[:, ::-1])
    normals = normals.reshape(*shape, 3)[:, columns]
    inside = np.ones(u.shape)
    if g.open:
        wide = np.abs(rest[:, 0, 1] - d.middle[1])[:, None] / 0.125  # relative to the depth of the template
        inside = np.where(np.abs(turn) < 0.25, np.abs(rest[:, columns, 0]) - opening(g, heights)[:, None] * wide, 0.3)
    side = np.where(np.sin(2 * np.pi * turn) >= 0, 'left', 'right')
    region = np.empty(u.shape, np.uint8)
    for row, z in enumerate(heights):
        name = '_upper_leg' if z > -0.36 else '_lower_leg'
        region[row] = [REGIONS.index('torso' if z > CROTCH else s + name) for s in side]
    top = np.zeros(u.shape)
    top[0] = 1
    arrays = [posed[:, columns], normals, u[..., None], v[..., None], inside[..., None], np.full((*u.shape, 4), -1.0)]
    arrays = np.concatenate(
        [a.reshape(u.size, -1) for a in (*arrays, region[..., None], top[..., None])], 1, dtype=np.float32
    )
    if g.open:
        faces, _, step = cut(faces, arrays[:, 8], keep_below=False)
        arrays = step.extend(arrays)
    region = np.round(arrays[faces.min(1), 13]).astype(np.uint8)
    arrays, faces, region = turn_in_borders(arrays, faces, region, arrays[:, 14] > 0.99, 0.003)
    d.add(g, faces, region, arrays, np.zeros(len(faces), bool))


@functools.cache
def _skirt_weights(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows * columns, 163) skinning weights of the grid of a skirt, from the helper skirt of the base mesh, and the
    heights of its rows."""
    ids = np.unique(body.quads['helper-skirt'])
    helper = body.template[ids].astype(float)
    heights = np.linspace(_SKIRT_TOP, _SKIRT_BOTTOM, _SKIRT_ROWS)
    angle = 2 * np.pi * np.arange(_SKIRT_COLUMNS) / _SKIRT_COLUMNS
    points = []
    for z in heights:
        ring = helper[np.abs(helper[:, 2] - z) < 0.04]
        middle = np.array([0, 0.5 * (ring[:, 1].min() + ring[:, 1].max())])
        half = 0.5 * np.ptp(ring[:, :2], axis=0)
        points.append(
            np.stack([np.sin(angle) * half[0], -np.cos(angle) * half[1] + middle[1], np.full_like(angle, z)], 1)
        )
    distance, index = cKDTree(helper).query(np.concatenate(points), k=8)
    arm_weight = 1 / (distance + 0.01) ** 2
    weights = np.einsum('ik,ikb->ib', arm_weight / arm_weight.sum(1, keepdims=True), dense_weights(body, ids)[index])
    # At the waist it moves like the garments of the suit.
    suit = load_suit(body)
    trunk = np.flatnonzero(suit.coarse_places.arm_weight < 0.1)
    distance, index = cKDTree(suit.coarse_places.p[trunk]).query(np.concatenate(points), k=4)
    arm_weight = 1 / (distance + 0.01) ** 2
    close = np.einsum('ik,ikb->ib', arm_weight / arm_weight.sum(1, keepdims=True), suit.weights[trunk[index]])
    blend = np.repeat(smoothstep(0.0, 0.11, heights), _SKIRT_COLUMNS)[:, None]
    weights = weights * (1 - blend) + close * blend
    grid = weights.reshape(_SKIRT_ROWS, _SKIRT_COLUMNS, -1)
    for _ in range(3):
        grid = 0.5 * grid + 0.25 * (np.roll(grid, 1, 1) + np.roll(grid, -1, 1))
        grid[1:-1] = 0.6 * grid[1:-1] + 0.2 * (grid[2:] + grid[:-2])
    return grid.reshape(len(weights), -1).astype(np.float32), heights


def _skirt_rings(d, g: Garment, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a skirt at rest, (rows, columns, 3), and the hull of the inner layers: the skirt without flare and folds."""
    suit, size, rng = d.suit, d.scale, d.rng
    z, trunk = suit.coarse_places.p[:, 2], suit.coarse_places.arm_weight < 0.2
    angle = 2 * np.pi * np.arange(_SKIRT_COLUMNS) / _SKIRT_COLUMNS
    direction = np.stack([np.sin(angle), -np.cos(angle)], 1)
    tangent = np.stack([np.cos(angle), np.sin(angle)], 1)
    rows = np.flatnonzero(trunk & (z < _SKIRT_TOP + 0.03) & (z > _SKIRT_BOTTOM - 0.03))
    middle = d.middle
    reach = (d.under[rows][:, :2] - middle) @ direction.T
    step = heights[0] - heights[1]
    hull = np.full((_SKIRT_ROWS, _SKIRT_COLUMNS), 0.05)
    for k in range(_SKIRT_ROWS):
        near = np.abs(heights[k] - z[rows]) < 0.6 * step + 0.006
        if near.any():
            hull[k] = reach[near].max(0)
    snug = hull + (0.002 if g.kind == 'skirt' else -0.005) * size
    hull = hull + (g.ease + 0.004) * size
    for _ in range(6):
        hull = _around(hull)
    hull = np.maximum(hull, snug + 0.004 * size)
    at_waist = smoothstep(0.04, WAIST - 0.02, heights)[:, None]
    hull = hull * (1 - at_waist) + snug * at_waist
    inner = hull.copy()
    if d.skirt is not None:
        hull = np.maximum(hull, d.skirt + 0.006 * size)
    for k in range(1, _SKIRT_ROWS):  # limit the inward slope of hanging cloth
        if heights[k] < 0.08:
            hull[k] = np.maximum(hull[k], hull[k - 1] - (0.15 if g.flare < 0.03 else 0.02) * step * size)
    fall = np.clip((heights[0] - heights) / (heights[0] - heights[-1]), 0, 1)[:, None]
    drop = np.clip((0.06 - heights) / (0.06 - g.hem), 0, 1)[:, None]
    count = int(rng.integers(5, 9))
    waves = sum(
        a * np.cos((count + k) * angle[None] + rng.uniform(0, 6.3) + 0.4 * np.sin(3 * fall + rng.uniform(0, 6)))
        for k, a in ((0, 0.6), (1, 0.5), (3, 0.3))
    )
    flared = hull + (g.flare * drop + (0.002 + 0.13 * g.flare) * drop * (waves + 0.6)) * size
    d.skirt = flared
    height = np.interp(heights[::-1], *_monotone(z[trunk], d.under[trunk, 2]))[::-1]
    rings = []
    for radius, support in (
        (flared, hull),
        (inner, inner),
    ):  # points of a convex curve from its support function and slope
        slope = (np.roll(support, -1, 1) - np.roll(support, 1, 1)) / (angle[2] - angle[0])
        ring = radius[..., None] * direction + 0.8 * slope[..., None] * tangent + middle
        rings.append(np.concatenate([ring, np.broadcast_to(height[:, None, None], (*radius.shape, 1))], 2))
    return rings[0], rings[1]


def _clear_legs(d, posed: np.ndarray) -> np.ndarray:
    """Push the posed grid (rows, columns, 3) of a skirt out of the legs, and smooth the moved vertices."""
    body, suit, size = d.body, d.suit, d.scale
    at = suit.coarse_places
    points = d.pose(d.under, d.matrices)
    centers, radii = [], []
    for side, sign in (('L', 1), ('R', -1)):
        axis = d.posed.heads[[body.bones[f'{n}.{side}'] for n in ('upperleg01', 'lowerleg01', 'foot')]].astype(float)
        own = (at.p[:, 0] * sign > 0) & (at.arm_weight < 0.2) & (at.p[:, 2] < CROTCH) & (at.p[:, 2] > -0.74)
        arc, near, _ = along(points[own].astype(float), axis)
        away = np.linalg.norm(points[own] - near, axis=1)
        lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(axis, axis=0), axis=1))])
        at_arc = np.linspace(0.0, lengths[-1], 18)
        for s in at_arc:
            close = np.abs(arc - s) < 0.035 * size
            radius = np.quantile(away[close], 0.8) if close.any() else 0.09 * size
            centers.append([np.interp(s, lengths, axis[:, k]) for k in range(3)])
            radii.append(min(radius, 0.14 * size))
    centers, radii = np.array(centers, np.float32), np.array(radii, np.float32) + np.float32(0.008 * size)
    q = posed.astype(np.float32).copy()
    for _ in range(3):
        flat = q.reshape(-1, 3)
        square = (flat**2).sum(1)[:, None] - 2 * flat @ centers.T + (centers**2).sum(1)
        distance = np.sqrt(np.maximum(square, 1e-8))
        worst = (radii - distance).argmax(1)
        distance = distance[np.arange(len(flat)), worst]
        push = np.maximum(radii[worst] - distance, 0) / distance
        shift = ((flat - centers[worst]) * push[:, None]).reshape(q.shape)
        smooth = 0.5 * shift + 0.25 * (np.roll(shift, 1, 1) + np.roll(shift, -1, 1))
        smooth[1:-1] = 0.5 * smooth[1:-1] + 0.25 * (smooth[2:] + smooth[:-2])
        q += np.where(np.abs(smooth) > np.abs(shift), smooth, shift)
    return q


def _under_tops(d, posed: np.ndarray, heights: np.ndarray) -> None:
    """Lift the cloth layers to the posed skirt (rows, columns, 3) down to the crotch, so that outer garments lie on it."""
    z, arm_weight = d.suit.coarse_places.p[:, 2], d.suit.coarse_places.arm_weight
    rows = np.flatnonzero((arm_weight < 0.2) & (z < heights[0]) & (z > CROTCH - 0.08))
    fade = smoothstep(CROTCH - 0.08, CROTCH - 0.03, z[rows])[:, None]
    r = d.under[rows, :2] - d.middle
    column = np.arctan2(r[:, 0], -r[:, 1]) / (2 * np.pi) * _SKIRT_COLUMNS
    column = np.round(column).astype(int) % _SKIRT_COLUMNS
    row = np.clip(np.round((heights[0] - z[rows]) / (heights[0] - heights[1])).astype(int), 0, len(heights) - 1)
    normals = d.suit.coarse_topology.normals(d.posed_under)[rows]
    lift = np.einsum('ij,ij->i', posed[row, column] - d.posed_under[rows], normals)[:, None]
    lift = np.clip(lift + 0.003 * d.scale, 0, 0.1) * fade
    d.posed_under[rows] += (lift * normals).astype(np.float32)
    d.under[rows, :2] += (r / np.maximum(np.hypot(r[:, 0], r[:, 1]), 1e-6)[:, None] * np.minimum(lift, 0.03)).astype(
        np.float32
    )


def _around(values: np.ndarray) -> np.ndarray:
    """Smooth a grid (rows, columns, ...) around and, except in the first and last row, along."""
    values = 0.5 * values + 0.25 * (np.roll(values, 1, 1) + np.roll(values, -1, 1))
    values[1:-1] = 0.5 * values[1:-1] + 0.25 * (values[2:] + values[:-2])
    return values


def _monotone(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a curve to points close to one: means of y in bins of x."""
    edges = np.linspace(x.min(), x.max(), 40)
    index = np.digitize(x, edges)
    count = np.bincount(index, minlength=42)
    used = count > 0
    return (np.bincount(index, x, 42)[used] / count[used]), (np.bincount(index, y, 42)[used] / count[used])
