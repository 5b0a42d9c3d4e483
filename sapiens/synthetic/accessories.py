"""Shoes, and the things people wear besides clothes: each with its own geometry.

Classes: all of this is Apparel in goliath28, but shoes. LIP-20 has classes for hats, gloves, sunglasses and scarves; of the rest
a belt counts to the garment below it, a watch to the arm, clear glasses to the face, and a bag to the background, as LIP's
annotators have it.
"""

import functools

import numpy as np
from scipy.spatial import cKDTree

from .body import REGIONS, Body
from .hair import HEAD, _Head
from .materials import Material
from .mesh import Surface, compact, cut, grid_faces, triangulate, vertex_normals

__all__ = ['HAT_HEIGHT', 'add_accessories', 'add_buckle', 'add_laces', 'add_soles', 'hide_hands']

HAT_HEIGHT = {'cap': 0.752, 'beanie': 0.735, 'brimmed': 0.75}  # from where on a hat hides the hair, on the template
_DARK = Material('glossy', (0.012, 0.012, 0.014), gloss=0.9)
_STEEL = Material('metal', (0.5, 0.48, 0.45), gloss=0.7)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.sqrt(np.einsum('...i,...i->...', v, v)), 1e-12)[..., None]


def _classes(part_name: str, lip_name: str, region: str) -> tuple[int, int, int]:
    from .clothing import lip, part

    return part(part_name), lip(lip_name), REGIONS.index(region)


def _sheet(d, name, points, material, labels, closed=False, uv=None, outside=None) -> None:
    """Add a grid of points (R, C, 3). ``outside``: a point that the outer side faces away from; else as wound."""
    rows, columns = points.shape[:2]
    flat = np.ascontiguousarray(points.reshape(-1, 3), np.float32)
    faces = grid_faces(rows, columns, closed)
    normals = vertex_normals(flat, faces)
    if outside is not None and (normals * (flat - np.asarray(outside, np.float32))).sum() < 0:
        faces, normals = faces[:, ::-1].copy(), -normals
    if not closed and columns > 3 and np.allclose(points[:, 0], points[:, -1], atol=1e-6):  # a seam: no crease
        grid = normals.reshape(rows, columns, 3)
        mean = _unit(grid[:, 0] + grid[:, -1])
        grid[:, 0] = grid[:, -1] = mean
        normals = grid.reshape(-1, 3)
    texture = None
    if uv is not None:
        texture = np.concatenate([uv.reshape(-1, 2), np.zeros((len(flat), 1))], 1).astype(np.float32)
    d.surfaces.append(Surface(name, flat, faces, material, texture, *labels, normals))


def _tube(d, name, line, radius, material, labels, closed=False, sides=8, flat=1.0) -> None:
    """Add a round tube along a line (N, 3)."""
    ends = (np.roll(line, -1, 0) - np.roll(line, 1, 0)) if closed else np.gradient(line, axis=0)
    tangent = _unit(ends)
    helper = np.array([0.31, 0.2, 0.93])
    a = _unit(np.cross(tangent, helper))
    b = np.cross(tangent, a)
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.cos(angle)[None, :, None] * a[:, None] + flat * np.sin(angle)[None, :, None] * b[:, None]
    radius = np.broadcast_to(np.asarray(radius, float), (len(line),))[:, None, None]
    points = line[:, None] + radius * ring
    if closed:
        points = np.concatenate([points, points[:1]])
    flat_points = points.reshape(-1, 3).astype(np.float32)
    normals = np.concatenate([ring, ring[:1]]) if closed else ring
    faces = grid_faces(*points.shape[:2])
    d.surfaces.append(
        Surface(name, flat_points, faces, material, None, *labels, normals.reshape(-1, 3).astype(np.float32))
    )


def _curve(points: np.ndarray, count: int) -> np.ndarray:
    """A smooth line through points (N, 3)."""
    from scipy.interpolate import CubicSpline

    s = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return CubicSpline(s, points)(np.linspace(0, s[-1], count))


# ------------------------------------------------------------------------------------------------------------------ feet


def add_soles(d) -> None:
    """A sole under each shoe: the outline of the foot, from the upper down to the ground."""
    from .clothing import sole_thickness

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
        labels = _classes(f'{side}_Shoe', f'{side}-shoe', f'{side.lower()}_foot')
        _sheet(d, f'{side.lower()} sole', posed, look.sole_material, labels, outside=posed.mean((0, 1)))


