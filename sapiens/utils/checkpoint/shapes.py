"""The shape of every tensor of a published checkpoint, from its size and task."""

from sapiens.utils.sizes import SAPIENS_ARCHS

__all__ = ['HEADS', 'MAE_DECODER', 'PATCH', 'expected_shapes']

PATCH = 16  # pixels
# Each task's head: its name, the channels of its deconvolutions and of its 1x1 convolutions, and the name of the last one.
HEADS = {
    'pose': ('head', (768, 768), (768, 768), 'final_layer'),
    'seg': ('decode_head', (768, 768, 768), (768, 768, 768), 'conv_seg'),
    'normal': ('decode_head', (768, 768, 768), (768, 768, 768), 'conv_seg'),
    'depth': ('decode_head', (384, 384, 384, 384), (384, 384), 'conv_seg'),
}
MAE_DECODER = dict(embed_dims=512, num_layers=8, feedforward_channels=2048)


def expected_shapes(
    arch: str | dict, task: str, num_outputs: int | None = None, image_size: tuple[int, int] | None = None
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a checkpoint's tensors.

    Args:
        arch: a name of the size table, or a dict with ``embed_dims``, ``num_layers`` and ``feedforward_channels``.
        task: ``'pretrain'`` (the encoder alone, names without prefix), ``'mae'`` (with its decoder), ``'pose'``, ``'seg'``,
            ``'normal'`` or ``'depth'``.
        num_outputs: keypoints or classes; a task that has a number of its own needs none.
        image_size: (h, w) in pixels; 1024x1024 for pretraining and 1024x768 otherwise by default.
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
    head, deconvs, convs, last = HEADS[task]
    before = width
    for index, after in enumerate(deconvs):
        whole[f'{head}.deconv_layers.{3 * index}.weight'] = (before, after, 4, 4)
        before = after
    for index, after in enumerate(convs):
        whole |= _layer(f'{head}.conv_layers.{3 * index}', after, before, 1, 1)
        before = after
    num_outputs = num_outputs or {'depth': 1, 'normal': 3}[task]
    return whole | _layer(f'{head}.{last}', num_outputs, before, 1, 1)


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
