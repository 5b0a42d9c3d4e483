"""Locks of hair: tapered, bent ribbons along lines that follow the style and fall with gravity."""

import numpy as np
from scipy.spatial import cKDTree

from ..materials import Material
from ..mesh import Surface, grid_faces, triangulate
from .scalp import CROWN, HEAD, LIFT, TIE, Head, azimuth, hair_surface, hairline, load_scalp
from .topology import Topology, unit

__all__ = ['grow_locks', 'ribbons']


def grow_locks(d, head: Head, style: str, cover: float | None) -> list:
    """Return lines (N, S, 3), widths (N, S) and outer directions (N, S, 3) of the locks, in one or more groups."""
    scalp, rng, look = head.scalp, d.rng, d.look
    length = look.hair_length
    count, reach, width, steps = {
        'short': (230, 0.022 + 0.03 * length, 0.008, 5), 'swept': (190, 0.05 + 0.03 * length, 0.010, 6),
        'side_part': (210, 0.05 + 0.03 * length, 0.010, 6), 'bob': (210, 0.15 + 0.06 * length, 0.024, 8),
        'fringe': (190, 0.16 + 0.2 * length, 0.025, 10), 'long': (200, 0.3 + 0.22 * length, 0.027, 12),
        'ponytail': (60, 0.07, 0.010, 6), 'bun': (60, 0.07, 0.010, 6), 'curly': (230, 0.05 + 0.05 * length, 0.012, 11),
        'afro': (230, 0.035, 0.011, 6), 'buzz': (0, 0, 0, 0), 'receding': (0, 0, 0, 0),
    }[style]  # fmt: skip
    if not count:
        return []
    part = 0.03 * (1 if length > 0.5 else -1) if style == 'side_part' else rng.uniform(-0.02, 0.02)
    if style in ('bob', 'long', 'fringe') and rng.random() < 0.4:
        part = 0.0
    matrix = scalp.levels[0][1]
    surface = matrix @ d.posed.vertices[scalp.ids]
    above = hairline(scalp.root_at)
    pool = above > 0.003
    if cover is not None:
        pool &= np.abs(azimuth(scalp.root_at)) > 80
        pool &= scalp.root_at[:, 2] < cover + (0.0 if style in ('bob', 'long', 'fringe', 'curly') else -0.01)
    if style == 'receding':
        angle = np.abs(azimuth(scalp.root_at))
        pool &= scalp.root_at[:, 2] < np.interp(angle, [0, 50, 75, 120, 180], [0.69, 0.715, 0.745, 0.76, 0.755])
    rows = rng.permutation(np.flatnonzero(pool))[:count]
    if not len(rows):
        return []
    at = scalp.root_at[rows]
    roots = np.einsum('rk,rkx->rx', scalp.root_weights[rows], surface[scalp.roots[rows]]).astype(float)
    around = unit(at - HEAD)
    flow = _flow(style, at, part)
    flow = unit(flow - (flow * around).sum(1, keepdims=True) * around)
    flow = head.turn(unit(flow + 0.12 * rng.normal(size=flow.shape)))
    top, side = LIFT[style]
    high = np.clip((at[:, 2] - 0.70) / 0.09, 0, 1)
    lift = (side + (top - side) * high) * (0.6 + 0.8 * length)
    reach = reach * rng.uniform(0.75, 1.1, len(rows)) * head.size
    if style in ('short', 'swept', 'side_part'):
        reach = reach * (0.45 + 0.55 * high)
    fall = {'bob': 0.8, 'fringe': 0.8, 'long': 0.8, 'curly': 0.4}.get(style, 0.12)
    if style in ('ponytail', 'bun'):
        fall = 0.0
        reach = np.minimum(reach, 0.8 * head.size * np.linalg.norm(at - TIE, axis=1))
    jut = {'short': 0.35, 'swept': 0.12, 'side_part': 0.08, 'curly': 0.12, 'receding': 0.1}.get(style, 0.0)
    depth = np.maximum(lift * rng.uniform(0.75, 1.2, len(rows)), 0.003) * head.size
    groups = []
    line, up = _trace(d, head, roots, flow, reach, depth, steps, fall, jut, long=style in ('bob', 'long', 'fringe'))
    if style in ('curly', 'afro'):
        line = _curl(line, up, rng, (0.008 if style == 'curly' else 0.005) * head.size)
    groups.append((line, _widths(width * head.size, line.shape[:2], rng), up))
    if style == 'fringe' and cover is None:
        picks = np.flatnonzero((np.abs(azimuth(scalp.root_at)) < 48) & (above > 0.004) & (above < 0.028))
        picks = rng.permutation(picks)[:60]
        at = scalp.root_at[picks]
        roots = np.einsum('rk,rkx->rx', scalp.root_weights[picks], surface[scalp.roots[picks]]).astype(float)
        flow = np.stack([0.25 * at[:, 0] / 0.06, np.full(len(at), -0.8), np.full(len(at), -0.55)], 1)
        flow = head.turn(unit(flow + 0.1 * rng.normal(size=flow.shape)))
        reach = (0.052 + (at[:, 2] - 0.772)) * rng.uniform(0.92, 1.05, len(at)) * head.size
        depth = rng.uniform(0.006, 0.011, len(at)) * head.size
        line, up = _trace(d, head, roots, flow, reach, depth, 7, 0.5, 0.0, bangs=True)
        groups.append((line, _widths(0.014 * head.size, line.shape[:2], rng), up))
    if style == 'ponytail':
        groups.append(_tail(d, head, rng, 0.16 + 0.2 * length))
    return groups


