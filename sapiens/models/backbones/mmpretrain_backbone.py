"""Encoders of mmpretrain: ViT, Swin and ConvNeXt."""

# B batch, C channels, H W image size in pixels, h w size of the feature map

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from sapiens.metainfo.naming import near
from sapiens.registry import MODELS
from sapiens.utils.optional import require

from .library import LibraryEncoder, call_library

__all__ = ['MMPretrainBackbone']

# Networks, the option that gives the stride of the first stage, and its default.
FIRST_STRIDES = {
    'VisionTransformer': ('patch_size', 16),
    'SwinTransformer': ('patch_size', 4),
    'ConvNeXt': ('stem_patch_size', 4),
}
TABLE = 'relative_position_bias_table'
# Stages of the hierarchical networks that have a name.
NUM_STAGES = 4


@MODELS.register_module()
class MMPretrainBackbone(LibraryEncoder):
    """Encoder of mmpretrain: ``MMPretrainBackbone('SwinTransformer', arch='tiny', img_size=(128, 96))``.

    The feature map of any stage is normed, as ``out_indices`` of the networks returns it. Class tokens are dropped. Feature maps
    that are smaller than the windows of Swin are padded (``pad_small_map``), unless the options say otherwise.

    Args:
        name: ``'VisionTransformer'``, ``'SwinTransformer'`` or ``'ConvNeXt'``.
        **options: arguments of the network, such as ``arch``.

    Others are those of :class:`.LibraryEncoder`.
    """

    part = 'mmpretrain'
    reserved = ('out_after_downsample', 'gap_before_final_norm', 'in_channels', 'with_cp')

    def __init__(
        self,
        name: str,
        img_size: int | tuple[int, int] = (1024, 768),
        stride: int = 16,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        activation_checkpointing: str | int = 'off',
        pretrained: str | None = None,
        init_cfg: dict | None = None,
        out_type: str = 'featmap',
        out_indices: int | Sequence[int] = -1,
        **options,
    ) -> None:
        if name not in FIRST_STRIDES:
            known = f'{near(str(name), FIRST_STRIDES)} (known: {", ".join(FIRST_STRIDES)})'
            raise ValueError(f'name={name!r} is not a network of MMPretrainBackbone{known}')
        super().__init__(
            name, img_size, stride, drop_path_rate, frozen_stages, activation_checkpointing, pretrained, init_cfg, options,
            out_type, out_indices,
        )  # fmt: skip

    @property
    def reads_other_names(self) -> bool:
        return self.name == 'VisionTransformer'

    def build_network(self) -> tuple[nn.Module, int]:
        index = self._index_of_stage()
        optional = dict(drop_path_rate=self.drop_path_rate, img_size=self._network_size, pad_small_map=True)
        fixed = dict(out_type='featmap')
        if self.name != 'VisionTransformer':
            fixed = dict(out_indices=[index])
        if self.name == 'ConvNeXt':
            fixed['gap_before_final_norm'] = False
        kind = getattr(require('mmpretrain.models', 'MMPretrainBackbone', 'onedl-mmpretrain'), self.name)
        device = torch.get_default_device()
        with torch.device('cpu'):  # mmpretrain computes rates of stochastic depth, which the meta device does not
            network, _ = call_library(partial(kind, **fixed), f"mmpretrain's {self.name}", self.options, optional)
        if device.type != 'cpu':
            network.to(device)
        if self.name == 'VisionTransformer':
            return network, network.embed_dims
        del network.stages[index + 1 :]
        if self.name == 'ConvNeXt':
            del network.downsample_layers[index + 1 :]
            return network, network.channels[index]
        network.stages[index].downsample = None
        return network, network.num_features[index]

    def _index_of_stage(self) -> int:
        key, default = FIRST_STRIDES[self.name]
        first = self.options.get(key, default)
        strides = [first]
        if self.name != 'VisionTransformer':
            arch = self.options.get('arch')
            count = len(arch.get('depths', ())) if isinstance(arch, Mapping) else NUM_STAGES
            strides = [first * 2**index for index in range(count)]
        if self.patch_size not in strides:
            raise ValueError(f'stride={self.patch_size}: {self.name} has the strides {", ".join(map(str, strides))}')
        return strides.index(self.patch_size)

    def feature_map(self, images: Tensor) -> Tensor:
        """See :meth:`.LibraryEncoder.feature_map`."""
        return self.network(images)[-1]

    @property
    def blocks(self) -> list[nn.Module]:
        network = self.network
        if self.name == 'VisionTransformer':
            return list(network.layers)
        lists = [stage.blocks if self.name == 'SwinTransformer' else stage for stage in network.stages]
        return [block for blocks in lists for block in blocks]

    def layer_depths(self) -> tuple[dict[str, int], int]:
        found = {name: self.network.get_layer_depth(name) for name, _ in self.network.named_parameters()}
        head = max(count for _, count in found.values()) - 1
        # Without stages, the depth of heads follows that of the last block that is left.
        after = max(depth for depth, _ in found.values() if depth < head) + 1
        return {name: min(depth, after) for name, (depth, _) in found.items()}, after + 1

    def resize_network(self, size: tuple[int, int]) -> None:
        if self.name != 'VisionTransformer':
            return
        network, extra = self.network, self.num_extra_tokens
        patches = network.pos_embed.detach()[:, extra:]
        grid = tuple(side // self.patch_size for side in size)
        resized = torch.cat(
            [network.pos_embed.detach()[:, :extra], self._resize(patches, self.grid_size, grid)], dim=1
        )
        network.pos_embed = nn.Parameter(resized, requires_grad=network.pos_embed.requires_grad)
        network.patch_resolution = network.patch_embed.init_out_size = grid
        network.img_size = self._network_size = size

    def resize_positions(self, patches: Tensor, source: tuple[int, int]) -> Tensor:
        return self._resize(patches, source, self.grid_size)

    def _resize(self, patches: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
        from mmpretrain.models.utils import resize_pos_embed

        return resize_pos_embed(patches, source, target, self.network.interpolate_mode, num_extra_tokens=0)

    def adapt_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Resize tables of relative positions of windows of another size.

        timm does it: what mmpretrain calls is not in SciPy any more. The tables of both are equal.
        """
        from timm.layers import resize_rel_pos_bias_table

        adapted = dict(weights)
        for name, value in self.network.state_dict().items():
            if name.endswith(TABLE) and name in weights and weights[name].shape != value.shape:
                window = (math.isqrt(len(value)) + 1) // 2
                adapted[name] = resize_rel_pos_bias_table(weights[name], (window, window), tuple(value.shape))
        return adapted