@functools.cache
def _lace_spots(body: Body) -> tuple:
    """Fine suit vertices and weights under five laces of each foot: (2, 5, 9, 3) both."""
    from .clothing import load_suit

    suit = load_suit(body)
    p = suit.places.p
    index, share = [], []
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
        share.append(weight / weight.sum(-1, keepdims=True))
    return np.stack(index), np.stack(share)


def add_laces(d, vertices: np.ndarray, normals: np.ndarray) -> None:
    """Laces across the instep; ``vertices`` and ``normals`` (V, 3) are the fine suit's as the shoes lie."""
    index, share = _lace_spots(d.body)
    lace = Material('cloth', (0.62, 0.61, 0.58) if d.look.shoe == 'sneaker' else (0.03, 0.027, 0.025))
    for foot, side in enumerate(('Left', 'Right')):
        labels = _classes(f'{side}_Shoe', f'{side}-shoe', f'{side.lower()}_foot')
        for row in range(index.shape[1]):
            line = (vertices[index[foot, row]] * share[foot, row, :, :, None]).sum(1)
            up = _unit((normals[index[foot, row]] * share[foot, row, :, :, None]).sum(1))
            line[1:-1] = 0.5 * line[1:-1] + 0.25 * (line[2:] + line[:-2])
            lift = np.array([-2, 1, 1.8, 2.2, 2.4, 2.2, 1.8, 1, -2])[:, None] * 0.001
            _tube(d, 'lace', line + lift * up, 0.0026 * d.scale, lace, labels, sides=5, flat=1.0)


# ------------------------------------------------------------------------------------------------------------------ head


def _hat(d, head: _Head, kind: str, material: Material) -> None:
    labels = _classes('Apparel', 'Hat', 'head')
    rng = d.rng
    skull = head.local(d.posed.vertices[head.scalp.ids].astype(float)) - HEAD
    skull = skull[skull[:, 2] > -0.02]
    phi = np.linspace(-np.pi, np.pi, 49)
    turn = np.abs(np.degrees(phi))
    edge = {
        'cap': np.interp(turn, [0, 60, 110, 180], [0.762, 0.748, 0.726, 0.712]),
        'beanie': np.interp(turn, [0, 60, 100, 180], [0.752, 0.735, 0.716, 0.69]),
        'brimmed': np.interp(turn, [0, 60, 100, 180], [0.757, 0.745, 0.728, 0.715]),
    }[kind] - HEAD[2]
    margin = {'cap': 0.008, 'beanie': 0.009, 'brimmed': 0.011}[kind]
    rows = 15
    # Rings from the edge to the top: each follows the hull of the skull at its height.
    top = skull[:, 2].max() + margin + {'cap': 0.006, 'beanie': rng.uniform(0.0, 0.03), 'brimmed': 0.03}[kind]
    s = np.sin(np.linspace(0, np.pi / 2, rows))[:, None]
    z = edge[None] + (top - edge[None]) * s
    direction = np.stack([np.sin(phi), -np.cos(phi)], 1)
    wide = ((skull[:, :2]) @ direction.T).max(0) + margin
    for _ in range(3):
        wide = np.concatenate(
            [[0.5 * wide[0] + 0.25 * (wide[1] + wide[-2])], 0.5 * wide[1:-1] + 0.25 * (wide[2:] + wide[:-2]), [0]]
        )
        wide[-1] = wide[0]
    power = {'cap': 2.3, 'beanie': 2.2, 'brimmed': 3.6}[kind]
    full = np.clip((z - 0.02) / (top - 0.02), 0, 1)
    radius = wide * np.maximum(1 - full**power, 0) ** (1 / power)
    # Never inside the skull: grow where a ring would be.
    for k in range(rows - 1):
        near = np.abs(skull[:, 2] - z[k].mean()) < 0.014
        if near.any():
            radius[k] = np.maximum(radius[k], (skull[near, :2] @ direction.T).max(0) + 0.6 * margin)
    radius[1:-1] = 0.5 * radius[1:-1] + 0.25 * (radius[2:] + radius[:-2])
    points = np.concatenate([radius[..., None] * direction, z[..., None]], 2)
    points[-1] = [0, 0, top]
    if kind == 'brimmed':  # a crease along the crown
        points[..., 2] -= 0.016 * np.exp(-((points[..., 0] / 0.03) ** 2)) * (z > top - 0.02)
    inner = points[0] * [0.965, 0.965, 1] + [0, 0, 0.012]
    points = np.concatenate([inner[None], points])
    world = head.world(points.reshape(-1, 3) + HEAD).reshape(points.shape)
    around = round(0.56 / material.scale) * material.scale
    u = np.broadcast_to(phi / (2 * np.pi) * around, world.shape[:2])
    v = np.broadcast_to(np.concatenate([[-0.01], s[:, 0] * 0.16])[:, None], u.shape)
    middle = head.world(HEAD[None])[0]
    _sheet(d, kind, world, material, labels, uv=np.stack([u, v], -1), outside=middle)
    base = points[1]
    if kind == 'beanie':  # a turned-up cuff
        height = np.array([0.0, 0.002, 0.02, 0.038, 0.042, 0.038])[:, None]
        off = 1 + np.array([0.0, 0.05, 0.065, 0.06, 0.045, 0.02])[:, None]
        cuff = np.concatenate([base[None, :, :2] * off[..., None], (base[None, :, 2] + height - 0.004)[..., None]], 2)
        world = head.world(cuff.reshape(-1, 3) + HEAD).reshape(cuff.shape)
        u = np.broadcast_to(phi / (2 * np.pi) * around, world.shape[:2])
        v = np.broadcast_to(height, u.shape)
        _sheet(d, kind, world, material, labels, uv=np.stack([u, v], -1), outside=middle)
    elif kind == 'cap':
        _visor(d, head, material, labels, phi, base)
    else:
        width = rng.uniform(0.05, 0.085)
        out = np.array(
            [-0.004, 0.15 * width, 0.5 * width, 0.85 * width, width, width, 0.85 * width, 0.4 * width, -0.004]
        )
        thick = np.array([0.004, 0.002, 0.002, 0.002, 0.001, -0.001, -0.002, -0.002, -0.002])
        droop = -0.25 * np.clip(out, 0, None) ** 1.4 + thick
        wave = 0.006 * np.cos(2 * phi + 0.3)
        ring = base[None, :, :2] + out[:, None, None] * direction[None]
        level = base[None, :, 2] + droop[:, None] + wave[None] * (out / width)[:, None]
        world = head.world(np.concatenate([ring, level[..., None]], 2).reshape(-1, 3) + HEAD).reshape(
            *ring.shape[:2], 3
        )
        _sheet(d, kind, world, material, labels, outside=None)
        band = np.concatenate(
            [
                base[None, :, :2] * 1.025 + np.zeros((3, 1, 1)),
                (base[None, :, 2] + np.array([[0.003], [0.014], [0.026]]))[..., None],
            ],
            2,
        )
        band[2, :, :2] *= 1.004
        dark = Material('cloth', tuple(0.25 * c for c in material.color))
        _sheet(d, kind, head.world(band.reshape(-1, 3) + HEAD).reshape(band.shape), dark, labels, outside=middle)


