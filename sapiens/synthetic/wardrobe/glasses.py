"""Glasses and sunglasses."""

import functools

import numpy as np
from scipy.spatial import cKDTree

from ..body import Body
from ..materials import Material
from .labels import classes
from .scalp import HEAD, Head
from .shapes import curve, sheet, tube

__all__ = ['add_glasses']

_DARK = Material('glossy', (0.012, 0.012, 0.014), gloss=0.9)


def add_glasses(d, head: Head, material: Material, dark: bool) -> None:
    body, rng = d.body, d.rng
    labels = classes('Eyeglass', 'Sunglasses' if dark else 'Face', 'head')
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
        tube(d, 'glasses', head.world(rim), thick, material, labels, closed=True)
        if dark:
            rings = np.stack([place(x * r, z * r, sign) - [0, 0.002 * (1 - r * r), 0] for r in (1.0, 0.7, 0.35, 0.0)])
            rings = np.concatenate([rings, rings[:, :1]], 1)
            world = head.world(rings.reshape(-1, 3)).reshape(rings.shape)
            sheet(d, 'lens', world, _DARK, labels, outside=head.world(HEAD[None])[0])
        ear = head.local(v[ears[0 if sign > 0 else 1]])
        hinge = place(np.array([sign * half_w]), np.array([0.45 * half_h]), sign)[0]
        steps = np.array([[0.002, 0.006, 0.0005], [0.004, 0, 0.003], [0.004, 0.018, -0.004], [0.002, 0.03, -0.022]])
        bend, *hook = np.array([hinge, ear, ear, ear]) + steps * [sign, 1, 1]
        temple = np.array([hinge, bend, 0.6 * bend + 0.4 * hook[0], *hook])
        tube(d, 'glasses', head.world(temple), thick * 1.05, material, labels, sides=6)
    inner = [place(np.array([-sign * half_w]), np.array([0.25 * half_h]), sign)[0] for sign in (1, -1)]
    arch = curve(np.array([inner[0], 0.5 * (inner[0] + inner[1]) + [0, -0.002, 0.003], inner[1]]), 8)
    tube(d, 'glasses', head.world(arch), thick, material, labels, sides=6)


@functools.cache
def _ear_and_nose(body: Body) -> tuple:
    """Return base vertices where temples rest on the left and right ear, and at the bridge of the nose."""
    skin = np.unique(body.quads['body'])
    tree = cKDTree(body.template[skin])
    ears = [int(skin[tree.query([sign * 0.0735, -0.058, 0.704])[1]]) for sign in (1, -1)]
    nose = int(skin[tree.query([0, -0.16, 0.692])[1]])
    eyes = [np.unique(body.quads[f'helper-{s}-eye']) for s in 'lr']
    return ears, nose, eyes
