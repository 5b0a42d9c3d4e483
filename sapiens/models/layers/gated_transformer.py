"""The pre-norm transformer block of the Sapiens2 encoders: RMS norms, grouped queries, rotary positions, gated feedforward.

Parameter names are those of the published checkpoints (``attn.wq``, ``attn.gamma``, ``ffn.w12``, ...).
"""

# B batch, L tokens, C channels, H heads, G heads of keys and values, D channels per head

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .in_place import may_work_in_place
from .rotary import rotate
from .transformer import attention, scale_branch

__all__ = ['GatedBlock', 'GatedMLP', 'GroupedAttention']

RMS_NORM_EPS = 1e-6
# Norms keep weights in float32 beside activations in half precision. torch then computes them from single operations, as meant.
warnings.filterwarnings('ignore', message='Mismatch dtype between input and weight')


class LayerScale(nn.Module):
    """Learned factor of each channel."""

    def __init__(self, embed_dims: int, init: float = 1e-4) -> None:
        super().__init__()
        self.init = init
        self.weight = nn.Parameter(torch.full((embed_dims,), init))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class GroupedAttention(nn.Module):
    """Self-attention in which H / G query heads share a head of keys and values.

    Args:
        num_kv_heads: G. H is ordinary attention.
        qk_norm: RMS norm of each head's queries and keys, before the rotation.
        layer_scale: a learned factor of each output channel.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, num_kv_heads: int, qk_norm: bool = True, layer_scale: bool = True
    ) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads, self.head_dims = num_heads, num_kv_heads, embed_dims // num_heads
        self.wq = nn.Linear(embed_dims, embed_dims)
        self.wk = nn.Linear(embed_dims, num_kv_heads * self.head_dims)
        self.wv = nn.Linear(embed_dims, num_kv_heads * self.head_dims)
        self.q_norm = nn.RMSNorm(self.head_dims, eps=RMS_NORM_EPS) if qk_norm else nn.Identity()
        self.k_norm = nn.RMSNorm(self.head_dims, eps=RMS_NORM_EPS) if qk_norm else nn.Identity()
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.gamma = LayerScale(embed_dims) if layer_scale else nn.Identity()

    def forward(self, x: Tensor, positions: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """(B, L, C) -> (B, L, C). ``positions``: sines and cosines (L, D) or (B, 1, L, D) of the tokens."""
        q = self.q_norm(self.wq(x).unflatten(-1, (self.num_heads, self.head_dims))).transpose(1, 2)  # (B, H, L, D)
        k = self.k_norm(self.wk(x).unflatten(-1, (self.num_kv_heads, self.head_dims))).transpose(1, 2)  # (B, G, L, D)
        v = self.wv(x).unflatten(-1, (self.num_kv_heads, self.head_dims)).transpose(1, 2)
        if positions is not None:
            q, k = rotate(q, *positions), rotate(k, *positions)
        group = self.num_heads // self.num_kv_heads
        if group > 1:
            # Kernels that take fewer heads of keys are slower in float32 and absent from export formats.
            k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        x = attention(q, k, v, self.training)
        return self.gamma(self.proj(x.transpose(1, 2).flatten(2)))


class GatedMLP(nn.Module):
    """SwiGLU: ``w3(silu(a) * b)`` with a and b packed in one linear layer ``w12``."""

    def __init__(self, embed_dims: int, hidden_dims: int) -> None:
        super().__init__()
        self.w12 = nn.Linear(embed_dims, 2 * hidden_dims)
        self.w3 = nn.Linear(hidden_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        if may_work_in_place(self):
            return self.w3(F.silu(gate, inplace=True).mul_(value))
        return self.w3(F.silu(gate) * value)


class GatedBlock(nn.Module):
    """``x + attn(ln1(x))``, then ``x + ffn(ln2(x))``. Options: those of :class:`GroupedAttention`."""

    def __init__(self, embed_dims: int, num_heads: int, num_kv_heads: int, hidden_dims: int, **options) -> None:
        super().__init__()
        self.ln1 = nn.RMSNorm(embed_dims, eps=RMS_NORM_EPS)
        self.attn = GroupedAttention(embed_dims, num_heads, num_kv_heads, **options)
        self.ln2 = nn.RMSNorm(embed_dims, eps=RMS_NORM_EPS)
        self.ffn = GatedMLP(embed_dims, hidden_dims)

    def forward(
        self, x: Tensor, positions: tuple[Tensor, Tensor] | None = None, factors: Tensor | None = None
    ) -> Tensor:
        """(B, L, C) -> (B, L, C). ``factors`` (2, B) of the branches: see :func:`.sample_random.drop_path_factors`."""
        x = x + scale_branch(self.attn(self.ln1(x), positions), factors, 0)
        return x + scale_branch(self.ffn(self.ln2(x)), factors, 1)
