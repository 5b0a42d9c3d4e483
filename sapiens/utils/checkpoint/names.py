"""Renaming of the weights of vision transformers of other projects.

Our names are those of the published Sapiens checkpoints and of mmpretrain. Other known names are timm's, which
facebookresearch/mae uses and extends by a decoder, and those of Hugging Face's ``ViTModel`` and ``ViTMAEForPreTraining``.
Equivalent forms are converted: a layer scale is multiplied into the layer before it, and separate queries, keys and values are
joined. Other parts are refused.
"""

import re

import torch
from torch import Tensor

from . import names_v2

__all__ = ['LIBRARY_PARTS', 'WRAPPERS', 'canonical', 'layout_of', 'strip_wrappers']

# Prefixes of wrappers: DistributedDataParallel, torch.compile, FSDP.
WRAPPERS = re.compile(r'(?:^|(?<=\.))(?:module|_orig_mod|_fsdp_wrapped_module)\.')

# Networks of other libraries inside of our encoders (TimmBackbone, MMPretrainBackbone). Names after it stay those of the library.
LIBRARY_PARTS = re.compile(r'^(?:backbone\.)?(?:timm|mmpretrain)\.')

# A name that only files of this layout have. The text before it is the prefix of the encoder.
MARKS = {
    'timm': re.compile(r'^(.*?)(?<!decoder_)blocks\.\d+\.attn\.qkv\.weight$'),
    'huggingface': re.compile(r'^(.*?)encoder\.layer\.\d+\.attention\.attention\.query\.weight$'),
}
# Names in the encoder and in a block. The decoder of a masked autoencoder has the same blocks.
OUTSIDE = {
    'timm': {'patch_embed.proj': 'patch_embed.projection', 'norm': 'ln1'},
    'huggingface': {
        'embeddings.cls_token': 'cls_token', 'embeddings.position_embeddings': 'pos_embed',
        'embeddings.patch_embeddings.projection': 'patch_embed.projection', 'layernorm': 'ln1',
    },
}  # fmt: skip
BLOCKS = {
    'timm': {'norm1': 'ln1', 'norm2': 'ln2', 'mlp.fc1': 'ffn.layers.0.0', 'mlp.fc2': 'ffn.layers.1'},
    'huggingface': {
        'layernorm_before': 'ln1', 'layernorm_after': 'ln2', 'attention.output.dense': 'attn.proj',
        'intermediate.dense': 'ffn.layers.0.0', 'output.dense': 'ffn.layers.1',
        **{f'attention.attention.{name}': f'attn.{name}' for name in ('query', 'key', 'value')},
    },
}  # fmt: skip
BLOCK = {'timm': re.compile(r'blocks\.(\d+)\.(.*)'), 'huggingface': re.compile(r'encoder\.layer\.(\d+)\.(.*)')}
# The decoder of a masked autoencoder: its names and ours.
DECODER = {'mask_token': 'mask_token', 'decoder_pos_embed': 'decoder_pos_embed', 'decoder_embed': 'decoder_embed',
           'decoder_norm': 'ln1', 'decoder_pred': 'decoder_pred'}  # fmt: skip
DECODER_BLOCK = {
    'timm': re.compile(r'decoder_blocks\.(\d+)\.(.*)'),
    'huggingface': re.compile(r'decoder\.decoder_layers\.(\d+)\.(.*)'),
}
# Parts that change the result of an encoder and that ours does not have.
FOREIGN = re.compile(
    r'(?:^|\.)(?:attn\.[qk]_norm|reg_token|register_tokens|norm_pre|patch_embed\.norm|rope|mlp\.(?:w12|fc1_g|norm))\b'
)


def strip_wrappers(state_dict: dict[str, Tensor], origin: str = 'the weights') -> dict[str, Tensor]:
    """Remove prefixes of wrappers from names.

    Raises:
        ValueError: two names are equal without them.
    """
    stripped, written = {}, {}
    for key, value in state_dict.items():
        name = WRAPPERS.sub('', key)
        if name in stripped:
            raise ValueError(f'{origin} holds both {written[name]!r} and {key!r}, which are one name without wrappers')
        stripped[name], written[name] = value, key
    return stripped


