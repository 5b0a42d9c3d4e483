"""Skeletons by name, and their conversion to the metainfo of mmpose."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from . import coco17, goliath308, openpose25, smplx127, wholebody133
from .naming import not_known
from .parsing import build_from_file
from .skeleton import Skeleton, skeleton_from_dict

__all__ = ['build_metainfo', 'dataset_metainfo', 'get_skeleton', 'register_skeleton', 'skeleton_names']

SKELETONS: dict[str, Skeleton] = {}


def register_skeleton(source: Mapping | str | Path | Skeleton) -> Skeleton:
    """Register a skeleton under its name (and its ``dataset_name``), and return it.

    Args:
        source: any form that :func:`get_skeleton` accepts.

    Raises:
        ValueError: another skeleton has the name. Registering the same content again is allowed.
    """
    skeleton = get_skeleton(source)
    for name in {skeleton.name, skeleton.dataset_name}:
        if build_metainfo(_find(name) or skeleton) != build_metainfo(skeleton):
            raise ValueError(f'skeleton {name!r} is registered with other content; choose another name')
    return SKELETONS.setdefault(skeleton.name, skeleton)


def skeleton_names() -> list[str]:
    return sorted(SKELETONS)


def get_skeleton(source: str | Path | Mapping | Skeleton) -> Skeleton:
    """Look up or build a skeleton.

    Args:
        source: a registered name, or mmpose's (``coco``, ``coco_wholebody``, ``goliath``); the path of a .py file that sets
            ``skeleton = dict(...)`` in the short form of :func:`skeleton_from_dict`, or mmpose's ``dataset_info``; either dict;
            or a skeleton.

    Raises:
        ValueError: an unknown name, or an invalid skeleton.
        FileNotFoundError: no such file.
    """
    if isinstance(source, Skeleton):
        return source
    if isinstance(source, Mapping):
        return skeleton_from_dict(_short_form(source) if 'keypoint_info' in source else source)
    if isinstance(source, Path) or str(source).endswith('.py'):
        return build_from_file(source, ('skeleton', 'dataset_info'), get_skeleton)
    skeleton = _find(source) if isinstance(source, str) else None
    if skeleton is None:
        known = sorted({*SKELETONS, *(item.dataset_name for item in SKELETONS.values())})
        message = not_known('skeleton', source, known)
        raise ValueError(f'{message} For your own, give the path of a .py file with skeleton = dict(...), or the dict')
    return skeleton


def build_metainfo(source: str | Path | Mapping | Skeleton) -> dict:
    """Convert a skeleton to mmpose's metainfo, as ``METAINFO`` of a dataset or for its ``metainfo=`` argument.

    Args:
        source: any form that :func:`get_skeleton` accepts.

    Returns:
        A new dict with ``dataset_name``, ``keypoint_info``, ``skeleton_info``, ``joint_weights`` and ``sigmas``, and
        ``groups`` as {group: list of ids}, which mmpose ignores. Colors are RGB.
    """
    skeleton = get_skeleton(source)
    names = skeleton.keypoints
    half = dict.fromkeys(skeleton.upper.tolist(), 'upper') | dict.fromkeys(skeleton.lower.tolist(), 'lower')
    keypoints, links = {}, {}
    for index, (name, partner) in enumerate(zip(names, skeleton.flip_indices, strict=True)):
        swap = names[partner] if partner != index else ''
        color = skeleton.colors[index].tolist()
        keypoints[index] = dict(name=name, id=index, color=color, type=half.get(index, ''), swap=swap)
    for index, (start, end) in enumerate(skeleton.links):
        links[index] = dict(link=(names[start], names[end]), id=index, color=skeleton.link_colors[index].tolist())
    return dict(
        dataset_name=skeleton.dataset_name,
        keypoint_info=keypoints,
        skeleton_info=links,
        joint_weights=skeleton.weights.tolist(),
        sigmas=skeleton.sigmas.tolist(),
        groups={group: ids.tolist() for group, ids in skeleton.groups.items()},
    )


def dataset_metainfo(skeleton: Skeleton) -> dict:
    """``metainfo`` of a dataset.

    It holds :func:`build_metainfo`, and the form that mmpose's metrics and visualizers read: ``num_keypoints``,
    ``keypoint_id2name``, ``flip_indices`` and others. ``sigmas`` is an array.
    """
    names, flip = skeleton.keypoints, skeleton.flip_indices.tolist()
    return build_metainfo(skeleton) | dict(
        num_keypoints=len(skeleton),
        keypoint_id2name=dict(enumerate(names)),
        keypoint_name2id={name: index for index, name in enumerate(names)},
        upper_body_ids=skeleton.upper.tolist(),
        lower_body_ids=skeleton.lower.tolist(),
        flip_indices=flip,
        flip_pairs=[(partner, index) for index, partner in enumerate(flip) if partner != index],
        keypoint_colors=np.array(skeleton.colors, np.uint8),
        num_skeleton_links=len(skeleton.links),
        skeleton_links=[tuple(map(int, link)) for link in skeleton.links],
        skeleton_link_colors=np.array(skeleton.link_colors, np.uint8),
        dataset_keypoint_weights=np.array(skeleton.weights, np.float32),
        sigmas=np.array(skeleton.sigmas),
    )


def _find(name: str) -> Skeleton | None:
    if name in SKELETONS:
        return SKELETONS[name]
    return next((skeleton for skeleton in SKELETONS.values() if skeleton.dataset_name == name), None)


def _short_form(info: Mapping) -> dict:
    """mmpose's ``dataset_info`` (or what :func:`build_metainfo` returns) as the short form."""
    points = [info['keypoint_info'][index] for index in sorted(info['keypoint_info'])]
    names = [point['name'] for point in points]
    short = dict(
        name=info.get('dataset_name'),
        keypoints=names,
        # All partners are given, so the naming rule must not add any.
        flip={point['name']: point.get('swap') or point['name'] for point in points},
        colors={point['name']: point['color'] for point in points if 'color' in point},
        links=[
            (*link['link'], link['color']) if 'color' in link else tuple(link['link'])
            for link in info.get('skeleton_info', {}).values()
        ],
        upper=[point['name'] for point in points if point.get('type') == 'upper'],
        lower=[point['name'] for point in points if point.get('type') == 'lower'],
        groups={group: [names[index] for index in ids] for group, ids in info.get('groups', {}).items()},
    )
    optional = dict(weights=info.get('joint_weights'), sigmas=info.get('sigmas'))
    return short | {key: value for key, value in optional.items() if value is not None}


for _data in (
    coco17.SKELETON,
    wholebody133.SKELETON,
    goliath308.SKELETON,
    openpose25.OPENPOSE25,
    openpose25.OPENPOSE135,
    smplx127.SKELETON,
):
    SKELETONS[_data['name']] = skeleton_from_dict(_data)
