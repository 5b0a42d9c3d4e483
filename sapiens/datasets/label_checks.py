"""What is wrong with label maps: findings of the data sets whose samples name ``label_files``."""

import os
from collections.abc import Callable

import numpy as np

from sapiens.metainfo.classes import IGNORE

from .checks import Findings
from .transforms.decoding import BadImage, EncodedImage
from .transforms.labels import read_array, read_depth, read_ids, read_mask, read_normal, read_share
from .transforms.loading import read_file

__all__ = ['check_label_files']

# Without reading all, this many samples, spread over the data set.
_SAMPLED = 100
# Shares of a sample's pixels that may be off: edges of masks and of renderings are never perfect.
_TOLERATED = 0.01
_LENGTH = {'f': 0.01, 'u': 0.05}  # of normals stored as floats, and as 8-bit colours


def check_label_files(findings: Findings, dataset, read: bool = False, progress: Callable = iter) -> None:
    """Find label files that are empty, unreadable, of another size than their image, or hold what cannot be.

    Looked for: ids that are no class; maps without a labelled pixel; depth of people that is not above 0; normals of people that
    are not unit vectors or look away from the camera; masks without people.

    Args:
        findings: takes what is found.
        dataset: its ``load(index)`` gives ``label_files`` and what is known about them.
        read: decode the labels of all samples; otherwise of a hundred.
        progress: wraps an iterable that has a length.
    """
    count = len(dataset)
    looked_at = set(range(count) if read else np.linspace(0, count - 1, min(count, _SAMPLED)).astype(int).tolist())
    for index in progress(range(count)):
        results = dataset.load(index)
        whole = True
        for kind, path in results['label_files'].items():
            if not os.path.isfile(path) or os.path.getsize(path) == 0:
                findings.add(f'missing or empty {kind} file', path)
                whole = False
        if whole and index in looked_at:
            _check_sample(findings, results)


def _check_sample(findings: Findings, results: dict) -> None:
    files, maps = results['label_files'], {}
    for kind, path in files.items():
        try:
            maps[kind] = _READERS[kind](path, results)
        except BadImage as error:
            findings.add(f'unusable {kind} file', f'{path}: {error}')
    try:
        width, height = EncodedImage(read_file(results['img_path'])).size
    except BadImage:
        return  # found by check_images
    for kind in list(maps):
        if maps[kind].shape[:2] != (height, width):
            shape = maps.pop(kind).shape
            findings.add(
                f'{kind} of another size than its image',
                f'{files[kind]}: {shape[1]} x {shape[0]}, the upright image is {width} x {height}',
            )
    mask = maps.get('mask')
    if mask is not None and not mask.any():
        findings.add('mask without people', files['mask'])
        return
    if 'sem_seg' in maps:
        _check_ids(findings, maps['sem_seg'], files['sem_seg'], results)
    if 'depth' in maps:
        depth = maps['depth'] if mask is None else maps['depth'][mask]
        _check_depth(findings, depth, files['depth'], mask is not None)
    if 'normal' in maps:
        _check_normals(findings, maps['normal'], mask, files['normal'])


def _check_ids(findings, ids, path, results) -> None:
    counts = np.bincount(ids.ravel(), minlength=256)
    table, count = results.get('label_table'), results['num_classes']
    if table is not None:
        counts = np.bincount(np.asarray(table), weights=counts, minlength=256).astype(np.int64)
    wrong = [label for label in range(count, IGNORE) if counts[label]]
    if wrong:
        share = counts[wrong].sum() / ids.size
        listing = ', '.join(map(str, wrong[:5])) + (', ...' if len(wrong) > 5 else '')
        findings.add(
            f'label that is neither a class (0 to {count - 1}) nor {IGNORE}, ignored',
            f'{path}: {listing} on {share:.1%} of the pixels',
        )
    elif counts[IGNORE] == ids.size:
        findings.add('label map without a labelled pixel', path)
    elif counts[1:IGNORE].sum() == 0:
        findings.add('label map that is all background', path, wrong=False)


def _check_depth(findings, depth, path, people) -> None:
    whose = 'of people ' if people else ''
    if (depth < 0).any():
        findings.add(f'depth {whose}below 0', f'{path}: {depth.min():g}')
    missing = float((depth == 0).mean())
    if missing > (_TOLERATED if people else 1 - _TOLERATED):
        findings.add(f'depth {whose}that is 0 or not finite', f'{path}: {missing:.1%} of the pixels')


def _check_normals(findings, stored, mask, path) -> None:
    stored = stored if mask is None else stored[mask]
    stored = stored.reshape(-1, 4)
    length, forward = stored[:, 0], stored[:, 1]
    known = stored[:, 2] > 0
    missing = 1 - float(known.mean())
    if (mask is not None and missing > _TOLERATED) or not known.any():
        findings.add('normals of people that are 0 or not finite', f'{path}: {missing:.1%} of the pixels')
    if not known.any():
        return
    off = np.abs(length[known] - 1) > stored[0, 3]
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


def _read_normal(path, results) -> np.ndarray:
    """(H, W, 4): length as stored, z in the camera frame, 1 where known, and how far a length may be from 1."""
    raw = read_array(path, 'normal')
    normal = read_normal(path, results['normal_frame'])
    stored = raw.astype(np.float32)
    if raw.dtype.kind in 'ui':
        stored = stored * (2 / np.iinfo(raw.dtype).max) - 1
    length = np.sqrt((stored * stored).sum(-1))
    known = normal.any(-1)
    tolerance = np.full(length.shape, _LENGTH['u' if raw.dtype == np.uint8 else 'f'])
    return np.stack([length, normal[..., 2], known, tolerance], -1)


_READERS = dict(
    sem_seg=lambda path, results: read_ids(path),
    depth=lambda path, results: read_depth(path, results.get('depth_scale')),
    normal=_read_normal,
    mask=lambda path, results: read_mask(path),
    instance=lambda path, results: read_ids(path),
    alpha=lambda path, results: read_share(path),
)
