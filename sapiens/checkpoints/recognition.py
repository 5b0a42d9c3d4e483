"""What a file of weights is: family, size, task and image size, and the configs that fit."""

import functools
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from sapiens.metainfo import get_skeleton
from sapiens.registry import MODELS
from sapiens.tasks import MULTI, TaskSpec, get_task, members_of, task_names
from sapiens.utils.checkpoint import extract_task, names_of_tasks
from sapiens.utils.config import config_folder, load_config

from .expected_shapes import head_shapes
from .families import Family, family_of
from .zoo import ZOO

__all__ = ['describe', 'recognise']


def recognise(state_dict: Mapping[str, Tensor], meta: Mapping | None = None) -> dict | None:
    """Recognize weights under our names.

    Files of this package name their task in ``meta['task']``, older ones in the text of their config, ``meta['cfg']``. Published
    files have neither: their task follows from the layers of the published heads, and where two heads are equal from the
    published numbers of outputs.

    Returns:
        None for weights of no known family, else a dict with

        * ``family``: name of the family; ``size``: name of the size in it, or None for another width and depth;
        * ``embed_dims``, ``num_layers``;
        * ``task``: ``'pretrain'`` (an encoder alone), the name of a task, ``'multi'`` for several, or None for an unknown head;
        * ``tasks``: of a model of several tasks, ``task`` and ``outputs`` of each by name; {} for others;
        * ``outputs``: channels of the head's last layer, where known; ``keypoints``, ``classes`` (what tasks count): the same
          number for the task that counts them, else None;
        * ``image_size``: (h, w) in pixels that the position embedding is made for, square or 4:3; None for another grid or for
          an encoder without one; ``tokenizer``: whether the encoder has a tokenizer of windows;
        * ``configs``: files below ``configs/`` that fit, published ones first; ``config``: the first of them, or None.
    """
    prefix = 'backbone.' if any(name.startswith('backbone.') for name in state_dict) else ''
    family = family_of(state_dict, prefix)
    patches = state_dict.get(f'{prefix}patch_embed.projection.weight')
    if family is None or patches is None or patches.ndim != 4:
        return None
    block = re.compile(rf'{re.escape(prefix)}{family.blocks}\.(\d+)\.')
    width, depth = patches.shape[0], 1 + max(int(found[1]) for found in map(block.match, state_dict) if found)
    outside = {name: tuple(value.shape) for name, value in state_dict.items() if not name.startswith(prefix)}
    meta, tasks = meta or {}, {}
    for name in names_of_tasks(outside):
        declared = meta.get('tasks') if isinstance(meta.get('tasks'), Mapping) else {}
        one = _task_of(extract_task(outside, name), dict(task=declared.get(name)), family, width)
        tasks[name] = dict(zip(('task', 'outputs'), one, strict=True))
    task, outputs = (MULTI, None) if tasks else _task_of(outside, meta, family, width)
    position = state_dict.get(f'{prefix}pos_embed')
    image_size = None if position is None else _image_size(position.shape[1], patches.shape[-1])
    size = family.size_of(width, depth)
    tokenizer = f'{prefix}tokenizer.w_cls' in state_dict
    configs = []
    if size and task and (image_size or position is None):  # an encoder without a position embedding takes any size
        kind = tuple((name, one['outputs']) for name, one in tasks.items()) or outputs
        configs = _configs(f'{family.name}_{size}', task, kind, image_size, tokenizer)
    return dict(
        family=family.name, size=size, embed_dims=width, num_layers=depth, task=task, outputs=outputs,
        **{spec.counted: outputs if task == spec.name else None for spec in map(get_task, task_names()) if spec.counted},
        image_size=image_size, tokenizer=tokenizer, config=configs[0] if configs else None, configs=configs, tasks=tasks,
    )  # fmt: skip


def _task_of(head: dict[str, tuple], meta: Mapping, family: Family, width: int) -> tuple[str | None, int | None]:
    """Task and number of outputs from the shapes of what is not in the encoder."""
    if not head:
        return 'pretrain', None
    heads = {name: get_task(name).published for name in task_names() if get_task(name).published}
    declared = meta.get('task') or _task_in_config(meta.get('cfg'))
    # The last layers of the second family are called after their tasks.
    named = {
        layer[0]: layer[1]
        for layer in map(re.compile(r'decode_head\.conv_([a-z]+)(?=\.weight$)').match, head)
        if layer
    }
    if isinstance(declared, str):
        last = {f'{published.name}.{published.last}' for published in heads.values()}
        return declared_task(declared), _rows(head, [*last, *named])
    if any(name.startswith('neck.decoder_') for name in head):
        return 'mae', None
    own = [task for task in named.values() if task in task_names() and get_task(task).published is None]
    if family.named_heads or own:  # the first family has no head of these tasks, but may have one of the second
        return next(iter(own or named.values()), None), _rows(head, named)
    fitting, last_layers = [], [(published.name, published.last) for published in heads.values()]
    for task, published in heads.items():
        last = f'{published.name}.{published.last}'
        layers = {name: shape for name, shape in head.items() if name not in (f'{last}.weight', f'{last}.bias')}
        # A name that only one head has is enough. Others must have the layers of the published head.
        is_own_name = last_layers.count((published.name, published.last)) == 1
        if f'{last}.weight' in head and (is_own_name or layers == head_shapes(task, width)):
            fitting.append((task, _rows(head, {last}), published.outputs))
    if len(fitting) > 1:
        fitting = [one for one in fitting if one[1] in one[2]]
    return fitting[0][:2] if len(fitting) == 1 else (None, None)