def _visor(d, head: _Head, material: Material, labels, phi, base) -> None:
    rows = np.flatnonzero(np.abs(phi) < np.radians(64))
    edge = base[rows]
    t = phi[rows] / np.radians(64)
    reach = 0.072 * np.sqrt(np.clip(1 - t**2, 0, 1))
    out = np.array([-0.06, 0.2, 0.6, 0.95, 1.0, 0.95, 0.6, 0.2, -0.06])[:, None]
    thick = np.array([0.0015, 0.0015, 0.0015, 0.001, 0, -0.001, -0.0015, -0.0015, -0.0015])[:, None]
    x = edge[None, :, 0] * (1 + 0.12 * np.clip(out, 0, 1) * (1 - np.abs(t)))
    y = edge[None, :, 1] - out * reach
    arch = 0.014 * (1 - (edge[None, :, 0] / 0.07) ** 2)
    z = edge[None, :, 2].min() + 0.002 + arch - 0.16 * np.clip(out, 0, 1) * reach - 0.004 + thick
    z = z * np.clip(out * 3, 0, 1) + (edge[None, :, 2] + 0.004 + thick) * (1 - np.clip(out * 3, 0, 1))
    points = np.stack([x, y, np.broadcast_to(z, x.shape)], 2)
    _sheet(d, 'cap', head.world(points.reshape(-1, 3) + HEAD).reshape(points.shape), material, labels)


