"""Poses: walking, running, dancing and jumping."""

import numpy as np

from .arms import Arms
from .rotations import SIDES


class Moving(Arms):
    """People in motion."""

    def walk(self) -> None:
        self.stride(self.between(0.25, 0.62), self.normal(3, 3), self.between(8, 32), (10, 40), False)

    def run(self) -> None:
        self.stride(self.between(0.5, 0.9), self.between(4, 16), self.between(25, 50), (75, 105), True)

    def stride(self, length: float, lean: float, swing: float, elbow: tuple, run: bool) -> None:
        """Pose a walking or running person at a random phase of the stride."""
        size, front = self.size, self.side()
        rear = 'R' if front == 'L' else 'L'
        phase = self.rng.random()
        width = self.between(0.045, 0.08) * size
        twist = swing * 0.25 * SIDES[front]
        self.root(lean * 0.4, 0, -twist * 0.5)
        self.spine(lean * 0.6, self.normal(0, 2), twist)
        self.look(self.normal(2, 7), self.normal(-0.5 * twist, 14), self.normal(0, 3))
        at, half = SIDES, length * size / 2
        if run:
            self.lift = self.between(0, 0.08) * size if phase < 0.35 else None
        if phase < 0.6 and not run:  # both feet on the ground
            feet = {
                front: {'at': (at[front] * width, -half), 'yaw': self.between(2, 12), 'pitch': -self.between(0, 18)},
                rear: {
                    'at': (at[rear] * width, half - 0.07 * size),
                    'yaw': self.between(2, 12),
                    'pitch': self.between(18, 42),
                },
            }
            self.stand_on(feet, {front: 0.55, rear: 0.45}, bend=self.between(7, 14))
        elif not run:  # one leg swings forward
            gap = self.between(-0.1, 0.2)
            feet = {
                front: {'at': (at[front] * width, 0.0), 'yaw': self.between(2, 12)},
                rear: {
                    'at': (at[rear] * width, gap * size),
                    'yaw': 5,
                    'pitch': 10 + 110 * max(gap, 0),
                    'lift': (0.03 + 0.4 * max(gap, 0)) * size,
                },
            }
            self.stand_on(feet, {front: 1.0}, bend=self.between(6, 14), shift=(0, -0.02 * size))
        else:
            self.figure.update()
            knee = self.between(60, 110)
            for s, angles in (
                (front, (self.between(45, 80), 0, knee, -5, 0)),
                (rear, (self.between(-22, -8), 0, self.between(15, 95), -35, 0)),
            ):
                hip, *rest = np.radians(angles)
                leg = self.legs[s]
                q = np.array([*leg.swing_to(np.array([0.02 * at[s], -np.sin(hip), -np.cos(hip)])), *rest])
                leg.write(q)
            self.ground_runner(front, rear)
        self.begin_arms(
            L=self.choose(relaxed=0.6, fist=0.4) if run else None, R='fist' if run and self.chance(0.5) else None
        )
        for s in SIDES:
            ahead = swing * (1 if s == rear else -1) * (abs(phase - 0.8) * 0.5 + 0.7)
            angle = np.radians(ahead + (-8 if run else 0))
            bent = self.between(*elbow) + max(ahead, 0) * 0.4
            self.put_arm(
                s,
                self.angles(
                    s,
                    (self.between(0.1, 0.3), np.sin(angle) * 1.1, -np.cos(angle)),
                    self.between(5, 30),
                    bent,
                    self.between(0, 40),
                ),
            )

    def ground_runner(self, front: str, rear: str) -> None:
        """Let a runner on the ground push off with the toes of the rear foot."""
        f = self.figure
        low = min(f.points(f.anatomy.sole_patches[s])[:, 2].min() for s in SIDES)
        f.shift(self.sole + (self.lift or 0.0) - low)

    def dance(self) -> None:
        size, weight = self.size, self.side()
        other = 'R' if weight == 'L' else 'L'
        self.root(self.normal(0, 8), self.normal(0, 6), self.normal(0, 10))
        self.spine(self.normal(3, 12), self.normal(0, 10), self.normal(0, 15))
        self.look(self.normal(0, 12), self.normal(0, 25), self.normal(0, 8))
        lift = self.between(0.05, 0.45) * size if self.chance(0.5) else 0.0
        feet = {
            weight: {
                'at': (0.06 * SIDES[weight] * size, 0.0),
                'yaw': self.between(0, 25),
                'pitch': self.between(10, 40) if self.chance(0.25) else 0.0,
            },
            other: {
                'at': (SIDES[other] * self.between(0.1, 0.45) * size, self.normal(0, 0.2) * size),
                'yaw': self.between(0, 35),
                'pitch': self.between(10, 45) if lift else self.between(0, 25),
                'lift': lift,
            },
        }
        self.stand_on(feet, {weight: 1.0} if lift else {weight: 0.6, other: 0.4}, bend=self.between(8, 35))
        self.begin_arms()
        for s in SIDES:
            self.wild_arm(s)

    def jump(self) -> None:
        f = self.figure
        self.root(self.normal(2, 10), self.normal(0, 5), self.normal(0, 10))
        self.spine(self.normal(0, 12), self.normal(0, 6), self.normal(0, 10))
        self.look(self.normal(-3, 12), self.normal(0, 20), self.normal(0, 6))
        f.update()
        tucked = self.between(0, 70) if self.chance(0.5) else self.between(-10, 15)
        for s, leg in self.legs.items():
            h, spread = np.radians(tucked + self.normal(0, 10)), np.radians(self.between(3, 28))
            way = np.array([np.sin(spread) * SIDES[s], -np.sin(h) * np.cos(spread), -np.cos(h) * np.cos(spread)])
            knee = np.clip(tucked * 1.3 + self.between(5, 80), 5, 130)
            leg.write(np.array([*leg.swing_to(way), 0, np.radians(knee), np.radians(-self.between(10, 45)), 0]))
        low = min(f.points(f.anatomy.sole_patches[s])[:, 2].min() for s in SIDES)
        self.lift = self.between(0.05, 0.4) * self.size
        f.shift(self.sole + self.lift - low)
        self.begin_arms()
        for s in SIDES:
            self.wild_arm(s)

    def wild_arm(self, s: str) -> None:
        way = (self.between(0.1, 1), self.between(-0.3, 1), self.between(-1, 1))
        self.put_arm(
            s,
            self.angles(
                s,
                way,
                self.normal(0, 30, -65, 65),
                self.between(5, 130),
                self.normal(10, 35, -75, 75),
                self.normal(0, 18),
                self.normal(0, 8),
            ),
        )
