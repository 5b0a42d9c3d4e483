"""Statistics of the labels of samples, and what is absurd about them: for label files, packed samples and the first batches.

Each sample gives a row of numbers. Rows of files, samples or processes are joined and judged together. What a row holds follows
from the declaration of the task (:class:`sapiens.tasks.TaskSpec`) and of its fields.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sapiens.tasks import MapField, TaskSpec, resolve

__all__ = [
    'FARTHEST',
    'BoxStatistics',
    'Doubt',
    'KeypointStatistics',
    'MapStatistics',
    'far_depth',
    'judge_field',
    'measure_field',
    'statistics_of',
]

# Fraction of the samples with a strange value from which the data are doubted.
_MOST = 0.9
# Depth: the farthest point relative to the median, and the median within the range of depth.
FARTHEST, _NEAREST = 100, 0.02
# Keypoints: fraction inside the crops, extent relative to the crop, side of a box in pixels.
_INSIDE, _EXTENT, _BOX = 0.25, 0.02, 4
# Pixels of a map that are looked at, on a grid.
_VALUES = 1 << 16


@dataclass(frozen=True)
class Doubt:
    """What is strange about data.

    Attributes:
        text: in words.
        nothing: there is nothing to learn from.
    """

    text: str
    nothing: bool = False


def statistics_of(spec: TaskSpec) -> 'MapStatistics':
    """The statistics that a task declares."""
    return resolve(spec.statistics)(spec)


class MapStatistics:
    """Statistics of images and of the maps that a task declares; a task may declare none.

    Args:
        spec: of the task.
    """

    def __init__(self, spec: TaskSpec):
        self.spec = spec

    def measure(self, image: torch.Tensor, sample) -> dict:
        """The row of a packed sample: image uint8 (3, H, W), and its labels. ``labels`` says whether it has some."""
        flat = bool((image.flatten(1).amax(1) == image.flatten(1).amin(1)).all())
        return dict(flat=flat, **self.measure_labels(sample))

    def judge(self, rows: Sequence[dict]) -> list[Doubt]:
        """Doubts about samples, from their rows."""
        doubts = self.judge_labels(rows)
        if len(rows) > 1 and all(row['flat'] for row in rows):
            doubts.append(Doubt('images of a single color'))
        return doubts

    def measure_labels(self, sample) -> dict:
        """What a row holds of the labels."""
        maps = {}
        for field in self.spec.fields:
            values = getattr(sample, f'gt_{field.name}', None)
            if values is None:
                continue
            values = values.movedim(0, -1) if field.leading else values
            own = f'valid_{field.name}'
            valid = getattr(sample, own if own in sample else 'valid_mask', None)
            valid = torch.ones(values.shape[:2], dtype=torch.bool) if valid is None else valid
            maps[field.name] = measure_field(field, values.numpy(), valid.numpy())
        return dict(labels=bool(maps) or not self.spec.fields, maps=maps)

    def judge_labels(self, rows: Sequence[dict]) -> list[Doubt]:
        """Doubts about the labels."""
        return [
            doubt
            for field in self.spec.fields
            for doubt in judge_field(field, [row['maps'][field.name] for row in rows if field.name in row['maps']])
        ]

    def describe(self, rows: Sequence[dict]) -> str:
        """Summary in words; '' where there is nothing to tell."""
        fractions = [_least(row) for row in rows if row['maps']]
        if not fractions:
            return ''
        low, middle, high = np.percentile(fractions, [0, 50, 100])
        return (
            f'Labels count on {np.mean(fractions):.0%} of the pixels on average, {middle:.0%} in the median sample, '
            f'{low:.0%} at least, {high:.0%} at most'
        )

    def empty(self, row: dict) -> str:
        """What a sample lacks to be learnt from; '' where it lacks nothing."""
        return 'sample without a labeled pixel' if row['maps'] and not _least(row) else ''


class KeypointStatistics(MapStatistics):
    """Statistics of keypoints in the crops of people."""

    def measure_labels(self, sample) -> dict:
        labels = getattr(sample, 'gt_instance_labels', ())
        if 'keypoint_weights' not in labels:
            return dict(labels=False, labelled=0, inside=0, extent=np.nan, box=np.nan)
        height, width = sample.img_shape
        points, known = labels.keypoints.numpy(), labels.keypoint_weights.numpy() > 0
        inside = ((points > -0.5) & (points < (width - 0.5, height - 0.5))).all(-1) & known
        extent = np.ptp(points[known], axis=0).max() / max(width, height) if known.sum() > 2 else np.nan
        box = float(np.max(sample.input_scale)) if 'input_scale' in sample else np.nan
        return dict(labels=True, labelled=int(known.sum()), inside=int(inside.sum()), extent=float(extent), box=box)

    def judge_labels(self, rows: Sequence[dict]) -> list[Doubt]:
        labelled, inside = (sum(row[key] for row in rows) for key in ('labelled', 'inside'))
        if not labelled:
            return [Doubt('no labeled keypoint', nothing=True)]
        if not inside:
            return [Doubt(f'{labelled} labeled keypoints, all of them outside the crops', nothing=True)]
        extents, boxes = (np.array([row[key] for row in rows]) for key in ('extent', 'box'))
        doubts = []
        if inside < _INSIDE * labelled:
            doubts.append(Doubt(f'{1 - inside / labelled:.0%} of the labeled keypoints outside the crops'))
        if _are_most(extents < _EXTENT, np.isfinite(extents)):
            doubts.append(Doubt('keypoints that are all in one place of the crop'))
        if _are_most(boxes < _BOX, np.isfinite(boxes)):
            doubts.append(Doubt(f'boxes of less than {_BOX} pixels, which may be fractions of the image'))
        return doubts

    def describe(self, rows: Sequence[dict]) -> str:
        labelled, inside = (np.array([row[key] for row in rows]) for key in ('labelled', 'inside'))
        low, middle, high = np.percentile(inside, [0, 50, 100]).astype(int)
        return (
            f'Of {labelled.mean():.1f} labeled keypoints on average, {inside.mean():.1f} '
            f'({inside.sum() / max(1, labelled.sum()):.0%}) are inside the crop: {middle} in the median sample, {low} at least, '
            f'{high} at most'
        )

    def empty(self, row: dict) -> str:
        return '' if row['inside'] else 'sample without a visible keypoint'


class BoxStatistics(MapStatistics):
    """Statistics of the boxes of people in the network's inputs."""

    def measure_labels(self, sample) -> dict:
        labels = getattr(sample, 'gt_instance_labels', ())
        if 'box_kinds' not in labels:
            return dict(labels=False, people=0, ignored=0, annotated=0, side=np.nan)
        kinds, boxes = labels.box_kinds[0].numpy(), labels.boxes[0].numpy()
        own = boxes[kinds == 1]
        annotated = len(sample.gt_instances.bboxes) if 'gt_instances' in sample else 0
        side = float(np.median((own[:, 2:] - own[:, :2]).max(1))) if len(own) else np.nan
        ignored = int((kinds == 2).sum())
        return dict(labels=True, people=len(own), ignored=ignored, annotated=annotated, side=side)

    def judge_labels(self, rows: Sequence[dict]) -> list[Doubt]:
        people, ignored, annotated = (sum(row[key] for row in rows) for key in ('people', 'ignored', 'annotated'))
        if not people:
            found = f'{annotated} boxes of people, none of which shows in the inputs' if annotated else 'no person'
            return [Doubt(found, nothing=True)]
        if ignored > people:
            return [
                Doubt(f'{ignored} ignored boxes beside those of {people} people: crowds, or people who hardly show')
            ]
        return []

    def describe(self, rows: Sequence[dict]) -> str:
        people, sides = (np.array([row[key] for row in rows]) for key in ('people', 'side'))
        sides = sides[np.isfinite(sides)]
        middle = f', with longer sides of {np.median(sides):.0f} pixels in the median sample' if len(sides) else ''
        return (
            f'{people.mean():.1f} people on average, at most {people.max()}{middle}; {np.mean(people == 0):.0%} of the samples '
            f'show nobody, {sum(row["ignored"] for row in rows)} boxes are ignored'
        )

    def empty(self, row: dict) -> str:
        return ''  # nobody is a label too


