"""Renaming of the weights of Sapiens2 of other projects: transformers (as its modules are called in memory) and timm.

Files of the hub and those that transformers saves have the published names, which are ours.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ['MARKS', 'PREDICTOR', 'rename']

# A name that only files of this layout have. The text before it is the prefix of the encoder.
MARKS = {
    'transformers-sapiens2': re.compile(r'^(.*?)model\.layer\.\d+\.layer_scale1\.lambda1$'),
    'timm-sapiens2': re.compile(r'^(.*?)blocks\.\d+\.attn\.q_proj\.weight$'),
}
# The last layer of a head in transformers. Here it is called after its task, so the model that loads it gives the name.
PREDICTOR = 'decode_head.predictor'
# Names in the encoder and in a block, theirs and ours.
ENCODER = {
    'transformers-sapiens2': {
        'embeddings.cls_token': 'cls_token', 'embeddings.register_tokens': 'storage_tokens',
        'embeddings.patch_embeddings': 'patch_embed.projection', 'norm': 'ln1', 'model.layer': 'blocks',
    },
    'timm-sapiens2': {'reg_token': 'storage_tokens', 'patch_embed.proj': 'patch_embed.projection', 'norm': 'ln1'},
}  # fmt: skip
BLOCK = {
    'transformers-sapiens2': {
        'norm1': 'ln1', 'norm2': 'ln2', 'attention.q_norm': 'attn.q_norm', 'attention.k_norm': 'attn.k_norm',
        'attention.q_proj': 'attn.wq', 'attention.k_proj': 'attn.wk', 'attention.v_proj': 'attn.wv',
        'attention.o_proj': 'attn.proj', 'layer_scale1.lambda1': 'attn.gamma.weight', 'mlp.gate_proj': 'ffn.gate',
        'mlp.up_proj': 'ffn.up', 'mlp.down_proj': 'ffn.w3',
    },
    'timm-sapiens2': {
        'norm1': 'ln1', 'norm2': 'ln2', 'attn.q_proj': 'attn.wq', 'attn.k_proj': 'attn.wk', 'attn.v_proj': 'attn.wv',
        'gamma_1': 'attn.gamma.weight', 'mlp.fc1': 'ffn.w12', 'mlp.fc2': 'ffn.w3',
    },
}  # fmt: skip
SCALE = {'block1.layers.0': '1', 'block2.layers.0': '3', 'proj': '5'}


def rename(state_dict: Mapping[str, Tensor], layout: str) -> dict[str, Tensor]:
    """Rename weights of a layout of :data:`MARKS` to the published names.

    The encoder of a model of transformers, ``model.``, becomes ``backbone.``. Its last layer stays :data:`PREDICTOR`.
    """
    prefix = next(match[1] for match in map(MARKS[layout].match, state_dict) if match)
    has_head = any(name.startswith(('decode_head.', 'scale_head.')) for name in state_dict)
    deconvs = not any(name.startswith('decode_head.input_conv.') for name in state_dict)
    renamed = {}
    for name, value in state_dict.items():
        if name.startswith(('decode_head.', 'scale_head.')):
            renamed[_head_name(name, deconvs)] = value
        else:
            local = _replace(name.removeprefix(prefix), ENCODER[layout])
            found = re.fullmatch(r'(blocks\.\d+\.)(.*)', local)
            if found:
                local = found[1] + _replace(found[2], BLOCK[layout])
            renamed[('backbone.' if has_head or 'backbone.' in prefix else '') + local] = value
    return _join_gates(renamed)


def _head_name(name: str, deconvs: bool) -> str:
    part, _, local = name.partition('.')
    found = re.fullmatch(r'(input_conv|upsample_layers|conv_layers)(?:\.(\d+))?\.convolution\.(\w+)', local)
    if found:
        kind, number, leaf = found[1], int(found[2] or 0), found[3]
        if kind == 'conv_layers':
            return f'decode_head.{"scale_" if part == "scale_head" else ""}conv_layers.{3 * number}.{leaf}'
        if kind == 'input_conv':
            return f'decode_head.input_conv.0.{leaf}'
        return (
            f'decode_head.deconv_layers.{3 * number}.{leaf}'
            if deconvs
            else f'decode_head.upsample_blocks.{number}.0.{leaf}'
        )
    if part == 'scale_head':
        layer, _, leaf = local.removeprefix('predictor.').rpartition('.')
        return f'decode_head.scale_final_layer.{SCALE[layer]}.{leaf}' if layer in SCALE else name
    return name


def _replace(name: str, table: Mapping[str, str]) -> str:
    for old, new in table.items():
        if name == old or name.startswith(f'{old}.'):
            return new + name[len(old) :]
    return name


def _join_gates(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The two layers before SwiGLU as one, the gate first."""
    joined = {}
    for name, value in weights.items():
        if '.ffn.gate.' in name:
            joined[name.replace('.gate.', '.w12.')] = torch.cat([value, weights[name.replace('.gate.', '.up.')]])
        elif '.ffn.up.' not in name:
            joined[name] = value
    return joined
