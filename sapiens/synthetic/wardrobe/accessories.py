"""Scarves, belt buckles, watches and gloves."""

import functools

import numpy as np

from ..body import Body
from ..materials import Material
from ..mesh import Surface, compact, cut, triangulate, vertex_normals
from .labels import LOWER, classes
from .places import places
from .shapes import on_cloth, sheet, tube
from .topology import unit

__all__ = ['add_buckle', 'add_gloves', 'add_scarf', 'add_watch', 'hide_hands']

_STEEL = Material('metal', (0.5, 0.48, 0.45), gloss=0.7)


def add_scarf(d, material: Material) -> None:
    labels = classes('Apparel', 'Scarf', 'torso')
    size, rng = d.scale, d.rng
    phi = np.linspace(-np.pi, np.pi, 65)
    spots = np.stack([0.07 * np.sin(phi), -0.033 - 0.072 * np.cos(phi), 0.548 - 0.022 * np.cos(phi)], 1)
    base, _ = on_cloth(d, spots, 0.0)
    for _ in range(8):
        base[:-1] = 0.5 * base[:-1] + 0.25 * (np.roll(base[:-1], 1, 0) + np.roll(base[:-1], -1, 0))
        base[-1] = base[0]
    bones = d.body.bones
    up = unit(d.posed.transforms[[bones['spine01'], bones['neck02']], :3, :3].mean(0) @ np.array([0, -0.1, 1.0]))
    out = base - base.mean(0)
    out = unit(out - (out @ up)[:, None] * up)
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
        center = base + size * (rise[:, None] * up + (off + 0.006 * np.cos(phi + shift[1]))[:, None] * out)
        points = center[:, None] + size * ridges[..., None] * (
            0.8 * flat * np.cos(theta)[None, :, None] * out[:, None] + flat * np.sin(theta)[None, :, None] * up
        )
        points[-1] = points[0]
        uv = np.stack(np.broadcast_arrays(phi[:, None] * 0.1, theta[None] * flat), -1)
        sheet(d, 'scarf', points, material, labels, uv=uv)
        surface = d.surfaces[-1]
        if (surface.normals * (surface.vertices - np.repeat(center, len(theta), 0))).sum() < 0:
            surface.faces, surface.normals = surface.faces[:, ::-1].copy(), -surface.normals
    side = float(rng.choice([-1, 1]))
    for where, length in ((side * 0.03, rng.uniform(0.2, 0.34)), (side * 0.055, rng.uniform(0.12, 0.26))):
        z = np.linspace(0.545, 0.545 - length, 24)
        across = np.linspace(-0.042, 0.042, 11)
        x = where + across[None] * np.linspace(0.5, 1.0, 24)[:, None]
        spots = np.stack([x, np.full_like(x, -0.2), np.broadcast_to(z[:, None], x.shape)], -1)
        spots[..., 1] = np.interp(z, [0.2, 0.35, 0.45, 0.55], [-0.15, -0.15, -0.12, -0.07])[:, None]
        points, normals = on_cloth(d, spots.reshape(-1, 3), 0)
        wave = (
            0.012
            + 0.004 * np.cos(across * 150 + rng.uniform(0, 6))[None]
            + 0.028 * np.linspace(1, 0, 24)[:, None] ** 6
        )
        points = points.reshape(24, 11, 3)
        mean = unit(normals.reshape(24, 11, 3).mean(1, keepdims=True))
        for _ in range(4):
            points[1:-1] = 0.5 * points[1:-1] + 0.25 * (points[2:] + points[:-2])
            points[:, 1:-1] = 0.5 * points[:, 1:-1] + 0.25 * (points[:, 2:] + points[:, :-2])
        points = points + size * wave[..., None] * mean
        rim = [points[:, :1] - 0.008 * mean, points, points[:, -1:] - 0.008 * mean]
        points = np.concatenate(rim, 1)
        u = np.concatenate([across[:1], across, across[-1:]])
        sheet(
            d,
            'scarf',
            points,
            material,
            labels,
            uv=np.stack(np.broadcast_arrays(u[None], z[:, None]), -1),
            outside=d.outer.mean(0),
        )


def add_watch(d, material: Material) -> None:
    """Add a watch to the left wrist, unless a sleeve covers it."""
    if any(g.sleeve > 0.88 for g in d.look.garments if g.kind not in LOWER and g.kind != 'skirt'):
        return
    body = d.body
    labels = classes('Apparel', 'Left-arm', 'left_lower_arm')
    heads = d.posed.heads.astype(float)
    elbow, wrist = heads[body.bones['lowerarm01.L']], heads[body.bones['wrist.L']]
    skin = d.posed.vertices[_wrist(body)].astype(float)
    axis = unit(wrist - elbow)
    middle = wrist - 0.022 * d.scale * axis
    near = skin[np.abs((skin - middle) @ axis) < 0.012 * d.scale]
    middle = middle + (near.mean(0) - middle) - ((near.mean(0) - middle) @ axis) * axis
    t = d.posed.transforms[body.bones['lowerarm02.L'], :3, :3].astype(float)
    dorsal = t @ unit(np.array([0.55, 0.15, 0.8]))
    dorsal = unit(dorsal - (dorsal @ axis) * axis)
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
    sheet(d, 'watch', points, material, labels, outside=middle)
    top = middle + (reach[0] + 0.001) * dorsal
    r = 0.017 * d.scale
    rings = [(r, 0.0), (r, 0.006), (0.9 * r, 0.0075), (0.88 * r, 0.0068)]
    circle = np.cos(angle)[:, None] * axis + np.sin(angle)[:, None] * other
    sheet(d, 'watch', np.stack([top + a * circle + h * dorsal for a, h in rings]), _STEEL, labels, outside=top)
    face = np.stack([top + a * circle + 0.0066 * dorsal for a in (0.88 * r, 0.4 * r, 0.0)])
    sheet(
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


def add_gloves(d, material: Material) -> None:
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
        part_, lip_, region = classes('Apparel', 'Glove', f'{side}_hand')
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
                unit(normals[used]).astype(np.float32),
            )
        )


@functools.cache
def _hands(body: Body) -> tuple:
    """Return the triangles of both hands and wrists, their base vertices, meters inside the cuff of a glove, and sides."""
    faces = triangulate(body.quads['body'])
    at = places(body, body.template.astype(float), body.region_weights)
    inside = np.where(at.arm_weight > 0.9, at.arm - 0.44, -0.3)
    faces = faces[(inside[faces] > -0.03).all(1)]
    faces, ids = compact(faces)
    return faces, ids, inside[ids]


def hide_hands(body: Body, places) -> np.ndarray:
    """Return (V,) values at the places of the refined skin, positive where gloves cover it."""
    return np.where(places.arm_weight > 0.9, places.arm - 0.452, -1.0)


def add_buckle(d, spot: np.ndarray) -> None:
    """Add the buckle of a belt at a spot of the template."""
    labels = classes('Apparel', d.below_belt, 'torso')
    points, normals = on_cloth(d, spot[None], 0.007)
    up = unit(d.posed.transforms[d.body.bones['root'], :3, :3].astype(float) @ np.array([0, 0, 1.0]))
    n = normals[0]
    up = unit(up - (up @ n) * n)
    across = np.cross(up, n)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [0.022, 0.019] * d.scale
    line = np.concatenate([np.linspace(a, b, 6)[:-1] for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])
    tube(d, 'belt', points[0] + line[:, :1] * across + line[:, 1:] * up, 0.0028, _STEEL, labels, closed=True, sides=6)
