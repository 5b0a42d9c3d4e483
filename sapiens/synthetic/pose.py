"""Natural poses: what people do, within the limits of their joints, on the ground, and without passing through themselves.

A pose is made in order: trunk and head, feet and seat (legs follow), then arms, each pushed out of what is already there
(:mod:`.contact`). Angles in degrees unless said otherwise; the ground is z = 0; the person faces -y, the left is +x.
"""

from dataclasses import dataclass, field

import numpy as np

from .body import Body, Posed, Shape
from .contact import (
    ARM_PIECES,
    FORWARD,
    LEG_PIECES,
    SIDES,
    UP,
    Direction,
    Figure,
    Limb,
    Point,
    cross,
    hand_axes,
    turn,
    unit,
)

__all__ = ['ACTIONS', 'PoseSample', 'Seat', 'centre_of_mass', 'sample_expression', 'sample_pose']

ACTIONS = {
    'stand': 0.34,
    'walk': 0.13,
    'run': 0.06,
    'sit': 0.15,
    'reach': 0.09,
    'crossed_arms': 0.05,
    'squat': 0.04,
    'kneel': 0.04,
    'lie': 0.04,
    'dance': 0.04,
    'jump': 0.02,
}

X = np.array([1.0, 0, 0])
FAULT = 0.006  # metres that limbs may be in (convex hulls of parts of) the body before another pose is tried
TRUNK = ['head', 'neck', 'shoulders', 'ribs', 'belly', 'waist', 'pelvis']


@dataclass
class Seat:
    """A box to sit on: centre (3,) and size (3,) in metres, turned by yaw radians about z.

    ``back``: there is a backrest, along its +y side.
    """

    centre: np.ndarray
    size: np.ndarray
    yaw: float
    back: bool


@dataclass
class PoseSample:
    """A pose: rotations (163, 3, 3) for :meth:`Body.pose`, and the person placed in the world."""

    rotations: np.ndarray
    action: str
    seat: Seat | None
    posed: Posed
    expression: dict = field(default_factory=dict)


def sample_expression(rng: np.random.Generator) -> dict:
    """Facial actions for :meth:`Body.shape`: name -> 0..1."""
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


def centre_of_mass(figure: Figure) -> np.ndarray:
    """(3,) of a figure, from the shares of the body's segments (after de Leva)."""
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


def sample_pose(
    body: Body, shape: Shape, rng: np.random.Generator, action=None, sole=0.0, clearance=0.012
) -> PoseSample:
    """A pose for a person.

    Args:
        action: one of :data:`ACTIONS`; None: at random by their weights.
        sole: metres under the foot (shoes); the skin of a standing foot is this high.
        clearance: metres of room between limbs and what they could touch.
    """
    if action is None:
        action = str(rng.choice(list(ACTIONS), p=np.array(list(ACTIONS.values())) / sum(ACTIONS.values())))
    if action not in ACTIONS:
        raise ValueError(f'unknown action {action!r}; choose from {", ".join(ACTIONS)}')
    best = None
    for attempt in range(6):
        poser = Poser(body, shape, rng, sole, clearance)
        poser.attempt, poser.hasty = attempt, attempt < 4 or best is not None
        try:
            getattr(poser, action)()
        except _Restart:
            continue
        score = poser.fault()
        if best is None or score < best[0]:
            best = score, poser
        if score < FAULT:
            break
    return best[1].finish(action)


class _Restart(Exception):
    """A limb is in something: no use going on."""


