"""Masked-autoencoder pretraining: the loss, the masks, the decoder.

He et al., "Masked Autoencoders Are Scalable Vision Learners" (CVPR 2022), as used by Sapiens (section 3.2 of the paper). The
encoder sees the kept patches only. A light decoder sees all patches and predicts the pixels of the removed ones. The loss is
their mean squared error; each target patch is normalized by its own mean and standard deviation.

The decoder is equivariant to the order of its tokens, so tokens are never put back in the order of the grid. The decoder works on
[extra, kept, removed] tokens, and only positions are looked up by patch number.
"""

# B batch, N patches of an image, K kept, M removed and decoded, C channels, P patch side in pixels, h w grid of patches

from copy import deepcopy

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from sapiens.registry import MODELS
from sapiens.structures import DenseDataSample

from .backbones.interface import require_members
from .data_preprocessor import build_normalizer
from .layers.masking import Masking, evaluation_noise, training_noise
from .layers.patches import patchify, take, unpatchify
from .layers.pos_embed import resize_grid, sincos_2d
from .layers.sample_random import DECODE, bits, draw_seeds, pass_seeds
from .layers.transformer import LAYER_NORM_EPS, TransformerBlock, init_transformer
from .losses.weights import SampleWeights

__all__ = ['MAE', 'MAEDecoder', 'Masking']


@MODELS.register_module()
class MAE(BaseModel):
    """Masked autoencoder.

    Args:
        backbone: config of the encoder, see :class:`~sapiens.models.Encoder` (published: with class token and sine-cosine
            positions).
        decoder: options of :class:`MAEDecoder`; what follows from the encoder is filled in.
        mask_ratio: fraction of the patches to remove. 0.95 is the default of this project; the released weights used 0.75.
        mask_block_size: side, in patches, of the squares that are removed together; 1 removes single patches.
            The grid of squares is shifted at random. The number of kept patches is fixed, so one square may be cut.
        norm_pix: normalize the target of each patch by its own mean and (unbiased) variance.
        decode_share: fraction of the removed patches that are decoded and enter the loss. 1.0 is the published loss; less is
            an unbiased estimate of it with a cheaper decoder (cf. CrossMAE).
        data_preprocessor: normalization of the images.

    Raises:
        ValueError: an option out of its range, or an encoder that cannot embed single patches.
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
        super().__init__(build_normalizer(data_preprocessor), init_cfg)
        if not 0 < mask_ratio < 1:
            raise ValueError(f'mask_ratio={mask_ratio} must lie between 0 and 1')
        if not 0 < decode_share <= 1:
            raise ValueError(f'decode_share={decode_share} must lie in (0, 1]')
        if mask_block_size < 1:
            raise ValueError(f'mask_block_size={mask_block_size} must be 1 patch or more')
        if backbone.get('out_type', 'raw') != 'raw':
            raise ValueError(
                f"model.backbone.out_type={backbone['out_type']!r}: MAE needs all tokens, 'raw' (the default)"
            )
        self.backbone = encoder = MODELS.build(dict(backbone, out_type='raw'))
        require_members(
            encoder, 'embed_dims', 'grid_size', 'num_extra_tokens', 'embed', 'encode', 'check_masking', what='MAE'
        )
        encoder.check_masking()
        self.patch_size = encoder.patch_size
        self.neck = MAEDecoder(
            encoder.embed_dims, encoder.grid_size, self.patch_size, encoder.num_extra_tokens, **(decoder or {})
        )
        self.mask_ratio, self.mask_block_size = mask_ratio, mask_block_size
        self.norm_pix, self.decode_share = norm_pix, decode_share

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
        labels: dict | None = None,
        seeds: Tensor | None = None,
    ):
        """``'tensor'``: features of the whole image; ``'loss'``: see :meth:`loss`; ``'predict'``: see :meth:`predict`.

        Of the ``labels`` of a batch, which images of another task have, only the weights of samples are used.
        """
        if mode == 'tensor':
            return self.backbone(inputs)
        if mode == 'loss':
            return self.loss(inputs, seeds, SampleWeights.of(data_samples, labels, inputs.device))
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode={mode!r} is not one of 'tensor', 'loss', 'predict'")

    # ------------------------------------------------------------------ the loss, step by step

    def loss(
        self, images: Tensor, seeds: Tensor | None = None, weights: SampleWeights | None = None
    ) -> dict[str, Tensor]:
        """Mean squared error of the pixels of removed patches, from normalized images (B, 3, H, W), each as often as its weight
        says.

        The seeds (B,) of the samples decide which patches are removed; by default they are drawn from torch's generator.
        """
        seeds = draw_seeds(len(images), images.device) if seeds is None else seeds
        noise = training_noise(seeds, self.backbone.grid_of(*images.shape[-2:]), self.mask_block_size)
        pred, wanted, _ = self.reconstruct(images, noise, seeds)
        losses = self.pixel_losses(pred, images, wanted)
        return dict(loss=(losses if weights is None else weights.weigh(losses)).mean())

    def reconstruct(
        self, images: Tensor, noise: Tensor, seeds: Tensor | None = None
    ) -> tuple[Tensor, Tensor, 'Masking']:
        """Predict removed patches. ``seeds`` (B,): see :meth:`loss`.

        Returns:
            pred (B, M, P*P*3), the numbers (B, M) of the predicted patches, and the masking.
        """
        masking = Masking.from_noise(noise, self.mask_ratio)
        latent = self.encode(images, masking, seeds)
        wanted = masking.removed
        if self.decode_share < 1 and self.training:
            # A separate random order: the noise orders patches by squares where mask_block_size is above 1.
            count = max(1, round(wanted.shape[1] * self.decode_share))
            seeds = draw_seeds(len(images), images.device) if seeds is None else seeds
            order = bits(seeds, DECODE, wanted.shape[1]).argsort(dim=1)[:, :count]
            wanted = wanted.gather(1, order)
        grid = self.backbone.grid_of(*images.shape[-2:])
        return self.neck(latent, masking.kept, wanted, grid), wanted, masking

    def encode(self, images: Tensor, masking: 'Masking', seeds: Tensor | None = None) -> Tensor:
        """Encode the kept patches: (B, 3, H, W) -> (B, extra + K, C). Removed patches are not even embedded."""
        encoder = self.backbone
        embedded = encoder.embed(images, masking.kept, **pass_seeds(encoder.embed, seeds))
        return encoder.encode(*embedded, **pass_seeds(encoder.encode, seeds))[-1]

    def pixel_losses(self, pred: Tensor, images: Tensor, wanted: Tensor) -> Tensor:
        """Mean squared error of each predicted patch (B, M), float32."""
        target, _, _ = self.target(images, wanted)
        return (pred.float() - target).square().mean(dim=-1)

    def target(self, images: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Target pixels of patches, and the mean and deviation (B, M, 1) they were normalized by."""
        target = take(patchify(images, self.patch_size), wanted).float()
        if not self.norm_pix:
            return target, target.new_zeros(()), target.new_ones(())
        var, mean = torch.var_mean(target, dim=-1, keepdim=True)
        std = (var + 1e-6).sqrt()
        return (target - mean) / std, mean, std

    # ------------------------------------------------------------------ evaluation and initialization

    def predict(self, inputs: Tensor, data_samples: list | None = None) -> list[DenseDataSample]:
        """Reconstruct images.

        The mask of an image is drawn from its ``sample_idx``, so that a held-out loss does not change between evaluations.

        Returns:
            Samples with ``reconstruction_loss`` (scalar), ``pred`` (uint8 (3, H, W): kept patches unchanged, removed ones as
            predicted) and ``mask`` ((h, w), True = removed).
        """
        grid = self.backbone.grid_of(*inputs.shape[-2:])
        samples = deepcopy(data_samples) if data_samples else [DenseDataSample() for _ in inputs]
        seeds = [sample.get('sample_idx', index) for index, sample in enumerate(samples)]
        noise = torch.cat([evaluation_noise(seed, grid, self.mask_block_size) for seed in seeds]).to(inputs.device)
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

    def init_weights(self) -> None:
        self.backbone.init_weights()
        self.neck.init_weights()


