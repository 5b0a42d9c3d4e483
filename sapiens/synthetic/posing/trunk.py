"""The trunk, the head and the hands of a pose, and random draws."""

import numpy as np

from ..body import Body, Shape
from .anatomy import hand_axes
from .limbs import Limb
from .rotations import FORWARD, SIDES, UP, X, cross_matrix, turn, turn_vector, unit
from .skeleton import Rig


class Trunk:
    """The trunk, the head and the hands of a person."""

    def __init__(self, body: Body, shape: Shape, rng: np.random.Generator, sole: float, clearance: float):
        self.body, self.shape, self.rng, self.sole, self.clearance = body, shape, rng, sole, clearance
        self.figure = Rig(body, shape)
        self.legs = {s: Limb(self.figure, 'leg', s) for s in SIDES}
        self.skin = int(body.quads['body'].max()) + 1  # the vertices of the skin come first
        self.size = float(np.ptp(shape.vertices[: self.skin, 2])) / 1.65
        self.begin()

    def begin(self, hasty: bool = False) -> None:
        """Start over. ``hasty``: stop as soon as a limb intersects another part."""
        self.hasty = hasty
        self.seat, self.lift, self.floor = None, None, None
        self.depths = [0.0]
        self.arms, self.arm_angles, self.hands = {}, {}, {}
        self.figure.reset()

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def normal(self, mean: float, deviation: float, low=-1e9, high=1e9) -> float:
        return min(max(float(self.rng.normal(mean, deviation)), low), high)

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def choose(self, **weights) -> str:
        names = list(weights)
        return str(self.rng.choice(names, p=np.array([weights[n] for n in names]) / sum(weights.values())))

    def side(self) -> str:
        return 'L' if self.chance(0.5) else 'R'

    def distribute(self, bones: tuple, angles: tuple, parts: tuple) -> None:
        """Distribute flexion, lateral lean (to the right) and twist (to the left), in degrees, over a chain of bones."""
        flex, lean, twist = (
            turn_vector(np.radians(angle * np.array(parts))[:, None] * axis)
            for angle, axis in zip(angles, (X, FORWARD, UP), strict=True)
        )
        self.figure.rotations[[self.figure.bones[bone] for bone in bones]] = twist @ lean @ flex

    def spine(self, flex: float, lean: float, twist: float) -> None:
        flex, lean, twist = np.clip(flex, -22, 60), np.clip(lean, -25, 25), np.clip(twist, -35, 35)
        self.distribute(
            ('spine05', 'spine04', 'spine03', 'spine02', 'spine01'), (flex, lean, twist), (0.15, 0.2, 0.25, 0.25, 0.15)
        )

    def look(self, pitch: float, yaw: float, roll: float = 0.0) -> None:
        """Rotate the head relative to the chest, and the eyes a little further."""
        pitch, yaw, roll = np.clip(pitch, -35, 38), np.clip(yaw, -62, 62), np.clip(roll, -22, 22)
        self.distribute(('neck01', 'neck02', 'neck03', 'head'), (pitch, roll, yaw), (0.22, 0.22, 0.22, 0.34))
        side, up = (
            np.clip(0.25 * yaw + self.rng.normal(0, 9), -25, 25),
            np.clip(0.3 * pitch + self.rng.normal(0, 6), -18, 20),
        )
        for s in SIDES:
            self.figure.rotations[self.figure.bones[f'eye.{s}']] = turn(UP, np.radians(side)) @ turn(X, np.radians(up))

    def glance(self) -> None:
        """Turn the head in a random direction, mostly ahead."""
        self.look(self.normal(4, 10), self.normal(0, 22), self.normal(0, 5))

    def root(self, pitch=0.0, roll=0.0, yaw=0.0, base=None) -> None:
        r = turn(UP, np.radians(yaw)) @ turn(FORWARD, np.radians(roll)) @ turn(X, np.radians(pitch))
        self.figure.rotations[0] = r if base is None else r @ base

    def hand(self, side: str, style: str | None = None) -> None:
        """Bend the fingers of a hand."""
        rng, f = self.rng, self.figure
        style = style or self.choose(relaxed=0.5, open=0.2, fist=0.12, grip=0.08, point=0.05, spread=0.05)
        curl = {
            'relaxed': self.between(0.08, 0.4),
            'open': self.between(-0.05, 0.1),
            'fist': self.between(0.66, 0.72),
            'grip': self.between(0.4, 0.6),
            'point': 0.7,
            'spread': -0.05,
        }[style]
        spread = {'spread': self.between(6, 11), 'open': self.between(-1, 5)}.get(style, self.between(-1.5, 1.5))
        closing = max(min(1 - curl * 2, 1), 0)
        angles, aside = np.zeros((5, 3)), np.zeros(5)  # of the thumb and the fingers; (finger, joint) and (finger,)
        for finger in range(1, 5):
            mine = (
                curl + rng.normal(0, 0.06) * (1 if curl < 0.62 else 0.35) + 0.04 * (finger - 2) * (style == 'relaxed')
            )
            if style == 'point' and finger == 1:
                mine = self.between(-0.05, 0.08)
            mine = min(max(mine, -0.12), 0.75)
            rest = 1 if mine > 0 else 0.3
            angles[finger] = 72 * mine, 88 * mine * rest, 55 * mine * rest
            aside[finger] = (2.4 - finger) * spread * closing * SIDES[side]
        thumb = {'fist': 0.55, 'grip': 0.45, 'point': 0.5, 'spread': -0.25, 'open': self.between(-0.2, 0.1)}.get(
            style, self.between(0.0, 0.4)
        )
        angles[0] = (thumb + rng.normal(0, 0.05)) * np.array([14, 35, 50])
        rows = f.anatomy.fingers[side]
        _, palm, across = hand_axes(f.heads, f.tails, f.bones, side)
        ways = unit(f.tails[rows] - f.heads[rows])
        bend = np.tile(palm, (5, 3, 1))
        bend[0] = 0.75 * palm - 0.55 * across
        axes = unit((cross_matrix(ways) @ bend[..., None])[..., 0])
        turned = turn_vector(np.radians(angles)[..., None] * axes)
        turned[:, 0] = turn_vector(np.radians(aside)[:, None] * palm) @ turned[:, 0]
        f.rotations[rows] = turned
        self.hands[side] = style