def layout_of(state_dict: dict[str, Tensor]) -> str:
    """Project whose names these are: ``'timm'``, ``'huggingface'``, the two of :mod:`.names_v2`, or ``'sapiens'`` for ours and
    unknown ones."""
    if any(map(LIBRARY_PARTS.match, state_dict)):
        return 'sapiens'
    marks = {**names_v2.MARKS, **MARKS}
    return next((name for name, mark in marks.items() if any(map(mark.match, state_dict))), 'sapiens')


def canonical(state_dict: dict[str, Tensor], layout: str, origin: str = 'the weights') -> dict[str, Tensor]:
    """Rename weights to our names.

    A bare encoder keeps bare names. With the decoder of a masked autoencoder they become ``backbone.*`` and ``neck.*``, as in
    :class:`sapiens.models.MAE`. Parts outside the encoder (a classifier) keep their names.

    Raises:
        ValueError: the encoder has parts that ours does not have.
    """
    if layout == 'sapiens':
        return state_dict
    if layout in names_v2.MARKS:
        return names_v2.rename(state_dict, layout)
    prefix = next(match[1] for match in map(MARKS[layout].match, state_dict) if match)
    has_decoder = any(DECODER_BLOCK[layout].search(name) for name in state_dict)
    ahead = 'backbone.' if has_decoder or prefix.endswith('backbone.') else ''
    renamed = {}
    for key, value in state_dict.items():
        local = key.removeprefix(prefix)
        if FOREIGN.search(local):
            raise ValueError(
                f'{origin} holds {key}, a part that changes what its encoder computes and that this encoder does not '
                'have: these weights cannot be used here'
            )
        renamed[_rename(local, key, layout, ahead, has_decoder)] = value
    return _fold_layer_scale(_join_queries(renamed))


def _rename(local: str, key: str, layout: str, ahead: str, has_decoder: bool) -> str:
    if has_decoder:
        block = DECODER_BLOCK[layout].fullmatch(local)
        if block:
            return f'neck.decoder_blocks.{block[1]}.{_replace(block[2], BLOCKS[layout])}'
        found = _replace(local.removeprefix('decoder.').removeprefix('embeddings.'), DECODER, '')
        if found:
            return f'neck.{found}'
    block = BLOCK[layout].fullmatch(local)
    if block:
        return f'{ahead}layers.{block[1]}.{_replace(block[2], BLOCKS[layout])}'
    found = _replace(local, OUTSIDE[layout], '')
    if not found and local in ('cls_token', 'pos_embed', 'patch_embed.projection'):
        found = local
    return f'{ahead}{found}' if found else key


def _replace(name: str, table: dict[str, str], default: str | None = None) -> str:
    """The name with its first part replaced; without an entry ``default``, or the name itself."""
    for old, new in table.items():
        if name == old or name.startswith(f'{old}.'):
            return new + name[len(old) :]
    return name if default is None else default


def _join_queries(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Separate queries, keys and values as one layer laid out [q | k | v]."""
    joined = {}
    for name, value in weights.items():
        if '.attn.query.' in name:
            parts = [weights[name.replace('.query.', f'.{part}.')] for part in ('query', 'key', 'value')]
            joined[name.replace('.query.', '.qkv.')] = torch.cat(parts)
        elif '.attn.key.' not in name and '.attn.value.' not in name:
            joined[name] = value
    return joined


def _fold_layer_scale(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """``x + gamma * layer(x)`` is a layer whose weight and bias are multiplied by gamma."""
    folded = dict(weights)
    for name, gamma in weights.items():
        found = re.fullmatch(r'(.*\.)ls([12])\.gamma', name)
        if found:
            layer = found[1] + ('attn.proj', 'ffn.layers.1')[int(found[2]) - 1]
            folded[f'{layer}.weight'] = folded[f'{layer}.weight'] * gamma[:, None]
            folded[f'{layer}.bias'] = folded[f'{layer}.bias'] * gamma
            del folded[name]
    return folded