def measure_field(field: MapField, values: np.ndarray, valid: np.ndarray) -> dict:
    """The row of one map.

    Args:
        values: (H, W) or (H, W, K).
        valid: (H, W) bool.
    """
    row = dict(fraction=np.count_nonzero(valid) / max(1, valid.size))
    if field.kind == 'labels':
        known = values[valid]
        # Counting bytes takes a tenth of the time of sorting them.
        labels = np.flatnonzero(np.bincount(known)) if known.dtype == np.uint8 else np.unique(known)
        return row | dict(labels=labels.tolist())
    step = math.ceil(math.sqrt(valid.size / _VALUES)) or 1
    known = values[::step, ::step][valid[::step, ::step]]
    known = known if len(known) else values[valid]
    if len(known):
        known = known.reshape(-1, values.shape[2] if values.ndim == 3 else 1)
        row |= dict(range=float(np.ptp(known, axis=0).max()))
        row |= dict(doubt=resolve(field.doubt)(known) if field.doubt else '')
    return row


def judge_field(field: MapField, rows: Sequence[dict]) -> list[Doubt]:
    """Doubts about the maps of a field, from their rows."""
    known = [row for row in rows if row['fraction']]
    if not known:
        return [Doubt(f'no pixel with a known {field.name}', nothing=True)]
    doubts = []
    if field.kind == 'labels':
        labels = sorted(set().union(*(row['labels'] for row in known)))
        if len(labels) == 1:
            ignored = 1 - np.mean([row['fraction'] for row in rows])
            hint = (
                f'. Is {field.padding}, which is ignored, used for the objects?'
                if field.padding and ignored > 0
                else ''
            )
            doubts.append(
                Doubt(f'{field.name} {labels[0]} as the only value, and {ignored:.1%} of the pixels ignored{hint}')
            )
        return doubts
    if not any(row['range'] for row in known):
        doubts.append(Doubt(f'the same {field.name} on all pixels of an image'))
    texts = [row['doubt'] for row in known if row['doubt']]
    if len(texts) > len(known) / 2:
        doubts.append(Doubt(f'{field.name} with {max(set(texts), key=texts.count)}'))
    return doubts


def far_depth(depth: np.ndarray) -> str:
    """What is strange about known depths, (n, 1); '' if nothing is."""
    low, median, high = float(depth.min()), float(np.median(depth)), float(depth.max())
    if high > FARTHEST * median:
        return f'a farthest point more than {FARTHEST} times as far as the median: is it a value for the background?'
    if median - low < _NEAREST * (high - low):
        return f'half of the pixels in the nearest {_NEAREST:.0%} of its range: relative depth is near 0 there'
    return ''


def _least(row: dict) -> float:
    """Fraction of the pixels on which the labels of a sample count, of the field with the fewest."""
    return min(part['fraction'] for part in row['maps'].values())


def _are_most(holds: np.ndarray, among: np.ndarray) -> bool:
    return bool(among.any()) and (holds & among).sum() >= _MOST * among.sum()