@MODELS.register_module()
class MAEDecoder(nn.Module):
    """Transformer that predicts the pixels of removed patches.

    Args:
        encoder_dims, grid_size, patch_size, num_extra_tokens: width, grid (h, w), patch side in pixels and extra tokens of the
            encoder; :class:`MAE` fills them in.
        num_layers, embed_dims, num_heads, mlp_ratio: size of the decoder; the published one is 8 blocks of 512.

    Raises:
        ValueError: the heads do not divide the width.
    """

    def __init__(
        self,
        encoder_dims: int,
        grid_size: tuple[int, int],
        patch_size: int,
        num_extra_tokens: int,
        num_layers: int = 8,
        embed_dims: int = 512,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f'decoder: embed_dims={embed_dims} is not divisible by num_heads={num_heads}')
        self.grid_size, self.num_extra_tokens = tuple(grid_size), num_extra_tokens
        self.decoder_embed = nn.Linear(encoder_dims, embed_dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        position = sincos_2d(self.grid_size, embed_dims, num_extra_tokens)
        self.decoder_pos_embed = nn.Parameter(position, requires_grad=False)
        hidden = int(embed_dims * mlp_ratio)
        self.decoder_blocks = nn.ModuleList(TransformerBlock(embed_dims, num_heads, hidden) for _ in range(num_layers))
        self.ln1 = nn.LayerNorm(embed_dims, eps=LAYER_NORM_EPS)
        self.decoder_pred = nn.Linear(embed_dims, patch_size**2 * 3)

    def forward(self, latent: Tensor, kept: Tensor, wanted: Tensor, grid: tuple[int, int]) -> Tensor:
        """Predict the pixels of ``wanted`` patches. Only kept and wanted patches are decoded.

        Args:
            latent: (B, extra + K, C) output of the encoder.
            kept: (B, K) patch numbers of the latent tokens.
            wanted: (B, M) patch numbers to predict.
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
        """Initialize as published."""
        init_transformer(self)
        nn.init.normal_(self.mask_token, std=0.02)

    def parts_to_compile(self) -> list[nn.Module]:
        return list(self.decoder_blocks)

    def parts_to_recompute(self) -> dict[str, list]:
        """The blocks, see :func:`sapiens.engine.recomputing.recompute_activations`."""
        return dict(decoder=list(self.decoder_blocks))
