"""Masked-autoencoder pretraining, the whole method: masking, visible-only encoder, decoder, pixel loss.

He et al., "Masked Autoencoders Are Scalable Vision Learners" (CVPR 2022), as used by Sapiens (section 3.2 of the paper):
an encoder that sees only the patches that were kept, a light decoder over all of them, mean squared error on the pixels of
the removed ones, each patch normalised by its own mean and deviation.

The decoder is equivariant to the order of its tokens, so nothing is shuffled back: it works on [class, kept, removed] and only
positions are looked up by patch. ``pred`` of removed patches is then simply the tail of its output.
"""

# B batch, N patches of an image, K kept, M removed and decoded, C channels, P patch side in pixels, h w grid of patches

from copy import deepcopy
from dataclasses import dataclass

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from sapiens.registry import MODELS
from sapiens.structures import DenseDataSample

from .layers import TransformerBlock, init_transformer, resize_grid, sincos_2d
from .layers.transformer import LAYER_NORM_EPS

__all__ = ['MAE', 'MAEDecoder', 'Masking', 'patchify', 'unpatchify']


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """(B, 3, H, W) -> (B, N, P*P*3), the pixels of a patch in (row, column, channel) order."""
    B, C, H, W = images.shape
    h, w = H // patch_size, W // patch_size
    patches = images.reshape(B, C, h, patch_size, w, patch_size)
    return patches.permute(0, 2, 4, 3, 5, 1).reshape(B, h * w, patch_size**2 * C)


def unpatchify(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, N, P*P*3) -> (B, 3, H, W); the inverse of :func:`patchify`."""
    B, _, length = patches.shape
    side = round((length // 3) ** 0.5)
    images = patches.reshape(B, *grid, side, side, 3).permute(0, 5, 1, 3, 2, 4)
    return images.reshape(B, 3, grid[0] * side, grid[1] * side)


@dataclass(frozen=True)
class Masking:
    """Which patches the encoder sees.

    ``order`` (B, N): patch numbers, the kept ones first, then the removed ones, both in order of their noise.
    """

    order: Tensor
    num_keep: int

    @classmethod
    def from_noise(cls, noise: Tensor, mask_ratio: float) -> 'Masking':
        """Keep the ``int(N * (1 - mask_ratio))`` patches with the smallest noise (B, N)."""
        num_keep = int(noise.shape[1] * (1 - mask_ratio))
        if not 0 < num_keep < noise.shape[1]:
            raise ValueError(
                f'mask_ratio={mask_ratio} keeps {num_keep} of {noise.shape[1]} patches: at least one must be kept and '
                'one removed'
            )
        return cls(noise.argsort(dim=1), num_keep)

    @property
    def kept(self) -> Tensor:
        """(B, K) patch numbers."""
        return self.order[:, : self.num_keep]

    @property
    def removed(self) -> Tensor:
        """(B, N - K) patch numbers."""
        return self.order[:, self.num_keep :]

    @property
    def mask(self) -> Tensor:
        """(B, N) bool, True where a patch was removed."""
        mask = torch.ones_like(self.order, dtype=torch.bool)
        return mask.scatter_(1, self.kept, False)


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Rows of (B or 1, N, C) by (B, K) patch numbers -> (B, K, C)."""
    tokens = tokens.expand(index.shape[0], -1, -1)
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))


