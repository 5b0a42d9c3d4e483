from .patches import patchify, take, unpatchify
from .pos_embed import resize_grid, sincos_2d
from .transformer import MLP, DropPath, SelfAttention, TransformerBlock, init_transformer
from .unit_vectors import unit_vectors

__all__ = [
    'MLP',
    'DropPath',
    'SelfAttention',
    'TransformerBlock',
    'init_transformer',
    'patchify',
    'resize_grid',
    'sincos_2d',
    'take',
    'unit_vectors',
    'unpatchify',
]
