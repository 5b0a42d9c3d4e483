"""Photographs with annotated people, mixed with rendered people in the training of the package's weights."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    'HELD_OUT',
    'NONE',
    'SHARES',
    'before_photographs',
    'check_photographs',
    'with_photographs',
    'without_masks',
]

SHARES = {'keypoints': 0.05, 'boxes': 0.3}
"""Share of the samples that are photographs, by what they teach."""
NEED_MASKS = ('LoadMatte', 'RandomBackground')
NONE = 'none'
"""The value of $PHOTOGRAPHS in configs without photographs."""
HELD_OUT = 'people_val.json'
"""Annotations of the photographs of the folder that scores are measured on (``tools/benchmark/real.py``)."""
LICENSES = ('/licenses/by/', '/licenses/by-sa/', '/publicdomain/', 'flickr.com/commons/usage')
"""Parts of the addresses of licenses that allow training and weights of any license."""


def before_photographs(base: Mapping[str, Any], steps: int = -1, **people: Any) -> list:
    """The training pipeline of a recipe with what photographs have and renderings lack. For use in a config.

    Args:
        base: of the config: ``train_pipeline``, and ``_mixing``, ``_other_people`` and ``_camera_faults`` of
            ``_base_/datasets/photographs.py``.
        steps: of the pipeline that come first. The last one packs, those between are left out.
        **people: options of :class:`~sapiens.datasets.transforms.PastePeople` that differ.
    """
    pipeline = [
        # Permuted channels make skin green or blue, which no photograph shows.
        dict(step, permute=False) if step['type'] == 'PhotometricDistortion' else step
        for step in base['train_pipeline']
    ]
    others = dict(base['_other_people'], **people)
    return [*pipeline[:steps], *base['_mixing'], others, *base['_camera_faults'], pipeline[-1]]


def without_masks(pipeline: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A pipeline that also takes photographs of people, which have no mask of the person. For use in a config."""
    return [dict(step, optional=True) if step['type'] in NEED_MASKS else dict(step) for step in pipeline]


def with_photographs(
    dataset: Mapping[str, Any], folder: str, share: float | None = None, ann_file: str | None = None
) -> dict[str, Any]:
    """The config of a training dataset, mixed with the photographs of a folder.

    Args:
        dataset: config of boxes (``PersonBoxDataset``), of people with keypoints, or of these with label maps
            (``JointDataset``), with its pipeline.
        folder: of a COCO file ``people_train*.json`` with COCO's 17 keypoints, and ``images``; :data:`NONE` for no photographs.
        share: of samples from photographs; default: that of :data:`SHARES`.
        ann_file: another COCO file of the folder, which need not exist yet.

    Raises:
        FileNotFoundError, ValueError: see :func:`training_file`.
    """
    if folder == NONE:
        return dict(dataset)
    rendered = {key: value for key, value in dataset.items() if key != 'pipeline'}
    photographs = dict(data_root=folder, ann_file=ann_file or training_file(Path(folder)).name, img_prefix='images')
    has_boxes = rendered['type'] == 'PersonBoxDataset'
    share = SHARES['boxes' if has_boxes else 'keypoints'] if share is None else share
    if has_boxes:
        photographs['type'] = 'PersonBoxDataset'
    else:
        skeleton = rendered.get('skeleton') or rendered['dataset']['skeleton']
        photographs |= dict(type='KeypointDataset', skeleton=skeleton, source_skeleton='coco17', min_keypoints=6)
    return dict(
        type='CombinedDataset',
        datasets=[rendered, photographs],
        weights=[1 - share, share],
        pipeline=dataset['pipeline'],
    )


def training_file(folder: Path) -> Path:
    """The annotations of a folder of photographs to train on.

    Raises:
        FileNotFoundError: none, or several.
    """
    found = sorted(folder.glob('people_train*.json'))
    if len(found) != 1:
        names = ', '.join(path.name for path in found) or 'none'
        raise FileNotFoundError(f'{folder} needs one file people_train*.json of people to train on (there: {names})')
    return found[0]


def check_photographs(folder: Path) -> dict[str, Any]:
    """Refuse photographs that may not be trained on. Returns what the card of the weights says of them.

    Raises:
        FileNotFoundError: no annotations, or no image.
        ValueError: a license that forbids changes or commercial use, or an image that is also in :data:`HELD_OUT`, by its id, its
            file name or its pixels.
    """
    path = training_file(folder)
    content = json.loads(path.read_text(encoding='utf-8'))
    addresses = {row['id']: row.get('url', '') for row in content.get('licenses', ())}
    for image in content['images']:
        address = addresses.get(image.get('license'), '')
        if not any(part in address for part in LICENSES):
            raise ValueError(
                f'{path}: {image["file_name"]} has the license {address or "unknown"}, which does not allow weights of any '
                'license: leave it out'
            )
    held_out = folder / HELD_OUT
    if held_out.is_file():
        _refuse_common(path, content['images'], held_out)
    used = {addresses[image['license']] for image in content['images']}
    return dict(photographs=len(content['images']), annotations=path.name, licenses=sorted(used), share=dict(SHARES))


def _refuse_common(path: Path, images: list[dict], held_out: Path) -> None:
    others = json.loads(held_out.read_text(encoding='utf-8'))['images']
    keys = {'id': lambda image: image['id'], 'file name': lambda image: image['file_name']}
    keys['content'] = lambda image: hashlib.sha256((path.parent / 'images' / image['file_name']).read_bytes()).digest()
    for name, key in keys.items():
        known = set(map(key, others))
        for image in images:
            if key(image) in known:
                raise ValueError(
                    f'{path}: {image["file_name"]} is also in {held_out.name}, by its {name}: scores are measured on those, '
                    'leave it out of the training'
                )