@MODELS.register_module()
class MAEDecoder(nn.Module):
    """Transformer that predicts the pixels of removed patches.

    Args:
        encoder_dims: width of the encoder; :class:`MAE` fills it in.
        grid_size: (h, w) patches; :class:`MAE` fills it in.
        patch_size: pixels; :class:`MAE` fills it in.
        with_cls_token: whether the encoder passes a class token; :class:`MAE` fills it in.
        num_layers, embed_dims, num_heads, mlp_ratio: size of the decoder; the published one is 8 blocks of 512.
    """

    def __init__(
        self,
        encoder_dims: int,
        grid_size: tuple[int, int],
        patch_size: int,
        with_cls_token: bool = True,
        num_layers: int = 8,
        embed_dims: int = 512,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f'decoder: embed_dims={embed_dims} is not divisible by num_heads={num_heads}')
        self.grid_size = tuple(grid_size)
        self.num_extra_tokens = int(with_cls_token)
        self.decoder_embed = nn.Linear(encoder_dims, embed_dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        position = sincos_2d(self.grid_size, embed_dims, with_cls_token)
        self.decoder_pos_embed = nn.Parameter(position, requires_grad=False)
        hidden = int(embed_dims * mlp_ratio)
        self.decoder_blocks = nn.ModuleList(TransformerBlock(embed_dims, num_heads, hidden) for _ in range(num_layers))
        self.ln1 = nn.LayerNorm(embed_dims, eps=LAYER_NORM_EPS)
        self.decoder_pred = nn.Linear(embed_dims, patch_size**2 * 3)

    def forward(self, latent: Tensor, kept: Tensor, wanted: Tensor, grid: tuple[int, int]) -> Tensor:
        """Predict the pixels of ``wanted`` patches.

        Args:
            latent: (B, extra + K, C) output of the encoder.
            kept: (B, K) patch numbers of the latent tokens.
            wanted: (B, M) patch numbers to predict; the decoder runs on kept and wanted ones only.
            grid: (h, w) patches of this batch.

        Returns:
            (B, M, P*P*3)
        """
        position = resize_grid(self.decoder_pos_embed, self.grid_size, grid, self.num_extra_tokens)
        extra, position = position[:, : self.num_extra_tokens], position[:, self.num_extra_tokens :]
        seen = self.decoder_embed(latent)
        seen = seen + torch.cat([extra.expand(len(kept), -1, -1), take(position, kept)], dim=1)
        tokens = torch.cat([seen, self.mask_token + take(position, wanted)], dim=1)
        for block in self.decoder_blocks:
            tokens = block(tokens)
        return self.decoder_pred(self.ln1(tokens[:, seen.shape[1] :]))

    def init_weights(self) -> None:
        init_transformer(self)
        nn.init.normal_(self.mask_token, std=0.02)


@MODELS.register_module()
class MAE(BaseModel):
    """Masked autoencoder around an encoder with the interface of :class:`~sapiens.models.SapiensViT`.

    Args:
        backbone: config of the encoder (class token and fixed sine-cosine positions as published).
        decoder: options of :class:`MAEDecoder`; what follows from the encoder is filled in.
        mask_ratio: share of patches removed. 0.95 is this project's default; the released weights used 0.75.
        mask_block_size: side, in patches, of the squares that are removed together; 1 removes patches independently.
            The grid of squares is shifted at random and the number of kept patches stays fixed (one square may be cut).
        norm_pix: normalise the target of each patch by its own mean and (unbiased) variance.
        decode_share: share of the removed patches that are decoded and enter the loss; 1.0 reproduces the published
            loss, less is an unbiased estimate of it for a decoder that costs less (cf. CrossMAE).
        data_preprocessor: normalisation of the images.
    """

    task_name = 'mae'

    def __init__(
        self,
        backbone: dict,
        decoder: dict | None = None,
        mask_ratio: float = 0.95,
        mask_block_size: int = 1,
        norm_pix: bool = True,
        decode_share: float = 1.0,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or dict(type='ImageNormalizer')), init_cfg)
        if not 0 < mask_ratio < 1:
            raise ValueError(f'mask_ratio={mask_ratio} must lie between 0 and 1')
        if not 0 < decode_share <= 1:
            raise ValueError(f'decode_share={decode_share} must lie in (0, 1]')
        if mask_block_size < 1:
            raise ValueError(f'mask_block_size={mask_block_size} must be 1 patch or more')
        self.backbone = MODELS.build(dict(out_type='raw', **backbone))
        if self.backbone.patch_padding:
            raise ValueError(
                f'backbone.patch_padding={self.backbone.patch_padding}: patches overlap their padding, so kept patches '
                'cannot be embedded by themselves; pretraining uses 0'
            )
        self.neck = MAEDecoder(
            encoder_dims=self.backbone.embed_dims,
            grid_size=self.backbone.grid_size,
            patch_size=self.backbone.patch_size,
            with_cls_token=self.backbone.with_cls_token,
            **(decoder or {}),
        )
        self.patch_size = self.backbone.patch_size
        self.mask_ratio, self.mask_block_size = mask_ratio, mask_block_size
        self.norm_pix, self.decode_share = norm_pix, decode_share

    # ------------------------------------------------------------------ the method

    def sample_noise(self, batch: int, grid: tuple[int, int], generator: torch.Generator | None = None) -> Tensor:
        """Noise (B, N) that decides what is kept; see ``mask_block_size``."""
        device = self.neck.mask_token.device if generator is None else generator.device
        h, w = grid
        noise = torch.rand(batch, h, w, device=device, generator=generator)
        side = self.mask_block_size
        if side > 1:
            coarse = torch.rand(batch, -(-h // side) + 1, -(-w // side) + 1, device=device, generator=generator)
            shift = torch.randint(side, (2, batch, 1), device=device, generator=generator)
            row = (torch.arange(h, device=device) + shift[0]) // side  # (B, h)
            col = (torch.arange(w, device=device) + shift[1]) // side  # (B, w)
            index = torch.arange(batch, device=device)[:, None, None]
            # Patch noise only breaks ties inside a square, so that squares are kept or removed whole.
            noise = coarse[index, row[:, :, None], col[:, None, :]] + 1e-4 * noise
        return noise.flatten(1).to(self.neck.mask_token.device)

    def encode(self, images: Tensor, masking: Masking) -> Tensor:
        """Encode the kept patches only: (B, 3, H, W) -> (B, extra + K, C). Removed patches are not even embedded."""
        grid = self.backbone.grid_of(*images.shape[-2:])
        # The convolution's weights are in (channel, row, column) order, the targets in (row, column, channel) order.
        pixels = take(patchify(images, self.patch_size), masking.kept)
        pixels = pixels.unflatten(-1, (self.patch_size**2, 3)).transpose(2, 3).flatten(2)
        position = self.backbone.position(grid)
        tokens = self.backbone.patch_embed.forward_pixels(pixels)
        tokens = tokens + take(position[:, self.backbone.num_extra_tokens :], masking.kept)
        return self.backbone.encode(self.backbone.add_cls_token(tokens, position))[-1]

    def reconstruct(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Masking]:
        """Predict removed patches.

        Returns:
            pred (B, M, P*P*3), the numbers (B, M) of the predicted patches, and the masking.
        """
        masking = Masking.from_noise(noise, self.mask_ratio)
        latent = self.encode(images, masking)
        wanted = masking.removed
        if self.decode_share < 1 and self.training:
            # Removed patches stand in order of their noise, which for single patches is a random order already.
            count = max(1, round(wanted.shape[1] * self.decode_share))
            order = torch.rand(wanted.shape, device=wanted.device).argsort(dim=1)[:, :count]
            wanted = wanted.gather(1, order)
        grid = self.backbone.grid_of(*images.shape[-2:])
        return self.neck(latent, masking.kept, wanted, grid), wanted, masking

    def target(self, images: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Target pixels of patches, and the mean and deviation (B, M, 1) they were normalised by."""
        target = take(patchify(images, self.patch_size), wanted).float()
        if not self.norm_pix:
            return target, target.new_zeros(()), target.new_ones(())
        var, mean = torch.var_mean(target, dim=-1, keepdim=True)
        std = (var + 1e-6).sqrt()
        return (target - mean) / std, mean, std

    def pixel_losses(self, pred: Tensor, images: Tensor, wanted: Tensor) -> Tensor:
        """Mean squared error of each predicted patch (B, M), float32."""
        target, _, _ = self.target(images, wanted)
        return (pred.float() - target).square().mean(dim=-1)

    # ------------------------------------------------------------------ MMEngine's interface

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = 'tensor'):
        """``'tensor'``: features of the whole image; ``'loss'``: ``dict(loss)``; ``'predict'``: data samples with
        ``reconstruction_loss`` (scalar), ``pred`` (uint8 (3, H, W): kept patches as they are, removed ones as predicted) and
        ``mask`` ((h, w), True = removed). Prediction draws each image's mask from its ``sample_idx``, so that a
        held-out loss does not change from one evaluation to the next."""
        if mode == 'tensor':
            return self.backbone(inputs)
        if mode == 'loss':
            noise = self.sample_noise(len(inputs), self.backbone.grid_of(*inputs.shape[-2:]))
            pred, wanted, _ = self.reconstruct(inputs, noise)
            return dict(loss=self.pixel_losses(pred, inputs, wanted).mean())
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode={mode!r} is not one of 'tensor', 'loss', 'predict'")

    def predict(self, inputs: Tensor, data_samples: list | None = None) -> list[DenseDataSample]:
        grid = self.backbone.grid_of(*inputs.shape[-2:])
        samples = deepcopy(data_samples) if data_samples else [DenseDataSample() for _ in inputs]
        seeds = [sample.get('sample_idx', index) for index, sample in enumerate(samples)]
        noise = torch.cat([self.sample_noise(1, grid, torch.Generator().manual_seed(seed)) for seed in seeds])
        pred, wanted, masking = self.reconstruct(inputs, noise)
        losses = self.pixel_losses(pred, inputs, wanted).mean(dim=1)
        _, mean, std = self.target(inputs, wanted)
        pixels = patchify(inputs, self.patch_size).float()
        index = wanted[..., None].expand(-1, -1, pixels.shape[-1])
        pixels = pixels.scatter(1, index, pred.float() * std + mean)
        images = self.data_preprocessor.denormalize(unpatchify(pixels, grid))
        masks = masking.mask.unflatten(1, grid)
        for sample, loss, image, mask in zip(samples, losses, images, masks, strict=True):
            sample.reconstruction_loss, sample.pred, sample.mask = loss, image, mask
        return samples

    def get_layer_depth(self, name: str) -> tuple[int, int]:
        """See :meth:`SapiensViT.get_layer_depth`; the decoder counts as the last depth."""
        if name.startswith('backbone.'):
            return self.backbone.get_layer_depth(name, 'backbone.')
        num_depths = self.backbone.num_layers + 2
        return num_depths - 1, num_depths

    def init_weights(self) -> None:
        self.backbone.init_weights()
        self.neck.init_weights()
        self._is_init = True
