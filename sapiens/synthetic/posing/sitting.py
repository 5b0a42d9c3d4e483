"""Poses: sitting, with the seat."""

from dataclasses import dataclass

import numpy as np

from .anatomy import LEG_PIECES, Patch
from .arms import Arms
from .rotations import SIDES, UP, X, unit
from .solver import Direction, Point, solve


@dataclass
class Seat:
    """A box to sit on: center (3,) and size (3,) in meters, rotated by yaw radians about z.

    ``back``: there is a backrest, along its +y side.
    """

    center: np.ndarray
    size: np.ndarray
    yaw: float
    back: bool


class Sitting(Arms):
    """People who sit."""

    def sit(self) -> None:
        f, size = self.figure, self.size
        lean = self.choose(upright=0.5, back=0.25, forward=0.25)
        self.root({'upright': self.normal(-4, 4), 'back': -self.between(10, 22), 'forward': self.between(0, 14)}[lean])
        self.spine(
            {'upright': self.normal(8, 5), 'back': self.between(2, 15), 'forward': self.between(12, 38)}[lean],
            self.normal(0, 4),
            self.normal(0, 6),
        )
        self.look(self.normal(-10 if lean == 'forward' else 4, 9), self.normal(0, 22), self.normal(0, 5))
        cross = self.choose(none=0.66, knee=0.12, ankle=0.1, feet=0.12)
        a, b = self.legs['L'].lengths
        high = self.between(0.9, 1.1)
        first = self.side()
        spread = {'none': self.between(0.0, 0.13), 'knee': 0.0, 'ankle': 0.03, 'feet': 0.03}[cross] * size
        tuck, yaw = self.between(-0.08, 0.16) * size, self.between(0, 15)
        foot = {s: self.foot_turn(yaw * SIDES[s] * (0.3 if cross == 'feet' else 1)) for s in SIDES}
        height = {s: self.sole + self.ankle_height(s, foot[s]) for s in SIDES}
        seat = high * (b + height['L']) - 0.05 * size
        f.update()
        for s, leg in self.legs.items():
            leg.write(
                np.array([*leg.swing_to(f.world[leg.parent].T @ np.array([0.1 * SIDES[s], -1, 0.0])), 0, 1.5, 0, 0])
            )
        carried = f.anatomy.patch('pelvis', 'hip.L', 'hip.R', 'thigh.L', 'thigh.R')
        stagger = self.normal(0, 0.05) * size
        for attempt in range(2):
            f.shift(seat - 0.006 - f.points(carried)[:, 2].min())
            for s in SIDES:
                hip = f.at(f'upperleg01.{s}')
                x = hip[0] + SIDES[s] * spread * 1.2
                if cross == 'knee':
                    x = hip[0] * 0.35
                if cross == 'feet':
                    x = SIDES[s] * 0.02
                y = hip[1] - a * 0.97 + tuck + (stagger * SIDES[s] if cross == 'none' else 0)
                if cross == 'feet':
                    y += 0.1 * size * (1 if s == first else -1) - 0.08 * size
                if s != first or cross in ('none', 'feet') or attempt == 0:
                    self.put_leg(
                        s, np.array([x, y, height[s]]), foot[s], knee=SIDES[s] * (yaw + 90 * spread / size), steps=6
                    )
        other = 'R' if first == 'L' else 'L'
        if cross in ('knee', 'ankle'):
            self.cross_legs(first, other, cross)
        else:
            self.depths.append(self.leg_depth())
        self.make_seat(carried, seat, lean)
        self.sit_arms(lean)

    def cross_legs(self, first: str, other: str, cross: str) -> None:
        """Lay one leg over the other: knee over knee, or the ankle on the knee."""
        f, leg = self.figure, self.legs[first]
        hip, knee = f.at(f'upperleg01.{other}'), f.at(f'lowerleg01.{other}')
        obstacles = f.obstacles([f'{n}.{other}' for n in LEG_PIECES] + ['belly', 'waist'])
        own = f.at(f'upperleg01.{first}')
        if cross == 'knee':
            target = hip + 0.98 * (knee - hip) + (UP * 0.15 - X * SIDES[first] * 0.05) * self.size
            way = unit(target - own)
            home = np.array(
                [*leg.swing_to(f.world[leg.parent].T @ way), np.radians(8), np.radians(82), np.radians(-15), 0]
            )
            goals = [Point(2, leg.heads[2], own + way * leg.lengths[0], 12.0)]
            goals.append(Direction(2, leg.lower, unit(np.array([-0.4 * SIDES[first], -0.3, -0.85])), 1.0))
        else:
            target = knee + UP * 0.11 * self.size + (hip - knee) * 0.16 - X * SIDES[first] * 0.04 * self.size
            way = unit(np.array([0.66 * SIDES[first], -0.72, 0.22]))
            home = np.array([*leg.swing_to(f.world[leg.parent].T @ way), np.radians(-92), np.radians(100), 0, 0])
            goals = [Point(4, leg.heads[4], target, 30.0), Point(2, leg.heads[2], own + way * leg.lengths[0], 6.0)]
        q, deep = solve(
            leg, home + np.radians([22, 0, 0, 0, 0, 0]), goals, obstacles, 0.004, home=home, hold=0.15, steps=18
        )
        leg.write(q)
        self.bend_toes(first, 0)
        self.depths.append(max(deep, self.leg_depth()) - 0.002)
        missed = np.linalg.norm(f.at(f'foot.{first}') - target) if cross == 'ankle' else 0.0
        if missed > 0.06 * self.size or (cross == 'knee' and q[3] < np.radians(48)):
            self.depths.append(0.02)

    def make_seat(self, carried: Patch, height: float, lean: str) -> None:
        """Make a box under the pelvis and the thighs that leaves room for the calves."""
        f = self.figure
        patch = f.anatomy.patch
        rear = f.points(patch('pelvis', 'waist', 'ribs', 'hip.L', 'hip.R'))[:, 1].max()
        low = f.points(patch(*(f'{n}.{s}' for n in ('calf', 'shin', 'foot') for s in SIDES)))
        low = low[low[:, 2] < height - 0.01]
        knees = max(f.at(f'lowerleg01.{s}')[1] for s in SIDES)
        front = max(low[:, 1].max() + 0.015 if len(low) else knees, knees + self.between(0.03, 0.12) * self.size)
        rear += 0.012
        x = f.points(carried)[:, 0]
        width = max(np.ptp(x) + self.between(0.02, 0.15), self.between(0.38, 0.5))
        middle = 0.5 * (f.at('upperleg01.L') + f.at('upperleg01.R'))[0]
        if front > rear - 0.12:
            front = rear - 0.12
        center = np.array([middle, (front + rear) / 2, height / 2])
        self.seat = Seat(center, np.array([width, rear - front, height]), 0.0, lean == 'back' or self.chance(0.5))

    def sit_arms(self, lean: str) -> None:
        kind = self.choose(lap=0.4, knees=0.25, stand=0.3, gesture=0.05)
        kinds = self.pick_arms() if kind == 'stand' else dict.fromkeys(SIDES, kind)
        kinds = {s: 'lap' if k in ('hang', 'front', 'back', 'hip') else k for s, k in kinds.items()}
        self.begin_arms(**{s: self.STYLES.get(k, 'relaxed') for s, k in kinds.items()})
        for s in SIDES:
            if kinds[s] in ('lap', 'knees'):
                mark = f'thigh.{s}' if kinds[s] == 'lap' else f'kneecap.{s}'
                home = self.angles(s, (0.25, 0.3 + 0.2 * (kinds[s] == 'knees'), -0.9), 20, 65, 35)
                self.put_arm(
                    s,
                    home,
                    self.touch(s, mark, along=(-0.3, -0.9, 0), weight=25, offset=(0, self.between(-0.03, 0.06), 0.0)),
                )
            else:
                self.arm_pose(s, kinds[s])
