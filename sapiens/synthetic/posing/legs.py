"""Poses of legs on the ground: feet at their places, the pelvis as high as the legs reach."""

import numpy as np

from .anatomy import LEG_PIECES
from .rotations import FORWARD, SIDES, UP, X, turn, unit
from .skeleton import Rig
from .solver import Direction, Point, solve
from .trunk import Trunk


def center_of_mass(figure: Rig) -> np.ndarray:
    """Return the center of mass (3,) of a rig, from the mass fractions of the body segments (after de Leva)."""
    joint, tail = figure.at, figure.tail
    front = figure.world[figure.bones['spine03']] @ FORWARD * 0.035
    total = (
        0.085 * 0.5 * (joint('head') + tail('head'))
        + 0.21 * (joint('spine01') + front)
        + 0.16 * (joint('spine03') + 1.4 * front)
    )
    total = total + 0.12 * (joint('spine05') + 0.5 * front)
    for s in SIDES:
        hip, knee, ankle = joint(f'upperleg01.{s}'), joint(f'lowerleg01.{s}'), joint(f'foot.{s}')
        shoulder, elbow, wrist = joint(f'upperarm01.{s}'), joint(f'lowerarm01.{s}'), joint(f'wrist.{s}')
        total = (
            total + 0.11 * (0.6 * hip + 0.4 * knee) + 0.045 * (0.57 * knee + 0.43 * ankle) + 0.014 * tail(f'foot.{s}')
        )
        total = (
            total
            + 0.027 * 0.5 * (shoulder + elbow)
            + 0.0165 * (0.57 * elbow + 0.43 * wrist)
            + 0.007 * tail(f'metacarpal3.{s}')
        )
    return total / (0.085 + 0.21 + 0.16 + 0.12 + 2 * (0.11 + 0.045 + 0.014 + 0.027 + 0.0165 + 0.007))


