"""The Sapiens v1 encoder: a plain vision transformer with 16-pixel patches.

Parameter names and shapes equal the published checkpoints. Two things that weights do not reveal are explicit options:
``patch_padding`` (0 in pretraining, 2 in most finetuning recipes: the patch grid is shifted by 2 pixels) and ``with_cls_token``.
"""

# B batch, L tokens, C channels, H W image, h w grid of patches

import math
from collections.abc import Sequence

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sapiens.registry import MODELS

from ..layers import TransformerBlock, init_transformer, resize_grid, sincos_2d
from ..layers.transformer import LAYER_NORM_EPS
from .archs import resolve_arch

__all__ = ['SapiensViT']

OUT_TYPES = ('raw', 'cls_token', 'featmap')


class PatchEmbed(nn.Module):
    """Convolution whose stride is its kernel size."""

    def __init__(self, embed_dims: int, patch_size: int, padding: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, embed_dims, kernel_size=patch_size, stride=patch_size, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, h*w, C), patches in row-major order."""
        return self.projection(x).flatten(2).transpose(1, 2)

    def forward_pixels(self, pixels: Tensor) -> Tensor:
        """(B, N, 3*P*P), the pixels of N patches in (channel, row, column) order -> (B, N, C).

        Equals the convolution without padding at those patches: MAE embeds only the few it sees.
        """
        return nn.functional.linear(pixels, self.projection.weight.flatten(1), self.projection.bias)


@MODELS.register_module()
class SapiensViT(BaseModule):
    """Sapiens v1 encoder.

    Args:
        arch: a name of :data:`~sapiens.models.backbones.archs.SAPIENS_ARCHS` or a dict of its four numbers.
        img_size: (h, w) in pixels the position embedding is made for. Other sizes that are multiples of the patch
            size work too: the position embedding is resized in the forward pass, as published.
        patch_size: pixels.
        patch_padding: zero padding of the patch convolution in pixels; 0 for pretraining, see the recipe otherwise.
        with_cls_token: prepend a learned class token (pretraining only in the published system).
        pos_embed: ``'learned'``, or ``'sincos'`` for the fixed embedding of pretraining.
        out_type: ``'featmap'`` (B, C, h, w), ``'raw'`` (B, L, C) with the class token, or ``'cls_token'`` (B, C).
        out_indices: blocks whose output is returned; negative ones count from the end.
        final_norm: layer norm after the last block.
        drop_path_rate: stochastic depth of the last block; the first has 0, linear between.
        frozen_stages: -1 trains everything; 0 freezes the embeddings; n also the first n blocks (and the final norm if
            n is the depth).
        activation_checkpointing: recompute activations in the backward pass to save memory: ``'off'``, ``'all'`` blocks,
            or every n-th (an int).
        init_cfg: ``dict(type='Pretrained', checkpoint=PATH)`` starts from a pretraining or finetuned checkpoint, a file or the
            name of a published model.

    Raises:
        ValueError: for a contradictory or unknown option, and for an image whose size the patches do not tile.
    """

    def __init__(
        self,
        arch: str | dict = '0.3b',
        img_size: int | tuple[int, int] = 1024,
        patch_size: int = 16,
        patch_padding: int = 0,
        with_cls_token: bool = False,
        pos_embed: str = 'learned',
        out_type: str = 'featmap',
        out_indices: int | Sequence[int] = -1,
        final_norm: bool = True,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        activation_checkpointing: str | int = 'off',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        sizes = resolve_arch(arch)
        self.embed_dims, self.num_layers = sizes['embed_dims'], sizes['num_layers']
        self.img_size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        self.patch_size, self.patch_padding = patch_size, patch_padding
        self.with_cls_token, self.final_norm, self.frozen_stages = with_cls_token, final_norm, frozen_stages
        if out_type not in OUT_TYPES:
            raise ValueError(f'out_type={out_type!r} is not one of {OUT_TYPES}')
        if out_type == 'cls_token' and not with_cls_token:
            raise ValueError("out_type='cls_token' needs with_cls_token=True")
        if not 0 <= patch_padding < patch_size // 2:
            raise ValueError(
                f'patch_padding={patch_padding} must lie in [0, {patch_size // 2}) for patches of {patch_size}'
            )
        if not -1 <= frozen_stages <= self.num_layers:
            raise ValueError(
                f'frozen_stages={frozen_stages} must lie in [-1, {self.num_layers}], the depth of arch={arch!r}'
            )
        self.out_type = out_type
        self.out_indices = self._resolve_indices(out_indices)
        self.checkpoint_every = self._resolve_checkpointing(activation_checkpointing)

        self.grid_size = self.grid_of(*self.img_size)
        self.patch_embed = PatchEmbed(self.embed_dims, patch_size, patch_padding)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims)) if with_cls_token else None
        if pos_embed == 'sincos':
            table = sincos_2d(self.grid_size, self.embed_dims, with_cls_token)
            self.pos_embed = nn.Parameter(table, requires_grad=False)
        elif pos_embed == 'learned':
            length = self.grid_size[0] * self.grid_size[1] + self.num_extra_tokens
            self.pos_embed = nn.Parameter(torch.zeros(1, length, self.embed_dims))
        else:
            raise ValueError(f"pos_embed={pos_embed!r} is not one of ('learned', 'sincos')")
        rates = torch.linspace(0, drop_path_rate, self.num_layers, device='cpu').tolist()
        self.layers = nn.ModuleList(
            TransformerBlock(self.embed_dims, sizes['num_heads'], sizes['feedforward_channels'], rate)
            for rate in rates
        )
        if final_norm:
            self.ln1 = nn.LayerNorm(self.embed_dims, eps=LAYER_NORM_EPS)
        self._freeze()

    @property
    def num_extra_tokens(self) -> int:
        return int(self.with_cls_token)

    # ------------------------------------------------------------------ forward

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) normalised image -> one output per entry of ``out_indices``, see ``out_type``."""
        grid = self.grid_of(*x.shape[-2:])
        patches = self.patch_embed(x)
        position = self.position(grid)
        tokens = self.add_cls_token(patches + position[:, self.num_extra_tokens :], position)
        return tuple(self._format(out, grid) for out in self.encode(tokens, self.out_indices))

    def encode(self, tokens: Tensor, out_indices: Sequence[int] | None = None) -> list[Tensor]:
        """Run the blocks over embedded tokens (B, L, C); returns the outputs of ``out_indices`` (default: the last)."""
        outputs = []
        last = self.num_layers - 1
        out_indices = (last,) if out_indices is None else out_indices
        for index, layer in enumerate(self.layers):
            if self.checkpoint_every and index % self.checkpoint_every == 0 and torch.is_grad_enabled():
                tokens = checkpoint(layer, tokens, use_reentrant=False)
            else:
                tokens = layer(tokens)
            if index == last and self.final_norm:
                tokens = self.ln1(tokens)
            if index in out_indices:
                outputs.append(tokens)
            if index == out_indices[-1]:
                break
        return outputs

    def position(self, grid: tuple[int, int]) -> Tensor:
        """Position embedding (1, extra + h*w, C) for a grid, resized where it differs from the one built."""
        return resize_grid(self.pos_embed, self.grid_size, grid, self.num_extra_tokens)

    def add_cls_token(self, patches: Tensor, position: Tensor) -> Tensor:
        """Prepend the class token, with its position, to patches (B, N, C) that have theirs already."""
        if self.cls_token is None:
            return patches
        token = self.cls_token + position[:, :1]
        return torch.cat([token.expand(patches.shape[0], -1, -1).to(patches.dtype), patches], dim=1)

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """Grid (h, w) of patches for an image size in pixels.

        Raises:
            ValueError: naming the nearest sizes, where the patches do not tile the image.
        """
        step = self.patch_size
        if height % step or width % step or not height or not width:
            nearest = [
                tuple(max(step, side // step * step + add * step) for side in (height, width)) for add in (0, 1)
            ]
            raise ValueError(
                f'image size (h={height}, w={width}) is not a multiple of the patch size {step}; '
                f'the nearest sizes are (h, w) = {nearest[0]} and {nearest[1]}'
            )
        return height // step, width // step

    def _format(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        if self.out_type == 'raw':
            return tokens
        if self.out_type == 'cls_token':
            return tokens[:, 0]
        patches = tokens[:, self.num_extra_tokens :]
        return patches.transpose(1, 2).reshape(tokens.shape[0], self.embed_dims, *grid)

    # ------------------------------------------------------------------ training

    def init_weights(self) -> None:
        """Initialise as published, then load the checkpoint of ``init_cfg`` if there is one."""
        init_transformer(self)
        nn.init.xavier_uniform_(self.patch_embed.projection.weight.data.flatten(1))
        nn.init.zeros_(self.patch_embed.projection.bias)
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=0.02)
        if self.pos_embed.requires_grad:
            nn.init.trunc_normal_(self.pos_embed, std=0.02)
        if self.init_cfg:
            from sapiens.utils.checkpoint import load_state, read_checkpoint

            path = self.init_cfg['checkpoint']
            report = load_state(self, read_checkpoint(path).state_dict)
            print_log(f'Backbone from {path}:\n{report}', logger='current')
        self._is_init = True

    def resize_pos_embed(self, embed: Tensor, key: str = 'pos_embed') -> Tensor:
        """Fit a checkpoint's position embedding to this model: drop the class token's row, resize the grid.

        A length that is this model's plus one, or odd, holds a class token (the rule of the published loader). The grid of the
        checkpoint is square, of this model's shape, or 4:3 like the published finetuned ones.

        Raises:
            ValueError: where the grid of the checkpoint cannot be told from its length.
        """
        length, own = embed.shape[1], self.grid_size[0] * self.grid_size[1]
        has_cls = length == own + 1 or (length != own and length % 2 == 1)
        extra, patches = embed[:, : int(has_cls)], embed[:, int(has_cls) :]
        if patches.shape[1] == own:
            source = self.grid_size
        else:
            common = math.gcd(*self.grid_size)
            for h, w in ((1, 1), (self.grid_size[0] // common, self.grid_size[1] // common), (4, 3)):
                unit = math.isqrt(patches.shape[1] // (h * w))
                source = (h * unit, w * unit)
                if source[0] * source[1] == patches.shape[1]:
                    break
            else:
                raise ValueError(
                    f'{key} of the checkpoint has {patches.shape[1]} patches: neither a square grid, nor one of the shape of '
                    f'{self.grid_size} of this model, nor 4:3; load it into a model of its own img_size first'
                )
        patches = resize_grid(patches, source, self.grid_size)
        if not self.with_cls_token:
            return patches
        if not has_cls:
            extra = patches.new_zeros(1, 1, self.embed_dims)
        return torch.cat([extra, patches], dim=1)

    def get_layer_depth(self, name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter for layer-wise learning-rate decay.

        Embeddings are 0, block i is i + 1, everything after the blocks is the depth + 1.

        Returns:
            (depth, number of depths).

        Raises:
            ValueError: for a parameter that this backbone does not have.
        """
        num_depths = self.num_layers + 2
        local = name.removeprefix(prefix)
        if local in ('cls_token', 'pos_embed') or local.startswith('patch_embed.'):
            return 0, num_depths
        if local.startswith('layers.'):
            return int(local.split('.')[1]) + 1, num_depths
        if local.startswith('ln1.'):
            return num_depths - 1, num_depths
        raise ValueError(f'{type(self).__name__} has no parameter {name!r}')

    def train(self, mode: bool = True) -> 'SapiensViT':
        super().train(mode)
        if mode and self.frozen_stages >= 0:
            for layer in self.layers[: self.frozen_stages]:
                layer.eval()
        return self

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        frozen = [self.patch_embed, *self.layers[: self.frozen_stages]]
        if self.frozen_stages == self.num_layers and self.final_norm:
            frozen.append(self.ln1)
        for module in frozen:
            module.requires_grad_(False)
        self.pos_embed.requires_grad_(False)
        if self.cls_token is not None:
            self.cls_token.requires_grad_(False)

    def _resolve_indices(self, indices: int | Sequence[int]) -> tuple[int, ...]:
        indices = [indices] if isinstance(indices, int) else list(indices)
        resolved = tuple(index + self.num_layers if index < 0 else index for index in indices)
        if (
            not resolved
            or list(resolved) != sorted(set(resolved))
            or not 0 <= resolved[0] <= resolved[-1] < self.num_layers
        ):
            raise ValueError(f'out_indices={indices} must be increasing block numbers of a depth of {self.num_layers}')
        return resolved

    @staticmethod
    def _resolve_checkpointing(value: str | int) -> int:
        if value in ('off', 'all'):
            return int(value == 'all')
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return value
        raise ValueError(f"activation_checkpointing={value!r} is none of 'off', 'all', or n >= 1 for every n-th block")