def declared_task(text: str) -> str:
    """The name of a task. Exports call a task by its name in inference or by its main field."""
    if text in task_names():
        return text
    for spec in map(get_task, task_names()):
        if text == spec.inference or (spec.fields and text == spec.field.name):
            return spec.name
    return text


def _task_in_config(text: object) -> str | None:
    """The task that the text of a config names by the type of its model. The text is searched, never executed."""
    MODELS.import_from_location()
    for name in re.findall(r"type='(?:sapiens\.)?(\w+)'", text) if isinstance(text, str) else ():
        task = getattr(MODELS.module_dict.get(name), 'task_name', None)
        if isinstance(task, str):
            return task
    return None


def _rows(head: dict[str, tuple], layers: Iterable[str]) -> int | None:
    return next((head[f'{layer}.weight'][0] for layer in layers if f'{layer}.weight' in head), None)


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


def _configs(
    arch: str, task: str, outputs: int | tuple | None, image_size: tuple[int, int] | None, tokenizer: bool
) -> list[str]:
    task = 'mae' if task == 'pretrain' else task
    size = f'-{image_size[0]}x{image_size[1]}' if image_size else ''
    folder = config_folder()
    paths = sorted(folder.glob(f'{task}/{arch}_*{size}.py'))
    fitting = [path for path in paths if _kind_of(path) == (outputs, tokenizer)]
    leaves = [path.relative_to(folder).as_posix() for path in fitting]
    published = {entry.config for entry in ZOO.values() if not entry.is_own}
    return sorted(leaves, key=lambda leaf: leaf not in published)


@functools.cache
def _kind_of(config: Path) -> tuple[int | tuple | None, bool]:
    """Channels of the output of a config's model (None for pretraining, (name, channels) for each of several tasks), and whether
    its encoder has a tokenizer."""
    model = load_config(config).model
    parts = tuple((name, _outputs_of(part)) for name, part in members_of(model).items())
    return parts or _outputs_of(model), bool(model.backbone.get('tokenizer', False))


def _outputs_of(model: Mapping) -> int | None:
    if 'skeleton' in model:
        return len(get_skeleton(model['skeleton']))
    if 'task' in model:
        return sum(MODELS.build(model['task']).maps.values())
    if model['type'] == 'BoxEstimator':
        return MODELS.build(model.get('codec') or dict(type='CenterBoxes')).channels
    return None


def describe(found: dict | None) -> str:
    """One line about what :func:`recognise` returned."""
    if found is None:
        return 'no vision transformer of this kind'
    layers = f'{found["num_layers"]} blocks of {found["embed_dims"]}'
    size = f'_{found["size"]}' if found['size'] else f' with {layers} (none of the named sizes)'
    image = 'x'.join(map(str, found['image_size'])) if found['image_size'] else 'images of any size'
    if found['tokenizer']:
        image += ', with a tokenizer of 4x4 patches'
    fits = f'; config: {" or ".join(f"configs/{leaf}" for leaf in found["configs"])}' if found['configs'] else ''
    return f'{_describe_task(found)}, {found["family"]}{size}, {image}{fits}'


def _describe_task(found: Mapping) -> str:
    """In words: ``task``, with its ``outputs`` or its ``tasks``."""
    task, outputs = found['task'], found['outputs']
    if task == MULTI:
        listed = ', '.join(f'{name}: {_describe_task(one)}' for name, one in found['tasks'].items())
        return f'{len(found["tasks"])} tasks on one encoder ({listed})'
    if task is None:
        return 'an encoder with an unknown head'
    if task == 'pretrain':
        return 'an encoder'
    spec: TaskSpec | None = get_task(task) if task in task_names() else None
    text = spec.description if spec else f'task {task!r}'
    return f'{text} with {outputs} {spec.counted}' if outputs and spec and spec.counted else text
