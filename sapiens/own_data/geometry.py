"""Looking at depth and normals: folders, units, axes, masks of people."""

import os
from collections.abc import Callable

import numpy as np

from sapiens.datasets.transforms.label_files import read_array, read_normal
from sapiens.tasks import map_fields

from .doubts import Doubts
from .folders import Folders, complete_samples, find_folders
from .plan import OwnData, Plan

__all__ = ['DEPTH_DATA', 'NORMAL_DATA']

_SAMPLED = 20
# Floats with larger values are hardly meters.
_FARTHEST = 200
# Fraction of the pixels that must agree on where z points.
_AGREE = 0.9


def look_at_depth(data: str, name: str, out: str, doubts: Doubts) -> Plan:
    """The data set of a folder with depth.

    Raises:
        FileNotFoundError, ValueError: nothing usable, or a doubt that nobody settles.
    """
    metric = dict(type='DepthMetric', alignment='scale-shift')
    return _look_at_maps('depth', data, doubts, _scaled, metric, 'depth_scale-shift/RMSE')


def look_at_normals(data: str, name: str, out: str, doubts: Doubts) -> Plan:
    """The data set of a folder with normals; see :func:`look_at_depth`."""
    return _look_at_maps('normal', data, doubts, _frame, dict(type='NormalMetric'), 'normal/mean')


def _look_at_maps(task: str, data: str, doubts: Doubts, options: Callable, metric: dict, best: str) -> Plan:
    """The data set of a folder with maps.

    Args:
        options: ``options(paths, doubts, plan) -> dict``, of the dataset, from some of the files.
    """
    field = map_fields()[task]
    train, val, notes = find_folders(data, field.folders, field.suffixes, doubts, task)
    plan = Plan(task, best=best, notes=notes)
    files = list(train.files(data, field.suffixes).values())
    if not files:
        raise ValueError(f'{os.path.join(data, train.labels)}: no file ends in {" ".join(field.suffixes)}')
    sample = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, min(len(files), _SAMPLED)).astype(int))]
    dataset = dict(type='GeometryDataset', fields=[task], data_root=os.path.abspath(data))
    dataset |= complete_samples((train, val), data, field.suffixes, doubts, task)
    dataset |= options(sample, doubts, plan)
    parts = [_part(folders, task, data, doubts, plan) for folders in (train, val)]
    plan.notes = list(dict.fromkeys(plan.notes))
    plan.variables = dict(
        train_dataset=dict(dataset, **parts[0]),
        val_dataset=dict(dataset, **parts[1], test_mode=True),
        metric=metric,
    )
    return plan


def _scaled(paths: list[str], doubts: Doubts, plan: Plan) -> dict:
    options = _unit(paths, doubts, plan)
    plan.notes.append(
        'the model learns relative depth (0 at the nearest, 1 at the farthest pixel of people), as published'
    )
    return options


def _unit(paths: list[str], doubts: Doubts, plan: Plan) -> dict:
    """``depth_scale`` of integers and of large values; other files are in meters."""
    arrays = [read_array(path, 'depth') for path in paths]
    values = np.concatenate([array[np.isfinite(array) & (array > 0)].ravel()[::97] for array in arrays])
    low, high = np.percentile(values, [1, 99]) if len(values) else (0, 0)
    spread = f'{arrays[0].dtype} from {low:g} to {high:g}'
    integers = arrays[0].dtype.kind in 'ui'
    if not integers and high <= _FARTHEST and doubts.get('depth-scale') is None:
        plan.notes.append(f'depth: {spread}, taken as meters')
        return {}
    stored = 'stored as integers' if integers else 'farther than people in meters would be'
    question = f'Depth is {stored} ({spread}): how many meters is one unit'
    answer = doubts.settle('depth-scale', question, example='0.001 for millimeters')
    try:
        scale = float(answer)
    except ValueError:
        scale = 0.0
    if not scale > 0:
        raise ValueError(f'--depth-scale {answer}: expected the meters of one unit, a number above 0')
    plan.notes.append(
        f'depth: {spread}; one unit is {scale:g} m, so it reaches from {low * scale:.3g} to {high * scale:.3g} m'
    )
    return dict(depth_scale=scale)


def _frame(paths: list[str], doubts: Doubts, plan: Plan) -> dict:
    """``normal_frame`` by the direction of z: normals of visible surfaces face the camera."""
    given = doubts.get('normal-frame')
    toward, known = 0, 0
    for path in paths:
        normal = read_normal(path, 'camera')
        toward += int((normal[..., 2] > 0).sum())
        known += int(normal.any(-1).sum())
    share = toward / max(known, 1)
    if given is None and max(share, 1 - share) >= _AGREE:
        frame = 'published' if share > 0.5 else 'camera'
        axes = 'y up, z towards the camera' if frame == 'published' else 'y down, z forward'
        plan.notes.append(
            f'normals: z is {"above" if share > 0.5 else "below"} 0 on {max(share, 1 - share):.1%} of the pixels, so the axes '
            f'are taken as x right, {axes} (normal_frame={frame!r}): look at the figure'
        )
    else:
        question = (
            f'z of the normals is above 0 on {share:.0%} of the pixels, so the axes are not clear: which are they'
        )
        frame = given or doubts.settle('normal-frame', question, ['published', 'camera'])
    return dict(normal_frame=frame)


def _part(folders: Folders, task: str, data: str, doubts: Doubts, plan: Plan) -> dict:
    """Folders of one split, with masks of people."""
    if folders.ending:
        raise ValueError(f'{data}: {task} files beside their images are not read: move them to a folder {task!r}')
    part = {'images': folders.images, task: folders.labels}
    usual = map_fields()['mask'].folders
    given = doubts.get('masks')
    split = os.path.basename(folders.images)
    places = [os.path.join(os.path.dirname(folders.images), name) for name in usual]
    places += [os.path.join(os.path.dirname(os.path.dirname(folders.images)), name, split) for name in usual]
    mask = given or next((place for place in places if os.path.isdir(os.path.join(data, place))), None)
    if mask is None:
        question = f'{data} has no folder {" or ".join(usual)} with masks of people: where are they, or does every pixel count'
        mask = doubts.settle('masks', question, example='FOLDER, or none')
    if mask == 'none':
        plan.notes.append('no masks of people: every pixel with a label counts')
        return {**part, 'mask': '', **_range(folders)}
    plan.notes.append(f'masks of people: {mask}, for {task} in {folders.labels}')
    return {**part, 'mask': mask, **_range(folders)}


def _range(folders: Folders) -> dict:
    return {} if folders.part == (0, 1) else dict(part=folders.part)


# The tiny model learns depth at a quarter of the rate of the other tasks (docs/log/experiments.md).
DEPTH_DATA = OwnData(look_at_depth, 'DepthPictureHook', tiny_rate=1e-3)
NORMAL_DATA = OwnData(look_at_normals, 'NormalPictureHook')
