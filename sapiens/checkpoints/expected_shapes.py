"""The shape of every tensor of a published checkpoint, from its size and task, or from its config."""

import torch

from sapiens.models.backbones.archs import SAPIENS_ARCHS
from sapiens.registry import MODELS
from sapiens.tasks import get_task

__all__ = ['expected_shapes', 'head_shapes', 'shapes_of']

PATCH = 16  # pixels
MAE_DECODER = dict(embed_dims=512, num_layers=8, feedforward_channels=2048)


def expected_shapes(
    arch: str | dict,
    task: str,
    num_outputs: int | None = None,
    image_size: tuple[int, int] | None = None,
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a checkpoint of Sapiens v1.

    Args:
        arch: a size of the family, or a dict with ``embed_dims``, ``num_layers`` and ``feedforward_channels``.
        task: ``'pretrain'`` (the encoder alone, names without prefix), ``'mae'`` (with its decoder), or a task with a published
            head.
        num_outputs: keypoints or classes. The default is the published number, where there is only one.
        image_size: (h, w) in pixels; by default 1024x1024 for pretraining and 1024x768 for other tasks.

    Raises:
        ValueError: a task without a published head, or a number of outputs that is needed.
    """
    arch = SAPIENS_ARCHS[arch] if isinstance(arch, str) else arch
    width, pretraining = arch['embed_dims'], task in ('pretrain', 'mae')
    height, across = image_size or (1024, 1024 if pretraining else 768)
    tokens = (height // PATCH) * (across // PATCH) + pretraining
    encoder = {'cls_token': (1, 1, width)} if pretraining else {}
    encoder |= {'pos_embed': (1, tokens, width), **_layer('patch_embed.projection', width, 3, PATCH, PATCH)}
    encoder |= _blocks('layers', arch) | _norm('ln1', width)
    if task == 'pretrain':
        return encoder
    whole = {f'backbone.{name}': shape for name, shape in encoder.items()}
    if task == 'mae':
        inner = MAE_DECODER['embed_dims']
        decoder = {'mask_token': (1, 1, inner), 'decoder_pos_embed': (1, tokens, inner)}
        decoder |= _layer('decoder_embed', inner, width) | _blocks('decoder_blocks', MAE_DECODER)
        decoder |= _norm('ln1', inner) | _layer('decoder_pred', 3 * PATCH**2, inner)
        return whole | {f'neck.{name}': shape for name, shape in decoder.items()}
    head = get_task(task).published
    if head is None:
        raise ValueError(f'no models of the task {task!r} are published')
    if num_outputs is None and len(head.outputs) > 1:
        raise ValueError(f'task {task!r} needs num_outputs: published are {", ".join(map(str, head.outputs))}')
    inner = (*head.deconv_channels, *head.conv_channels)[-1]
    last = _layer(f'{head.name}.{head.last}', num_outputs or head.outputs[0], inner, 1, 1)
    return whole | head_shapes(task, width) | last


def shapes_of(model: dict) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a model, from its config. The model is built without memory for its weights."""
    with torch.device('meta'):
        built = MODELS.build(dict(model))
    return {name: tuple(value.shape) for name, value in built.state_dict().items()}


def head_shapes(task: str, embed_dims: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published head of a task on an encoder of ``embed_dims``, without its last layer."""
    head, before, shapes = get_task(task).published, embed_dims, {}
    for index, after in enumerate(head.deconv_channels):
        shapes[f'{head.name}.deconv_layers.{3 * index}.weight'] = (before, after, 4, 4)
        before = after
    for index, after in enumerate(head.conv_channels):
        shapes |= _layer(f'{head.name}.conv_layers.{3 * index}', after, before, 1, 1)
        before = after
    return shapes


def _layer(name: str, out: int, *rest: int) -> dict[str, tuple[int, ...]]:
    return {f'{name}.weight': (out, *rest), f'{name}.bias': (out,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f'{name}.weight': (width,), f'{name}.bias': (width,)}


def _blocks(name: str, arch: dict) -> dict[str, tuple[int, ...]]:
    width, hidden, shapes = arch['embed_dims'], arch['feedforward_channels'], {}
    for index in range(arch['num_layers']):
        block = f'{name}.{index}'
        shapes |= _norm(f'{block}.ln1', width) | _norm(f'{block}.ln2', width)
        shapes |= _layer(f'{block}.attn.qkv', 3 * width, width) | _layer(f'{block}.attn.proj', width, width)
        shapes |= _layer(f'{block}.ffn.layers.0.0', hidden, width) | _layer(f'{block}.ffn.layers.1', width, hidden)
    return shapes
