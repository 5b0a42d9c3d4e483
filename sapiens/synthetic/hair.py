"""Hair: a cap that grows out of the scalp, and locks - tapered, bent ribbons - that lie on it and fall with gravity.

The cap is the scalp's own skin, lifted; so there is never a gap at the hairline. Locks start on the scalp, follow the style's
flow and stay outside of the head, the shoulders and the clothes.
"""

import functools

import numpy as np
from scipy.spatial import cKDTree

from .body import REGIONS, Body
from .materials import Material
from .mesh import Surface, compact, cut, grid_faces, triangulate, vertex_normals

__all__ = ['HEAD', 'Scalp', 'azimuth', 'beard', 'grow', 'load_scalp']

HEAD = np.array([0.0, -0.05, 0.715])  # middle of the skull on the template
# The hairline: its height on the template by azimuth in degrees, 0 at the forehead, 90 at the ear, 180 at the nape.
_AZIMUTH = (0, 20, 35, 48, 60, 72, 79, 84, 90, 105, 112, 125, 145, 180)
_HAIRLINE = (0.771, 0.774, 0.769, 0.752, 0.735, 0.712, 0.690, 0.696, 0.704, 0.702, 0.68, 0.655, 0.632, 0.622)
_CROWN = np.array([0.008, -0.01, 0.803])
_TIE = np.array([0.0, 0.062, 0.745])  # of a ponytail or bun

# style -> (lift of the cap on top, at the sides) in metres.
_LIFT = {
    'buzz': (0.0035, 0.0025), 'short': (0.016, 0.006), 'swept': (0.018, 0.006), 'side_part': (0.018, 0.008),
    'receding': (0.003, 0.003),
    'bob': (0.014, 0.012), 'fringe': (0.014, 0.012), 'long': (0.012, 0.01), 'ponytail': (0.007, 0.005), 'bun': (0.007, 0.005),
    'curly': (0.03, 0.022), 'afro': (0.052, 0.042),
}  # fmt: skip


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.sqrt(np.einsum('...i,...i->...', v, v)), 1e-12)[..., None]


def azimuth(p: np.ndarray) -> np.ndarray:
    """Angle around the head on the template, degrees: 0 front, +-180 back, left positive."""
    return np.degrees(np.arctan2(p[..., 0], -(p[..., 1] - HEAD[1])))


class Scalp:
    """Skin of the upper head, twice subdivided, with everything that no person changes.

    Attributes:
        levels: of one and two subdivisions: triangles, the matrix from base vertices, template positions, height above the
            hairline, and smooth noise (8, V).
        roots: (R, 3) vertices of the first level and (R, 3) weights: points spread over the hair's area; ``order`` is random.
        collider: base vertices of head, neck and shoulders.
    """

    def __init__(self, body: Body):
        from .clothing import _loop_matrix, _Topology

        self.body = body
        quads = body.quads['body'][~body.quad_mask('ears')]
        centre = body.template[quads].mean(1)
        head = (centre[:, 2] > 0.55) & (np.abs(centre[:, 0]) < 0.1) & (hairline(centre) > -0.035)
        faces, self.ids = compact(triangulate(quads[head]))
        rng = np.random.default_rng(3)
        self.levels = []
        matrix = None
        for _ in range(2):
            count = len(self.ids) if matrix is None else matrix.shape[0]
            faces, step = _loop_matrix(faces, count)
            matrix = step if matrix is None else step @ matrix
            p = matrix @ body.template[self.ids].astype(float)
            noise = []
            for _ in range(8):
                waves = rng.normal(size=(12, 3)) * 160, rng.uniform(0, 6.3, 12)
                noise.append(np.cos(p @ waves[0].T + waves[1]).sum(1) / np.sqrt(6))
            self.levels.append(
                (_Topology(faces, len(p)), matrix.tocsr().astype(np.float32), p, hairline(p), np.array(noise))
            )
        topology, matrix, p, above, _ = self.levels[0]
        faces = topology.faces
        inside = faces[(above[faces] > 0.0).all(1)]
        area = np.linalg.norm(np.cross(p[inside[:, 1]] - p[inside[:, 0]], p[inside[:, 2]] - p[inside[:, 0]]), axis=1)
        picks = inside[rng.choice(len(inside), 1500, p=area / area.sum())]
        share = rng.dirichlet([1, 1, 1], 1500)
        self.roots, self.root_share = picks, share
        self.root_at = np.einsum('rk,rkx->rx', share, p[picks])
        template = body.template
        skin = np.unique(body.quads['body'])
        near = (template[skin, 2] > 0.36) & (np.abs(template[skin, 0]) < 0.24)
        spread = rng.permutation(skin[near])[:1600]
        self.collider = np.unique(np.concatenate([spread, self.ids]))


