"""The interface of an encoder: what pretraining, estimators, export, compilation and checkpoint loading use of it."""

# B batch, L tokens, N patches, K patches kept, C channels, H W image size in pixels, h w grid of patches

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from sapiens.utils.checkpoint import load_encoder_start
from sapiens.utils.terminal import fact, log_brief

from ..layers.recompute import recompute_parts, require_recompute_value
from ..layers.sample_random import draw_seeds, drop_path_factors, pass_seeds

__all__ = ['Encoder', 'require_members', 'tile']

OUT_TYPES = ('raw', 'cls_token', 'featmap')


class Encoder(BaseModule):
    """Base class of plain vision transformers: patches and extra tokens, a sequence of equal blocks, a final norm.

    A subclass builds its embeddings and ``blocks`` (and ``ln1``, the final norm), and implements :meth:`embed` and
    :meth:`reset_parameters`. Encoders of other libraries work too if they have the members that are used;
    :func:`require_members` checks that.

    Attributes:
        embed_dims: channels C of tokens and feature maps.
        patch_size: side of a patch in pixels.
        img_size: (h, w) in pixels that the encoder is built for. It takes any size that the patches tile.
        num_extra_tokens: tokens before the patches of a sequence (class token, registers).
        blocks: modules applied in order, each (tokens, positions if there are any) -> tokens. They are the units of
            compilation and of activation checkpointing.
        drop_path_rate: stochastic depth of the last block in training; the first has 0, linear in between. Above 0, blocks
            also take ``factors``, see :func:`~sapiens.models.layers.sample_random.drop_path_factors`.

    Args:
        out_type: ``'featmap'`` (B, C, h, w), ``'raw'`` (B, L, C) with the extra tokens, or ``'cls_token'`` (B, C).
        out_indices: blocks whose output is returned; negative numbers count from the end.
        final_norm: norm after the last block.
        norm_outputs: ``'last'`` norms the output of the last block only, as published; ``'all'`` norms every one of
            ``out_indices`` with the final norm.
        frozen_stages: -1 trains everything; 0 freezes the embeddings; n also the first n blocks, and the final norm if n is
            the depth.
        activation_checkpointing: of the blocks, see :func:`~sapiens.models.layers.recompute.recompute_parts`. The key
            ``activation_checkpointing`` at the top of a config sets it for the whole model.
        init_cfg: ``dict(type='Pretrained', checkpoint=PATH)`` starts from a pretraining or finetuned checkpoint.

    Raises:
        ValueError: an unknown option or one out of its range.
    """

    blocks: Sequence[nn.Module]
    drop_path_rate: float = 0.0

    def __init__(
        self,
        embed_dims: int,
        num_layers: int,
        img_size: int | tuple[int, int],
        patch_size: int,
        num_extra_tokens: int,
        out_type: str = 'featmap',
        out_indices: int | Sequence[int] = -1,
        final_norm: bool = True,
        norm_outputs: str = 'last',
        frozen_stages: int = -1,
        activation_checkpointing: str | int = 'off',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if out_type not in OUT_TYPES:
            raise ValueError(f'out_type={out_type!r} is not one of {OUT_TYPES}')
        if norm_outputs not in ('last', 'all'):
            raise ValueError(f"norm_outputs={norm_outputs!r} is not one of ('last', 'all')")
        self.norm_outputs = norm_outputs
        if not -1 <= frozen_stages <= num_layers:
            raise ValueError(
                f'frozen_stages={frozen_stages} must lie in [-1, {num_layers}], {num_layers} is the depth'
            )
        self.embed_dims, self.num_layers, self.patch_size = embed_dims, num_layers, patch_size
        self.img_size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        self.num_extra_tokens, self.final_norm, self.frozen_stages = num_extra_tokens, final_norm, frozen_stages
        self.out_type, self.out_indices = out_type, self._resolve_indices(out_indices)
        require_recompute_value(activation_checkpointing, 'activation_checkpointing')
        self.activation_checkpointing = activation_checkpointing

    # ------------------------------------------------------------------ forward

    def forward(self, images: Tensor, seeds: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode normalized images (B, 3, H, W); one output for each of ``out_indices``, in the form of ``out_type``.

        ``seeds`` (B,) of the samples decide what is random in training; without them torch's generator does.
        """
        embedded = self.embed(images, **pass_seeds(self.embed, seeds))
        outputs = self.encode(*embedded, self.out_indices, **pass_seeds(self.encode, seeds))
        if self.out_type == 'featmap':
            grid = self.grid_of(*images.shape[-2:])
            return tuple(self._to_map(tokens, grid) for tokens in outputs)
        return tuple(outputs) if self.out_type == 'raw' else tuple(tokens[:, 0] for tokens in outputs)

    def embed(self, images: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Embed patches and put the extra tokens before them.

        Args:
            images: (B, 3, H, W).
            keep: numbers (B, K) of the patches to embed, in row-major order of the grid; all patches by default.

        Returns:
            tokens (B, extra + N or K, C), and the positions of these tokens for the blocks (rotary angles, say), or None
            where the tokens contain their positions.

        Raises:
            ValueError: patches do not tile the image, or ``keep`` and :meth:`check_masking` refuses.
        """
        raise NotImplementedError

    def encode(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        out_indices: Sequence[int] | None = None,
        seeds: Tensor | None = None,
    ) -> list[Tensor]:
        """Run the blocks over what :meth:`embed` returned.

        Returns:
            The outputs (B, L, C) of the blocks ``out_indices``, by default of the last one.
        """
        last = self.num_layers - 1
        out_indices = (last,) if out_indices is None else out_indices
        extra = () if positions is None else (positions,)
        factors = self._drop_path_factors(tokens, seeds)
        outputs = []
        for index, block in enumerate(self.blocks):
            # Frozen blocks are in evaluation.
            options = {} if factors is None or not block.training else dict(factors=factors[index])
            tokens = block(tokens, *extra, **options)
            if index in out_indices:
                normed = self.final_norm and (index == last or self.norm_outputs == 'all')
                outputs.append(self.ln1(tokens) if normed else tokens)
            if index == out_indices[-1]:
                break
        return outputs

    def _drop_path_factors(self, tokens: Tensor, seeds: Tensor | None) -> Tensor | None:
        if not (self.training and self.drop_path_rate):
            return None
        seeds = draw_seeds(len(tokens), tokens.device) if seeds is None else seeds
        return drop_path_factors(seeds, self.num_layers, self.drop_path_rate)

    def feature_map(self, images: Tensor) -> Tensor:
        """Encode images (B, 3, H, W) to the feature map (B, C, h, w) of the last block, for any ``out_type``."""
        return self._to_map(self.encode(*self.embed(images))[-1], self.grid_of(*images.shape[-2:]))

    def _to_map(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        patches = tokens[:, self.num_extra_tokens :]
        return patches.transpose(1, 2).reshape(tokens.shape[0], self.embed_dims, *grid)

    # ------------------------------------------------------------------ sizes

    @property
    def grid_size(self) -> tuple[int, int]:
        """Grid (h, w) of patches of ``img_size``."""
        return self.grid_of(*self.img_size)

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """Return the grid (h, w) of patches of an image size in pixels.

        Raises:
            ValueError: the patches do not tile the image; the message names the nearest sizes.
        """
        return tile(height, width, self.patch_size, 'patch size')

    def set_image_size(self, size: tuple[int, int]) -> None:
        """Make (h, w) pixels the size that the encoder is built for.

        Everything that depends on the size alone (a resized position embedding, rotary tables) is computed here, once, and is a
        constant of an exported graph. Parameters may be replaced, so build the optimizer afterwards.

        Raises:
            ValueError: see :meth:`grid_of`.
        """
        self.grid_of(*size)
        self.img_size = tuple(size)

    def check_masking(self) -> None:
        """Raise ValueError if single patches cannot be embedded on their own, as ``embed(images, keep)`` does."""

    # ------------------------------------------------------------------ training

    def reset_parameters(self) -> None:
        """Set the initial weights of the family."""
        raise NotImplementedError

    def init_weights(self) -> None:
        """Set the initial weights, then load the checkpoint of ``init_cfg``, if there is one."""
        self.reset_parameters()
        if self.init_cfg:
            path = self.init_cfg['checkpoint']
            report = load_encoder_start(self, path)
            log_brief(f'Backbone from {path}:\n{report}', fact('weights', report.brief), timed=False)

    def parts_to_compile(self) -> list[nn.Module]:
        """Modules for :func:`sapiens.engine.compiling.compile_parts`: the blocks, one by one."""
        return list(self.blocks)

    def parts_to_recompute(self) -> dict[str, list]:
        """Parts for :func:`sapiens.engine.recomputing.recompute_activations`: the blocks, one by one."""
        return dict(backbone=list(self.blocks))

    def get_layer_depth(self, name: str, prefix: str = '') -> tuple[int, int]:
        """Return the depth of a parameter for layer-wise learning-rate decay.

        Embeddings are 0, block i is i + 1, everything after the blocks is the depth + 1.

        Returns:
            (depth, number of depths).

        Raises:
            ValueError: this encoder has no such parameter.
        """
        num_depths = self.num_layers + 2
        local = name.removeprefix(prefix)
        try:
            self.get_parameter(local)
        except AttributeError:
            raise ValueError(f'{type(self).__name__} has no parameter {name!r}') from None
        part, _, rest = local.partition('.')
        if getattr(self, part) is self.blocks:
            return int(rest.partition('.')[0]) + 1, num_depths
        return num_depths - 1 if part == 'ln1' else 0, num_depths

    def apply_options(self) -> None:
        """Apply ``frozen_stages`` and ``activation_checkpointing``; a subclass calls it when its parameters are built."""
        recompute_parts(self.blocks, self.activation_checkpointing)
        for name, parameter in self.named_parameters():
            if self.frozen_stages == self.num_layers or self.get_layer_depth(name)[0] <= self.frozen_stages:
                parameter.requires_grad_(False)

    def train(self, mode: bool = True) -> 'Encoder':
        super().train(mode)
        if mode and self.frozen_stages >= 0:
            for block in self.blocks[: self.frozen_stages]:
                block.eval()
        return self

    def _resolve_indices(self, indices: int | Sequence[int]) -> tuple[int, ...]:
        indices = [indices] if isinstance(indices, int) else list(indices)
        blocks = [index + self.num_layers if index < 0 else index for index in indices]
        if not blocks or blocks != sorted(set(blocks)) or blocks[0] < 0 or blocks[-1] >= self.num_layers:
            raise ValueError(f'out_indices={indices} must be increasing block numbers of a depth of {self.num_layers}')
        return tuple(blocks)


def tile(height: int, width: int, step: int, what: str) -> tuple[int, int]:
    """Return the grid (h, w) of squares of ``step`` pixels that tile an image size in pixels.

    Args:
        what: name of the step, for the message.

    Raises:
        ValueError: they do not tile it; the message names the nearest sizes.
    """
    if height % step or width % step or not height or not width:
        nearest = [tuple(max(step, side // step * step + add * step) for side in (height, width)) for add in (0, 1)]
        raise ValueError(
            f'image size (h={height}, w={width}) is not a multiple of the {what} {step}; '
            f'the nearest sizes are (h, w) = {nearest[0]} and {nearest[1]}'
        )
    return height // step, width // step


def require_members(encoder: nn.Module, *members: str, what: str) -> None:
    """Check that an encoder, which may come from another library, has the members that something needs.

    Args:
        members: names of attributes or methods, see :class:`Encoder`.
        what: the user of these members, for the message.

    Raises:
        ValueError: naming the encoder, the missing members, their user, and the fix.
    """
    missing = [member for member in members if not hasattr(encoder, member)]
    if missing:
        raise ValueError(
            f'{what} needs {", ".join(missing)} of the encoder, which {type(encoder).__module__}.{type(encoder).__name__} '
            f'does not have: add {"it" if len(missing) == 1 else "them"} in a subclass '
            '(see Encoder in sapiens/models/backbones/interface.py), or use SapiensViT or Sapiens2ViT'
        )
