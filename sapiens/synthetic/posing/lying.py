"""Poses: kneeling and lying."""

import numpy as np

from .anatomy import LEG_PIECES
from .arms import Arms
from .rotations import SIDES, UP, X, turn, unit
from .solver import Point, solve


class Lying(Arms):
    """People who kneel or lie."""

    def kneel(self) -> None:
        f, kind = self.figure, self.choose(both=0.4, heels=0.25, one=0.35)
        pitch = self.between(-3, 10)
        self.root(pitch, 0, 0)
        self.spine(self.normal(8, 8, -8, 35), self.normal(0, 3), self.normal(0, 6))
        self.glance()
        f.update()
        front = self.side() if kind == 'one' else None
        thigh = {'both': self.between(-4, 12), 'heels': self.between(40, 52), 'one': self.between(-12, 6)}[kind]
        tucked = kind == 'one' or self.chance(0.3)
        for s in SIDES:
            if s == front:
                continue
            spread = self.between(2, 9)
            shin = self.between(2, 5) + (14 if tucked else 5)  # degrees by which the shin rises towards the ankle
            self.kneel_leg(s, thigh, spread, shin, tucked)
        legs = f.anatomy.patch(*(f'leg.{s}' for s in SIDES if s != front))
        f.shift(-(f.points(legs)[:, 2].min()))
        if front:
            hip = f.at(f'upperleg01.{front}')
            foot = self.foot_turn(self.between(0, 12) * SIDES[front])
            y = hip[1] - self.legs[front].lengths[0] * self.between(0.85, 1.05)
            ankle = np.array(
                [
                    hip[0] + SIDES[front] * self.between(0, 0.06) * self.size,
                    y,
                    self.sole + self.ankle_height(front, foot),
                ]
            )
            self.depths.append(self.put_leg(front, ankle, foot) - 0.004)
        kinds = self.pick_arms()
        if self.chance(0.5):
            kinds = {s: 'lap' for s in SIDES}
        self.begin_arms(**{s: 'relaxed' for s in SIDES})
        for s in SIDES:
            if kinds[s] == 'lap':
                mark = f'kneecap.{s}' if s == front else f'thigh.{s}'
                self.put_arm(
                    s,
                    self.angles(s, (0.25, 0.3, -0.9), 20, 60, 40),
                    self.touch(s, mark, along=(-0.2, -0.7, -0.6), weight=25),
                )
            else:
                self.arm_pose(s, kinds[s])

    def kneel_leg(self, s: str, thigh: float, spread: float, shin: float, tucked: bool) -> None:
        f, leg = self.figure, self.legs[s]
        t = np.radians(thigh)
        way = np.array([np.sin(np.radians(spread)) * SIDES[s], -np.sin(t), -np.cos(t)])
        knee = min(90 + thigh - shin, 138)
        q = np.array(
            [
                *leg.swing_to(f.world[leg.parent].T @ unit(way)),
                0,
                np.radians(knee),
                np.radians(18 if tucked else -48),
                0,
            ]
        )
        if tucked:
            self.bend_toes(s, 45)
        leg.write(np.clip(q, leg.low, leg.high))

    def lie(self) -> None:
        f, kind = self.figure, self.choose(back=0.5, side=0.25, front=0.25)
        s = self.side()
        other = 'R' if s == 'L' else 'L'
        self.floor = 0.0
        base = turn(X, -np.pi / 2)
        if kind == 'front':
            base = turn(X, np.pi / 2)
        elif kind == 'side':  # on the side s
            base = turn(np.array([0, 1.0, 0]), SIDES[s] * np.radians(self.between(78, 100))) @ base
        self.root(base=base)
        bend = {'back': self.normal(3, 4), 'side': self.between(5, 30), 'front': self.normal(-4, 3)}[kind]
        self.spine(bend, self.normal(0, 4), self.normal(0, 4))
        self.look(0, 0, 0)
        f.update()
        patch = f.anatomy.patch
        trunk = patch('pelvis', 'waist', 'belly', 'ribs', 'shoulders', 'hip.L', 'hip.R')
        f.shift(-(f.points(trunk)[:, 2].min()))
        head = patch('head')
        yaw = self.normal(0, 20) if kind != 'front' else self.between(45, 62) * SIDES[s]
        rest = [0.0, yaw, 0.0]
        axis = 2 if kind == 'side' else 0
        low, high = (-22, 22) if kind == 'side' else (-35, 35)
        values = np.linspace(low, high, 7)
        heights = []
        for value in values:
            rest[axis] = value
            self.distribute(
                ('neck01', 'neck02', 'neck03', 'head'), (rest[0], rest[2], rest[1]), (0.22, 0.22, 0.22, 0.34)
            )
            f.update(f.bones['neck01'])
            heights.append(f.points(head)[:, 2].min())
        order = np.argsort(heights)
        rest[axis] = float(np.interp(0.0, np.array(heights)[order], values[order]))
        self.look(*rest)
        f.update()
        self.lie_legs(kind, s)
        self.begin_arms(**dict.fromkeys(SIDES, 'relaxed'))
        for t in (s, other):
            if kind == 'side':
                way = (
                    (self.between(-0.1, 0.2), 1, self.between(-0.2, 0.5))
                    if t == s
                    else (0.2, self.between(0.2, 0.8), -0.8)
                )
                home = self.angles(t, way, 20, self.between(30, 90), 10)
            elif kind == 'front':
                up = self.chance(0.6)
                way = (0.85, 0.15, 0.35) if up else (0.35, 0.05, -0.9)
                home = self.angles(t, way, -60 if up else 20, self.between(80, 110) if up else 20, 20)
            else:
                way, twist, elbow = [
                    ((0.35, 0, -0.9), 0, 20),
                    ((0.9, 0.05, -0.2), -50, 60),
                    ((0.8, 0.1, 0.5), -60, 95),
                    ((0.3, 0.1, -0.9), 50, 80),
                ][self.rng.integers(4)]
                home = self.angles(t, way, twist, elbow, 10)
            wrist = self.arms[t]
            joints = wrist.frames(home[None])[1][6, 0]
            goals = (
                [Point(6, wrist.marks['palm'], np.array([joints[0], joints[1], 0.035 * self.size]), 6.0)]
                if kind != 'back' or home[3] < 1.3
                else []
            )
            self.put_arm(t, home, goals, steps=14, clearance=0.004)

    def lie_legs(self, kind: str, s: str) -> None:
        f = self.figure
        floor = f.obstacles(['belly'], 0.0)
        for t, leg in self.legs.items():
            bent = kind == 'back' and self.chance(0.3)
            if bent:
                hip = f.at(f'upperleg01.{t}')
                down = f.world[0] @ -UP
                foot = turn(UP, np.arctan2(down[0], -down[1]))
                ankle = hip + down * sum(leg.lengths) * self.between(0.45, 0.7)
                ankle[2] = self.sole + self.ankle_height(t, foot)
                self.put_leg(t, ankle, foot, steps=12)
                continue
            flex = {
                'back': self.normal(3, 3),
                'front': self.normal(0, 3),
                'side': self.between(15, 60) if t != s else self.between(0, 35),
            }[kind]
            knee = {
                'back': self.between(3, 12),
                'front': self.between(5, 15),
                'side': flex * self.between(0.9, 1.5) + 5,
            }[kind]
            spread = self.between(3, 12) if kind != 'side' else 0
            h = np.radians(flex)
            way = np.array([np.sin(np.radians(spread)) * SIDES[t], -np.sin(h), -np.cos(h)])
            q = np.array(
                [
                    *leg.swing_to(unit(way)),
                    np.radians(self.between(-25, 0) if kind == 'back' else 0),
                    np.radians(knee),
                    np.radians(-25 if kind != 'front' else -45),
                    0,
                ]
            )
            obstacles = floor
            if kind == 'side' and t != s:
                obstacles = floor.join(f.obstacles([f'{n}.{s}' for n in LEG_PIECES]))
            leg.write(q)
            place = f.at(f'foot.{t}').copy()
            place[2] = {'back': 0.06, 'front': 0.09, 'side': 0.05 if t == s else 0.16}[kind] * self.size
            q, _ = solve(leg, q, [Point(4, leg.heads[4], place, 8.0)], obstacles, 0.002, hold=0.2, steps=12)
            leg.write(q)
