"""Natural poses within the limits of the joints, on the ground, and without self-intersection.

A pose is made in order: trunk and head, feet and seat (legs follow), then arms. Each part is pushed out of the earlier ones
(:mod:`.posing`). Angles are in degrees unless stated otherwise. The ground is z = 0. The person faces -y, the left is +x.
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
    """Draw a pose for a person.

    Args:
        action: one of :data:`ACTIONS`; None: random by their weights.
        sole: thickness of the sole in meters: the height of the skin of a standing foot.
        clearance: minimum distance in meters between limbs and other parts.
    """
    if action is None:
        action = str(rng.choice(list(ACTIONS), p=np.array(list(ACTIONS.values())) / sum(ACTIONS.values())))
    if action not in ACTIONS:
        raise ValueError(f'unknown action {action!r}: expected one of {", ".join(ACTIONS)}')
    poser, best = Poser(body, shape, rng, sole, clearance), None
    for attempt in range(6):
        poser.begin(attempt < 4 or best is not None)
        try:
            getattr(poser, action)()
        except Restart:
            continue
        score = max(poser.depths)
        if best is None or score < best[0]:
            best = score, poser.figure.rotations, poser.figure.origin, poser.seat, poser.lift
        if score < FAULT:
            break
    _, poser.figure.rotations, poser.figure.origin, poser.seat, poser.lift = best
    return poser.finish(action)


class Poser(Standing, Moving, Sitting, Lying):
    """Attempts at a pose of one person."""

    def finish(self, action: str) -> PoseSample:
        """Skin the rig, and move its lowest point to the ground and its hips over the origin."""
        f, feet = self.figure, self.figure.anatomy.feet
        f.update()

        def move(skin, heads):
            low = min(skin[feet, 2].min() - self.sole, skin[~feet, 2].min())
            hips = 0.5 * (heads[f.bones['upperleg01.L']] + heads[f.bones['upperleg01.R']])
            return -hips[0], -hips[1], (self.lift or 0.0) - low

        posed, by = f.posed(self.skin, move)
        if self.seat is not None:
            self.seat.center[:2] += by[:2]
        return PoseSample(f.rotations.astype(np.float32), action, self.seat, posed)
