"""Normalization of vectors along one dimension of a map."""

import torch
from torch import Tensor

__all__ = ['unit_vectors']


def unit_vectors(vectors: Tensor, dim: int, eps: float = 1e-12) -> Tensor:
    """Scale vectors to length 1, those shorter than eps by 1 / eps, as ``F.normalize(vectors, dim=dim, eps=eps)``.

    By sums of squares: on a CPU torch's norm is many times slower along any dimension but the last.
    """
    # The square of a small eps can be 0 in float32, and its reciprocal infinite.
    smallest = max(eps**2, torch.finfo(vectors.dtype).tiny)
    return vectors * vectors.square().sum(dim, keepdim=True).clamp(min=smallest).rsqrt()