def _flow(style: str, p: np.ndarray, part: float) -> np.ndarray:
    """Return (N, 3) directions of hair growth along the scalp, on the template."""
    away = p - CROWN
    side = np.where(p[:, 0] > part, 1.0, -1.0)
    zero = np.zeros(len(p))
    back = np.clip(p[:, 1] / 0.03, 0, 1)
    if style in ('ponytail', 'bun'):
        return TIE - p
    if style == 'swept':
        return np.stack([0.25 * p[:, 0] / 0.07, zero + 1.0, -0.4 - 2.0 * back], 1)
    if style == 'side_part':
        return np.stack([side * 1.0, zero - 0.15 + 0.5 * (np.abs(p[:, 0]) > 0.05), -0.3 + zero - back], 1)
    if style in ('bob', 'long', 'fringe'):
        high = np.clip((p[:, 2] - 0.745) / 0.04, 0, 1)
        return np.stack([side * (0.05 + high), 0.35 + 0.4 * back, -0.35 - 1.2 * (1 - high)], 1)
    if style == 'short':
        return away + np.array([0.02, -0.03, 0.0])
    return away


def _widths(width: float, shape: tuple, rng) -> np.ndarray:
    s = np.linspace(0, 1, shape[1])
    profile = np.minimum(0.55 + 2.0 * s, 1) * np.sqrt(np.clip((1.02 - s) / 0.3, 0.0, 1))
    return width * profile * rng.uniform(0.7, 1.25, (shape[0], 1))


def _trace(d, head: Head, roots, flow, reach, depth, steps, fall, jut, long=False, bangs=False):
    """Trace locks from their roots: (N, S, 3) points and outer directions."""
    tree, points, normals, keep_off = _collider(d, long)
    p, direction = roots.copy(), flow.copy()
    line, ups = [], []
    gravity = np.array([0.0, 0, -1])
    head_down = head.turn(np.array([0.0, 0, -1]))
    down = unit(0.75 * gravity + 0.25 * head_down)
    ds = (reach / (steps - 1))[:, None]
    start = head.local(roots)
    for k in range(steps):
        s = k / (steps - 1)
        _, index = tree.query(p, k=3)
        n = unit(normals[index].sum(1))
        away = ((p - points[index].mean(1)) * n).sum(1)
        want = (depth if k else 0.3 * depth) + keep_off[index].max(1)
        if k and not long and not bangs:
            want = want * (1 - 0.35 * s)
        push = np.clip(want - away, 0, 0.03)
        if long or bangs:
            push *= away < 0.05
        p = p + n * push[:, None]
        if long or bangs:
            p = _off_the_face(head, p, bangs)
        line.append(p)
        ups.append(n)
        pull = fall * min(1.0, 0.25 + 1.5 * s)
        direction = unit(direction * (1 - 0.5 * pull) + down * pull * 0.7)
        if long:  # before or behind the shoulder, not over its top
            q = head.local(p)
            low = np.clip((0.64 - q[:, 2]) / 0.06, 0, 1)[:, None]
            inward = np.where(np.abs(q[:, 0]) > 0.06, -np.sign(q[:, 0]), 0)
            aside = np.stack([0.6 * inward, np.where(start[:, 1] > -0.075, 0.7, -0.8), np.zeros(len(q))], 1)
            direction = unit(
                direction + low * head.turn(aside) * ((np.abs(q[:, 1] + 0.03) < 0.13) & (away < 0.05))[:, None]
            )
        tangent = direction - n * ((direction * n).sum(1) * (np.clip(1 - (away - want) / 0.03, 0, 1)))[:, None]
        tangent = unit(tangent) + jut * n * (1 - s)
        p = p + unit(tangent) * ds
    line = np.stack(line, 1)
    line[:, 1:-1] = 0.5 * line[:, 1:-1] + 0.25 * (line[:, 2:] + line[:, :-2])
    return line, np.stack(ups, 1)