@functools.cache
def _ear_and_nose(body: Body) -> tuple:
    """Base vertices: where temples rest on the left and right ear, and the bridge of the nose."""
    skin = np.unique(body.quads['body'])
    tree = cKDTree(body.template[skin])
    ears = [int(skin[tree.query([sign * 0.0735, -0.058, 0.704])[1]]) for sign in (1, -1)]
    nose = int(skin[tree.query([0, -0.16, 0.692])[1]])
    eyes = [np.unique(body.quads[f'helper-{s}-eye']) for s in 'lr']
    return ears, nose, eyes


def _glasses(d, head: _Head, material: Material, dark: bool) -> None:
    body, rng = d.body, d.rng
    labels = _classes('Apparel', 'Sunglasses' if dark else 'Face', 'head')
    ears, nose, eyes = _ear_and_nose(body)
    v = d.posed.vertices.astype(float)
    bridge = head.local(v[nose])
    eye = [head.local(v[e]) for e in eyes]
    gap = 0.5 * (eye[0].mean(0)[0] - eye[1].mean(0)[0])
    middle_z = 0.5 * (eye[0].mean(0)[2] + eye[1].mean(0)[2])
    front = min(bridge[1] - 0.003, min(e[:, 1].min() for e in eye) - 0.010)
    half_w, half_h = rng.uniform(0.022, 0.027), rng.uniform(0.016, 0.021) + 0.003 * dark
    power = float(rng.choice([2.0, 2.6, 4.0]))
    thick = rng.uniform(0.0011, 0.0022) * head.size
    angle = np.linspace(0, 2 * np.pi, 33)[:-1]
    cos, sin = np.cos(angle), np.sin(angle)
    x = half_w * np.sign(cos) * np.abs(cos) ** (2 / power)
    z = half_h * np.sign(sin) * np.abs(sin) ** (2 / power)

    def place(x, z, sign):
        lateral = sign * (gap + 0.001) + x
        return np.stack([lateral, front + 2.4 * lateral**2 + 0.12 * z, middle_z - 0.003 + z], -1)

    for sign in (1, -1):
        rim = place(x, z, sign)
        _tube(d, 'glasses', head.world(rim), thick, material, labels, closed=True)
        if dark:
            rings = np.stack([place(x * r, z * r, sign) - [0, 0.002 * (1 - r * r), 0] for r in (1.0, 0.7, 0.35, 0.0)])
            rings = np.concatenate([rings, rings[:, :1]], 1)
            world = head.world(rings.reshape(-1, 3)).reshape(rings.shape)
            _sheet(d, 'lens', world, _DARK, labels, outside=head.world(HEAD[None])[0])
        ear = head.local(v[ears[0 if sign > 0 else 1]])
        hinge = place(np.array([sign * half_w]), np.array([0.45 * half_h]), sign)[0]
        steps = np.array([[0.002, 0.006, 0.0005], [0.004, 0, 0.003], [0.004, 0.018, -0.004], [0.002, 0.03, -0.022]])
        bend, *hook = np.array([hinge, ear, ear, ear]) + steps * [sign, 1, 1]
        temple = np.array([hinge, bend, 0.6 * bend + 0.4 * hook[0], *hook])
        _tube(d, 'glasses', head.world(temple), thick * 1.05, material, labels, sides=6)
    inner = [place(np.array([-sign * half_w]), np.array([0.25 * half_h]), sign)[0] for sign in (1, -1)]
    arch = _curve(np.array([inner[0], 0.5 * (inner[0] + inner[1]) + [0, -0.002, 0.003], inner[1]]), 8)
    _tube(d, 'glasses', head.world(arch), thick, material, labels, sides=6)


# ------------------------------------------------------------------------------------------------------- trunk and hands


@functools.cache
def _fine_tree(body: Body) -> cKDTree:
    from .clothing import load_suit

    return cKDTree(load_suit(body).places.p)


def _on_cloth(d, spots: np.ndarray, lift: float) -> tuple[np.ndarray, np.ndarray]:
    """Points of the template (N, 3) on the outermost cloth, lifted; and its normals there."""
    distance, index = _fine_tree(d.body).query(spots, k=4)
    share = 1 / (distance + 0.004)
    share /= share.sum(1, keepdims=True)
    normals = _unit((d.outer_normals[index] * share[..., None]).sum(1))
    return (d.outer[index] * share[..., None]).sum(1) + lift * normals, normals


