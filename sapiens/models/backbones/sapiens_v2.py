"""The Sapiens2 encoder: rotary positions, grouped queries, gated feedforward, storage tokens, and a tokenizer for 4K images.

Parameter names and shapes equal the published checkpoints.
"""

# B batch, L tokens, N patches (windows with a tokenizer), K kept, C channels, D channels per head, h w grid, P patch side

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sapiens.registry import MODELS

from ..layers.gated_transformer import RMS_NORM_EPS, GatedBlock, LayerScale
from ..layers.patches import PatchEmbed, take
from ..layers.rotary import RotaryPositions
from ..layers.sample_random import draw_seeds
from .archs import SAPIENS2_ARCHS, resolve_arch
from .interface import Encoder

__all__ = ['Sapiens2ViT', 'WindowTokenizer']

NUM_STORAGE_TOKENS = 8
# The first and the last blocks have as many heads of keys as of queries, those between them half as many.
NUM_FULL_BLOCKS = 8
ROPE_DTYPES = dict(fp32=torch.float32, bf16=torch.bfloat16)


@MODELS.register_module()
class Sapiens2ViT(Encoder):
    """Sapiens2 encoder.

    Args:
        arch: name in :data:`~sapiens.models.backbones.archs.SAPIENS2_ARCHS`, or a dict of its numbers.
        img_size: (h, w) in pixels that the encoder is built for. It takes any size that the patches tile.
        patch_size: pixels.
        tokenizer: reduce windows of 4x4 patches to one token each by attention inside the window. The encoder then sees
            4096x3072 pixels in as many tokens as 1024x768 without it.
        window_chunk: windows that the tokenizer processes at a time. It bounds the memory and does not change the result.
        drop_path_rate: stochastic depth of the last block; the first has 0, linear in between.
        rope_dtype: ``'fp32'``, or ``'bf16'`` as published.
        rope_shift, rope_jitter, rope_rescale: augmentation of the positions in training, see
            :class:`~sapiens.models.layers.rotary.RotaryPositions`.
        **options: ``out_type``, ``out_indices``, ``norm_outputs``, ``final_norm``, ``frozen_stages``,
            ``activation_checkpointing`` and ``init_cfg`` of :class:`Encoder`.

    Raises:
        ValueError: a contradictory or unknown option, or an image that patches or windows do not tile.
    """

    def __init__(
        self,
        arch: str | dict = '0.4b',
        img_size: int | tuple[int, int] = (1024, 768),
        patch_size: int = 16,
        tokenizer: bool = False,
        window_chunk: int = 1024,
        drop_path_rate: float = 0.0,
        rope_dtype: str = 'fp32',
        rope_shift: float | None = None,
        rope_jitter: float | None = None,
        rope_rescale: float | None = None,
        **options,
    ) -> None:
        sizes = resolve_arch(arch, SAPIENS2_ARCHS)
        stride = patch_size * (WindowTokenizer.side if tokenizer else 1)
        super().__init__(sizes['embed_dims'], sizes['num_layers'], img_size, stride, 1 + NUM_STORAGE_TOKENS, **options)
        if rope_dtype not in ROPE_DTYPES:
            raise ValueError(f'rope_dtype={rope_dtype!r} is not one of {tuple(ROPE_DTYPES)}')
        num_heads, hidden = sizes['num_heads'], sizes['feedforward_channels']
        self.cls_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
        self.storage_tokens = nn.Parameter(torch.zeros(1, NUM_STORAGE_TOKENS, self.embed_dims))
        self.patch_embed = PatchEmbed(self.embed_dims, patch_size)
        self.tokenizer = None
        if tokenizer:
            self.tokenizer = WindowTokenizer(
                self.embed_dims, num_heads, hidden, sizes['num_tokenizer_layers'], window_chunk
            )
        self.rope_embed = RotaryPositions(
            self.embed_dims // num_heads,
            dtype=ROPE_DTYPES[rope_dtype],
            shift=rope_shift,
            jitter=rope_jitter,
            rescale=rope_rescale,
        )
        depth = self.num_layers
        self.drop_path_rate = drop_path_rate
        self.blocks = nn.ModuleList(
            GatedBlock(self.embed_dims, num_heads, num_kv_heads(index, depth, num_heads), hidden)
            for index in range(depth)
        )
        if self.final_norm:
            self.ln1 = nn.RMSNorm(self.embed_dims, eps=RMS_NORM_EPS)
        self.set_image_size(self.img_size)
        self.apply_options()

    def embed(
        self, images: Tensor, keep: Tensor | None = None, seeds: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """See :meth:`Encoder.embed`. The positions are sines and cosines of the tokens; extra tokens are not rotated."""
        if seeds is None and self.rope_embed.is_augmented:
            seeds = draw_seeds(len(images), images.device)
        grid = self.grid_of(*images.shape[-2:])
        embed = self.patch_embed if self.tokenizer is None else partial(self.tokenizer, patch_embed=self.patch_embed)
        tokens = embed(images, keep=keep)
        sin, cos = self.position(grid, seeds)
        if sin.ndim == 3:  # of each sample
            sin, cos = ((take(part, keep) if keep is not None else part)[:, None] for part in (sin, cos))
        elif keep is not None:
            sin, cos = sin[keep][:, None], cos[keep][:, None]  # (B, 1, K, D)
        before = (0, 0, self.num_extra_tokens, 0)
        sin, cos = F.pad(sin, before), F.pad(cos, before, value=1.0)
        first = torch.cat([self.cls_token, self.storage_tokens], dim=1).expand(tokens.shape[0], -1, -1)
        return torch.cat([first.to(tokens.dtype), tokens], dim=1), (sin, cos)

    def position(self, grid: tuple[int, int], seeds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Sines and cosines of a grid (h, w), each (h*w, D), or (B, h*w, D) with an augmentation in training."""
        return self.rope_embed(grid, seeds)

    def set_image_size(self, size: tuple[int, int]) -> None:
        """See :meth:`Encoder.set_image_size`. The sines and cosines of this size are kept."""
        super().set_image_size(size)
        self.rope_embed.set_grid(self.grid_size)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialize as published: weights and tokens by a truncated normal of deviation 0.02, biases 0, layer scale 1e-4."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.RMSNorm):
                nn.init.ones_(module.weight)
            elif isinstance(module, LayerScale):
                nn.init.constant_(module.weight, module.init)
        tokens = [self.cls_token, self.storage_tokens]
        if self.tokenizer is not None:
            tokens += [self.tokenizer.w_cls, self.tokenizer.local_pos_embed]
        for token in tokens:
            nn.init.trunc_normal_(token, std=0.02)


def num_kv_heads(index: int, depth: int, num_heads: int) -> int:
    """Return the number of heads of keys and values of a block."""
    full = index < NUM_FULL_BLOCKS or index >= depth - NUM_FULL_BLOCKS
    return num_heads if full else num_heads // 2


class WindowTokenizer(nn.Module):
    """Reduces each window of 4x4 patches to one token: the class token of a small transformer over the window.

    Args:
        num_layers: blocks.
        chunk: windows that are processed at a time; in training their activations are recomputed in the backward pass.

    Raises:
        ValueError: ``chunk`` below 1.
    """

    side = 4

    def __init__(self, embed_dims: int, num_heads: int, hidden_dims: int, num_layers: int, chunk: int = 1024) -> None:
        super().__init__()
        if chunk < 1:
            raise ValueError(f'window_chunk={chunk} must be 1 or more')
        self.chunk = chunk
        self.w_cls = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.local_pos_embed = nn.Parameter(torch.zeros(1, 1 + self.side**2, embed_dims))
        self.blocks = nn.ModuleList(
            GatedBlock(embed_dims, num_heads, num_heads, hidden_dims, qk_norm=False, layer_scale=False)
            for _ in range(num_layers)
        )

    def forward(self, images: Tensor, keep: Tensor | None, patch_embed: nn.Module) -> Tensor:
        """Embed the windows of images (B, 3, H, W): all (B, N, C) in row-major order, or those numbered in ``keep`` (B, K)."""
        step = patch_embed.patch_size * self.side
        windows = (
            images.unflatten(3, (-1, step)).unflatten(2, (-1, step)).permute(0, 2, 4, 1, 3, 5)
        )  # (B, h, w, 3, s, s)
        B, h, w = windows.shape[:3]
        if keep is None:
            keep = torch.arange(h * w, device=images.device)[None]  # (1, N)
        # An exported graph, whose number of images is open, has a fixed number of chunks.
        count = max(1, self.chunk // B) if isinstance(B, int) else self.chunk
        outputs = []
        for part in keep.split(count, dim=1):
            image = torch.arange(B, device=images.device)[:, None]
            pixels = windows[image, part // w, part % w]  # (B, count, 3, s, s)
            if torch.is_grad_enabled():
                outputs.append(checkpoint(self.reduce, pixels, patch_embed, use_reentrant=False))
            else:
                outputs.append(self.reduce(pixels, patch_embed))
        return torch.cat(outputs, dim=1)

    def reduce(self, pixels: Tensor, patch_embed: nn.Module) -> Tensor:
        """Windows (B, n, 3, 4P, 4P) -> tokens (B, n, C)."""
        tokens = patch_embed(pixels.flatten(0, 1))
        first = self.w_cls.expand(tokens.shape[0], -1, -1).to(tokens.dtype)
        tokens = torch.cat([first, tokens], dim=1) + self.local_pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        return tokens[:, 0].unflatten(0, pixels.shape[:2])
