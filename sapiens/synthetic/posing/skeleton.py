"""The rig of a person for the solver: a fast skeleton and a few vertices."""

import numpy as np

from ..body import Body, Posed, Shape
from .anatomy import Patch, anatomy
from .obstacles import Obstacles


class Rig:
    """A person under the solver: ``rotations`` (163, 3, 3) and derived values.

    Attributes:
        world: (163, 3, 3) rotations of the bones; ``joints`` (163, 3) their heads.
    """

    def __init__(self, body: Body, shape: Shape):
        self.anatomy = anatomy(body)
        self.bones = body.bones
        self.shape = shape
        self.heads, self.tails = shape.heads.astype(float), shape.tails.astype(float)
        self.rest = shape.vertices[self.anatomy.rows].astype(float)
        self.links = self.heads - self.heads[np.maximum(body.parents, 0)]
        self.reset()

    def reset(self) -> None:
        """Return to the rest pose."""
        self.rotations = np.tile(np.eye(3), (len(self.heads), 1, 1))
        self.origin = self.heads[0].copy()
        self.world, self.joints = self.rotations.copy(), self.heads.copy()
        self._matrices = None

    def update(self, limb: int | None = None) -> None:
        """Recompute the bones after a change of rotations or ``origin``; ``limb``: the bone of the only changed branch."""
        self._matrices = None
        if limb is None:
            self.world[0], self.joints[0] = self.rotations[0], self.origin
        world, joints, rotations, links = self.world, self.joints, self.rotations, self.links
        for rows, parents in self.anatomy.levels if limb is None else self.anatomy.branches[limb]:
            above = world[parents]
            world[rows] = above @ rotations[rows]
            joints[rows] = joints[parents] + (above @ links[rows, :, None])[:, :, 0]

    def shift(self, by: np.ndarray | float) -> None:
        """Move the rig by (3,) or, along z, by a number."""
        by = np.array([0, 0, by]) if np.ndim(by) == 0 else by
        self.origin = self.origin + by
        self.joints = self.joints + by
        self._matrices = None

    def at(self, bone: str) -> np.ndarray:
        return self.joints[self.bones[bone]]

    def tail(self, bone: str) -> np.ndarray:
        i = self.bones[bone]
        return self.joints[i] + self.world[i] @ (self.tails[i] - self.heads[i])

    def matrices(self) -> np.ndarray:
        """Return (163, 12): rotation and shift that each bone applies to points at rest."""
        if self._matrices is None:
            shift = self.joints - (self.world @ self.heads[:, :, None])[:, :, 0]
            self._matrices = np.concatenate([self.world.reshape(-1, 9), shift], 1)
        return self._matrices

    def points(self, patch: Patch) -> np.ndarray:
        """Return the posed positions (P, 3) of the vertices of a patch."""
        return _skin(patch.weights, self.matrices(), self.rest[patch.rows])

    def mark(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the position and outward normal of a landmark."""
        a = self.anatomy
        return self.points(a.mark_patches[name])[0], self.world[a.dominant[a.marks[name]]] @ a.mark_normals[name]

    def obstacles(self, names: list, floor: float | None = None) -> Obstacles:
        """Return the named pieces ('thigh.L', 'ribs') in the present pose; ``floor``: add the half-space below this height."""
        group = self.anatomy.group(tuple(names))
        points = self.points(group.patch)[group.corners]
        return Obstacles(points, self.world[group.bones] @ group.planes, group.trunk, floor)

    def posed(self, skin: int, move) -> tuple[Posed, np.ndarray]:
        """Return the whole person, shifted by ``move(skin vertices, heads of bones)``."""
        shape, matrices = self.shape, self.matrices().astype(np.float32)
        vertices = _skin(self.anatomy.all_weights, matrices, shape.vertices)
        linear = matrices[:, :9].reshape(-1, 3, 3)
        heads, tails = ((linear @ x[:, :, None])[:, :, 0] + matrices[:, 9:] for x in (shape.heads, shape.tails))
        by = np.asarray(move(vertices[:skin], heads), np.float32)
        transforms = np.tile(np.eye(4, dtype=np.float32), (len(matrices), 1, 1))
        transforms[:, :3, :3], transforms[:, :3, 3] = linear, matrices[:, 9:] + by
        return Posed(vertices + by, heads + by, tails + by, transforms), by


def _skin(weights, matrices: np.ndarray, rest: np.ndarray) -> np.ndarray:
    mixed = weights @ matrices
    return np.einsum('pij,pj->pi', mixed[:, :9].reshape(-1, 3, 3), rest) + mixed[:, 9:]
