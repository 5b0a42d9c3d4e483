"""Checks of label maps, for datasets whose samples name ``label_files``."""

import os
from collections.abc import Callable

import numpy as np

from sapiens.metainfo.classes import IGNORE
from sapiens.tasks import map_fields, resolve, target_fields

from .checks import Findings, sampled
from .statistics import FARTHEST, judge_field, measure_field
from .transforms.decoding import BadImage, EncodedImage
from .transforms.label_files import known_depth, read_array
from .transforms.loading import read_file

__all__ = ['check_label_files']

# Fraction of a sample's pixels that may be wrong: edges of masks and of renderings are never perfect.
_TOLERATED = 0.01
# Deviation of the length of normals from 1, stored as floats and as 8-bit colors.
_LENGTH = {'f': 0.01, 'u': 0.05}
# Readers report ids of these instead of refusing them.
_WITHOUT_CLASSES = dict(label_table=None, num_classes=None)


def check_label_files(findings: Findings, dataset, read: bool, progress: Callable = iter) -> None:
    """Find label files that are empty, unreadable, of another size than their image, or hold impossible values.

    For every field: maps without a known value. For those of the package: ids that are not classes; depth of people that is not
    above 0; normals of people that are not unit vectors or look away from the camera; masks without people.

    Args:
        dataset: its ``load(index)`` gives ``label_files`` and the options of their readers.
        read: read the labels of all samples; otherwise of a hundred.
    """
    rows: dict[str, list] = {}
    count = len(dataset)
    looked_at = range(count) if read else sampled(count)
    for index in progress(range(count)):
        results = dataset.load(index)
        whole = True
        for kind, path in results['label_files'].items():
            if 'segments' in results:
                continue  # of an annotation file, which has been read
            if not os.path.isfile(path) or os.path.getsize(path) == 0:
                findings.add(f'missing or empty {kind} file', path)
                whole = False
        if whole and index in looked_at:
            for kind, row in (_check_sample(findings, results) or {}).items():
                rows.setdefault(kind, []).append(row)
    for kind, measured in rows.items():
        for doubt in judge_field(map_fields()[kind], measured):
            # Maps without a known value are found one by one.
            if not doubt.nothing:
                findings.add(f'label files with {doubt.text}', f'{len(measured)} files')


def _check_sample(findings: Findings, results: dict) -> dict | None:
    """Check the label files of a sample; returns their statistics by field."""
    files, fields, maps = results['label_files'], map_fields(), {}
    for kind, path in files.items():
        try:
            maps[kind] = resolve(fields[kind].reader)(path, {**results, **_WITHOUT_CLASSES})
        except BadImage as error:
            findings.add(f'unusable {kind} file', f'{path}: {error}')
    try:
        width, height = EncodedImage(read_file(results['img_path'])).size
    except BadImage:
        return None  # found by check_images
    for kind in list(maps):
        if maps[kind].shape[:2] != (height, width):
            shape = maps.pop(kind).shape
            findings.add(
                f'{kind} of another size than its image',
                f'{files[kind]}: {shape[1]} x {shape[0]}, the upright image is {width} x {height}',
            )
    mask = maps.pop('mask', None)
    if mask is not None and not mask.any():
        findings.add('mask without people', files['mask'])
        return None
    for kind, values in maps.items():
        if kind in _CHECKS:
            _CHECKS[kind](findings, values, mask, files[kind], results)
        elif fields[kind].known is not None and not resolve(fields[kind].known)(values).any():
            findings.add(f'{kind} map without a known value', files[kind])
    return {kind: _measure(fields[kind], maps[kind], mask, results) for kind in maps.keys() & target_fields().keys()}


def _measure(field, values, mask, results) -> dict:
    if field.name == 'sem_seg' and results.get('label_table') is not None:
        values = np.asarray(results['label_table'])[values]
    known = np.ones(values.shape[:2], bool) if field.known is None else resolve(field.known)(values)
    if mask is not None and field.name in target_fields(masked_by_people=True):
        known = known & mask
    return measure_field(field, values, known)


def _check_ids(findings, ids, mask, path, results) -> None:
    counts = np.bincount(ids.ravel(), minlength=256)
    table, count = results.get('label_table'), results['num_classes']
    if table is not None:
        counts = np.bincount(np.asarray(table), weights=counts, minlength=256).astype(np.int64)
    wrong = [label for label in range(count, IGNORE) if counts[label]]
    if wrong:
        fraction = counts[wrong].sum() / ids.size
        listing = ', '.join(map(str, wrong[:5])) + (', ...' if len(wrong) > 5 else '')
        findings.add(
            f'label that is neither a class (0 to {count - 1}) nor {IGNORE}, ignored',
            f'{path}: {listing} on {fraction:.1%} of the pixels',
        )
    elif counts[IGNORE] == ids.size:
        findings.add('label map without a labeled pixel', path)
    elif counts[1:IGNORE].sum() == 0:
        findings.add('label map that is all background', path, wrong=False)


def _check_depth(findings, depth, mask, path, results) -> None:
    depth = depth if mask is None else depth[mask]
    whose = '' if mask is None else 'of people '
    if (depth < 0).any():
        findings.add(f'depth {whose}below 0', f'{path}: {depth.min():g}')
    missing = float((depth == 0).mean())
    if missing > (1 - _TOLERATED if mask is None else _TOLERATED):
        findings.add(f'depth {whose}that is 0 or not finite', f'{path}: {missing:.1%} of the pixels')
    known = depth[known_depth(depth)]
    if len(known) and known.max() > FARTHEST * np.median(known):
        findings.add(
            f'depth {whose}more than {FARTHEST} times as far as the median: is it a value for the background?',
            f'{path}: {known.max():g}, the median is {np.median(known):g}',
        )


def _check_normals(findings, normal, mask, path, results) -> None:
    raw = read_array(path, 'normal')
    stored = raw.astype(np.float32)
    if raw.dtype.kind in 'ui':
        stored = stored * (2 / np.iinfo(raw.dtype).max) - 1
    length, known, forward = np.sqrt((stored * stored).sum(-1)), normal.any(-1), normal[..., 2]
    if mask is not None:
        length, known, forward = length[mask], known[mask], forward[mask]
    missing = 1 - float(known.mean())
    if (mask is not None and missing > _TOLERATED) or not known.any():
        findings.add('normals of people that are 0 or not finite', f'{path}: {missing:.1%} of the pixels')
    if not known.any():
        return
    off = np.abs(length[known] - 1) > _LENGTH['u' if raw.dtype == np.uint8 else 'f']
    if off.mean() > _TOLERATED:
        first = length[known][off][0]
        findings.add(
            'normals that are not unit vectors', f'{path}: {off.mean():.1%} of the pixels, such as length {first:.3g}'
        )
    if mask is not None and (forward[known] > 0).mean() > 0.5:
        findings.add(
            'normals of people that mostly look away from the camera: is normal_frame= that of the files?',
            f'{path}: {(forward[known] > 0).mean():.1%} of the pixels',
        )


_CHECKS = {'sem_seg': _check_ids, 'depth': _check_depth, 'normal': _check_normals}