def hairline(p: np.ndarray, by_angle: tuple = _HAIRLINE) -> np.ndarray:
    """How far above the hairline points of the template are, metres (about)."""
    return p[:, 2] - np.interp(np.abs(azimuth(p)), _AZIMUTH, by_angle)


@functools.cache
def load_scalp(body: Body) -> Scalp:
    return Scalp(body)


class _Head:
    """The posed head: the scalp's surface, and a frame in which it is the template's."""

    def __init__(self, body: Body, shape, posed):
        self.scalp = load_scalp(body)
        bone = body.bones['head']
        self.rotation = posed.transforms[bone, :3, :3].astype(float)
        ids = self.scalp.ids
        self.size = float(np.ptp(shape.vertices[ids], axis=0).mean() / np.ptp(body.template[ids], axis=0).mean())
        self.home = posed.vertices[ids].mean(0).astype(float)
        self.template_home = body.template[ids].mean(0).astype(float)

    def local(self, p: np.ndarray) -> np.ndarray:
        """World -> template of the head."""
        return (p - self.home) @ self.rotation / self.size + self.template_home

    def world(self, q: np.ndarray) -> np.ndarray:
        return (q - self.template_home) * self.size @ self.rotation.T + self.home

    def turn(self, v: np.ndarray) -> np.ndarray:
        return v @ self.rotation.T


def grow(d, cover: float | None = None) -> list[Surface]:
    """The hair of a dressed person.

    Args:
        d: the dresser: body, shape, posed, look, rng, and what is worn.
        cover: height on the template from which on a hat hides (and flattens) the hair, or None.
    """
    look, rng, body = d.look, d.rng, d.body
    style = look.style
    if style == 'bald':
        return []
    if cover is not None and style in ('afro', 'curly', 'bun'):
        style = 'buzz' if style == 'afro' else 'bob' if style == 'curly' else 'ponytail'
    head = _Head(body, d.shape, d.posed)
    color = np.array(look.hair)
    if style == 'buzz':
        color = 0.72 * color + 0.28 * np.array(look.skin)
    material = Material(
        'hair', tuple(color.tolist()), color2=look.hair2, gloss=0.55, bump=0.0006, seed=float(rng.uniform(0, 50))
    )
    surfaces = [_cap(d, head, style, material, cover)]
    locks = _locks(d, head, style, cover)
    for line, width, up in locks:
        surfaces.append(_ribbons(line, width, up, material, rng, 0.15 if style in ('bob', 'long', 'fringe') else 0.35))
    if look.style == 'bun' and cover is None:
        surfaces.append(_ball(head, material, rng))
    return [s for s in surfaces if s is not None]


def _flow(style: str, p: np.ndarray, part: float) -> np.ndarray:
    """(N, 3) direction in which hair grows along the scalp, on the template."""
    away = p - _CROWN
    side = np.where(p[:, 0] > part, 1.0, -1.0)
    zero = np.zeros(len(p))
    back = np.clip(p[:, 1] / 0.03, 0, 1)
    if style in ('ponytail', 'bun'):
        return _TIE - p
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