def _strap(d, name, spots, width, material, labels, ends=(None, None), lift=0.008) -> None:
    """A flat band along spots of the template, on the cloth, with its ends at given points of the world."""
    line, normals = _on_cloth(d, _curve(np.asarray(spots, float), 80), lift * d.scale)
    for k, end in enumerate(ends):
        if end is not None:
            line = np.concatenate([end[None], line]) if k == 0 else np.concatenate([line, end[None]])
            normals = np.concatenate([normals[:1], normals]) if k == 0 else np.concatenate([normals, normals[-1:]])
    for _ in range(4):
        line[1:-1] = 0.5 * line[1:-1] + 0.25 * (line[2:] + line[:-2])
        normals[1:-1] = _unit(0.5 * normals[1:-1] + 0.25 * (normals[2:] + normals[:-2]))
    tangent = _unit(np.gradient(line, axis=0))
    across = _unit(np.cross(tangent, normals))
    half, thick = 0.5 * width * d.scale, 0.002
    columns = [(-1, -3 * thick), (-1, 0), (-0.92, thick), (0, 1.4 * thick), (0.92, thick), (1, 0), (1, -3 * thick)]
    points = np.stack([line + half * a * across + h * normals for a, h in columns], 1)
    s = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    uv = np.stack(np.broadcast_arrays(np.array([c[0] for c in columns]) * half, s[:, None]), -1)
    _sheet(d, name, points, material, labels, uv=uv)
    if (d.surfaces[-1].normals.reshape(*points.shape)[:, 3] * normals).sum() < 0:
        surface = d.surfaces[-1]
        surface.faces, surface.normals = surface.faces[:, ::-1].copy(), -surface.normals


def _block(size: tuple, power: float = 5.0) -> np.ndarray:
    """A rounded box (20, 41, 3) around the origin with half-sizes."""
    theta, phi = np.linspace(-np.pi / 2, np.pi / 2, 22)[:, None], np.linspace(-np.pi, np.pi, 41)[None]

    def soft(v):
        return np.sign(v) * np.abs(v) ** (2 / power)

    return np.stack(
        [
            size[0] * soft(np.cos(theta)) * soft(np.cos(phi)),
            size[1] * soft(np.cos(theta)) * soft(np.sin(phi)),
            size[2] * soft(np.sin(theta)) + 0 * phi,
        ],
        -1,
    )


def _rigid(d, bone: str, rest: np.ndarray) -> np.ndarray:
    t = d.posed.transforms[d.body.bones[bone]].astype(float)
    return rest @ t[:3, :3].T + t[:3, 3]


def _backpack(d, material: Material) -> None:
    size, at = d.scale, d.suit.coarse_places
    labels = _classes('Apparel', 'Background', 'torso')
    back = (
        (at.p[:, 1] > 0) & (at.p[:, 2] > 0.15) & (at.p[:, 2] < 0.45) & (np.abs(at.p[:, 0]) < 0.12) & (at.share < 0.2)
    )
    worn = d.under[back]
    half = np.array([0.13, 0.065, 0.19]) * size * d.rng.uniform(0.85, 1.1)
    centre = np.array([0, np.quantile(worn[:, 1], 0.9) + half[1] * 0.92, worn[:, 2].mean() + 0.01 * size])
    block = _block(half, 4.0)
    block[..., 1] *= 1 + 0.12 * np.cos(np.pi * block[..., 2] / (2 * half[2]))
    block[..., 0] *= 1 - 0.10 * np.clip(block[..., 2] / half[2], 0, 1) ** 2
    spread = block.reshape(-1, 3)
    uv = np.stack([np.arctan2(spread[:, 0], spread[:, 1]) * 0.12, spread[:, 2]], -1)
    world = _rigid(d, 'spine02', spread + centre).reshape(block.shape)
    _sheet(d, 'backpack', world, material, labels, uv=uv, outside=_rigid(d, 'spine02', centre))
    pocket = _block(half * [0.8, 0.35, 0.42], 4.0).reshape(-1, 3) + centre + [0, half[1] * 0.95, -0.42 * half[2]]
    _sheet(
        d,
        'backpack',
        _rigid(d, 'spine02', pocket).reshape(block.shape),
        material,
        labels,
        outside=_rigid(d, 'spine02', pocket.mean(0)),
    )
    dark = Material('cloth', tuple(0.6 * c for c in material.color), bump=0.0006)
    for sign in (1, -1):
        spots = np.array(
            [
                [0.06, 0.03, 0.5],
                [0.082, -0.01, 0.535],
                [0.092, -0.08, 0.5],
                [0.1, -0.13, 0.43],
                [0.112, -0.13, 0.36],
                [0.15, -0.09, 0.29],
                [0.15, -0.01, 0.22],
            ]
        )
        ends = [
            _rigid(d, 'spine02', centre + np.array([sign * x, -0.6 * half[1], z]))
            for x, z in ((0.045 * size, 0.8 * half[2]), (0.1 * size, -0.75 * half[2]))
        ]
        _strap(d, 'backpack', spots * [sign, 1, 1], 0.05, dark, labels, ends)


