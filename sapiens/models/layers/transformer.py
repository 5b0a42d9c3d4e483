"""The pre-norm transformer block of the Sapiens v1 encoders and of the MAE decoder.

Parameter names are those of the published checkpoints (``attn.qkv``, ``ffn.layers.0.0``, ``ffn.layers.1``, ...).
"""

# B batch, L tokens, C channels, H heads, D channels per head

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ['MLP', 'SelfAttention', 'TransformerBlock', 'attention', 'init_transformer', 'scale_branch']

LAYER_NORM_EPS = 1e-6
# On a CPU, attention over fewer tokens is trained in float32: its backward pass is slower in bf16 at 48 and 65 tokens and faster
# at 1025 (nothing in between was measured).
SHORT = 512


def attention(q: Tensor, k: Tensor, v: Tensor, training: bool) -> Tensor:
    """Attend to all tokens: (B, H, L, D) each -> (B, H, L, D)."""
    if training and q.device.type == 'cpu' and q.dtype == torch.bfloat16 and q.shape[-2] < SHORT:
        with torch.autocast('cpu', enabled=False):
            return F.scaled_dot_product_attention(q.float(), k.float(), v.float()).to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v)


class SelfAttention(nn.Module):
    """Multi-head self-attention with one linear layer for [q | k | v]."""

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)"""
        B, L, C = x.shape
        q, k, v = self.qkv(x).view(B, L, 3, self.num_heads, C // self.num_heads).permute(2, 0, 3, 1, 4)  # (B, H, L, D)
        return self.proj(attention(q, k, v, self.training).transpose(1, 2).reshape(B, L, C))


class MLP(nn.Module):
    """Two linear layers with exact GELU between them."""

    def __init__(self, embed_dims: int, hidden_dims: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Sequential(nn.Linear(embed_dims, hidden_dims), nn.GELU()),
            nn.Linear(hidden_dims, embed_dims),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def scale_branch(x: Tensor, factors: Tensor | None, number: int) -> Tensor:
    """Scale a residual branch (B, L, C) of each sample: by row ``number`` of the factors (2, B), or not without factors."""
    return x if factors is None else x * factors[number, :, None, None].to(x.dtype)


class TransformerBlock(nn.Module):
    """``x + attn(ln1(x))``, then ``x + ffn(ln2(x))``."""

    def __init__(self, embed_dims: int, num_heads: int, hidden_dims: int) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(embed_dims, eps=LAYER_NORM_EPS)
        self.attn = SelfAttention(embed_dims, num_heads)
        self.ln2 = nn.LayerNorm(embed_dims, eps=LAYER_NORM_EPS)
        self.ffn = MLP(embed_dims, hidden_dims)

    def forward(self, x: Tensor, factors: Tensor | None = None) -> Tensor:
        """(B, L, C) -> (B, L, C). ``factors`` (2, B) of the branches: see :func:`.sample_random.drop_path_factors`."""
        x = x + scale_branch(self.attn(self.ln1(x)), factors, 0)
        return x + scale_branch(self.ffn(self.ln2(x)), factors, 1)


@torch.no_grad()
def init_transformer(module: nn.Module, mlp_bias_std: float = 0.0) -> None:
    """Initialize as published for pretraining: linear layers Xavier-uniform with bias 0, layer norms 1 and 0.

    Args:
        mlp_bias_std: standard deviation of the biases of MLPs (published: 1e-6 in the encoder, 0 in the decoder).
    """
    for child in module.modules():
        if isinstance(child, nn.Linear):
            nn.init.xavier_uniform_(child.weight)
            nn.init.zeros_(child.bias)
        elif isinstance(child, nn.LayerNorm):
            nn.init.ones_(child.weight)
            nn.init.zeros_(child.bias)
    for child in module.modules() if mlp_bias_std else ():
        if isinstance(child, MLP):
            nn.init.normal_(child.layers[0][0].bias, std=mlp_bias_std)
            nn.init.normal_(child.layers[1].bias, std=mlp_bias_std)
