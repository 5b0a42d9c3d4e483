"""Natural poses: what people do, within the limits of their joints, on the ground, and without passing through themselves.

A pose is made in order: trunk and head, feet and seat (legs follow), then arms, each pushed out of what is already there
(:mod:`.contact`). Angles in degrees unless said otherwise; the ground is z = 0; the person faces -y, the left is +x.
"""

from dataclasses import dataclass, field

import numpy as np

from .body import Body, Posed, Shape
from .posing.arms import FAULT, Restart
from .posing.expressions import sample_expression
from .posing.lying import Lying
from .posing.moving import Moving
from .posing.sitting import Seat, Sitting
from .posing.standing import Standing

__all__ = ['ACTIONS', 'PoseSample', 'Seat', 'sample_expression', 'sample_pose']

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


@dataclass
class PoseSample:
    """A pose: rotations (163, 3, 3) for :meth:`Body.pose`, and the person placed in the world."""

    rotations: np.ndarray
    action: str
    seat: Seat | None
    posed: Posed
    expression: dict = field(default_factory=dict)


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
        except Restart:
            continue
        score = poser.fault()
        if best is None or score < best[0]:
            best = score, poser
        if score < FAULT:
            break
    return best[1].finish(action)


class Poser(Standing, Moving, Sitting, Lying):
    """One attempt at a pose."""

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