def _shoulder_bag(d, material: Material) -> None:
    size, at, rng = d.scale, d.suit.coarse_places, d.rng
    labels = _classes('Apparel', 'Background', 'torso')
    side = float(rng.choice([-1, 1]))
    hip = (at.p[:, 0] * side > 0.1) & (at.p[:, 2] > -0.1) & (at.p[:, 2] < 0.08) & (at.share < 0.2)
    half = np.array([0.04, 0.13, 0.1]) * size * rng.uniform(0.8, 1.15)
    worn = d.under[hip]
    centre = np.array(
        [
            side * (np.abs(worn[:, 0]).max() + half[0] * 0.9 + 0.012 * size),
            worn[:, 1].mean() - 0.02,
            worn[:, 2].mean() - 0.03 * size,
        ]
    )
    block = _block(half, 5.0)
    spread = block.reshape(-1, 3)
    outside = _rigid(d, 'root', centre)
    _sheet(
        d,
        'shoulder bag',
        _rigid(d, 'root', spread + centre).reshape(block.shape),
        material,
        labels,
        uv=spread[:, 1:],
        outside=outside,
    )
    flap = _block(half * [1.12, 1.03, 0.5], 5.0).reshape(-1, 3) + centre + [0.0, 0, half[2] * 0.56]
    _sheet(
        d,
        'shoulder bag',
        _rigid(d, 'root', flap).reshape(block.shape),
        material,
        labels,
        uv=spread[:, 1:],
        outside=_rigid(d, 'root', flap.mean(0)),
    )
    # Over the other shoulder, in front and behind.
    spots = np.array(
        [
            [0.13, -0.11, 0.09],
            [0.07, -0.14, 0.19],
            [0.0, -0.16, 0.32],
            [-0.055, -0.12, 0.45],
            [-0.085, -0.03, 0.535],
            [-0.06, 0.045, 0.45],
            [0.0, 0.06, 0.33],
            [0.07, 0.05, 0.19],
            [0.13, 0.04, 0.1],
        ]
    )
    ends = [_rigid(d, 'root', centre + np.array([0, y * half[1], half[2]])) for y in (-0.85, 0.85)]
    _strap(d, 'shoulder bag', spots * [side, 1, 1], 0.028, material, labels, ends, lift=0.008)