class Legs(Trunk):
    """The trunk, and legs under it."""

    def foot_turn(self, yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
        """Return the rotation of a foot in the world: yaw to the left, heel raised by pitch."""
        return turn(UP, np.radians(yaw)) @ turn(FORWARD, np.radians(roll)) @ turn(X, np.radians(pitch))

    def bend_toes(self, side: str, angle: float) -> None:
        self.figure.rotations[self.figure.anatomy.toes[side]] = turn(X, -np.radians(angle))

    def ankle_height(self, side: str, foot: np.ndarray, toes: float = 0.0) -> float:
        """Return the height of the ankle above the lowest point of the foot with this rotation and toe angle."""
        f = self.figure
        rows = f.anatomy.soles[side]
        points = f.rest[rows] - f.heads[f.bones[f'foot.{side}']]
        if toes:
            base = f.heads[f.bones[f'toe2-1.{side}']] - f.heads[f.bones[f'foot.{side}']]
            is_toe = points[:, 1] < base[1]
            points = np.where(is_toe[:, None], base + (points - base) @ turn(X, -np.radians(toes)).T, points)
        return float(-(points @ foot.T)[:, 2].min())

    def put_leg(self, side: str, ankle: np.ndarray, foot: np.ndarray, knee: float | None = None, steps=8) -> float:
        """Move an ankle to a place with this rotation of the foot and the knee pointing to yaw ``knee``. Returns the error in
        meters."""
        leg, f = self.legs[side], self.figure
        hip = f.at(f'upperleg01.{side}')
        yaw = np.radians(knee) if knee is not None else np.arctan2((foot @ FORWARD)[0], -(foot @ FORWARD)[1])
        way, (a, b) = ankle - hip, leg.lengths
        distance = np.clip(np.linalg.norm(way), abs(a - b) + 0.02, (a + b) * 0.9995)
        bend = np.pi - np.arccos(np.clip((a * a + b * b - distance**2) / (2 * a * b), -1, 1))
        lift = np.arccos(np.clip((a * a + distance**2 - b * b) / (2 * a * distance), -1, 1))
        pole = np.array([np.sin(yaw), -np.cos(yaw), 0.3])
        way = unit(way)
        pole = unit(pole - (pole @ way) * way)
        thigh = np.cos(lift) * way + np.sin(lift) * pole
        home = np.zeros(6)
        home[:2] = leg.swing_to(f.world[leg.parent].T @ thigh)
        home[3] = bend
        goals = [
            Point(4, leg.heads[4], ankle, 80.0),
            Direction(4, FORWARD, foot @ FORWARD, 1.2),
            Direction(4, UP, foot @ UP, 1.2),
        ]
        q, _ = solve(leg, home, goals, hold=0.08, steps=steps)
        leg.write(q)
        got = f.world[leg.rows[4]]
        off = np.degrees(np.arccos(np.clip((np.sum(got * foot) - 1) / 2, -1, 1)))
        if off < 14:  # the sole is exact
            f.rotations[leg.rows[4]] = f.world[leg.rows[3]].T @ foot
            f.update(leg.rows[4])
        return float(np.linalg.norm(f.at(f'foot.{side}') - ankle)) + max(off - 14, 0) * 0.002

    def stance(self, feet: dict, support: dict, bend: float = 7.0, drop: float = 0.0, shift=(0.0, 0.0)) -> None:
        """Stand on the feet: move them under the center of mass, and the pelvis as high as the legs reach.

        Args:
            feet: side -> dict(at=(x, y), yaw, pitch, lift, knee); meters, in any frame that only differs by a horizontal shift.
            support: side -> fraction of the weight.
            bend: minimum knee angle; ``drop``: meters below the height that it gives.
        """
        f = self.figure
        f.update()
        for leg in self.legs.values():
            leg.write(np.array([0, 0, 0, np.radians(12), 0, 0]))
        turns, ankles = {}, {}
        for s, foot in feet.items():
            pitch, lift = foot.get('pitch', 0.0), foot.get('lift', 0.0)
            toes = np.clip(pitch, 0, 45) * (0.9 if lift < 0.02 else 0.3)
            self.bend_toes(s, toes)
            turns[s] = self.foot_turn(foot['yaw'] * SIDES[s], pitch)
            ankles[s] = np.array([*foot['at'], self.sole + lift + self.ankle_height(s, turns[s], toes)])
        middle = sum(w * (ankles[s] + turns[s] @ FORWARD * 0.055 * self.size)[:2] for s, w in support.items())
        for attempt in range(2):
            error = 0.0
            f.shift(np.array([*(middle + np.array(shift) - center_of_mass(f)[:2]), 0.0]))
            heights = []
            for s in support:
                a, b = self.legs[s].lengths
                reach = np.sqrt(a * a + b * b + 2 * a * b * np.cos(np.radians(bend)))
                flat = np.linalg.norm((f.at(f'upperleg01.{s}') - ankles[s])[:2])
                heights.append(ankles[s][2] + np.sqrt(max(reach**2 - flat**2, 0.01)) - f.at(f'upperleg01.{s}')[2])
            f.shift(min(heights) - drop)
            for s, foot in feet.items():
                knee = foot.get('knee')
                way = None if knee is None else knee * SIDES[s]
                error = max(error, self.put_leg(s, ankles[s], turns[s], way, steps=5 if attempt else 8))
        self.depths.append(max(0.0, error - 0.003) * 3)
        self.between_legs = self.leg_depth()

    def leg_depth(self) -> float:
        """Return the penetration depth of the legs in meters."""
        return max(
            self.legs[s].depth(self.figure.obstacles([f'{n}.{other}' for n in LEG_PIECES]))
            for s, other in (('L', 'R'), ('R', 'L'))
        )

    def stand_on(self, feet: dict, support: dict, **options) -> None:
        """Call :meth:`stance`, and move the feet apart if the legs intersect."""
        for _ in range(3):
            self.stance(feet, support, **options)
            if self.between_legs < -0.004:
                break
            for s in SIDES:
                x, y = feet[s]['at']
                feet[s]['at'] = x + SIDES[s] * (0.012 + 0.6 * max(self.between_legs, 0)), y
        self.depths.append(self.between_legs)
