"""Materials of surroundings: floors, walls, grounds, wood, paint and pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .materials import Material, srgb

__all__ = ['CEILING', 'FABRICS', 'FLOORS', 'GROUNDS', 'bricks', 'paint', 'pick', 'picture', 'plaster', 'wall', 'wood']

_WALLS = [(222, 216, 204), (235, 235, 230), (190, 200, 205), (205, 190, 170), (150, 165, 150), (120, 130, 145),
          (200, 170, 150), (170, 160, 185), (90, 95, 105), (215, 205, 150)]  # fmt: skip
_WOODS = [((170, 122, 78), (128, 86, 50)), ((120, 84, 56), (84, 56, 36)), ((205, 172, 128), (172, 136, 92)),
          ((96, 74, 60), (66, 50, 40)), ((186, 160, 132), (150, 120, 92))]  # fmt: skip
CEILING = Material('matte', srgb(242, 241, 236), 'speckle', srgb(226, 224, 218), scale=0.15, bump=0.001)
FABRICS = [(60, 70, 95), (120, 60, 55), (70, 90, 75), (150, 140, 125), (45, 45, 50), (160, 130, 70), (110, 100, 120)]


def pick(rng: np.random.Generator, values: Sequence) -> Any:
    """Draw one of the values."""
    return values[int(rng.integers(len(values)))]


def _muted(rng) -> np.ndarray:
    color = rng.uniform(40, 230, 3)
    return color.mean() + (color - color.mean()) * rng.uniform(0.1, 0.8)


def wood(rng: np.random.Generator) -> Material:
    """Draw the wood of furniture."""
    light, dark = pick(rng, _WOODS)
    return Material(
        'glossy',
        srgb(light),
        'planks',
        srgb(dark),
        srgb(dark),
        scale=1.5,
        gloss=0.12,
        bump=0.0006,
        seed=float(rng.random()),
    )


def paint(rng: np.random.Generator) -> Material:
    """Draw a glossy paint."""
    return Material('glossy', srgb(_muted(rng)), gloss=0.3, bump=0.0008)


def _floor_wood(rng) -> Material:
    light, dark = pick(rng, _WOODS)
    return Material('glossy', srgb(light), 'planks', srgb(dark), srgb(40, 28, 20), scale=rng.uniform(0.07, 0.18),
                    gloss=0.12, bump=0.0006, seed=float(rng.random()))  # fmt: skip


def _floor_tiles(rng) -> Material:
    tone = rng.integers(90, 230) + rng.integers(-14, 14, 3)
    other = np.clip(tone - rng.integers(5, 60), 0, 255)
    return Material('glossy', srgb(*tone), 'tiles', srgb(*(tone * 0.6)), srgb(*other), scale=rng.uniform(0.2, 0.6),
                    gloss=0.2, bump=0.0008, seed=float(rng.random()))  # fmt: skip


def _floor_carpet(rng) -> Material:
    tone = np.array(pick(rng, FABRICS))
    return Material(
        'cloth', srgb(*tone), 'speckle', srgb(*(tone * 0.62)), scale=0.06, bump=0.0015, seed=float(rng.random())
    )


def wall(rng: np.random.Generator) -> Material:
    """Draw the material of an inner wall."""
    tone = np.array(pick(rng, _WALLS))
    kind = rng.random()
    if kind < 0.55:
        return Material(
            'matte', srgb(*tone), 'speckle', srgb(*(tone * 0.88)), scale=0.12, bump=0.0015, seed=float(rng.random())
        )
    if kind < 0.7:
        return bricks(rng)
    if kind < 0.85:
        return Material(
            'matte', srgb(*tone), 'stripes_u', srgb(*(tone * 0.9)), scale=rng.uniform(0.08, 0.3), bump=0.0015
        )
    return Material(
        'glossy',
        srgb(*tone),
        'tiles',
        srgb(*(tone * 0.75)),
        srgb(*np.minimum(tone * 1.06, 255)),
        scale=0.15,
        gloss=0.3,
        bump=0.001,
    )


def bricks(rng: np.random.Generator) -> Material:
    """Draw a brick wall."""
    tone = np.array(pick(rng, [(150, 84, 66), (170, 110, 84), (190, 180, 165), (110, 80, 72), (214, 206, 196)]))
    return Material(
        'matte',
        srgb(*tone),
        'bricks',
        srgb(178, 172, 162),
        srgb(*(tone * 0.75)),
        scale=0.24,
        bump=0.002,
        seed=float(rng.random()),
    )


def plaster(rng: np.random.Generator) -> Material:
    """Draw a plastered outer wall."""
    tone = np.array(pick(rng, _WALLS))
    return Material(
        'matte', srgb(*tone), 'speckle', srgb(*(tone * 0.8)), scale=0.14, bump=0.0025, seed=float(rng.random())
    )


def _ground_grass(rng) -> Material:
    return Material('matte', srgb(92, 118, 52), 'grass', srgb(50, 74, 30), scale=0.05, seed=float(rng.random()))


def _ground_asphalt(rng) -> Material:
    tone = rng.integers(70, 125)
    return Material(
        'matte',
        srgb(tone, tone, tone + 3),
        'speckle',
        srgb(*(np.full(3, tone) * 0.66)),
        scale=0.06,
        bump=0.002,
        seed=float(rng.random()),
    )


def _ground_paving(rng) -> Material:
    tone = rng.integers(120, 190) + rng.integers(-10, 10, 3)
    scale = rng.uniform(0.2, 0.8)
    return Material(
        'matte',
        srgb(*tone),
        'tiles',
        srgb(*(tone * 0.55)),
        srgb(*(tone * 0.85)),
        scale,
        bump=0.0015,
        seed=float(rng.random()),
    )


def _ground_sand(rng) -> Material:
    return Material(
        'matte',
        srgb(206, 184, 146),
        'blotches',
        srgb(190, 166, 128),
        srgb(216, 198, 164),
        scale=0.6,
        bump=0.003,
        seed=float(rng.random()),
    )


FLOORS = {'wood': _floor_wood, 'tiles': _floor_tiles, 'carpet': _floor_carpet}
GROUNDS = {'grass': _ground_grass, 'asphalt': _ground_asphalt, 'paving': _ground_paving, 'sand': _ground_sand}


def picture(rng: np.random.Generator) -> Material:
    """Draw the picture of a frame."""
    colors = rng.integers(30, 240, (3, 3))
    pattern = pick(rng, ['blotches', 'marble', 'stripes_v', 'plain', 'dots', 'checks', 'print'])
    return Material('glossy', srgb(*colors[0]), pattern, srgb(*colors[1]), srgb(*colors[2]), scale=rng.uniform(0.1, 0.4),
                    gloss=0.1, seed=float(rng.random()))  # fmt: skip