class Poser:
    """One attempt at a pose."""

    def __init__(self, body: Body, shape: Shape, rng: np.random.Generator, sole: float, clearance: float):
        self.body, self.shape, self.rng, self.sole, self.clearance = body, shape, rng, sole, clearance
        self.figure = Figure(body, shape)
        self.seat, self.lift, self.floor = None, None, None
        self.depths = [0.0]
        self.height = np.ptp(shape.vertices[: body.quads['body'].max() + 1, 2])
        self.size = self.height / 1.65
        self.legs = {s: Limb(self.figure, 'leg', s) for s in SIDES}
        self.arms, self.leg_angles, self.arm_angles = {}, {}, {}
        self.hands = {}
        self.attempt, self.hasty = 0, False

    # --- small tools ---

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def normal(self, mean: float, deviation: float, low=-1e9, high=1e9) -> float:
        return float(np.clip(self.rng.normal(mean, deviation), low, high))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def choose(self, **weights) -> str:
        names = list(weights)
        return str(self.rng.choice(names, p=np.array([weights[n] for n in names]) / sum(weights.values())))

    def side(self) -> str:
        return 'L' if self.chance(0.5) else 'R'

    def share(self, bones: tuple, angles: tuple, parts: tuple) -> None:
        """Flexion, lateral lean (to the right) and twist (to the left), in degrees, spread over a chain of bones."""
        for bone, part in zip(bones, parts, strict=True):
            flex, lean, twist = (np.radians(a * part) for a in angles)
            self.figure.rotations[self.figure.bones[bone]] = turn(UP, twist) @ turn(FORWARD, lean) @ turn(X, flex)

    def spine(self, flex: float, lean: float, twist: float) -> None:
        flex, lean, twist = np.clip(flex, -22, 60), np.clip(lean, -25, 25), np.clip(twist, -35, 35)
        self.share(
            ('spine05', 'spine04', 'spine03', 'spine02', 'spine01'), (flex, lean, twist), (0.15, 0.2, 0.25, 0.25, 0.15)
        )

    def look(self, pitch: float, yaw: float, roll: float = 0.0) -> None:
        """Head relative to the chest; the eyes lead the head a little."""
        pitch, yaw, roll = np.clip(pitch, -35, 38), np.clip(yaw, -62, 62), np.clip(roll, -22, 22)
        self.share(('neck01', 'neck02', 'neck03', 'head'), (pitch, roll, yaw), (0.22, 0.22, 0.22, 0.34))
        self.head = pitch, yaw, roll
        side, up = (
            np.clip(0.25 * yaw + self.rng.normal(0, 9), -25, 25),
            np.clip(0.3 * pitch + self.rng.normal(0, 6), -18, 20),
        )
        for s in SIDES:
            self.figure.rotations[self.figure.bones[f'eye.{s}']] = turn(UP, np.radians(side)) @ turn(X, np.radians(up))

    def glance(self) -> None:
        """A head that looks somewhere, mostly ahead."""
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
        _, palm, across = hand_axes(f.heads, f.tails, f.bones, side)
        spread = {'spread': self.between(6, 11), 'open': self.between(-1, 5)}.get(style, self.between(-1.5, 1.5))
        closing = np.clip(1 - curl * 2, 0, 1)
        for finger in range(2, 6):
            mine = (
                curl + rng.normal(0, 0.06) * (1 if curl < 0.62 else 0.35) + 0.04 * (finger - 3) * (style == 'relaxed')
            )
            if style == 'point' and finger == 2:
                mine = self.between(-0.05, 0.08)
            mine = np.clip(mine, -0.12, 0.75)
            for joint, most in zip((1, 2, 3), (72, 88, 55), strict=True):
                i = f.bones[f'finger{finger}-{joint}.{side}']
                d = unit(f.tails[i] - f.heads[i])
                r = turn(unit(cross(d, palm)), np.radians(most * mine * (1 if joint == 1 or mine > 0 else 0.3)))
                if joint == 1:
                    r = turn(palm * SIDES[side], np.radians((3.4 - finger) * spread * closing)) @ r
                f.rotations[i] = r
        thumb = {'fist': 0.55, 'grip': 0.45, 'point': 0.5, 'spread': -0.25, 'open': self.between(-0.2, 0.1)}.get(
            style, self.between(0.0, 0.4)
        )
        thumb += rng.normal(0, 0.05)
        for joint, most in zip((1, 2, 3), (14, 35, 50), strict=True):
            i = f.bones[f'finger1-{joint}.{side}']
            d = unit(f.tails[i] - f.heads[i])
            f.rotations[i] = turn(unit(cross(d, 0.75 * palm - 0.55 * across)), np.radians(most * thumb))
        self.hands[side] = style

    # --- legs and ground ---

    def foot_turn(self, yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
        """A foot's rotation in the world: turned by yaw (to the left), heel raised by pitch."""
        return turn(UP, np.radians(yaw)) @ turn(FORWARD, np.radians(roll)) @ turn(X, np.radians(pitch))

    def bend_toes(self, side: str, angle: float) -> None:
        for toe in range(1, 6):
            self.figure.rotations[self.figure.bones[f'toe{toe}-1.{side}']] = turn(X, -np.radians(angle))

    def ankle_height(self, side: str, foot: np.ndarray, toes: float = 0.0) -> float:
        """Height of the ankle above the foot's lowest point when the foot is turned so and its toes are bent up."""
        f = self.figure
        rows = f.anatomy.soles[side]
        points = f.rest[rows] - f.heads[f.bones[f'foot.{side}']]
        if toes:
            base = f.heads[f.bones[f'toe2-1.{side}']] - f.heads[f.bones[f'foot.{side}']]
            is_toe = points[:, 1] < base[1]
            points = np.where(is_toe[:, None], base + (points - base) @ turn(X, -np.radians(toes)).T, points)
        return float(-(points @ foot.T)[:, 2].min())

    def put_leg(
        self, side: str, ankle: np.ndarray, foot: np.ndarray, knee: float | None = None, obstacles=None, steps=8
    ) -> float:
        """Bring an ankle to a place with the foot turned so, and the knee pointing to yaw ``knee``; returns the error, metres."""
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
        wishes = [
            Point(4, leg.heads[4], ankle, 80.0),
            Direction(4, FORWARD, foot @ FORWARD, 1.2),
            Direction(4, UP, foot @ UP, 1.2),
        ]
        q, deep = leg.solve(home, wishes, obstacles, 0.0, hold=0.08, steps=steps)
        leg.write(q)
        if obstacles is not None:
            self.depths.append(deep)
        got = f.world[leg.rows[4]]
        off = np.degrees(np.arccos(np.clip((np.trace(got.T @ foot) - 1) / 2, -1, 1)))
        if off < 14:  # the sole is exact
            f.rotations[leg.rows[4]] = f.world[leg.rows[3]].T @ foot
            f.update(leg.rows[0])
        self.leg_angles[side] = q
        return float(np.linalg.norm(f.at(f'foot.{side}') - ankle)) + max(off - 14, 0) * 0.002

    def stance(self, feet: dict, support: dict, bend: float = 7.0, drop: float = 0.0, shift=(0.0, 0.0)) -> None:
        """Stand on the feet: they go under the centre of mass, the pelvis as high as the legs reach.

        Args:
            feet: side -> dict(at=(x, y), yaw, pitch, lift, knee); metres, in any frame that only differs by a horizontal shift.
            support: side -> share of the weight.
            bend: least knee angle; ``drop``: metres below that.
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
            f.shift(np.array([*(middle + np.array(shift) - centre_of_mass(f)[:2]), 0.0]))
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
        """How deep the legs are in one another, metres."""
        depths = []
        for s, other in (('L', 'R'), ('R', 'L')):
            leg = self.legs[s]
            points = leg.skin(self.figure.world[leg.rows][None], self.figure.joints[leg.rows][None])[0]
            depths.append(self.figure.obstacles([f'{n}.{other}' for n in LEG_PIECES]).depth(points)[0].max())
        return float(max(depths))

    def stand_on(self, feet: dict, support: dict, **options) -> None:
        """:meth:`stance`, with the feet moved apart if the legs would touch."""
        for _ in range(3):
            self.stance(feet, support, **options)
            if self.between_legs < -0.004:
                break
            for s in SIDES:
                x, y = feet[s]['at']
                feet[s]['at'] = x + SIDES[s] * (0.012 + 0.6 * max(self.between_legs, 0)), y
        self.depths.append(self.between_legs)

    # --- arms ---

    def angles(self, side: str, way, twist=0.0, elbow=20.0, roll=0.0, flex=0.0, dev=0.0) -> np.ndarray:
        """An arm's angles: ``way`` the upper arm points, (out, forward, up) relative to the chest; the rest in degrees."""
        out, front, up = way
        arm = self.arms[side]
        swing = arm.swing_to(np.array([out * SIDES[side], -front, up]))
        return np.array([*swing, *np.radians([twist, elbow, roll, flex, dev])])

    def begin_arms(self, **hands) -> None:
        """Bend the fingers and make the arms ready: the trunk, the head and the legs are final."""
        if self.hasty and self.fault() > FAULT:
            raise _Restart
        for s in SIDES:
            self.hand(s, hands.get(s))
        self.figure.update()
        self.arms = {s: Limb(self.figure, 'arm', s) for s in SIDES}
        self.around = self.figure.obstacles(TRUNK + [f'{n}.{s}' for s in SIDES for n in LEG_PIECES], self.floor)

    def put_arm(self, side: str, home: np.ndarray, wishes=(), hold=0.15, steps=10, clearance=None) -> None:
        """An arm near ``home``, its wishes fulfilled, clear of everything that is already there."""
        arm, clearance = self.arms[side], self.clearance if clearance is None else clearance
        obstacles = self.around
        other = 'R' if side == 'L' else 'L'
        if other in self.arm_angles:
            obstacles = obstacles.joined(self.figure.obstacles([f'{n}.{other}' for n in ARM_PIECES]))
        best = None
        for way in (
            home,
            home + np.radians([12, 25 * self.out(side, home), -10, -5, 0, 0, 0]),
            home + np.radians([25, 0, 20, 15, -20, 0, 0]),
        ):
            q, deep = arm.solve(way, wishes, obstacles, clearance, home=home, hold=hold, steps=steps)
            if deep > -0.4 * clearance:
                q, _ = arm.solve(q, (), obstacles, clearance, home=q, hold=0.05, steps=6)
            deep = arm.depth(q, obstacles)
            if other in self.arm_angles:  # and the other arm in this one
                arm.write(q)
                mine = self.figure.obstacles([f'{n}.{side}' for n in ARM_PIECES])
                deep = max(deep, self.arms[other].depth(self.arm_angles[other], mine))
            if best is None or deep < best[0]:
                best = deep, q
            if deep < 0:
                break
        deep, q = best
        arm.write(q)
        self.arm_angles[side] = q
        self.depths.append(deep + 0.005)
        if self.hasty and deep + 0.005 > FAULT:
            raise _Restart

    def out(self, side: str, q: np.ndarray) -> float:
        """+1 or -1: which way the second swing angle takes an arm away from the trunk."""
        arm = self.arms[side]
        up, down = (arm.bend((q + d * np.eye(7)[1])[None])[0][:3] for d in (0.05, -0.05))
        side_of = [float((b[0] @ b[2] @ arm.upper)[0]) * SIDES[side] for b in (up, down)]
        return 1.0 if side_of[0] > side_of[1] else -1.0

    def touch(
        self, side: str, mark: str, part='palm', offset=None, along=None, weight=40.0, gap=None, facing=0.5
    ) -> list:
        """Wishes to lay part of a hand ('palm', 'knuckle', 'tip', 'middle') on a landmark."""
        arm = self.arms[side]
        place, normal = self.figure.mark(mark)
        if offset is not None:
            place = place + np.multiply(offset, self.size)
        gap = self.clearance if gap is None else gap
        wishes = [Point(6, arm.marks[part], place + normal * gap, weight)]
        if facing:
            wishes.append(Direction(6, arm.palm, -normal, facing))
        if along is not None:
            wishes.append(Direction(6, arm.along, unit(np.array(along, float) * [SIDES[side], 1, 1]), 0.4))
        return wishes

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
        """One of the things an arm does while its owner stands or sits."""
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
        """What the two arms do."""
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

    # --- actions ---

    def upright(self, lean=5.0) -> None:
        self.spine(self.normal(2, lean, -12, 25), self.normal(0, 3), self.normal(0, 6))

    def plant(self) -> None:
        """Both feet on the ground, more or less of the weight on one of them."""
        size, weight = self.size, self.side()
        other = 'R' if weight == 'L' else 'L'
        share = self.between(0.5, 0.85)
        width = self.between(0.07, 0.17) * size
        roll = self.between(0, 7) * (share - 0.4) * 2 * SIDES[weight]  # the hip of the leg that carries is higher
        self.root(self.normal(0, 3), roll, self.normal(0, 4))
        feet = {
            weight: {'at': (SIDES[weight] * width, 0.0), 'yaw': self.between(0, 20)},
            other: {
                'at': (SIDES[other] * (width + self.between(0, 0.05)), self.normal(-0.03, 0.07) * size),
                'yaw': self.between(0, 32),
                'knee': self.between(0, 25),
            },
        }
        self.stand_on(feet, {weight: share, other: 1 - share}, bend=self.between(3, 8))

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
        further = 0.006 + 0.012 * self.attempt  # who is stout holds the arms further out and crosses them less
        for s, ahead in ((under, further), (over, 0.035 + 1.5 * further)):
            other = 'R' if s == 'L' else 'L'
            home = self.angles(s, (0.28, 0.38 + 3 * ahead, -0.85), 62, 108, 25 if s == over else 10)
            out = -SIDES[s]
            wishes = self.touch(
                s,
                f'chest.{other}',
                offset=(out * (0.05 - 1.2 * further), -0.02 - ahead, level + (0.03 if s == over else 0)),
                along=(-0.95, -0.05, 0.12),
                facing=0.4,
            )
            self.put_arm(s, home, wishes, steps=11)

    def stride(self, length: float, lean: float, swing: float, elbow: tuple, run: bool) -> None:
        """Walking or running at a moment of the stride."""
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
        elif not run:  # one leg swings through
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
        """A runner who is not in the air pushes off with the toes of the rear foot."""
        f = self.figure
        low = min(f.points(f.anatomy.soles[s])[:, 2].min() for s in SIDES)
        f.shift(self.sole + (self.lift or 0.0) - low)

    def walk(self) -> None:
        self.stride(self.between(0.25, 0.62), self.normal(3, 3), self.between(8, 32), (10, 40), False)

    def run(self) -> None:
        self.stride(self.between(0.5, 0.9), self.between(4, 16), self.between(25, 50), (75, 105), True)

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
                    wishes = (
                        self.touch(t, f'kneecap.{t}', offset=(0, 0, 0.12), along=(0, -0.5, -0.8), weight=25)
                        if knee
                        else ()
                    )
                    self.put_arm(t, self.angles(t, (x * SIDES[t], -y, z), 10, self.between(10, 50), 30), wishes)
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
            shin = self.between(2, 5) + (14 if tucked else 5)  # degrees the shin rises towards the ankle
            self.kneel_leg(s, thigh, spread, shin, tucked)
        rows = np.concatenate([f.anatomy.samples[f'leg.{s}'] for s in SIDES if s != front])
        f.shift(-(f.points(rows)[:, 2].min()))
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
        leg.write(np.clip(q, *leg.limits.T))

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
        carried = [f.anatomy.piece_names.index(n) for n in ('pelvis', 'hip.L', 'hip.R', 'thigh.L', 'thigh.R')]
        carried = np.unique(f.anatomy.piece_rows[carried])
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
            wishes = [Point(2, leg.heads[2], own + way * leg.lengths[0], 12.0)]
            wishes.append(Direction(2, leg.lower, unit(np.array([-0.4 * SIDES[first], -0.3, -0.85])), 1.0))
        else:
            target = knee + UP * 0.11 * self.size + (hip - knee) * 0.16 - X * SIDES[first] * 0.04 * self.size
            way = unit(np.array([0.66 * SIDES[first], -0.72, 0.22]))
            home = np.array([*leg.swing_to(f.world[leg.parent].T @ way), np.radians(-92), np.radians(100), 0, 0])
            wishes = [Point(4, leg.heads[4], target, 30.0), Point(2, leg.heads[2], own + way * leg.lengths[0], 6.0)]
        q, _ = leg.solve(
            home + np.radians([22, 0, 0, 0, 0, 0]), wishes, obstacles, 0.004, home=home, hold=0.15, steps=18
        )
        leg.write(q)
        self.bend_toes(first, 0)
        self.depths.append(max(leg.depth(q, obstacles), self.leg_depth()) - 0.002)
        missed = np.linalg.norm(f.at(f'foot.{first}') - target) if cross == 'ankle' else 0.0
        if missed > 0.06 * self.size or (cross == 'knee' and q[3] < np.radians(48)):
            self.depths.append(0.02)

    def make_seat(self, carried: np.ndarray, height: float, lean: str) -> None:
        """A box under the pelvis and the thighs that leaves the calves room."""
        f = self.figure
        points = f.points()
        a = f.anatomy
        rear = max(
            points[a.piece_rows[a.piece_names.index(n)]][:, 1].max()
            for n in ('pelvis', 'waist', 'ribs', 'hip.L', 'hip.R')
        )
        legs = np.concatenate(
            [np.unique(a.piece_rows[a.piece_names.index(f'{n}.{s}')]) for n in ('calf', 'shin', 'foot') for s in SIDES]
        )
        low = points[legs]
        low = low[low[:, 2] < height - 0.01]
        knees = max(f.at(f'lowerleg01.{s}')[1] for s in SIDES)
        front = max(low[:, 1].max() + 0.015 if len(low) else knees, knees + self.between(0.03, 0.12) * self.size)
        rear += 0.012
        x = points[carried][:, 0]
        width = max(np.ptp(x) + self.between(0.02, 0.15), self.between(0.38, 0.5))
        middle = 0.5 * (f.at('upperleg01.L') + f.at('upperleg01.R'))[0]
        if front > rear - 0.12:
            front = rear - 0.12
        centre = np.array([middle, (front + rear) / 2, height / 2])
        self.seat = Seat(centre, np.array([width, rear - front, height]), 0.0, lean == 'back' or self.chance(0.5))

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
        a = f.anatomy
        trunk = np.unique(
            a.piece_rows[
                [a.piece_names.index(n) for n in ('pelvis', 'waist', 'belly', 'ribs', 'shoulders', 'hip.L', 'hip.R')]
            ]
        )
        f.shift(-(f.points(trunk)[:, 2].min()))
        head = np.unique(a.piece_rows[a.piece_names.index('head')])
        yaw = self.normal(0, 20) if kind != 'front' else self.between(45, 62) * SIDES[s]
        rest = [0.0, yaw, 0.0]
        axis = 2 if kind == 'side' else 0
        low, high = (-22, 22) if kind == 'side' else (-35, 35)
        values = np.linspace(low, high, 7)
        heights = []
        for value in values:
            rest[axis] = value
            self.share(('neck01', 'neck02', 'neck03', 'head'), (rest[0], rest[2], rest[1]), (0.22, 0.22, 0.22, 0.34))
            f.update()
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
            joints = wrist.frames(home[None])[1][0, 6]
            wishes = (
                [Point(6, wrist.marks['palm'], np.array([joints[0], joints[1], 0.035 * self.size]), 6.0)]
                if kind != 'back' or home[3] < 1.3
                else []
            )
            self.put_arm(t, home, wishes, steps=14, clearance=0.004)

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
                obstacles = floor.joined(f.obstacles([f'{n}.{s}' for n in LEG_PIECES]))
            leg.write(q)
            place = f.at(f'foot.{t}').copy()
            place[2] = {'back': 0.06, 'front': 0.09, 'side': 0.05 if t == s else 0.16}[kind] * self.size
            q, _ = leg.solve(q, [Point(4, leg.heads[4], place, 8.0)], obstacles, 0.002, hold=0.2, steps=12)
            leg.write(q)

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
        low = min(f.points(f.anatomy.soles[s])[:, 2].min() for s in SIDES)
        self.lift = self.between(0.05, 0.4) * self.size
        f.shift(self.sole + self.lift - low)
        self.begin_arms()
        for s in SIDES:
            self.wild_arm(s)

    # --- the end ---

    def fault(self) -> float:
        """How deep, in metres, something is in something else."""
        return max(self.depths)

    def finish(self, action: str) -> PoseSample:
        f = self.figure
        f.update()
        posed = self.body.pose(self.shape, f.rotations)
        skin = posed.vertices[: self.body.quads['body'].max() + 1]
        feet = self.body.region_weights[: len(skin), 13:].sum(1) > 0.5
        low = min(skin[feet, 2].min() - self.sole, skin[~feet, 2].min())
        hips = 0.5 * (posed.heads[f.bones['upperleg01.L']] + posed.heads[f.bones['upperleg01.R']])
        matrix = np.eye(4)
        matrix[:2, 3] = -hips[:2]
        matrix[2, 3] = (self.lift or 0.0) - low
        if self.seat is not None:
            self.seat.centre[:2] += posed.heads[0, :2] - f.origin[:2] - hips[:2]
        return PoseSample(f.rotations.astype(np.float32), action, self.seat, posed.moved(matrix))
