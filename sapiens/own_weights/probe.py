"""What a model predicts for eight pictures of the package, as numbers that a card holds and a test compares.

The pictures are the four rendered examples of the web page and their mirror images. Coordinates are pixels of the pictures.
"""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from sapiens.apis.inputs import read_pixels
from sapiens.apis.predictors import Predictor
from sapiens.apis.results import Result

__all__ = ['TOLERANCE', 'differences', 'leave_out_ties', 'pictures', 'probe', 'sampled']

SURE = 0.3  # score of keypoints and boxes that are compared; less certain ones are ties between places
BETWEEN = 0.02  # by which the score of a box may differ
GRID = 9  # maps are compared at so many places along each side
TOLERANCE = {'points': 1.0, 'boxes': 1.0, 'labels': 0.02, 'values': 0.02}
"""Largest difference: of points and boxes in pixels, of labels the share that differs, of other maps the mean difference over the
standard deviation of the values."""


def pictures() -> Iterator[tuple[str, np.ndarray]]:
    """Name and pixels (H, W, 3) uint8 RGB of each picture."""
    folder = Path(str(files('sapiens.apis.web'))) / 'examples'
    for path in sorted(folder.glob('*.jpg')):
        image = read_pixels(path)
        yield path.name, image
        yield f'{path.name} mirrored', np.ascontiguousarray(image[:, ::-1])


def probe(model: Predictor) -> dict[str, dict[str, Any]]:
    """The predictions of a model for each picture, by name, as plain values: see :func:`sampled`."""
    takes_boxes = model.preprocess.needs_boxes
    found = {}
    for name, image in pictures():
        height, width = image.shape[:2]
        boxes = np.array([[0, 0, width, height]], np.float32)
        found[name] = sampled(model(image, boxes=boxes) if takes_boxes else model(image))
    return found


def sampled(result: Result) -> dict[str, Any]:
    """A result as plain values: ``points`` [x, y, score] of each keypoint, ``boxes`` [x1, y1, x2, y2, score] of each person, or
    ``labels`` or ``values`` of the main map on a grid of places."""
    if hasattr(result, 'keypoints'):
        rows = np.concatenate([result.keypoints, result.scores[..., None]], -1)
        return {'points': _rounded(rows.reshape(-1, 3), 2)}
    if hasattr(result, 'boxes'):
        return {'boxes': _rounded(np.concatenate([result.boxes, result.scores[:, None]], 1), 2)}
    labels = getattr(result, 'labels', None)
    values = result.depth if hasattr(result, 'depth') else result.normals if labels is None else labels
    rows, columns = (np.linspace(0, side - 1, GRID).round().astype(int) for side in values.shape[:2])
    chosen = values[rows][:, columns]
    return {'values': _rounded(chosen, 4)} if labels is None else {'labels': chosen.astype(int).tolist()}


def differences(found: Mapping[str, Mapping], expected: Mapping[str, Mapping]) -> dict[str, float]:
    """{picture: the difference of two probes of one model}, in the units of :data:`TOLERANCE`.

    Raises:
        ValueError: probes of other pictures or of another kind.
    """
    if found.keys() != expected.keys():
        raise ValueError(f'predictions of {", ".join(found)}, expected those of {", ".join(expected)}')
    return {name: _difference(found[name], expected[name], name) for name in expected}


def leave_out_ties(found: Mapping[str, Mapping], other: Mapping[str, Mapping]) -> tuple[int, int]:
    """Give the keypoints of a probe that another one has elsewhere the score 0, so that they are not compared.

    Two places of a heatmap may be equally likely, and rounding decides between them.

    Args:
        found: of the weights; is changed.
        other: of the same weights in single precision.

    Returns:
        numbers of these keypoints, and of all that are compared.
    """
    ties = total = 0
    for name, row in found.items():
        for point, there in zip(row.get('points', ()), other[name].get('points', ()), strict=True):
            if min(point[2], there[2]) >= SURE:
                total += 1
                if max(abs(point[0] - there[0]), abs(point[1] - there[1])) > TOLERANCE['points']:
                    ties += 1
                    point[2] = 0.0
    return ties, total


def _difference(found: Mapping, expected: Mapping, name: str) -> float:
    ((kind, values),) = expected.items()
    if kind not in found:
        raise ValueError(f'{name}: predictions of {", ".join(found)}, expected {kind}')
    first, second = np.asarray(found[kind], float), np.asarray(values, float)
    if kind == 'boxes':
        return max(_farthest(first, second), _farthest(second, first))
    if first.shape != second.shape:
        return float('inf')
    if not first.size:
        return 0.0
    if kind == 'points':
        sure = np.minimum(first[:, 2], second[:, 2]) >= SURE
        return float(np.abs(first[sure, :2] - second[sure, :2]).max(initial=0.0))
    if kind == 'labels':
        return float((first != second).mean())
    return float(np.nanmean(np.abs(first - second)) / max(np.nanstd(second), 1e-6))


def _farthest(boxes: np.ndarray, others: np.ndarray) -> float:
    """Largest distance of a sure box from the nearest other one, which may be a little less sure; infinite without any."""
    boxes, others = (rows.reshape(-1, 5) for rows in (boxes, others))
    boxes, others = boxes[boxes[:, 4] >= SURE + BETWEEN], others[others[:, 4] >= SURE]
    if not len(boxes):
        return 0.0
    distances = np.abs(boxes[:, None, :4] - others[None, :, :4]).max(-1)
    return float(distances.min(1, initial=np.inf).max())


def _rounded(values: np.ndarray, digits: int) -> list:
    return np.asarray(values, np.float64).round(digits).tolist()
