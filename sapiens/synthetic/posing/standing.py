"""Poses: standing, reaching and squatting."""

import numpy as np

from .arms import Arms, Restart
from .rotations import SIDES


class Standing(Arms):
    """People with both feet on the ground."""

    def upright(self, lean=5.0) -> None:
        self.spine(self.normal(2, lean, -12, 25), self.normal(0, 3), self.normal(0, 6))

    def plant(self) -> None:
        """Put both feet on the ground with a random distribution of the weight."""
        size, weight = self.size, self.side()
        other = 'R' if weight == 'L' else 'L'
        fraction = self.between(0.5, 0.85)
        width = self.between(0.07, 0.17) * size
        roll = self.between(0, 7) * (fraction - 0.4) * 2 * SIDES[weight]  # the hip of the supporting leg is higher
        self.root(self.normal(0, 3), roll, self.normal(0, 4))
        feet = {
            weight: {'at': (SIDES[weight] * width, 0.0), 'yaw': self.between(0, 20)},
            other: {
                'at': (SIDES[other] * (width + self.between(0, 0.05)), self.normal(-0.03, 0.07) * size),
                'yaw': self.between(0, 32),
                'knee': self.between(0, 25),
            },
        }
        self.stand_on(feet, {weight: fraction, other: 1 - fraction}, bend=self.between(3, 8))

    def stand(self) -> None:
        kinds = self.pick_arms()
        lean, twist = self.normal(0, 3), self.normal(0, 6)
        self.spine(self.normal(2, 5, -10, 20), lean, twist)
        self.glance()
        for s, kind in kinds.items():
            if kind == 'phone':
                self.look(self.between(15, 32), self.normal(8 * SIDES[s], 6), self.normal(0, 3))
            if kind in ('chin', 'cheek'):
                self.look(self.between(-3, 14), self.normal(0, 12), self.normal(0, 6))
        self.plant()
        self.both_arms(kinds)

    def crossed_arms(self) -> None:
        self.spine(self.normal(1, 4, -8, 12), self.normal(0, 2), self.normal(0, 4))
        self.look(self.normal(0, 8, -12, 15), self.normal(0, 18), self.normal(0, 4))
        self.plant()
        under = self.side()
        over = 'R' if under == 'L' else 'L'
        self.begin_arms(**{under: 'relaxed', over: 'open'})
        level = self.between(-0.1, -0.04)
        for further in (0.006, 0.018, 0.03, 0.042):  # stout people hold the arms further out and cross them less
            try:
                return self.cross_arms(under, over, level, further)
            except Restart:
                self.arm_angles.clear()
        raise Restart

    def cross_arms(self, under: str, over: str, level: float, further: float) -> None:
        for s, ahead in ((under, further), (over, 0.035 + 1.5 * further)):
            other = 'R' if s == 'L' else 'L'
            home = self.angles(s, (0.28, 0.38 + 3 * ahead, -0.85), 62, 108, 25 if s == over else 10)
            goals = self.touch(
                s,
                f'chest.{other}',
                offset=(-SIDES[s] * (0.05 - 1.2 * further), -0.02 - ahead, level + (0.03 if s == over else 0)),
                along=(-0.95, -0.05, 0.12),
                facing=0.4,
            )
            self.put_arm(s, home, goals, steps=9)

    def reach(self) -> None:
        kind = self.choose(up=0.35, forward=0.35, down=0.3)
        size, s = self.size, self.side()
        other = 'R' if s == 'L' else 'L'
        if kind == 'down':
            flex = self.between(25, 58)
            self.root(self.between(10, 38), 0, self.normal(0, 6))
            self.spine(flex, self.normal(0, 5), self.normal(0, 8))
            self.look(self.normal(5, 10), self.normal(0, 12), 0)
            feet = {
                t: {
                    'at': (SIDES[t] * self.between(0.09, 0.2) * size, self.normal(0, 0.08) * size),
                    'yaw': self.between(2, 20),
                }
                for t in SIDES
            }
            self.stand_on(feet, {'L': 0.5, 'R': 0.5}, drop=self.between(0, 0.12) * size)
        else:
            self.spine(self.normal(-4 if kind == 'up' else 6, 5), self.normal(0, 6), self.normal(-6 * SIDES[s], 6))
            self.look(self.normal(-18 if kind == 'up' else 3, 8), self.normal(8 * SIDES[s], 15), self.normal(0, 4))
            self.plant()
        both = self.chance(0.45)
        self.begin_arms(**{s: self.choose(open=0.4, grip=0.3, point=0.15, spread=0.15)})
        chest = self.figure.world[self.figure.bones['spine01']]
        for t in (s, other):
            if t == other and not both:
                if kind == 'down':
                    x, y, z = chest.T @ np.array([0.1 * SIDES[t], -self.between(-0.1, 0.2), -1.0])
                    knee = self.chance(0.4)
                    goals = (
                        self.touch(t, f'kneecap.{t}', offset=(0, 0, 0.12), along=(0, -0.5, -0.8), weight=25)
                        if knee
                        else ()
                    )
                    self.put_arm(t, self.angles(t, (x * SIDES[t], -y, z), 10, self.between(10, 50), 30), goals)
                else:
                    self.arm_pose(t, 'hang')
                continue
            way = {
                'up': (self.between(0, 0.5), self.between(0.1, 0.7), self.between(0.5, 1)),
                'forward': (self.between(0, 0.6), 1, self.between(-0.5, 0.3)),
                'down': (0, 0, 0),
            }[kind]
            if kind == 'down':
                x, y, z = chest.T @ np.array([self.between(-0.05, 0.25) * SIDES[t], -self.between(0, 0.5), -1.0])
                way = x * SIDES[t], -y, z
            self.put_arm(
                t,
                self.angles(
                    t,
                    way,
                    self.normal(0, 15, -40, 40),
                    self.between(5, 50),
                    self.between(-30, 60),
                    self.normal(0, 12),
                    self.normal(0, 6),
                ),
            )

    def squat(self) -> None:
        size = self.size
        depth = self.between(0.25, 1.0)
        self.root(10 + 15 * depth, 0, 0)
        self.spine(self.between(10, 35), self.normal(0, 2), self.normal(0, 5))
        self.look(self.between(-25, 0), self.normal(0, 18), 0)
        wide, yaw = self.between(0.13, 0.22) * size, self.between(10, 30)
        leg = sum(self.legs['L'].lengths)
        heel = max(0.0, 38 * (depth - 0.45)) if self.chance(0.8) else 0.0
        feet = {
            s: {
                'at': (SIDES[s] * wide, self.normal(0, 0.02) * size),
                'yaw': yaw,
                'knee': yaw + self.between(2, 15),
                'pitch': heel,
            }
            for s in SIDES
        }
        self.stand_on(feet, {'L': 0.5, 'R': 0.5}, drop=leg * (0.15 + 0.38 * depth))
        self.begin_arms()
        kind = self.choose(forward=0.4, knees=0.4, floor=0.2)
        for s in SIDES:
            if kind == 'knees':
                home = self.angles(s, (0.35, 0.7, -0.6), 20, 60, 30)
                self.put_arm(s, home, self.touch(s, f'kneecap.{s}', along=(0, -0.7, -0.7), weight=25))
            else:
                up = self.between(-0.5, 0.2) if kind == 'forward' else -1
                self.put_arm(s, self.angles(s, (0.25, 1, up), 15, self.between(10, 60), self.between(-20, 60)))
