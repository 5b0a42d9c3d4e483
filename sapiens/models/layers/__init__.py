from .pos_embed import resize_grid, sincos_2d
from .transformer import MLP, DropPath, SelfAttention, TransformerBlock, init_transformer

__all__ = ['MLP', 'DropPath', 'SelfAttention', 'TransformerBlock', 'init_transformer', 'resize_grid', 'sincos_2d']