def _scarf(d, material: Material) -> None:
    labels = _classes('Apparel', 'Scarf', 'torso')
    size, rng = d.scale, d.rng
    phi = np.linspace(-np.pi, np.pi, 65)
    spots = np.stack([0.07 * np.sin(phi), -0.033 - 0.072 * np.cos(phi), 0.548 - 0.022 * np.cos(phi)], 1)
    base, _ = _on_cloth(d, spots, 0.0)
    for _ in range(8):
        base[:-1] = 0.5 * base[:-1] + 0.25 * (np.roll(base[:-1], 1, 0) + np.roll(base[:-1], -1, 0))
        base[-1] = base[0]
    bones = d.body.bones
    up = _unit(d.posed.transforms[[bones['spine01'], bones['neck02']], :3, :3].mean(0) @ np.array([0, -0.1, 1.0]))
    out = base - base.mean(0)
    out = _unit(out - (out @ up)[:, None] * up)
    theta = np.linspace(0, 2 * np.pi, 25)
    for coil, (lift, off, flat) in enumerate(((0.012, 0.016, 0.030), (0.034, 0.012, 0.026))):
        shift = rng.uniform(0, 6.3, 3)
        ridges = (
            1
            + 0.10 * np.cos(5 * theta[None] + 2 * np.sin(phi[:, None] + shift[0]))
            + 0.07 * np.cos(3 * theta[None] - phi[:, None] * 3 + shift[1])
        )
        ridges += 0.08 * np.cos(4 * phi[:, None] + shift[2])
        rise = lift + 0.006 * np.sin(phi + shift[0] + coil * 2)
        centre = base + size * (rise[:, None] * up + (off + 0.006 * np.cos(phi + shift[1]))[:, None] * out)
        points = centre[:, None] + size * ridges[..., None] * (
            0.8 * flat * np.cos(theta)[None, :, None] * out[:, None] + flat * np.sin(theta)[None, :, None] * up
        )
        points[-1] = points[0]
        uv = np.stack(np.broadcast_arrays(phi[:, None] * 0.1, theta[None] * flat), -1)
        _sheet(d, 'scarf', points, material, labels, uv=uv)
        surface = d.surfaces[-1]
        if (surface.normals * (surface.vertices - np.repeat(centre, len(theta), 0))).sum() < 0:
            surface.faces, surface.normals = surface.faces[:, ::-1].copy(), -surface.normals
    side = float(rng.choice([-1, 1]))
    for where, length in ((side * 0.03, rng.uniform(0.2, 0.34)), (side * 0.055, rng.uniform(0.12, 0.26))):
        z = np.linspace(0.545, 0.545 - length, 24)
        across = np.linspace(-0.042, 0.042, 11)
        x = where + across[None] * np.linspace(0.5, 1.0, 24)[:, None]
        spots = np.stack([x, np.full_like(x, -0.2), np.broadcast_to(z[:, None], x.shape)], -1)
        spots[..., 1] = np.interp(z, [0.2, 0.35, 0.45, 0.55], [-0.15, -0.15, -0.12, -0.07])[:, None]
        points, normals = _on_cloth(d, spots.reshape(-1, 3), 0)
        wave = (
            0.012
            + 0.004 * np.cos(across * 150 + rng.uniform(0, 6))[None]
            + 0.028 * np.linspace(1, 0, 24)[:, None] ** 6
        )
        points = points.reshape(24, 11, 3)
        mean = _unit(normals.reshape(24, 11, 3).mean(1, keepdims=True))
        for _ in range(4):
            points[1:-1] = 0.5 * points[1:-1] + 0.25 * (points[2:] + points[:-2])
            points[:, 1:-1] = 0.5 * points[:, 1:-1] + 0.25 * (points[:, 2:] + points[:, :-2])
        points = points + size * wave[..., None] * mean
        rim = [points[:, :1] - 0.008 * mean, points, points[:, -1:] - 0.008 * mean]
        points = np.concatenate(rim, 1)
        u = np.concatenate([across[:1], across, across[-1:]])
        _sheet(
            d,
            'scarf',
            points,
            material,
            labels,
            uv=np.stack(np.broadcast_arrays(u[None], z[:, None]), -1),
            outside=d.outer.mean(0),
        )


def _watch(d, material: Material) -> None:
    """On the left wrist, unless a sleeve covers it."""
    from .clothing import LOWER

    if any(g.sleeve > 0.88 for g in d.look.garments if g.kind not in LOWER and g.kind != 'skirt'):
        return
    body = d.body
    labels = _classes('Apparel', 'Left-arm', 'left_lower_arm')
    heads = d.posed.heads.astype(float)
    elbow, wrist = heads[body.bones['lowerarm01.L']], heads[body.bones['wrist.L']]
    skin = d.posed.vertices[_wrist(body)].astype(float)
    axis = _unit(wrist - elbow)
    middle = wrist - 0.022 * d.scale * axis
    near = skin[np.abs((skin - middle) @ axis) < 0.012 * d.scale]
    middle = middle + (near.mean(0) - middle) - ((near.mean(0) - middle) @ axis) * axis
    t = d.posed.transforms[body.bones['lowerarm02.L'], :3, :3].astype(float)
    dorsal = t @ _unit(np.array([0.55, 0.15, 0.8]))
    dorsal = _unit(dorsal - (dorsal @ axis) * axis)
    other = np.cross(axis, dorsal)
    angle = np.linspace(0, 2 * np.pi, 33)
    direction = np.cos(angle)[:, None] * dorsal + np.sin(angle)[:, None] * other
    reach = ((near - middle) @ direction.T).max(0) + 0.002
    slope = np.gradient(np.concatenate([reach[-2:-1], reach, reach[1:2]]))[1:-1] / (angle[1] - angle[0])
    tangent = -np.sin(angle)[:, None] * dorsal + np.cos(angle)[:, None] * other
    ring = middle + reach[:, None] * direction + slope[:, None] * tangent
    w = 0.009 * d.scale
    profile = [(-w, -0.003), (-w, 0.0005), (-0.7 * w, 0.002), (0.7 * w, 0.002), (w, 0.0005), (w, -0.003)]
    points = np.stack([ring + a * axis + h * direction for a, h in profile])
    _sheet(d, 'watch', points, material, labels, outside=middle)
    top = middle + (reach[0] + 0.001) * dorsal
    r = 0.017 * d.scale
    rings = [(r, 0.0), (r, 0.006), (0.9 * r, 0.0075), (0.88 * r, 0.0068)]
    circle = np.cos(angle)[:, None] * axis + np.sin(angle)[:, None] * other
    _sheet(d, 'watch', np.stack([top + a * circle + h * dorsal for a, h in rings]), _STEEL, labels, outside=top)
    face = np.stack([top + a * circle + 0.0066 * dorsal for a in (0.88 * r, 0.4 * r, 0.0)])
    _sheet(
        d,
        'watch',
        face,
        Material('glossy', (0.02, 0.02, 0.025) if d.rng.random() < 0.5 else (0.6, 0.6, 0.58), gloss=0.8),
        labels,
        outside=middle,
    )