def _cap(d, head: _Head, style: str, material: Material, cover: float | None) -> Surface | None:
    scalp, rng, look = head.scalp, d.rng, d.look
    topology, matrix, p, above, noise = scalp.levels[style == 'afro']
    faces = topology.faces
    top, side = _LIFT[style]
    mix = rng.normal(size=len(noise))
    rough = mix @ noise / np.linalg.norm(mix)
    above = above + rng.uniform(-0.004, 0.004) + 0.0022 * rough
    if style == 'receding':
        angle = np.abs(azimuth(p))
        crown = np.interp(angle, [0, 50, 75, 120, 180], [0.70, 0.725, 0.755, 0.77, 0.765])
        above = np.minimum(above, crown - p[:, 2] + 0.003 * rough)
    vertices = matrix @ d.posed.vertices[scalp.ids]
    normals = topology.normals(vertices)
    high = np.clip((p[:, 2] - 0.70) / 0.09, 0, 1)
    length = 0.6 + 0.8 * look.hair_length
    lift = (side + (top - side) * high) * (length if style != 'buzz' else 1)
    if cover is not None:
        lift = np.where(p[:, 2] > cover - 0.02, np.minimum(lift, 0.004), lift)
    ramp = np.clip(above / np.clip(2.2 * lift, 0.008, 0.05), 0, 1)
    ramp = np.sqrt(ramp * (2 - ramp))
    bumps = {'buzz': 0.0004, 'short': 0.002, 'afro': 0.0025, 'curly': 0.004}.get(style, 0.001)
    out = (0.0012 + lift * ramp + bumps * rough * ramp) * head.size
    direction = normals
    if style in ('afro', 'curly'):  # round, not along the skull
        direction = _unit(0.6 * normals + 0.4 * head.turn(_unit(p - HEAD))).astype(np.float32)
    vertices = vertices + direction * out[:, None].astype(np.float32)
    rows = np.flatnonzero((above[faces[:, 0]] > 0) | (above[faces[:, 1]] > 0) | (above[faces[:, 2]] > 0))
    fine, _, step = cut(faces[rows], above, keep_below=False)
    normals = topology.normals(vertices, rows)
    part = 0.03 * (1 if look.hair_length > 0.5 else -1) if style == 'side_part' else 0.0
    # Texture: v along the hair, u across. Both from directions on the template, not from a map; good enough for strands.
    if style in ('side_part', 'bob', 'long', 'fringe'):
        u, v = p[:, 1] + 0.3 * p[:, 2], np.abs(p[:, 0] - part) - p[:, 2]
    elif style == 'swept':
        u, v = np.arctan2(p[:, 0], p[:, 2] - 0.7) * 0.09, p[:, 1]
    else:
        focus = _TIE if style in ('ponytail', 'bun') else _CROWN
        q = p - focus
        if style in ('ponytail', 'bun'):
            u, v = np.arctan2(q[:, 0], q[:, 2]) * 0.09, np.linalg.norm(q, axis=1)
        else:
            u, v = np.arctan2(q[:, 0], q[:, 1]) * 0.08, np.linalg.norm(q, axis=1)
    w = p[:, 2] if style in ('curly', 'afro', 'buzz') else np.zeros(len(p))
    arrays = np.concatenate([vertices, normals, np.stack([u, v, w], 1)], 1).astype(np.float32)
    arrays = step.extend(arrays)
    fine, used = compact(fine)
    arrays = arrays[used]
    return _surface('hair', arrays[:, :3], fine, material, arrays[:, 6:9], _unit(arrays[:, 3:6]).astype(np.float32))


def _surface(name, vertices, faces, material, texture, normals) -> Surface:
    from .clothing import lip, part

    vertices = np.ascontiguousarray(vertices, np.float32)
    texture = np.ascontiguousarray(texture, np.float32)
    return Surface(name, vertices, faces, material, texture, part('Hair'), lip('Hair'), REGIONS.index('head'), normals)


