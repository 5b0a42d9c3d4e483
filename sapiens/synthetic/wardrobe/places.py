"""Places on the template body: a height is its z, for every person."""

from dataclasses import dataclass

import numpy as np

from ..body import REGIONS, Body
from .topology import along, smoothstep

__all__ = ['CROTCH', 'GROIN', 'PIT', 'WAIST', 'Places', 'arm_line', 'places']

# Heights on the template.
WAIST, GROIN, CROTCH, PIT = 0.13, 0.05, -0.055, 0.53


@dataclass
class Places:
    """Positions of vertices on the template, for fields that cut garments.

    Attributes:
        p: (V, 3) template positions.
        arm: (V,) meters along the arm from the shoulder joint; negative towards the trunk.
        arm_weight: (V,) skinning weight of the arm, 0..1.
    """

    p: np.ndarray
    arm: np.ndarray
    arm_weight: np.ndarray


def arm_line(body: Body) -> np.ndarray:
    """Return (3, 3) shoulder, elbow and wrist of the left arm of the template."""
    return body.template_heads[[body.bones[f'{n}.L'] for n in ('upperarm01', 'lowerarm01', 'wrist')]].astype(float)


def places(body: Body, p: np.ndarray, weights: np.ndarray) -> Places:
    mirrored = p.copy()
    mirrored[:, 0] = np.abs(p[:, 0])
    arc, _, _ = along(mirrored, arm_line(body))
    columns = [i for i, n in enumerate(REGIONS) if n.endswith(('arm', 'hand'))]
    arm_weight = weights[:, columns].sum(1)
    trust = smoothstep(0.04, 0.4, arm_weight)
    return Places(p, arc * trust - 0.12 * (1 - trust), arm_weight)
