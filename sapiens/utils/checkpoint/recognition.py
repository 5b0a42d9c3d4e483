"""What a file of weights is, told by its tensors alone."""

import math
import re
from collections.abc import Mapping

from torch import Tensor

from sapiens.utils.sizes import SAPIENS_ARCHS
from sapiens.utils.zoo import config_path

from .shapes import HEADS

__all__ = ['describe', 'recognise']

# What the leaves of configs/<task>/ are named after, by task and number of outputs, the likeliest first.
DATA = {
    ('mae', None): ('humans300m', 'synthetic', 'folder'),
    ('pose', 17): ('coco', 'synthetic17'),
    ('pose', 133): ('wholebody', 'synthetic133'),
    ('pose', 308): ('goliath', 'synthetic308'),
    ('seg', 28): ('goliath', 'synthetic'),
    ('seg', 20): ('cihp', 'lip'),
    ('seg', 19): ('face',),
    ('depth', 1): ('renderpeople', 'general', 'synthetic'),
    ('normal', 3): ('renderpeople', 'general', 'synthetic'),
}


def recognise(state_dict: Mapping[str, Tensor]) -> dict | None:
    """Size, task and image size of weights under our names, and the config that fits.

    Returns:
        None for what is no transformer of this kind, else a dict with

        * ``size``: name in the size table, or None for a width and depth that are not in it;
        * ``embed_dims``, ``num_layers``;
        * ``task``: ``'pretrain'`` (an encoder alone), ``'mae'``, ``'pose'``, ``'seg'``, ``'depth'`` or ``'normal'``; None for an
          unknown head;
        * ``keypoints``, ``classes``: outputs of a pose or segmentation head, else None;
        * ``image_size``: (h, w) in pixels the position embedding is made for, square or 4:3; None for another grid;
        * ``configs``: leaves below ``configs/`` that fit, the likeliest first; ``config``: the first of them, or None.
    """
    prefix = 'backbone.' if any(name.startswith('backbone.') for name in state_dict) else ''
    patches = state_dict.get(f'{prefix}patch_embed.projection.weight')
    position = state_dict.get(f'{prefix}pos_embed')
    blocks = {int(found[1]) for found in map(re.compile(rf'{prefix}layers\.(\d+)\.').match, state_dict) if found}
    if patches is None or patches.ndim != 4 or position is None or position.ndim != 3 or not blocks:
        return None
    width, depth = patches.shape[0], max(blocks) + 1
    size = next(
        (name for name, arch in SAPIENS_ARCHS.items() if (arch['embed_dims'], arch['num_layers']) == (width, depth)),
        None,
    )
    task, outputs = _task_of(state_dict)
    image_size = _image_size(position.shape[1], patches.shape[-1])
    configs = _configs(size, task, outputs, image_size)
    return dict(
        size=size, embed_dims=width, num_layers=depth, task=task,
        keypoints=outputs if task == 'pose' else None, classes=outputs if task == 'seg' else None,
        image_size=image_size, config=configs[0] if configs else None, configs=configs,
    )  # fmt: skip


def _task_of(state_dict: Mapping[str, Tensor]) -> tuple[str | None, int | None]:
    if any(name.startswith('neck.decoder_') for name in state_dict):
        return 'mae', None
    heads = {name.partition('.')[0] for name in state_dict if re.match(r'(?:decode_)?head\.', name)}
    if not heads:
        return 'pretrain', None
    for task, (head, _, _, last) in HEADS.items():
        weight = state_dict.get(f'{head}.{last}.weight')
        if weight is not None and task in ('pose', 'seg'):
            outputs = weight.shape[0]
            if task == 'pose':
                return task, outputs
            # One value is depth and three are a normal: nobody segments into so few.
            return {1: 'depth', 3: 'normal'}.get(outputs, 'seg'), outputs
    return None, None


def _image_size(length: int, patch: int) -> tuple[int, int] | None:
    """From the number of position embeddings, with or without one for a class token."""
    for count in (length, length - 1):
        side = math.isqrt(count)
        if side * side == count:
            return side * patch, side * patch
        unit = math.isqrt(count // 12)
        if 12 * unit * unit == count:
            return 4 * unit * patch, 3 * unit * patch
    return None


def _configs(size: str | None, task: str | None, outputs: int | None, image_size) -> list[str]:
    if size is None or image_size is None or task is None:
        return []
    task = 'mae' if task == 'pretrain' else task
    leaves = [
        f'{task}/sapiens_{size}_{data}-{image_size[0]}x{image_size[1]}.py' for data in DATA.get((task, outputs), ())
    ]
    return [leaf for leaf in leaves if _exists(leaf)]


def _exists(leaf: str) -> bool:
    try:
        return config_path(leaf).is_file()
    except FileNotFoundError:
        return False


def describe(found: dict | None) -> str:
    """One line about what :func:`recognise` returned."""
    if found is None:
        return 'no vision transformer of this kind'
    size = found['size'] or f'{found["num_layers"]} blocks of {found["embed_dims"]} (none of the named sizes)'
    task = {
        None: 'an encoder with an unknown head', 'pretrain': 'an encoder', 'mae': 'a masked autoencoder',
        'pose': f'pose with {found["keypoints"]} keypoints', 'seg': f'segmentation into {found["classes"]} classes',
        'depth': 'depth', 'normal': 'surface normals',
    }[found['task']]  # fmt: skip
    image = 'x'.join(map(str, found['image_size'])) if found['image_size'] else 'images of an unknown shape'
    fits = f'; config: {" or ".join(f"configs/{leaf}" for leaf in found["configs"])}' if found['configs'] else ''
    return f'{task}, size {size}, {image}{fits}'
