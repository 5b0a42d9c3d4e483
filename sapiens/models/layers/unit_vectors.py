"""Vectors that lie along one dimension of a map."""

import torch
from torch import Tensor

__all__ = ['unit_vectors']


def unit_vectors(vectors: Tensor, dim: int, eps: float = 1e-12) -> Tensor:
    """``F.normalize(vectors, dim=dim, eps=eps)``: vectors of length 1, but of length / eps where they are shorter than eps.

    Sums of squares instead of torch's norm, which on a CPU is many times slower along any dimension but the last.
    """
    # The square of an eps that vanishes in float32 would let the reciprocal be infinite.
    smallest = max(eps**2, torch.finfo(vectors.dtype).tiny)
    return vectors * vectors.square().sum(dim, keepdim=True).clamp(min=smallest).rsqrt()