@functools.cache
def _wrist(body: Body) -> np.ndarray:
    heads = body.template_heads
    skin = np.unique(body.quads['body'])
    wrist = heads[body.bones['wrist.L']]
    return skin[np.linalg.norm(body.template[skin] - wrist, axis=1) < 0.07]


@functools.cache
def _hands(body: Body) -> tuple:
    """Triangles of both hands and wrists, their base vertices, metres inside of a glove's cuff, and the side of each triangle."""
    from .clothing import _places

    faces = triangulate(body.quads['body'])
    at = _places(body, body.template.astype(float), body.region_weights)
    inside = np.where(at.share > 0.9, at.arm - 0.44, -0.3)
    faces = faces[(inside[faces] > -0.03).all(1)]
    faces, ids = compact(faces)
    return faces, ids, inside[ids]


def hide_hands(body: Body, places) -> np.ndarray:
    """(V,) positive for skin that gloves cover, of the refined skin's places."""
    return np.where(places.share > 0.9, places.arm - 0.452, -1.0)


def _gloves(d, material: Material) -> None:
    faces, ids, inside = _hands(d.body)
    vertices = d.posed.vertices[ids]
    normals = vertex_normals(vertices, faces)
    cuff = np.clip(1 - inside / 0.03, 0, 1) ** 2
    vertices = vertices + normals * ((0.0022 + 0.005 * cuff) * d.scale)[:, None].astype(np.float32)
    faces, _, step = cut(faces, inside, keep_below=False)
    texture = d.body.template[ids] @ np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    vertices, normals, texture = step.extend(vertices), step.extend(normals), step.extend(texture)
    left = texture[faces].mean(1)[:, 0] > 0
    for side, rows in (('left', left), ('right', ~left)):
        piece, used = compact(faces[rows])
        part_, lip_, region = _classes('Apparel', 'Glove', f'{side}_hand')
        d.surfaces.append(
            Surface(
                'gloves',
                vertices[used].astype(np.float32),
                piece,
                material,
                texture[used].astype(np.float32),
                part_,
                lip_,
                region,
                _unit(normals[used]).astype(np.float32),
            )
        )


def add_buckle(d, spot: np.ndarray) -> None:
    """The buckle of a belt, at a spot of the template."""
    labels = _classes('Apparel', d.below_belt, 'torso')
    points, normals = _on_cloth(d, spot[None], 0.007)
    up = _unit(d.posed.transforms[d.body.bones['root'], :3, :3].astype(float) @ np.array([0, 0, 1.0]))
    n = normals[0]
    up = _unit(up - (up @ n) * n)
    across = np.cross(up, n)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [0.022, 0.019] * d.scale
    line = np.concatenate([np.linspace(a, b, 6)[:-1] for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])
    _tube(d, 'belt', points[0] + line[:, :1] * across + line[:, 1:] * up, 0.0028, _STEEL, labels, closed=True, sides=6)


def add_accessories(d) -> None:
    """Everything of :attr:`Look.accessories` but what is cut from the suit (belts)."""
    head = _Head(d.body, d.shape, d.posed)
    for name, material in d.look.accessories.items():
        if name in HAT_HEIGHT:
            _hat(d, head, name, material)
        elif name in ('glasses', 'sunglasses'):
            _glasses(d, head, material, name == 'sunglasses')
        elif name != 'belt':
            {
                'scarf': _scarf,
                'backpack': _backpack,
                'shoulder_bag': _shoulder_bag,
                'gloves': _gloves,
                'watch': _watch,
            }[name](d, material)
