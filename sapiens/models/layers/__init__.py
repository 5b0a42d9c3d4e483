from .decoder import conv_layers, deconv_layers
from .pos_embed import resize_grid, sincos_2d
from .transformer import MLP, DropPath, SelfAttention, TransformerBlock, init_transformer
from .unit_vectors import unit_vectors

__all__ = [
    'MLP',
    'DropPath',
    'SelfAttention',
    'TransformerBlock',
    'conv_layers',
    'deconv_layers',
    'init_transformer',
    'resize_grid',
    'sincos_2d',
    'unit_vectors',
]
