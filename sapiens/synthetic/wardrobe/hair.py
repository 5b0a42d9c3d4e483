"""Hair: a cap over the scalp, and locks (tapered, bent ribbons) that lie on it and fall with gravity.

The cap is the lifted skin of the scalp, so there is no gap at the hairline. Locks start on the scalp, follow the flow of the
style and stay outside of the head, the shoulders and the clothes.
"""

import numpy as np

from ..materials import Material
from ..mesh import Surface, compact, cut, grid_faces, vertex_normals
from .locks import grow_locks, ribbons
from .scalp import CROWN, HEAD, LIFT, TIE, Head, azimuth, hair_surface
from .topology import unit

__all__ = ['build_hair']


def build_hair(d, cover: float | None = None) -> list[Surface]:
    """Build the hair of a dressed person.

    Args:
        d: the dresser: body, shape, posed, look, rng, and the clothes.
        cover: height on the template above which a hat hides (and flattens) the hair, or None.
    """
    look, rng, body = d.look, d.rng, d.body
    style = look.style
    if style == 'bald':
        return []
    if cover is not None and style in ('afro', 'curly', 'bun'):
        style = 'buzz' if style == 'afro' else 'bob' if style == 'curly' else 'ponytail'
    head = Head(body, d.shape, d.posed)
    color = np.array(look.hair)
    if style == 'buzz':
        color = 0.72 * color + 0.28 * np.array(look.skin)
    material = Material(
        'hair', tuple(color.tolist()), color2=look.hair2, gloss=0.55, bump=0.0006, seed=float(rng.uniform(0, 50))
    )
    surfaces = [_cap(d, head, style, material, cover)]
    locks = grow_locks(d, head, style, cover)
    for line, width, up in locks:
        surfaces.append(ribbons(line, width, up, material, rng, 0.15 if style in ('bob', 'long', 'fringe') else 0.35))
    if look.style == 'bun' and cover is None:
        surfaces.append(_ball(head, material, rng))
    return [s for s in surfaces if s is not None]


def _cap(d, head: Head, style: str, material: Material, cover: float | None) -> Surface | None:
    scalp, rng, look = head.scalp, d.rng, d.look
    topology, matrix, p, above, noise = scalp.levels[style == 'afro']
    faces = topology.faces
    top, side = LIFT[style]
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
        direction = unit(0.6 * normals + 0.4 * head.turn(unit(p - HEAD))).astype(np.float32)
    vertices = vertices + direction * out[:, None].astype(np.float32)
    rows = np.flatnonzero((above[faces[:, 0]] > 0) | (above[faces[:, 1]] > 0) | (above[faces[:, 2]] > 0))
    fine, _, step = cut(faces[rows], above, keep_below=False)
    normals = topology.normals(vertices, rows)
    part = 0.03 * (1 if look.hair_length > 0.5 else -1) if style == 'side_part' else 0.0
    # Texture: v along the hair, u across. Both come from directions on the template, not from a map, which suffices for strands.
    if style in ('side_part', 'bob', 'long', 'fringe'):
        u, v = p[:, 1] + 0.3 * p[:, 2], np.abs(p[:, 0] - part) - p[:, 2]
    elif style == 'swept':
        u, v = np.arctan2(p[:, 0], p[:, 2] - 0.7) * 0.09, p[:, 1]
    else:
        focus = TIE if style in ('ponytail', 'bun') else CROWN
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
    return hair_surface('hair', arrays[:, :3], fine, material, arrays[:, 6:9], unit(arrays[:, 3:6]).astype(np.float32))


def _ball(head: Head, material: Material, rng) -> Surface:
    """Make a bun at the back of the head, wound around its axis."""
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
    return hair_surface('hair bun', points, faces, material, np.stack([u, v, 0 * u], -1).reshape(-1, 3), normals)
