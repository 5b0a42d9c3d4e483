"""Arms and legs parameterized by a few angles. Legend: B batch of angles, P sample points."""

import numpy as np

from .anatomy import hand_axes
from .obstacles import Obstacles
from .rotations import FORWARD, SIDES, UP, Hinges, align, cross, cross_matrix, turn, turn_vector, unit
from .skeleton import Rig

_BONES = {
    'arm': ('clavicle', 'shoulder01', 'upperarm01', 'upperarm02', 'lowerarm01', 'lowerarm02', 'wrist'),
    'leg': ('upperleg01', 'upperleg02', 'lowerleg01', 'lowerleg02', 'foot'),
}


class Limb:
    """An arm or a leg, parameterized by six or seven angles.

    arm: two of swing, twist (+ inwards), elbow (0 straight), pronation (0: thumb up, + palm down), wrist flexion, wrist
    deviation (+ towards the thumb). leg: two of swing, twist (+ inwards), knee (0 straight), ankle (+ toes up), ankle
    inversion (+ sole inwards).

    The swing is the shortest rotation to the direction of the upper bone. For a thigh that is both flexed and spread, it rotates
    the knee inwards as far as the thigh is spread, so the range of twist reaches further outwards than for a hip at rest.
    """

    LIMITS = {
        'arm': np.radians([(-170, 170), (-170, 170), (-75, 80), (2, 148), (-80, 80), (-55, 60), (-28, 20)]),
        'leg': np.radians([(-150, 150), (-90, 90), (-105, 45), (1, 150), (-50, 32), (-20, 22)]),
    }

    def __init__(self, figure: Rig, kind: str, side: str):
        self.figure, self.kind, self.side, self.sign = figure, kind, side, SIDES[side]
        bones = figure.bones
        self.rows = np.array([bones[f'{name}.{side}'] for name in _BONES[kind]])
        self.parent = bones['spine01' if kind == 'arm' else f'pelvis.{side}']
        self.heads = figure.heads[self.rows]
        first, middle = (2, 4) if kind == 'arm' else (0, 2)
        a, b, c = self.heads[first], self.heads[middle], self.heads[-1]
        self.upper, self.lower = unit(b - a), unit(c - b)
        self.lengths = float(np.linalg.norm(b - a)), float(np.linalg.norm(c - b))
        if kind == 'arm':
            self.hinge = unit(cross(self.upper, self.lower))
            self.along, self.palm, self.across = hand_axes(figure.heads, figure.tails, bones, side)
            bow, lower = cross(self.along, self.palm), self.lower
            axes = [self.upper, self.hinge, FORWARD, UP, lower, lower, lower, self.palm, bow]
        else:
            self.hinge = unit(cross(self.upper, -FORWARD))
            axes = [self.upper, self.hinge, np.array([-1.0, 0, 0]), FORWARD]
        self.other = cross(self.upper, self.hinge)
        self.bent = np.arctan2(cross(self.upper, self.lower) @ self.hinge, self.upper @ self.lower)
        self.limits = self.LIMITS[kind]
        self.low, self.high = self.limits.T.copy()
        self.armpit = figure.anatomy.armpits[side] if kind == 'arm' else None
        self.swings = np.array([self.hinge * (1 if kind == 'arm' else -1), self.other * self.sign])
        self.turns = Hinges(np.array(axes))
        self.links = np.diff(self.heads, axis=0)[:, None, :, None]
        self.prepare()

    def prepare(self) -> None:
        """Compute the sample points with the present bend of fingers and toes. The limb itself must be at rest."""
        figure, (patch, weights, names) = self.figure, self.figure.anatomy.limb(self.kind, self.side, self.rows)
        turned, at, head = figure.world[self.parent], figure.joints[self.parent], figure.heads[self.parent]
        points = (figure.points(patch) - at) @ turned + head  # the limb is still straight: its place at rest
        self.samples = points[: len(weights)]
        self.marks = dict(zip(names, points[len(weights) :], strict=True))
        heads = np.concatenate([self.heads, head[None]])
        arms = weights[:, :, None] * (self.samples[:, None] - heads)
        # (P, 4 * (bones + 1)): multiplied by rotations and positions of the bones it gives the sample points
        self.skinning = np.concatenate([arms, weights[:, :, None]], 2).reshape(len(weights), -1)

    def bend(self, q: np.ndarray) -> np.ndarray:
        """Convert angles (B, n) to rotations of the bones of the limb (bones, B, 3, 3)."""
        swing = turn_vector(q[:, :2] @ self.swings)
        sign, angles = self.sign, q.T
        out = np.empty((len(self.rows), len(q), 3, 3))
        if self.kind == 'leg':
            turns = self.turns(np.stack([0.5 * sign * angles[2], angles[3] - self.bent, angles[4], -sign * angles[5]]))
            np.matmul(swing, turns[0], out=out[0])
            out[1], out[2], out[3] = turns[0], turns[1], np.eye(3)
            np.matmul(turns[2], turns[3], out=out[4])
            return out
        way = swing @ self.upper
        lift, front = np.radians(13) * (way[:, 2] - self.upper[2]), np.radians(11) * (self.upper[1] - way[:, 1])
        roll = sign * angles[4]
        turns = self.turns(
            np.stack(
                [
                    0.5 * sign * angles[2],
                    angles[3] - self.bent,
                    -sign * lift,
                    -sign * np.maximum(front, -0.1),
                    0.15 * roll,
                    0.5 * roll,
                    0.35 * roll,
                    sign * angles[6],
                    angles[5],
                ]
            )
        )
        np.matmul(turns[2], turns[3], out=out[0])
        out[1] = np.eye(3)
        np.matmul(out[0].transpose(0, 2, 1), swing @ turns[0], out=out[2])
        out[3], out[5] = turns[0], turns[5]
        np.matmul(turns[1], turns[4], out=out[4])
        np.matmul(turns[6] @ turns[7], turns[8], out=out[6])
        return out

    def swing_to(self, way: np.ndarray) -> np.ndarray:
        """Return the two swing angles that point the upper bone along ``way`` (3,), in the frame of the parent."""
        return self.swings @ align(self.upper, unit(np.asarray(way, float)))

    def frames(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Convert angles (B, n) to rotations (bones, B, 3, 3) and heads (bones, B, 3) of the bones in the world."""
        bend, parent = self.bend(q), self.parent
        world, joints = np.empty_like(bend), np.empty(bend.shape[:3])
        above = turned = self.figure.world[parent]
        for local, here in zip(bend, world, strict=True):
            above = np.matmul(above, local, out=here)
        joints[0] = self.figure.joints[parent] + turned @ (self.heads[0] - self.figure.heads[parent])
        joints[1:] = (world[:-1] @ self.links)[..., 0]
        return world, joints.cumsum(0)

    def skin(self, world: np.ndarray, joints: np.ndarray, rows=None) -> np.ndarray:
        """Return the sample points (P, B, 3) of the limb."""
        bones, batch = joints.shape[:2]
        frame = np.empty((bones + 1, 4, batch, 3))
        frame[:bones, :3], frame[:bones, 3] = world.transpose(0, 3, 1, 2), joints
        frame[bones, :3] = self.figure.world[self.parent].T[:, None]
        frame[bones, 3] = self.figure.joints[self.parent]
        skinning = self.skinning if rows is None else self.skinning[rows]
        return (skinning @ frame.reshape(len(self.skinning[0]), -1)).reshape(-1, batch, 3)

    def now(self) -> np.ndarray:
        """Return the sample points (P, 3) in the present pose of the rig."""
        return self.skin(self.figure.world[self.rows][:, None], self.figure.joints[self.rows][:, None])[:, 0]

    def depth(self, obstacles: Obstacles) -> float:
        """Return the largest penetration depth of the sample points in the obstacles."""
        return float(obstacles.depth(self.now(), self.armpit)[0].max())

    def write(self, q: np.ndarray) -> None:
        """Write angles (n,) to the rig."""
        self.figure.rotations[self.rows] = self.bend(q[None])[:, 0]
        self.figure.update(self.rows[0])

    def read(self, rotations: np.ndarray) -> np.ndarray:
        """Return the angles (n,) of rotations (163, 3, 3): the inverse of :meth:`bend`."""
        r = rotations[self.rows].astype(float)
        first = r[0] @ r[2] if self.kind == 'arm' else r[0]
        second, lower = (r[3], r[4]) if self.kind == 'arm' else (r[1], r[2])

        def about(rotation, axis):  # angle of a rotation about an axis
            return np.arctan2(
                0.5 * np.trace(rotation @ cross_matrix(axis).T),
                0.5 * (np.trace(rotation) - axis @ rotation @ axis),
            )

        q = np.zeros(len(self.limits))
        q[:2] = self.swing_to(first @ self.upper)
        q[2] = 2 * self.sign * about(second, self.upper)
        q[3] = self.bent + np.arctan2(
            cross(self.lower, lower @ self.lower) @ self.hinge, self.lower @ lower @ self.lower
        )
        if self.kind == 'arm':
            q[4] = 2 * self.sign * about(r[5], self.lower)
            wrist = turn(self.lower, 0.35 * self.sign * q[4]).T @ r[6]
            axis = cross(self.along, self.palm)
            q[6] = self.sign * np.arctan2(cross(axis, wrist @ axis) @ self.palm, axis @ wrist @ axis)
            q[5] = about(turn(self.palm, self.sign * q[6]).T @ wrist, axis)
        else:
            ankle = np.array([-1.0, 0, 0])
            side = r[4].T @ ankle
            q[5] = -self.sign * np.arctan2(cross(side, ankle) @ FORWARD, side @ ankle)
            q[4] = about(r[4] @ turn(FORWARD, -self.sign * q[5]).T, ankle)
        return q
