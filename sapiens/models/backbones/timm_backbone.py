"""Encoders of timm, such as ViT, Swin and ConvNeXt."""

# B batch, C channels, H W image size in pixels, h w size of the feature map

import sys
from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from sapiens.metainfo.naming import near
from sapiens.registry import MODELS
from sapiens.utils.optional import require

from .library import LibraryEncoder, call_library

__all__ = ['TimmBackbone']

# Members of a network of timm that the wrapper uses.
MEMBERS = ('feature_info', 'forward_intermediates', 'prune_intermediate_layers', 'group_matcher')


@MODELS.register_module()
class TimmBackbone(LibraryEncoder):
    """Encoder of timm: ``TimmBackbone('vit_tiny_patch16_224', img_size=(128, 96), depth=6)``.

    The feature map of the last stage is normed as in ``forward_features``, if the network has a norm there. Those of other stages
    are as ``features_only=True`` returns them. Class tokens and registers are dropped.

    Args:
        name: of the network, see ``timm.list_models()``.
        **options: arguments of ``timm.create_model``, and ``out_type``, ``out_indices`` of :class:`.LibraryEncoder`.

    Others are those of :class:`.LibraryEncoder`.
    """

    part = 'timm'
    reserved = (
        'features_only', 'num_classes', 'in_chans', 'checkpoint_path', 'pretrained_cfg', 'pretrained_cfg_overlay', 'cache_dir',
    )  # fmt: skip

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
        super().__init__(
            name, img_size, stride, drop_path_rate, frozen_stages, activation_checkpointing, pretrained, init_cfg, options,
            out_type, out_indices,
        )  # fmt: skip

    def build_network(self) -> tuple[nn.Module, int]:
        network = self._build_whole()
        if missing := [member for member in MEMBERS if not hasattr(network, member)]:
            raise ValueError(
                f"timm's {self.name} has no {', '.join(missing)}, by which a stage is taken; use another network"
            )
        strides = [info['reduction'] for info in network.feature_info]
        if self.patch_size not in strides:
            raise ValueError(
                f'stride={self.patch_size}: {self.name} has the strides {", ".join(map(str, sorted(set(strides))))}'
            )
        # Of several layers with this stride, the last one.
        self._index = len(strides) - 1 - strides[::-1].index(self.patch_size)
        is_last = self._index == len(strides) - 1
        self._has_norm = is_last and any(hasattr(network, norm) for norm in ('norm', 'norm_pre'))
        channels = network.feature_info[self._index]['num_chs']
        network.prune_intermediate_layers([self._index], prune_norm=not is_last, prune_head=True)
        return network, channels

    def _build_whole(self) -> nn.Module:
        """The network with all stages."""
        timm = require('timm', 'TimmBackbone')
        if not timm.is_model(self.name):
            known = [name.partition('.')[0] for name in timm.list_models()]
            raise ValueError(
                f'name={self.name!r} is not a network of timm{near(self.name, known)} (see timm.list_models())'
            )
        # What timm's networks take depends on their kind.
        optional = dict(drop_path_rate=self.drop_path_rate, img_size=self._network_size, dynamic_img_size=True)
        build = partial(timm.create_model, self.name, pretrained=False)
        network, taken = call_library(build, f"timm's {self.name}", self.options, optional)
        if self.drop_path_rate and 'drop_path_rate' not in taken:
            raise ValueError(f'drop_path_rate={self.drop_path_rate}: {self.name} has no stochastic depth')
        self._takes_any_size = 'img_size' not in taken or 'dynamic_img_size' in taken
        return network

    def feature_map(self, images: Tensor) -> Tensor:
        """See :meth:`.LibraryEncoder.feature_map`."""
        (features,) = self.network.forward_intermediates(
            images, indices=[self._index], norm=self._has_norm, intermediates_only=True
        )
        return features

    @property
    def blocks(self) -> list[nn.Module]:
        network = self.network
        lists = [(name, module) for name, module in network.named_modules() if name.rpartition('.')[2] == 'blocks']
        blocks = [block for name, module in lists if '.blocks.' not in name for block in module.children()]
        if blocks:
            return blocks
        stages = [info['module'] for info in network.feature_info[: self._index + 1]]
        return [stage for stage in map(network.get_submodule, stages) if any(True for _ in stage.parameters())]

    def layer_depths(self) -> tuple[dict[str, int], int]:
        from timm.models import group_parameters

        # The classifier was dropped; its place is that of the heads.
        classifier = self.network.pretrained_cfg.get('classifier') or 'head'
        end = f'{classifier if isinstance(classifier, str) else classifier[0]}.weight'
        named = [*self.network.named_parameters(), (end, None)]
        holder = SimpleNamespace(named_parameters=lambda: iter(named))
        depths = group_parameters(holder, self.network.group_matcher(coarse=False), reverse=True)
        return depths, depths[end] + 1

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        grid = super().grid_of(height, width)
        if not self._takes_any_size and (height, width) != self.img_size:
            raise ValueError(
                f'image size (h={height}, w={width}): {self.name} takes images of img_size={self.img_size} only; set img_size'
            )
        return grid

    def resize_network(self, size: tuple[int, int]) -> None:
        # Windows of networks that take any size stay as they are.
        if self._takes_any_size and getattr(self.network, 'pos_embed', None) is None:
            return
        if not hasattr(self.network, 'set_input_size'):
            raise ValueError(
                f'image size {size}: {self.name} takes images of img_size={self.img_size} only; set img_size'
            )
        self.network.set_input_size(img_size=size)
        self._network_size = size

    def resize_positions(self, patches: Tensor, source: tuple[int, int]) -> Tensor:
        from timm.layers import resample_abs_pos_embed

        return resample_abs_pos_embed(patches, list(self.grid_size), list(source), num_prefix_tokens=0)

    def adapt_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename and resize weights as timm does when it loads them."""
        adapt = getattr(sys.modules[type(self.network).__module__], 'checkpoint_filter_fn', None)
        if adapt is None:
            return weights
        with torch.device('meta'):  # names and shapes of all stages
            whole = self._build_whole()
        return adapt(dict(weights), whole)
