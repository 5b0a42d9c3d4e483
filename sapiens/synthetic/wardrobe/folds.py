"""Folds of cloth."""

import numpy as np

from ..appearance import Garment
from .labels import SNUG
from .places import Places
from .topology import smoothstep, unit

__all__ = ['fold_bank', 'fold_heights']


def fold_bank(places: Places) -> dict:
    """Return height fields of folds, about -0.4..1: 'upper' and 'lower', (12, V) each, for random mixtures.

    Cloth folds into narrow ridges between wide valleys. They fan out from fixed points (armpits, crotch, knees), accumulate
    across bent and long sleeves and legs, and hang towards the hem.
    """
    rng = np.random.default_rng(5)
    p = places.p
    arm, arm_weight, z = places.arm, places.arm_weight, p[:, 2].copy()
    ax, side = np.abs(p[:, 0]), np.where(p[:, 0] > 0, 1.0, -1.0)
    sleeve = smoothstep(0.3, 0.6, arm_weight)
    trunk = 1 - sleeve
    mirrored = p * [0, 1, 1] + ax[:, None] * [1, 0, 0]

    def bump(x, middle, width):
        return np.exp(-(((x - middle) / width) ** 2))

    def slow(q, length):
        return (
            sum(np.cos(q @ (unit(rng.normal(size=3)) * 2 * np.pi / length) + rng.uniform(0, 6.3)) for _ in range(3))
            / 2
        )

    def ridges(phase, q):
        """Return narrow ridges at integer phases, with varying strength."""
        where = np.cos(phase + 1.3 * slow(q, 0.22))
        ridge = np.exp(2.2 * (where - 1)) - 0.35
        return ridge * (0.35 + 0.65 * np.clip(0.6 + 0.7 * slow(q, 0.16), 0, 1))

    def across(axis, length, q, tilt=0.3):
        d = unit(np.asarray(axis) + tilt * rng.normal(size=3))
        return ridges(q @ d * 2 * np.pi / (length * rng.uniform(0.85, 1.25)), q)

    def fan(x, height, count, q):
        angle = np.arctan2(z - height, ax - x + 1e-9)
        r = np.hypot(z - height, ax - x)
        return (
            ridges(angle * count * rng.uniform(0.8, 1.2) + rng.uniform(0, 6.3), q)
            * smoothstep(0.02, 0.07, r)
            * np.exp(-r / 0.16)
        )

    upper, lower = [], []
    for _ in range(12):
        own = mirrored + np.where(side[:, None] > 0, rng.normal(size=3), rng.normal(size=3))
        piled = across([0.62, -0.35, -0.7], 0.075, own)
        h = piled * sleeve * (0.65 * bump(arm, 0.26, 0.07) + 0.6 * smoothstep(0.36, 0.47, arm) + 0.3)
        turn = np.arctan2(p[:, 0], -(p[:, 1] + 0.03))
        hanging = ridges(turn * rng.integers(6, 11) + rng.uniform(0, 6.3) + 2.5 * z, p)
        h = h + trunk * (
            1.4 * fan(0.165, 0.42, 9, p) + 0.7 * across([0.35 * rng.normal(), 0, 1], 0.085, p) * bump(z, 0.17, 0.07)
        )
        h = h + trunk * (
            0.5 * across([0.8, 0.4, 0.5 * rng.normal()], 0.13, p) * bump(z, 0.3, 0.12)
            + 0.9 * hanging * smoothstep(0.2, -0.02, z)
        )
        upper.append(h)
        other = p
        leg = across([0.2 * rng.normal(), 0.2, 1], 0.075, other)
        long = ridges(np.arctan2(p[:, 1] + 0.03, ax - 0.13) * rng.integers(2, 4) + rng.uniform(0, 6.3) + 6 * z, other)
        h = leg * (0.9 * bump(z, -0.37, 0.09) + 1.2 * smoothstep(-0.6, -0.74, z) + 0.2 * smoothstep(0.0, -0.1, z))
        h = (
            h
            + 1.5 * fan(0.035, -0.05, 8, other) * trunk
            + 0.5 * long * bump(z, -0.22, 0.14)
            + 0.4 * long * bump(z, -0.53, 0.12)
        )
        lower.append(h)
    return {'upper': np.stack(upper).astype(np.float32), 'lower': np.stack(lower).astype(np.float32)}


def fold_heights(d, g: Garment, edges: dict, outer: np.ndarray | None) -> np.ndarray:
    """Return (V,) heights of folds in meters; small near edges and under outer garments."""
    kinds = ('lower',) if g.kind in SNUG else ('upper', 'lower') if g.kind == 'jumpsuit' else ('upper',)
    height = np.zeros(len(d.suit.places.p), np.float32)
    for kind in kinds:
        bank = d.suit.bank[kind]
        mix = d.rng.normal(size=2).astype(np.float32)
        picks = d.rng.permutation(len(bank))[:2]
        mix = np.abs(mix) / np.linalg.norm(mix)
        height += mix[0] * bank[picks[0]] + mix[1] * bank[picks[1]]
    soft = {'leather': 0.8}.get(g.material.kind, 1.0) * (0.75 if g.kind in ('sweater', 'coat', 'cardigan') else 1.0)
    amplitude = g.folds * soft * (0.009 + 0.3 * min(g.ease, 0.025) + 0.06 * min(g.flare, 0.03)) * d.scale
    edge = np.minimum(edges.get('neck', 1), edges.get('top', 1))
    height = np.maximum(height * amplitude, -0.002) * smoothstep(0.0, 0.06, edge)
    if outer is not None:
        height *= 1 - 0.9 * smoothstep(-0.09, -0.04, outer)
    return height.astype(np.float32)
