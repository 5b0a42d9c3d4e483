"""Backpacks and shoulder bags, with their straps over the clothes."""

import numpy as np

from ..materials import Material
from .labels import classes
from .shapes import curve, on_cloth, sheet
from .topology import unit

__all__ = ['add_backpack', 'add_shoulder_bag']


def add_backpack(d, material: Material) -> None:
    size, at = d.scale, d.suit.coarse_places
    labels = classes('Apparel', 'Background', 'torso')
    back = (
        (at.p[:, 1] > 0)
        & (at.p[:, 2] > 0.15)
        & (at.p[:, 2] < 0.45)
        & (np.abs(at.p[:, 0]) < 0.12)
        & (at.arm_weight < 0.2)
    )
    worn = d.under[back]
    half = np.array([0.13, 0.065, 0.19]) * size * d.rng.uniform(0.85, 1.1)
    center = np.array([0, np.quantile(worn[:, 1], 0.9) + half[1] * 0.92, worn[:, 2].mean() + 0.01 * size])
    block = _block(half, 4.0)
    block[..., 1] *= 1 + 0.12 * np.cos(np.pi * block[..., 2] / (2 * half[2]))
    block[..., 0] *= 1 - 0.10 * np.clip(block[..., 2] / half[2], 0, 1) ** 2
    spread = block.reshape(-1, 3)
    uv = np.stack([np.arctan2(spread[:, 0], spread[:, 1]) * 0.12, spread[:, 2]], -1)
    world = _rigid(d, 'spine02', spread + center).reshape(block.shape)
    sheet(d, 'backpack', world, material, labels, uv=uv, outside=_rigid(d, 'spine02', center))
    pocket = _block(half * [0.8, 0.35, 0.42], 4.0).reshape(-1, 3) + center + [0, half[1] * 0.95, -0.42 * half[2]]
    sheet(
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
            _rigid(d, 'spine02', center + np.array([sign * x, -0.6 * half[1], z]))
            for x, z in ((0.045 * size, 0.8 * half[2]), (0.1 * size, -0.75 * half[2]))
        ]
        _strap(d, 'backpack', spots * [sign, 1, 1], 0.05, dark, labels, ends)


def add_shoulder_bag(d, material: Material) -> None:
    size, at, rng = d.scale, d.suit.coarse_places, d.rng
    labels = classes('Apparel', 'Background', 'torso')
    side = float(rng.choice([-1, 1]))
    hip = (at.p[:, 0] * side > 0.1) & (at.p[:, 2] > -0.1) & (at.p[:, 2] < 0.08) & (at.arm_weight < 0.2)
    half = np.array([0.04, 0.13, 0.1]) * size * rng.uniform(0.8, 1.15)
    worn = d.under[hip]
    center = np.array(
        [
            side * (np.abs(worn[:, 0]).max() + half[0] * 0.9 + 0.012 * size),
            worn[:, 1].mean() - 0.02,
            worn[:, 2].mean() - 0.03 * size,
        ]
    )
    block = _block(half, 5.0)
    spread = block.reshape(-1, 3)
    outside = _rigid(d, 'root', center)
    sheet(
        d,
        'shoulder bag',
        _rigid(d, 'root', spread + center).reshape(block.shape),
        material,
        labels,
        uv=spread[:, 1:],
        outside=outside,
    )
    flap = _block(half * [1.12, 1.03, 0.5], 5.0).reshape(-1, 3) + center + [0.0, 0, half[2] * 0.56]
    sheet(
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
    ends = [_rigid(d, 'root', center + np.array([0, y * half[1], half[2]])) for y in (-0.85, 0.85)]
    _strap(d, 'shoulder bag', spots * [side, 1, 1], 0.028, material, labels, ends, lift=0.008)


def _strap(d, name, spots, width, material, labels, ends=(None, None), lift=0.008) -> None:
    """Add a flat band on the cloth along spots of the template, with its ends at given points of the world."""
    line, normals = on_cloth(d, curve(np.asarray(spots, float), 80), lift * d.scale)
    for k, end in enumerate(ends):
        if end is not None:
            line = np.concatenate([end[None], line]) if k == 0 else np.concatenate([line, end[None]])
            normals = np.concatenate([normals[:1], normals]) if k == 0 else np.concatenate([normals, normals[-1:]])
    for _ in range(4):
        line[1:-1] = 0.5 * line[1:-1] + 0.25 * (line[2:] + line[:-2])
        normals[1:-1] = unit(0.5 * normals[1:-1] + 0.25 * (normals[2:] + normals[:-2]))
    tangent = unit(np.gradient(line, axis=0))
    across = unit(np.cross(tangent, normals))
    half, thick = 0.5 * width * d.scale, 0.002
    columns = [(-1, -3 * thick), (-1, 0), (-0.92, thick), (0, 1.4 * thick), (0.92, thick), (1, 0), (1, -3 * thick)]
    points = np.stack([line + half * a * across + h * normals for a, h in columns], 1)
    s = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    uv = np.stack(np.broadcast_arrays(np.array([c[0] for c in columns]) * half, s[:, None]), -1)
    sheet(d, name, points, material, labels, uv=uv)
    if (d.surfaces[-1].normals.reshape(*points.shape)[:, 3] * normals).sum() < 0:
        surface = d.surfaces[-1]
        surface.faces, surface.normals = surface.faces[:, ::-1].copy(), -surface.normals


def _block(size: tuple, power: float = 5.0) -> np.ndarray:
    """Make a rounded box (20, 41, 3) around the origin with the given half-sizes."""
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