def _locks(d, head: _Head, style: str, cover: float | None) -> list:
    """Lines (N, S, 3), widths (N, S) and outer directions (N, S, 3) of the locks, in one or more groups."""
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
    roots = np.einsum('rk,rkx->rx', scalp.root_share[rows], surface[scalp.roots[rows]]).astype(float)
    around = _unit(at - HEAD)
    flow = _flow(style, at, part)
    flow = _unit(flow - (flow * around).sum(1, keepdims=True) * around)
    flow = head.turn(_unit(flow + 0.12 * rng.normal(size=flow.shape)))
    top, side = _LIFT[style]
    high = np.clip((at[:, 2] - 0.70) / 0.09, 0, 1)
    lift = (side + (top - side) * high) * (0.6 + 0.8 * length)
    reach = reach * rng.uniform(0.75, 1.1, len(rows)) * head.size
    if style in ('short', 'swept', 'side_part'):
        reach = reach * (0.45 + 0.55 * high)
    fall = {'bob': 0.8, 'fringe': 0.8, 'long': 0.8, 'curly': 0.4}.get(style, 0.12)
    if style in ('ponytail', 'bun'):
        fall = 0.0
        reach = np.minimum(reach, 0.8 * head.size * np.linalg.norm(at - _TIE, axis=1))
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
        roots = np.einsum('rk,rkx->rx', scalp.root_share[picks], surface[scalp.roots[picks]]).astype(float)
        flow = np.stack([0.25 * at[:, 0] / 0.06, np.full(len(at), -0.8), np.full(len(at), -0.55)], 1)
        flow = head.turn(_unit(flow + 0.1 * rng.normal(size=flow.shape)))
        reach = (0.052 + (at[:, 2] - 0.772)) * rng.uniform(0.92, 1.05, len(at)) * head.size
        depth = rng.uniform(0.006, 0.011, len(at)) * head.size
        line, up = _trace(d, head, roots, flow, reach, depth, 7, 0.5, 0.0, bangs=True)
        groups.append((line, _widths(0.014 * head.size, line.shape[:2], rng), up))
    if style == 'ponytail':
        groups.append(_tail(d, head, rng, 0.16 + 0.2 * length))
    return groups


def _widths(width: float, shape: tuple, rng) -> np.ndarray:
    s = np.linspace(0, 1, shape[1])
    profile = np.minimum(0.55 + 2.0 * s, 1) * np.sqrt(np.clip((1.02 - s) / 0.3, 0.0, 1))
    return width * profile * rng.uniform(0.7, 1.25, (shape[0], 1))


def _trace(d, head: _Head, roots, flow, reach, depth, steps, fall, jut, long=False, bangs=False):
    """Follow locks from their roots: (N, S, 3) points and outer directions."""
    tree, points, normals, keep_off = _collider(d, long)
    p, direction = roots.copy(), flow.copy()
    line, ups = [], []
    gravity = np.array([0.0, 0, -1])
    head_down = head.turn(np.array([0.0, 0, -1]))
    down = _unit(0.75 * gravity + 0.25 * head_down)
    ds = (reach / (steps - 1))[:, None]
    start = head.local(roots)
    for k in range(steps):
        s = k / (steps - 1)
        _, index = tree.query(p, k=3)
        n = _unit(normals[index].sum(1))
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
        direction = _unit(direction * (1 - 0.5 * pull) + down * pull * 0.7)
        if long:  # before or behind the shoulder, not over its top
            q = head.local(p)
            low = np.clip((0.64 - q[:, 2]) / 0.06, 0, 1)[:, None]
            inward = np.where(np.abs(q[:, 0]) > 0.06, -np.sign(q[:, 0]), 0)
            aside = np.stack([0.6 * inward, np.where(start[:, 1] > -0.075, 0.7, -0.8), np.zeros(len(q))], 1)
            direction = _unit(
                direction + low * head.turn(aside) * ((np.abs(q[:, 1] + 0.03) < 0.13) & (away < 0.05))[:, None]
            )
        tangent = direction - n * ((direction * n).sum(1) * (np.clip(1 - (away - want) / 0.03, 0, 1)))[:, None]
        tangent = _unit(tangent) + jut * n * (1 - s)
        p = p + _unit(tangent) * ds
    line = np.stack(line, 1)
    line[:, 1:-1] = 0.5 * line[:, 1:-1] + 0.25 * (line[:, 2:] + line[:, :-2])
    return line, np.stack(ups, 1)


def _collider(d, long: bool):
    """What locks stay out of: a tree over points, these, their normals, and how far to keep off (N,)."""
    from .clothing import _Topology

    scalp = load_scalp(d.body)
    if not hasattr(d, '_head_collider'):
        vertices = d.posed.vertices
        body = d.body.quads['body']
        if not hasattr(scalp, 'skin'):
            z = d.body.template[body].mean(1)[:, 2]
            scalp.skin = _Topology(triangulate(body[z > 0.3]), len(vertices))
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


