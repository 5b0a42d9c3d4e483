"""Poses of arms without intersection with the body and each other."""

import numpy as np

from .anatomy import ARM_PIECES, LEG_PIECES
from .legs import Legs
from .limbs import Limb
from .rotations import SIDES, unit
from .solver import Direction, Point, solve

FAULT = 0.006  # meters that limbs may penetrate (convex hulls of parts of) the body before another pose is tried
TRUNK = ('head', 'neck', 'shoulders', 'ribs', 'belly', 'waist', 'pelvis')


class Restart(Exception):
    """This attempt at a pose failed: another one starts over."""


class Arms(Legs):
    """The trunk and the legs, and arms that do not intersect them."""

    def angles(self, side: str, way, twist=0.0, elbow=20.0, roll=0.0, flex=0.0, dev=0.0) -> np.ndarray:
        """Return the angles of an arm: ``way`` is the direction of the upper arm, (out, forward, up) relative to the chest; the
        other arguments are in degrees."""
        out, front, up = way
        arm = self.arms[side]
        swing = arm.swing_to(np.array([out * SIDES[side], -front, up]))
        return np.array([*swing, *np.radians([twist, elbow, roll, flex, dev])])

    def begin_arms(self, **hands) -> None:
        """Bend the fingers and prepare the arms. The trunk, the head and the legs are final."""
        if self.hasty and max(self.depths) > FAULT:
            raise Restart
        for s in SIDES:
            self.hand(s, hands.get(s))
        self.figure.update()
        self.arms = {s: Limb(self.figure, 'arm', s) for s in SIDES}
        self.around = self.figure.obstacles([*TRUNK, *(f'{n}.{s}' for s in SIDES for n in LEG_PIECES)], self.floor)

    def put_arm(self, side: str, home: np.ndarray, goals=(), hold=0.15, steps=10, clearance=None) -> None:
        """Pose an arm near ``home`` that meets its goals and does not intersect earlier parts."""
        arm, clearance = self.arms[side], self.clearance if clearance is None else clearance
        obstacles = self.around
        other = 'R' if side == 'L' else 'L'
        if other in self.arm_angles:
            obstacles = obstacles.join(self.figure.obstacles([f'{n}.{other}' for n in ARM_PIECES]))
        best = None
        for start in range(3):
            way = home
            if start:
                away = [12, 25 * self.out(side, home), -10, -5, 0, 0, 0] if start == 1 else [25, 0, 20, 15, -20, 0, 0]
                way = home + np.radians(away)
            q, deep = solve(arm, way, goals, obstacles, clearance, home=home, hold=hold, steps=steps)
            if deep > -0.4 * clearance:
                q, deep = solve(arm, q, (), obstacles, clearance, home=q, hold=0.05, steps=6)
            arm.write(q)
            if other in self.arm_angles and deep < FAULT:  # also the other arm in this one
                mine = self.figure.obstacles([f'{n}.{side}' for n in ARM_PIECES])
                deep = max(deep, self.arms[other].depth(mine))
            if best is None or deep < best[0]:
                best = deep, q
            if deep + 0.005 < FAULT:
                break
        if best[1] is not q:
            arm.write(best[1])
        if self.hasty and best[0] + 0.005 > FAULT:
            raise Restart
        self.arm_angles[side] = best[1]
        self.depths.append(best[0] + 0.005)

    def out(self, side: str, q: np.ndarray) -> float:
        """Return the sign of the second swing angle that moves an arm away from the trunk."""
        arm, step = self.arms[side], 0.05 * np.eye(7)[1]
        turned = arm.bend(np.stack([q + step, q - step]))
        up, down = (turned[0] @ turned[2] @ arm.upper)[:, 0] * SIDES[side]
        return 1.0 if up > down else -1.0

    def touch(
        self, side: str, mark: str, part='palm', offset=None, along=None, weight=40.0, gap=None, facing=0.5
    ) -> list:
        """Return the goals that put a part of a hand ('palm', 'knuckle', 'tip', 'middle') on a landmark."""
        arm = self.arms[side]
        place, normal = self.figure.mark(mark)
        if offset is not None:
            place = place + np.multiply(offset, self.size)
        gap = self.clearance if gap is None else gap
        goals = [Point(6, arm.marks[part], place + normal * gap, weight)]
        if facing:
            goals.append(Direction(6, arm.palm, -normal, facing))
        if along is not None:
            goals.append(Direction(6, arm.along, unit(np.array(along, float) * [SIDES[side], 1, 1]), 0.4))
        return goals

    def hang(self, side: str) -> None:
        self.put_arm(
            side,
            self.angles(
                side,
                (self.between(0.1, 0.32), self.normal(0.03, 0.12), -1),
                self.between(-5, 28),
                self.between(8, 38),
                self.between(0, 55),
                self.normal(0, 8),
                self.normal(0, 5),
            ),
        )

    def arm_pose(self, side: str, kind: str) -> None:
        """Pose one arm of a standing or sitting person."""
        if kind == 'hip':
            home = self.angles(side, (0.75, -0.25, -0.65), 35, 95, 20, 10)
            self.put_arm(side, home, self.touch(side, f'hip.{side}', along=(-0.25, -0.75, -0.6)))
        elif kind == 'front':
            home = self.angles(side, (0.15, 0.2, -1), 45, 60, 20)
            place = (0, 0, self.between(-0.06, 0.03))
            self.put_arm(side, home, self.touch(side, 'crotch', offset=place, along=(-0.8, -0.1, -0.5), facing=0.3))
        elif kind == 'belly':
            home = self.angles(side, (0.15, 0.15, -1), 50, 85, 20)
            self.put_arm(
                side,
                home,
                self.touch(
                    side,
                    'belly',
                    offset=(SIDES[side] * 0.03, 0, self.between(-0.05, 0.05)),
                    along=(-0.9, -0.1, 0.1),
                    facing=0.4,
                ),
            )
        elif kind == 'chin':
            home = self.angles(side, (0.1, 0.45, -0.9), 25, 135, 10)
            part = 'knuckle' if self.hands[side] == 'fist' else 'middle'
            self.put_arm(side, home, self.touch(side, 'chin', part, gap=0.015, facing=0.0, along=(-0.3, 0.2, 0.8)))
        elif kind in ('cheek', 'temple', 'ear'):
            home = self.angles(side, (0.45, 0.35, -0.7), -5, 140, -10)
            part = 'palm' if kind != 'temple' else 'middle'
            self.put_arm(
                side, home, self.touch(side, f'{kind}.{side}', part, gap=0.02, along=(-0.1, 0.3, 0.9), facing=0.35)
            )
        elif kind == 'nape':
            home = self.angles(side, (0.9, 0.25, 0.45), -30, 140, 0)
            self.put_arm(side, home, self.touch(side, 'nape', 'palm', gap=0.02, facing=0.3))
        elif kind == 'chest':
            home = self.angles(side, (0.3, 0.25, -0.9), 55, 115, 10)
            other = 'R' if side == 'L' else 'L'
            mark = self.choose(**{'sternum': 1, f'chest.{other}': 1})
            self.put_arm(side, home, self.touch(side, mark, along=(-0.85, -0.1, 0.4)))
        elif kind == 'phone':
            home = self.angles(side, (0.2, 0.3, -1), 15, self.between(95, 120), -45, 5)
            self.put_arm(side, home)
        elif kind == 'wave':
            home = self.angles(
                side,
                (0.9, 0.25, self.between(-0.4, 0.5)),
                self.between(-70, -45),
                self.between(60, 115),
                self.between(-10, 50),
            )
            self.put_arm(side, home)
        elif kind == 'carry':
            home = self.angles(side, (0.2, 0.1, -1), 10, self.between(80, 100), self.between(-70, 40))
            self.put_arm(side, home)
        elif kind == 'gesture':
            home = self.angles(
                side,
                (self.between(0.15, 0.6), self.between(0, 0.5), -0.9),
                self.between(-20, 40),
                self.between(40, 110),
                self.between(-60, 60),
                self.normal(0, 20),
                self.normal(0, 8),
            )
            self.put_arm(side, home)
        elif kind == 'back':
            home = self.angles(side, (0.2, -0.45, -1), 70, 60, 30)
            self.put_arm(side, home, self.touch(side, 'loin', 'knuckle', facing=0, along=(-0.9, 0.1, 0)))
        else:
            self.hang(side)

    STYLES = {
        'hip': 'relaxed',
        'chin': None,
        'phone': 'grip',
        'wave': 'open',
        'carry': 'grip',
        'cheek': 'relaxed',
        'ear': 'grip',
        'belly': 'open',
        'chest': 'open',
    }

    def both_arms(self, kinds: dict) -> None:
        styles = {s: self.STYLES.get(kind) for s, kind in kinds.items()}
        self.begin_arms(**styles)
        for s in sorted(SIDES, key=lambda s: kinds[s] == 'hang'):
            self.arm_pose(s, kinds[s])

    def pick_arms(self) -> dict:
        """Draw the kinds of pose of both arms."""
        kind = self.choose(hang=0.26, hips=0.1, front=0.1, one=0.46, back=0.03, free=0.05)
        if kind == 'hang':
            return {'L': 'hang', 'R': 'hang'}
        if kind == 'hips':
            return {'L': 'hip', 'R': 'hip'}
        if kind == 'front':
            return dict.fromkeys(SIDES, self.choose(front=0.7, belly=0.3))
        if kind == 'back':
            return dict.fromkeys(SIDES, 'back')
        if kind == 'free':
            return dict.fromkeys(SIDES, 'gesture')
        first = self.side()
        what = self.choose(
            hip=0.15,
            chin=0.12,
            cheek=0.06,
            temple=0.06,
            ear=0.1,
            nape=0.05,
            chest=0.08,
            phone=0.13,
            wave=0.1,
            carry=0.06,
            gesture=0.16,
            belly=0.05,
        )
        other = self.choose(hang=0.65, hip=0.15, belly=0.1, gesture=0.1)
        return {first: what, 'R' if first == 'L' else 'L': other}
