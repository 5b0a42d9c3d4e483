"""Position embeddings of files, fitted to the encoder that loads them."""

import math
from typing import Protocol

import torch
from torch import Tensor

__all__ = ['HasPositions', 'fit_positions']


class HasPositions(Protocol):
    """An encoder with a learned position embedding, as :class:`~sapiens.models.SapiensViT`."""

    grid_size: tuple[int, int]
    num_extra_tokens: int

    def resize_positions(self, patches: Tensor, source: tuple[int, int]) -> Tensor:
        """Resize rows (1, h*w, C) of a grid ``source`` (h, w) to ``grid_size``."""


def fit_positions(embed: Tensor, encoder: HasPositions, key: str = 'pos_embed') -> Tensor:
    """Fit the position embedding (1, L, C) of a file to an encoder: drop or add the extra tokens' rows, resize the grid.

    A file has a row for the class token if its length is the encoder's number of patches plus one, or another odd number (the
    rule of the published loader). Its grid is square, of the encoder's shape, or 4:3 as in the published finetuned models.

    Args:
        key: name in the file, for the message.

    Raises:
        ValueError: the length tells no grid.
    """
    length, own = embed.shape[1], math.prod(encoder.grid_size)
    has_cls = length == own + 1 or (length != own and length % 2 == 1)
    extra, patches = embed[:, : int(has_cls)], embed[:, int(has_cls) :]
    patches = encoder.resize_positions(patches, _grid_of(patches.shape[1], encoder.grid_size, key))
    if not encoder.num_extra_tokens:
        return patches
    missing = patches.new_zeros(1, encoder.num_extra_tokens - extra.shape[1], patches.shape[2])
    return torch.cat([extra, missing, patches], dim=1)


def _grid_of(count: int, own: tuple[int, int], key: str) -> tuple[int, int]:
    """Grid (h, w) of a number of patches of a file; ``own`` is the grid of the encoder."""
    if count == math.prod(own):
        return own
    common = math.gcd(*own)
    for h, w in ((1, 1), (own[0] // common, own[1] // common), (4, 3)):
        unit = math.isqrt(count // (h * w))
        if h * w * unit**2 == count:
            return h * unit, w * unit
    raise ValueError(
        f'{key} of the checkpoint has {count} patches: neither a square grid, nor one of the shape of {own} of this model, '
        'nor 4:3; load it into a model with its img_size first'
    )