def _collider(d, long: bool):
    """Return the obstacles of locks: a tree over points, the points, their normals, and distances to keep (N,)."""
    scalp = load_scalp(d.body)
    if not hasattr(d, '_head_collider'):
        vertices = d.posed.vertices
        body = d.body.quads['body']
        if not hasattr(scalp, 'skin'):
            z = d.body.template[body].mean(1)[:, 2]
            scalp.skin = Topology(triangulate(body[z > 0.3]), len(vertices))
        normals = scalp.skin.normals(vertices)
        ids = scalp.collider
        d._head_collider = vertices[ids].astype(float), normals[ids].astype(float)
    points, normals = d._head_collider
    off = np.zeros(len(points))
    if long and d.top is not None:
        vertices, cloth = d.top
        points, normals = np.concatenate([points, vertices]), np.concatenate([normals, cloth])
        off = np.concatenate([off, np.full(len(vertices), 0.006)])
    return cKDTree(points), points, normals, off


def _off_the_face(head: Head, p: np.ndarray, bangs: bool) -> np.ndarray:
    """Move points in front of the face to its sides."""
    q = head.local(p)
    if bangs:
        return p
    face = (q[:, 1] < -0.085) & (q[:, 2] < 0.765) & (q[:, 2] > 0.5)
    edge = np.where(q[:, 2] > 0.55, 0.078, 0.06)
    x = np.where(face, np.sign(q[:, 0] + 1e-9) * np.maximum(np.abs(q[:, 0]), edge), q[:, 0])
    q[:, 1] += np.where(face, 0.25 * (np.abs(x) - np.abs(q[:, 0])), 0)
    q[:, 0] = x
    return head.world(q)


def _curl(line: np.ndarray, up: np.ndarray, rng, radius: float) -> np.ndarray:
    steps = line.shape[1]
    tangent = unit(np.gradient(line, axis=1))
    side = np.cross(tangent, up)
    phase = rng.uniform(0, 6.3, (len(line), 1)) + np.linspace(0, 2.4 * 2 * np.pi, steps) * rng.choice(
        [-1, 1], (len(line), 1)
    )
    grow = np.linspace(0.3, 1, steps)
    return line + radius * grow[:, None] * (np.cos(phase)[..., None] * side + (0.7 + np.sin(phase))[..., None] * up)


def _tail(d, head: Head, rng, length: float):
    """Make a ponytail: a bundle from the tie, back and down."""
    count, steps = 46, 12
    spread = rng.normal(size=(count, 3)) * [0.007, 0.004, 0.007]
    roots = head.world(TIE + spread)
    flow = head.turn(unit(np.array([0, 1.0, 0.35]) + 3 * spread / 0.03 * 0.12))
    reach = length * rng.uniform(0.75, 1.05, count) * head.size
    depth = rng.uniform(0.004, 0.03, count) * head.size
    line, up = _trace(d, head, roots, flow, reach, depth, steps, 0.65, 0.0, long=True)
    axis = line.mean(0, keepdims=True)
    bulge = np.interp(np.linspace(0, 1, steps), [0, 0.08, 0.4, 1], [1, 0.8, 1.0, 0.6])[:, None]
    line = axis + (line - axis) * bulge
    outward = unit(line - axis + 1e-5)
    return line, _widths(0.014 * head.size, line.shape[:2], rng), unit(outward + 0.3 * up)


def ribbons(line: np.ndarray, width: np.ndarray, up: np.ndarray, material: Material, rng, roll: float) -> Surface:
    """Make bent, tapered ribbons of three columns along lines (N, S, 3)."""
    count, steps = line.shape[:2]
    tangent = unit(np.gradient(line, axis=1))
    side = unit(np.cross(tangent, up))
    up = np.cross(side, tangent)
    roll = rng.uniform(-roll, roll, (count, 1, 1))
    side, up = side * np.cos(roll) + up * np.sin(roll), up * np.cos(roll) - side * np.sin(roll)
    half = 0.5 * width[..., None]
    points = np.stack(
        [line - side * half - up * 0.35 * half, line + up * 0.25 * half, line + side * half - up * 0.35 * half], 2
    )
    normals = np.stack([unit(up - 0.75 * side), up, unit(up + 0.75 * side)], 2)
    one = grid_faces(steps, 3)
    faces = (one[None] + (np.arange(count) * steps * 3)[:, None, None]).reshape(-1, 3).astype(np.int32)
    v = np.concatenate([np.zeros((count, 1)), np.cumsum(np.linalg.norm(np.diff(line, axis=1), axis=2), 1)], 1)
    v = v + rng.uniform(0, 3, (count, 1))
    u = rng.uniform(0, 2, (count, 1, 1)) + width[..., None] * np.array([-0.5, 0, 0.5])
    texture = np.stack([u, np.broadcast_to(v[..., None], u.shape), np.zeros_like(u)], -1)
    return hair_surface(
        'hair locks',
        points.reshape(-1, 3),
        faces,
        material,
        texture.reshape(-1, 3),
        normals.reshape(-1, 3).astype(np.float32),
    )