def _off_the_face(head: _Head, p: np.ndarray, bangs: bool) -> np.ndarray:
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
    tangent = _unit(np.gradient(line, axis=1))
    side = np.cross(tangent, up)
    phase = rng.uniform(0, 6.3, (len(line), 1)) + np.linspace(0, 2.4 * 2 * np.pi, steps) * rng.choice(
        [-1, 1], (len(line), 1)
    )
    grow = np.linspace(0.3, 1, steps)
    return line + radius * grow[:, None] * (np.cos(phase)[..., None] * side + (0.7 + np.sin(phase))[..., None] * up)


def _tail(d, head: _Head, rng, length: float):
    """A ponytail: a bundle from the tie, back and down."""
    count, steps = 46, 12
    spread = rng.normal(size=(count, 3)) * [0.007, 0.004, 0.007]
    roots = head.world(_TIE + spread)
    flow = head.turn(_unit(np.array([0, 1.0, 0.35]) + 3 * spread / 0.03 * 0.12))
    reach = length * rng.uniform(0.75, 1.05, count) * head.size
    depth = rng.uniform(0.004, 0.03, count) * head.size
    line, up = _trace(d, head, roots, flow, reach, depth, steps, 0.65, 0.0, long=True)
    axis = line.mean(0, keepdims=True)
    bulge = np.interp(np.linspace(0, 1, steps), [0, 0.08, 0.4, 1], [1, 0.8, 1.0, 0.6])[:, None]
    line = axis + (line - axis) * bulge
    outward = _unit(line - axis + 1e-5)
    return line, _widths(0.014 * head.size, line.shape[:2], rng), _unit(outward + 0.3 * up)


def _ribbons(line: np.ndarray, width: np.ndarray, up: np.ndarray, material: Material, rng, roll: float) -> Surface:
    """Bent, tapered ribbons of three columns along lines (N, S, 3)."""
    count, steps = line.shape[:2]
    tangent = _unit(np.gradient(line, axis=1))
    side = _unit(np.cross(tangent, up))
    up = np.cross(side, tangent)
    roll = rng.uniform(-roll, roll, (count, 1, 1))
    side, up = side * np.cos(roll) + up * np.sin(roll), up * np.cos(roll) - side * np.sin(roll)
    half = 0.5 * width[..., None]
    points = np.stack(
        [line - side * half - up * 0.35 * half, line + up * 0.25 * half, line + side * half - up * 0.35 * half], 2
    )
    normals = np.stack([_unit(up - 0.75 * side), up, _unit(up + 0.75 * side)], 2)
    one = grid_faces(steps, 3)
    faces = (one[None] + (np.arange(count) * steps * 3)[:, None, None]).reshape(-1, 3).astype(np.int32)
    v = np.concatenate([np.zeros((count, 1)), np.cumsum(np.linalg.norm(np.diff(line, axis=1), axis=2), 1)], 1)
    v = v + rng.uniform(0, 3, (count, 1))
    u = rng.uniform(0, 2, (count, 1, 1)) + width[..., None] * np.array([-0.5, 0, 0.5])
    texture = np.stack([u, np.broadcast_to(v[..., None], u.shape), np.zeros_like(u)], -1)
    return _surface(
        'hair locks',
        points.reshape(-1, 3),
        faces,
        material,
        texture.reshape(-1, 3),
        normals.reshape(-1, 3).astype(np.float32),
    )


