"""Checks of label maps, for datasets whose samples name ``label_files``."""

from collections.abc import Callable

import numpy as np

from sapiens.metainfo.classes import IGNORE
from sapiens.tasks import map_fields, resolve, target_fields

from .checks import Findings, sampled
from .shard_members import file_size
from .statistics import FARTHEST, judge_field, measure_field
from .transforms.camera import check_camera, read_camera
from .transforms.decoding import BadImage, EncodedImage
from .transforms.label_files import known_depth, read_array
from .transforms.labels import read_label
from .transforms.loading import read_file

__all__ = ['check_label_files']

# Fraction of a sample's pixels that may be wrong: edges of masks and of renderings are never perfect.
_TOLERATED = 0.01
# Deviation of the length of normals from 1, stored as floats and as 8-bit colors.
_LENGTH = {'f': 0.01, 'u': 0.05}
# Distance of the principal point from the middle along both axes, as a fraction of the sides: more is that of another image size.
_OFF_CENTER = 0.2
# Readers report ids of these instead of refusing them.
_WITHOUT_CLASSES = dict(label_table=None, num_classes=None)


def check_label_files(findings: Findings, dataset, read: bool, progress: Callable = iter) -> None:
    """Find label files that are empty, unreadable, of another size than their image, or hold impossible values.

    For every field: maps without a known value. For those of the package: ids that are not classes; depth of people that is not
    above 0; normals of people that are not unit vectors or look away from the camera; masks and alpha without people; cameras
    that are impossible or of another image size.

    Args:
        dataset: its ``load(index)`` gives ``label_files`` and the options of their readers.
        read: read the labels of all samples; otherwise of a hundred.
    """
    rows, centers = {}, []
    count = len(dataset)
    looked_at = range(count) if read else sampled(count)
    for index in progress(range(count)):
        results = dataset.load(index)
        whole = True
        camera = {'camera': results['camera_file']} if 'camera_file' in results else {}
        for kind, path in {**results['label_files'], **camera}.items():
            if 'segments' in results:
                continue  # of an annotation file, which has been read
            if not file_size(path):
                findings.add(f'missing or empty {kind} file', path)
                whole = False
        if whole and index in looked_at:
            before = findings.wrong
            for kind, row in (_check_sample(findings, results, centers) or {}).items():
                file = results['label_files'].get(kind) or results['img_path']
                rows.setdefault(kind, []).append(dict(row, file=file, named=findings.wrong > before))
    far = [center for center in centers if (np.abs(center - 0.5) > _OFF_CENTER).all()]
    if len(far) > len(centers) / 2:
        findings.add(
            'cameras whose principal point is far from the middle of the image: are they of another image size?',
            f'{len(far)} files, at {np.mean(far, 0).round(2).tolist()} of width and height on average',
        )
    for kind, measured in rows.items():
        for doubt in judge_field(map_fields()[kind], measured):
            # Maps without a known value are found one by one.
            if not doubt.nothing:
                findings.add(f'label files with {doubt.text}', f'{len(measured)} files')
        strange = [row for row in measured if row.get('doubt')]
        if len(strange) <= len(measured) / 2:  # of more the doubt about all files tells
            for row in [row for row in strange if not row['named']]:
                findings.add(f'{kind} file, unlike most, with {row["doubt"]}', row['file'], wrong=False)


def _check_sample(findings: Findings, results: dict, centers: list) -> dict | None:
    """Check the label files of a sample; returns their statistics by field. Adds the place of the principal point to ``centers``,
    as a fraction of width and height."""
    files, fields, read = results['label_files'], map_fields(), {**results, **_WITHOUT_CLASSES}
    try:
        size = EncodedImage(read_file(results['img_path'])).size
    except BadImage:
        size = None  # found by check_images
    has_camera = _check_camera(findings, read, size, centers)
    for kind, field in fields.items():
        if kind in files and (has_camera or not field.on_rays):
            try:
                read_label(field, files[kind], read)
            except BadImage as error:
                findings.add(f'unusable {kind} file', f'{files[kind]}: {error}')
    if size is None:
        return None
    maps = {kind: read[f'gt_{kind}'] for kind in files if f'gt_{kind}' in read}
    for kind in list(maps):
        if maps[kind].shape[:2] != size[::-1]:
            shape = maps.pop(kind).shape
            findings.add(
                f'{kind} of another size than its image',
                f'{files[kind]}: {shape[1]} x {shape[0]}, the upright image is {size[0]} x {size[1]}',
            )
    mask = maps.pop('mask', None)
    if mask is not None and not mask.any():
        findings.add('mask without people', files['mask'])
        return None
    for kind, values in maps.items():
        if kind in _CHECKS:
            _CHECKS[kind](findings, values, mask, files[kind], results)
        elif not _known(fields[kind], values, read).any():
            findings.add(f'{kind} map without a known value', files[kind])
    targets, table = maps.keys() & target_fields().keys(), results.get('label_table')
    return {kind: _measure(fields[kind], maps[kind], mask, read, table) for kind in targets}


def _check_camera(findings: Findings, read: dict, size: tuple | None, centers: list) -> bool:
    """Check the camera file of a sample and keep its ``intrinsics``; returns whether a sample that needs them has them."""
    path = read.get('camera_file')
    if path is None:
        return True
    try:
        read['intrinsics'], stated = read_camera(path)
    except BadImage as error:
        findings.add('unusable camera file', f'{path}: {error}')
        return False
    try:
        if size is not None:
            check_camera(read['intrinsics'], size, stated)
            centers.append((read['intrinsics'][:2, 2] + 0.5) / size)
    except BadImage as error:
        findings.add('camera of another image size', f'{path}: {error}')
    return True


def _known(field, values, read) -> np.ndarray:
    known = np.ones(values.shape[:2], bool) if field.known is None else resolve(field.known)(values)
    return known & read.get(f'valid_{field.name}', True)


def _measure(field, values, mask, read, table) -> dict:
    if field.name == 'sem_seg' and table is not None:
        values = np.asarray(table)[values]
    known = _known(field, values, read)
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


def _check_points(findings, points, mask, path, results) -> None:
    if 'depth' not in results['label_files']:
        _check_depth(findings, points[..., 2], mask, path, results)


def _check_alpha(findings, alpha, mask, path, results) -> None:
    if not alpha.any():
        findings.add('alpha without people', path)


_CHECKS = {
    'sem_seg': _check_ids,
    'depth': _check_depth,
    'normal': _check_normals,
    'pointmap': _check_points,
    'alpha': _check_alpha,
}
