"""The Sapiens v1 encoder: a plain vision transformer with 16-pixel patches.

Parameter names and shapes equal the published checkpoints. Two facts that weights do not tell are options: ``patch_padding`` (0
in pretraining, 2 in most finetuning recipes, which shifts the grid of patches by 2 pixels) and ``with_cls_token``.
"""

# B batch, L tokens, N patches, K patches kept, C channels, H W image size in pixels, h w grid of patches, P patch side in pixels

import math

import torch
from torch import Tensor, nn

from sapiens.registry import MODELS

from ..layers.patches import PatchEmbed, take
from ..layers.pos_embed import resize_grid, sincos_2d
from ..layers.transformer import LAYER_NORM_EPS, TransformerBlock, init_transformer
from .archs import resolve_arch
from .interface import Encoder

__all__ = ['SapiensViT']


@MODELS.register_module()
class SapiensViT(Encoder):
    """Sapiens v1 encoder.

    Args:
        arch: name in :data:`~sapiens.models.backbones.archs.SAPIENS_ARCHS`, or a dict of its four numbers.
        img_size: (h, w) in pixels of the position embedding. For other sizes that are multiples of the patch size it is
            resized in the forward pass, as published.
        patch_size: pixels.
        patch_padding: zero padding of the patch convolution in pixels.
        with_cls_token: prepend a learned class token (published: in pretraining only).
        pos_embed: ``'learned'``, or ``'sincos'`` for the fixed embedding of pretraining.
        patch_bias: initial bias of the patch embedding: ``'zeros'``, or ``'uniform'`` in +-1 / sqrt(pixel values of a patch),
            torch's default (published: in pretraining).
        drop_path_rate: stochastic depth of the last block; the first has 0, linear in between.
        **options: ``out_type``, ``out_indices``, ``final_norm``, ``frozen_stages``, ``activation_checkpointing`` and ``init_cfg``
            of :class:`Encoder`.

    Raises:
        ValueError: a contradictory or unknown option, or an image that the patches do not tile.
    """

    def __init__(
        self,
        arch: str | dict = '0.3b',
        img_size: int | tuple[int, int] = 1024,
        patch_size: int = 16,
        patch_padding: int = 0,
        with_cls_token: bool = False,
        pos_embed: str = 'learned',
        patch_bias: str = 'zeros',
        drop_path_rate: float = 0.0,
        **options,
    ) -> None:
        sizes = resolve_arch(arch)
        super().__init__(
            sizes['embed_dims'], sizes['num_layers'], img_size, patch_size, int(with_cls_token), **options
        )
        if self.out_type == 'cls_token' and not with_cls_token:
            raise ValueError("out_type='cls_token' needs with_cls_token=True")
        if not 0 <= patch_padding < patch_size // 2:
            raise ValueError(
                f'patch_padding={patch_padding} must lie in [0, {patch_size // 2}) for patches of {patch_size}'
            )
        if patch_bias not in ('zeros', 'uniform'):
            raise ValueError(f"patch_bias={patch_bias!r} is not one of ('zeros', 'uniform')")
        self.patch_padding, self.patch_bias = patch_padding, patch_bias
        self.patch_embed = PatchEmbed(self.embed_dims, patch_size, patch_padding)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims)) if with_cls_token else None
        if pos_embed == 'sincos':
            table = sincos_2d(self.grid_size, self.embed_dims, self.num_extra_tokens)
        elif pos_embed == 'learned':
            table = torch.zeros(1, self.num_extra_tokens + math.prod(self.grid_size), self.embed_dims)
        else:
            raise ValueError(f"pos_embed={pos_embed!r} is not one of ('learned', 'sincos')")
        self.pos_embed = nn.Parameter(table, requires_grad=pos_embed == 'learned')
        self.drop_path_rate = drop_path_rate
        self.learns_positions = pos_embed == 'learned'
        self.layers = nn.ModuleList(
            TransformerBlock(self.embed_dims, sizes['num_heads'], sizes['feedforward_channels'])
            for _ in range(self.num_layers)
        )
        if self.final_norm:
            self.ln1 = nn.LayerNorm(self.embed_dims, eps=LAYER_NORM_EPS)
        self.apply_options()

    @property
    def blocks(self) -> nn.ModuleList:
        return self.layers

    def embed(self, images: Tensor, keep: Tensor | None = None) -> tuple[Tensor, None]:
        """See :meth:`Encoder.embed`. Positions are added to the tokens."""
        position = self.position(self.grid_of(*images.shape[-2:]))
        patch_position = position[:, self.num_extra_tokens :]
        if keep is not None:
            self.check_masking()
            patch_position = take(patch_position, keep)
        tokens = self.patch_embed(images, keep) + patch_position
        if self.cls_token is not None:
            token = self.cls_token + position[:, :1]
            tokens = torch.cat([token.expand(tokens.shape[0], -1, -1).to(tokens.dtype), tokens], dim=1)
        return tokens, None

    def position(self, grid: tuple[int, int]) -> Tensor:
        """Position embedding (1, extra + h*w, C) of a grid, resized if the grid is not that of ``img_size``."""
        return resize_grid(self.pos_embed, self.grid_size, grid, self.num_extra_tokens)

    def resize_positions(self, patches: Tensor, source: tuple[int, int]) -> Tensor:
        """Resize the position embedding (1, h*w, C) of the patches of another grid ``source`` (h, w) to this encoder's."""
        return resize_grid(patches, source, self.grid_size)

    @torch.no_grad()
    def set_image_size(self, size: tuple[int, int]) -> None:
        """See :meth:`Encoder.set_image_size`. The position embedding is resized."""
        table = self.position(self.grid_of(*size))
        self.pos_embed = nn.Parameter(table.clone(), requires_grad=self.pos_embed.requires_grad)
        super().set_image_size(size)

    def check_masking(self) -> None:
        if self.patch_padding:
            raise ValueError(
                f'patch_padding={self.patch_padding}: padded patches overlap their neighbors and cannot be embedded one by one; '
                'pretraining uses 0'
            )

    def reset_parameters(self) -> None:
        """Initialize as published for pretraining, with the bias that ``patch_bias`` says."""
        init_transformer(self, mlp_bias_std=1e-6)
        weight, bias = self.patch_embed.projection.weight, self.patch_embed.projection.bias
        nn.init.xavier_uniform_(weight.data.flatten(1))
        if self.patch_bias == 'uniform':
            limit = weight[0].numel() ** -0.5
            nn.init.uniform_(bias, -limit, limit)
        else:
            nn.init.zeros_(bias)
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=0.02)
        if self.learns_positions:  # also where they are frozen
            nn.init.trunc_normal_(self.pos_embed, std=0.02)
