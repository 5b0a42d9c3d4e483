"""Random facial actions."""

import numpy as np


def sample_expression(rng: np.random.Generator) -> dict:
    """Draw facial actions for :meth:`Body.shape`: name -> 0..1."""
    out = {}

    def both(name, value, spread=0.1):
        for side in ('Left', 'Right'):
            out[name + side] = float(np.clip(value * (1 + spread * rng.standard_normal()), 0, 1))

    mouth = rng.random() < 0.4
    if mouth:
        out['jawOpen'] = float(0.08 + 0.75 * rng.beta(1.3, 2.4))
    smile = rng.random() < 0.4
    if smile:
        both('mouthSmile', 0.2 + 0.75 * rng.beta(1.5, 1.8), 0.15)
        both('cheekSquint', 0.6 * rng.random())
    if rng.random() < (0.6 if mouth or smile else 0.05):  # shows the upper teeth
        both('mouthUpperUp', 0.15 + 0.6 * rng.random())
    if rng.random() < (0.35 if mouth else 0.05):
        both('mouthLowerDown', 0.5 * rng.random())
    if mouth and rng.random() < 0.1:
        out['tongueOut'] = float(0.7 * rng.random())
    kind = rng.random()
    if kind < 0.08:
        both('eyeBlink', 0.75 + 0.25 * rng.random(), 0.02)
    elif kind < 0.11:
        out[f'eyeBlink{rng.choice(["Left", "Right"])}'] = 1.0
    elif kind < 0.5:
        both('eyeBlink', 0.35 * rng.random(), 0.05)
    elif kind < 0.62:
        both('eyeWide', 0.7 * rng.random())
    for name, chance, most in (
        ('eyeSquint', 0.2, 0.7),
        ('browDown', 0.15, 0.9),
        ('browOuterUp', 0.15, 0.9),
        ('noseSneer', 0.06, 0.6),
        ('mouthDimple', 0.08, 0.6),
    ):
        if rng.random() < chance:
            both(name, most * rng.random(), 0.15)
    if not smile and rng.random() < 0.15:
        both(rng.choice(['mouthFrown', 'mouthPress', 'mouthStretch']), 0.7 * rng.random(), 0.2)
    for name, chance, most in (
        ('browInnerUp', 0.15, 0.9),
        ('mouthPucker', 0.06, 0.8),
        ('mouthFunnel', 0.06, 0.6),
        ('cheekPuff', 0.03, 0.6),
        ('jawForward', 0.04, 0.5),
    ):
        if rng.random() < chance:
            out[name] = float(most * rng.random())
    if rng.random() < 0.1:
        out[f'{rng.choice(["jaw", "mouth"])}{rng.choice(["Left", "Right"])}'] = float(0.5 * rng.random())
    return out
