"""Caps, beanies and brimmed hats, made of rings around the hull of the skull."""

import numpy as np

from ..materials import Material
from .labels import classes
from .scalp import HEAD, Head
from .shapes import sheet

__all__ = ['HAT_HEIGHT', 'add_hat']

HAT_HEIGHT = {
    'cap': 0.752,
    'beanie': 0.735,
    'brimmed': 0.75,
}  # height on the template above which a hat hides the hair


def add_hat(d, head: Head, kind: str, material: Material) -> None:
    labels = classes('Apparel', 'Hat', 'head')
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
    # Enlarge rings that would be inside the skull.
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
    sheet(d, kind, world, material, labels, uv=np.stack([u, v], -1), outside=middle)
    base = points[1]
    if kind == 'beanie':  # a turned-up cuff
        height = np.array([0.0, 0.002, 0.02, 0.038, 0.042, 0.038])[:, None]
        off = 1 + np.array([0.0, 0.05, 0.065, 0.06, 0.045, 0.02])[:, None]
        cuff = np.concatenate([base[None, :, :2] * off[..., None], (base[None, :, 2] + height - 0.004)[..., None]], 2)
        world = head.world(cuff.reshape(-1, 3) + HEAD).reshape(cuff.shape)
        u = np.broadcast_to(phi / (2 * np.pi) * around, world.shape[:2])
        v = np.broadcast_to(height, u.shape)
        sheet(d, kind, world, material, labels, uv=np.stack([u, v], -1), outside=middle)
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
        sheet(d, kind, world, material, labels, outside=None)
        band = np.concatenate(
            [
                base[None, :, :2] * 1.025 + np.zeros((3, 1, 1)),
                (base[None, :, 2] + np.array([[0.003], [0.014], [0.026]]))[..., None],
            ],
            2,
        )
        band[2, :, :2] *= 1.004
        dark = Material('cloth', tuple(0.25 * c for c in material.color))
        sheet(d, kind, head.world(band.reshape(-1, 3) + HEAD).reshape(band.shape), dark, labels, outside=middle)


def _visor(d, head: Head, material: Material, labels, phi, base) -> None:
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
    sheet(d, 'cap', head.world(points.reshape(-1, 3) + HEAD).reshape(points.shape), material, labels)