def _ball(head: _Head, material: Material, rng) -> Surface:
    """A bun at the back of the head, wound around its axis."""
    rows, columns = 16, 28
    theta = np.linspace(0.0, np.pi, rows)[:, None]
    phi = np.linspace(0, 2 * np.pi, columns)[None]
    strand = 1 + 0.05 * np.cos(6 * theta + 2 * phi + rng.uniform(0, 6)) + 0.04 * np.cos(3 * phi - 7 * theta)
    strand[:, -1] = strand[:, 0]
    r = rng.uniform(0.026, 0.036) * strand
    local = np.stack(
        [r * np.sin(theta) * np.cos(phi), 0.75 * r * np.cos(theta) + 0 * phi, r * np.sin(theta) * np.sin(phi)], -1
    )
    points = head.world(local.reshape(-1, 3) + np.array([0, 0.068, 0.748])).astype(np.float32)
    faces = grid_faces(rows, columns)
    normals = vertex_normals(points, faces)
    if (normals * (points - points.mean(0))).sum() < 0:
        faces, normals = faces[:, ::-1].copy(), -normals
    u, v = np.broadcast_arrays(theta * 0.03, phi * 0.03)
    return _surface('hair bun', points, faces, material, np.stack([u, v, 0 * u], -1).reshape(-1, 3), normals)


@functools.cache
def _jaw(body: Body) -> tuple:
    """Skin around the mouth: base vertices, triangles and matrix of one subdivision, metres inside a beard's outline, noise."""
    from .clothing import _loop_matrix

    keep = ~body.quad_mask('ears') & ~body.lip_quads() & ~body.quad_mask('inside-mouth')
    quads = body.quads['body'][keep]
    p = body.template
    inside = _beard_field(p[quads].mean(1))
    faces, ids = compact(triangulate(quads[inside > -0.02]))
    faces, matrix = _loop_matrix(faces, len(ids))
    at = matrix @ p[ids].astype(float)
    rng = np.random.default_rng(4)
    noise = np.stack(
        [np.cos(at @ (rng.normal(size=(3, 12)) * 220) + rng.uniform(0, 6.3, 12)).sum(1) / 2.4 for _ in range(4)]
    )
    return ids, faces, matrix.tocsr().astype(np.float32), _beard_field(at), noise


def _beard_field(p: np.ndarray) -> np.ndarray:
    """Metres inside of a full beard's outline on the template, negative outside."""
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    cheek = np.interp(x, [0, 0.022, 0.034, 0.05, 0.062, 0.075], [0.6465, 0.645, 0.632, 0.645, 0.672, 0.7]) - z
    throat = z - np.interp(y, [-0.15, -0.11, -0.07, -0.04], [0.572, 0.575, 0.59, 0.612])
    return np.minimum(np.minimum(cheek, throat), np.minimum(-0.045 - y, 0.08 - x))


def beard(d) -> Surface | None:
    """A full beard: the jaw's skin, lifted. Annotators count it to the face, so it has the face's class."""
    from .clothing import lip, part

    look, rng = d.look, d.rng
    if look.beard <= 0:
        return None
    ids, faces, matrix, inside, noise = _jaw(d.body)
    rough = rng.dirichlet(np.ones(4)) @ noise
    inside = inside + 0.0012 * rough
    vertices = matrix @ d.posed.vertices[ids]
    normals = vertex_normals(vertices, faces)
    ramp = np.clip(inside / (0.006 + 0.8 * look.beard), 0, 1)
    ramp = np.sqrt(ramp * (2 - ramp))
    down = np.clip((0.64 - (matrix @ d.body.template[ids])[:, 2]) / 0.03, 0, 1)
    lift = 0.0004 + look.beard * (0.3 + 0.7 * down) * ramp + 0.0008 * rough * ramp
    vertices = vertices + normals * (lift * d.scale)[:, None].astype(np.float32)
    faces, _, step = cut(faces, inside, keep_below=False)
    normals = (
        vertex_normals(vertices, faces) if not len(step.a) else step.extend(vertex_normals(vertices, _jaw(d.body)[1]))
    )
    at = step.extend((matrix @ d.body.template[ids]).astype(np.float32))
    vertices = step.extend(vertices)
    faces, used = compact(faces)
    texture = np.stack([at[used, 0] + 0.5 * at[used, 1], at[used, 2], 0.3 * at[used, 1]], 1)
    tint = tuple(float(0.8 * a + 0.2 * b) for a, b in zip(look.hair, look.skin, strict=True))
    material = Material('hair', tint, color2=look.hair2, gloss=0.35, bump=0.0006, seed=float(rng.uniform(0, 50)))
    surface = _surface('beard', vertices[used], faces, material, texture, normals[used])
    surface.part, surface.lip = part('Face_Neck'), lip('Face')
    return surface
