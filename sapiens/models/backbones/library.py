"""What the encoders of timm and mmpretrain share: one feature map for the heads of this package, cut out of a network."""

# B batch, C channels, H W image size in pixels, h w size of the feature map, L tokens

import math
import re
from collections.abc import Callable, Mapping, Sequence

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import Tensor, nn

from sapiens.utils.checkpoint import load_state, read_checkpoint
from sapiens.utils.loggers import quiet_loggers
from sapiens.utils.shards import copy_whole
from sapiens.utils.terminal import fact, log_brief

from ..layers.recompute import recompute_parts, require_recompute_value
from .interface import tile

__all__ = ['LibraryEncoder', 'call_library']


class LibraryEncoder(BaseModule):
    """Base class of encoders of other libraries. Their weights are named ``<part>.*``, and after that as in the library.

    Heads, layer decay, LoRA, compilation, sharding, activation checkpointing, export and estimates work as with
    :class:`~sapiens.models.Encoder`. Pretraining as a masked autoencoder does not. Stochastic depth and dropout draw from torch's
    generator, not from the seeds of the samples.

    Attributes:
        part: name of the network in this module.
        embed_dims: channels C of the feature map.
        patch_size: stride of the feature map in pixels. Images of any size that is a multiple of it are taken.
        img_size: (h, w) in pixels that the encoder is built for.

    Args:
        name: of the network in its library.
        img_size: see above. Position embeddings and windows have the size that the library gives them for it.
        stride: of the feature map. The stage with this stride is taken, and the stages after it are dropped.
        drop_path_rate: stochastic depth of the last block; the first has 0, linear in between.
        frozen_stages: -1 trains everything; n freezes the layers of the depths 0 to n of :meth:`get_layer_depth`: 0 is the stem,
            and the deepest layer includes the norm after it.
        activation_checkpointing: of the blocks, see :func:`~sapiens.models.layers.recompute.recompute_parts`.
        pretrained: path of the weights to start from: a file of the library, or a checkpoint of a model with this encoder.
            Nothing is downloaded. It is short for ``init_cfg=dict(type='Pretrained', checkpoint=PATH)``.
        options: arguments of the network in its library.
        out_type, out_indices: as of :class:`~sapiens.models.Encoder`; there is one output, the feature map.

    Raises:
        ValueError: an unknown name or option, or one out of its range; a stride that the network does not have; or an image size
            that the stride does not divide.
    """

    part: str
    reserved: Sequence[str] = ()
    # Whether weights under the names of other projects are renamed to those of Sapiens, which are mmpretrain's.
    reads_other_names = False

    def __init__(
        self,
        name: str,
        img_size: int | tuple[int, int],
        stride: int,
        drop_path_rate: float,
        frozen_stages: int,
        activation_checkpointing: str | int,
        pretrained: str | None,
        init_cfg: dict | None,
        options: Mapping,
        out_type: str = 'featmap',
        out_indices: int | Sequence[int] = -1,
    ) -> None:
        super().__init__(start_of(pretrained, init_cfg))
        kind = type(self).__name__
        if out_type != 'featmap' or out_indices not in (-1, [-1], (-1,)):
            raise ValueError(
                f'{kind}: out_type={out_type!r}, out_indices={out_indices!r}: it returns the feature map only (out_type=featmap, '
                'out_indices=-1); pretraining as a masked autoencoder and outputs of other blocks need SapiensViT or Sapiens2ViT'
            )
        if taken := sorted(set(options) & set(self.reserved)):
            raise ValueError(f'{kind}: {", ".join(taken)} cannot be set: the feature map follows from stride')
        require_recompute_value(activation_checkpointing, 'activation_checkpointing')
        self.name, self.options, self.drop_path_rate = name, dict(options), drop_path_rate
        self.img_size = self._network_size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        self.patch_size, self.frozen_stages = stride, frozen_stages
        self.activation_checkpointing = activation_checkpointing
        self._depths: tuple[dict[str, int], int] = {}, 0
        network, self.embed_dims = self.build_network()
        self.add_module(self.part, network)
        self.grid_of(*self.img_size)
        recompute_parts(self.blocks, activation_checkpointing)
        self._freeze()

    @property
    def network(self) -> nn.Module:
        """The network, without the parts that the feature map does not need."""
        return self._modules[self.part]

    def build_network(self) -> tuple[nn.Module, int]:
        """Build the network with initial weights, and return it with the channels of the feature map."""
        raise NotImplementedError

    def feature_map(self, images: Tensor) -> Tensor:
        """Encode normalized images (B, 3, H, W) to the feature map (B, C, h, w)."""
        raise NotImplementedError

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks in the order of their calls: units of compilation, sharding, adapters and activation checkpointing."""
        raise NotImplementedError

    def layer_depths(self) -> tuple[dict[str, int], int]:
        """Depth of each parameter of the network by name, and the number of depths: the last one is that of heads."""
        raise NotImplementedError

    def adapt_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Fit weights of the library, without position embeddings, to the network."""
        raise NotImplementedError

    def resize_positions(self, patches: Tensor, source: tuple[int, int]) -> Tensor:
        """Resize the position embedding (1, h*w, C) of the patches of another grid ``source`` (h, w), as the library does."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Encode normalized images (B, 3, H, W) to one feature map (B, C, h, w)."""
        self.grid_of(*images.shape[-2:])
        return (self.feature_map(images),)

    @property
    def grid_size(self) -> tuple[int, int]:
        """Size (h, w) of the feature map of ``img_size``."""
        return self.grid_of(*self.img_size)

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """Return the size (h, w) of the feature map of an image size in pixels.

        Raises:
            ValueError: the stride does not divide it, or the network takes images of one size only.
        """
        return tile(height, width, self.patch_size, f'stride of {self.name},')

    def set_image_size(self, size: tuple[int, int]) -> None:
        """Make (h, w) pixels the size that the encoder is built for. Position embeddings are resized.

        Raises:
            ValueError: see :meth:`grid_of`.
        """
        tile(*size, self.patch_size, f'stride of {self.name},')
        if tuple(size) == self.img_size:
            return
        self.resize_network(tuple(size))
        self.img_size = tuple(size)

    def resize_network(self, size: tuple[int, int]) -> None:
        """Resize what depends on the size alone, where there is something."""

    @property
    def num_extra_tokens(self) -> int:
        """Rows of the position embedding before those of the patches."""
        embed = getattr(self.network, 'pos_embed', None)
        return 0 if embed is None else embed.shape[1] - math.prod(self.grid_size)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the initial weights of the library."""
        fresh, _ = self.build_network()
        if hasattr(fresh, 'is_init'):  # MMEngine's, which logs a line for each weight
            with quiet_loggers(MMLogger.get_current_instance()):
                fresh.init_weights()
        own = self.network.state_dict()
        for name, value in fresh.state_dict().items():
            copy_whole(own[name], value)

    def init_weights(self) -> None:
        """Set the initial weights, then load those of ``pretrained``, if there are some."""
        self.reset_parameters()
        if self.init_cfg:
            path = self.init_cfg['checkpoint']
            report = load_state(self, self._read(path), source=str(path))
            log_brief(f'Backbone from {path}:\n{report}', fact('weights', report.brief), timed=False)

    def _read(self, path: str) -> dict[str, Tensor]:
        """The weights of a file under the names of this module. The wrapper's own names may have ``backbone.`` before them."""
        weights = read_checkpoint(path, rename=self.reads_other_names).state_dict
        if any(name.startswith('backbone.') for name in weights):
            weights = {name: value for name, value in weights.items() if name.startswith('backbone.')}
        prefix = re.compile(rf'^(?:backbone\.)?(?:{self.part}\.)?')
        weights = {prefix.sub('', name): value for name, value in weights.items()}
        positions = {name: value for name, value in weights.items() if name.endswith('pos_embed')}
        others = {name: value for name, value in weights.items() if name not in positions}
        try:
            others = self.adapt_weights(others)
        except (
            RuntimeError,
            KeyError,
            AttributeError,
            IndexError,
        ) as error:  # of code that meets weights of another network
            raise ValueError(
                f'{path}: {self.part} cannot fit these weights to {self.name} ({type(error).__name__}: {error}): they are of '
                'another architecture'
            ) from error
        return {f'{self.part}.{name}': value for name, value in (others | positions).items()}

    def parts_to_compile(self) -> list[nn.Module]:
        """Modules for :func:`sapiens.engine.compiling.compile_parts`: the blocks, one by one."""
        return self.blocks

    def parts_to_recompute(self) -> dict[str, list]:
        """Parts for :func:`sapiens.engine.recomputing.recompute_activations`: the blocks, one by one."""
        return dict(backbone=self.blocks)

    def get_layer_depth(self, name: str, prefix: str = '') -> tuple[int, int]:
        """Return the depth of a parameter for layer-wise learning-rate decay, as the library groups parameters.

        The stem is 0. The last depth is that of heads. Stages that were dropped have no depths.

        Returns:
            (depth, number of depths).

        Raises:
            ValueError: this encoder has no such parameter.
        """
        local = name.removeprefix(prefix)
        try:
            self.get_parameter(local)
        except AttributeError:
            raise ValueError(f'{type(self).__name__} has no parameter {name!r}') from None
        local = local.removeprefix(f'{self.part}.')
        if local not in self._depths[0]:  # adapters rename and add parameters
            self._depths = self.layer_depths()
        depths, count = self._depths
        return depths[local], count

    def train(self, mode: bool = True) -> 'LibraryEncoder':
        super().train(mode)
        if mode and self.frozen_stages >= 0:
            for module in self.network.modules():
                weights = list(module.parameters())
                if weights and not any(weight.requires_grad for weight in weights):
                    module.eval()
        return self

    def _freeze(self) -> None:
        depths, count = self.layer_depths()
        deepest = count - 2
        if not -1 <= self.frozen_stages <= deepest:
            raise ValueError(
                f'frozen_stages={self.frozen_stages} must lie in [-1, {deepest}], {deepest} is the deepest layer of {self.name}'
            )
        for name, parameter in self.network.named_parameters():
            if self.frozen_stages == deepest or depths[name] <= self.frozen_stages:
                parameter.requires_grad_(False)


def start_of(pretrained: str | None, init_cfg: dict | None) -> dict | None:
    """The ``init_cfg`` of an encoder that may be given as a path.

    Raises:
        ValueError: both are given, or something else than a path.
    """
    if pretrained is None:
        return init_cfg
    if init_cfg is not None:
        raise ValueError(f'pretrained={pretrained!r} and init_cfg={init_cfg!r} both name weights; give one of them')
    if not isinstance(pretrained, str):
        raise ValueError(f'pretrained={pretrained!r}: expected the path of a file of weights; nothing is downloaded')
    return dict(type='Pretrained', checkpoint=pretrained)


def call_library(build: Callable, what: str, options: Mapping, optional: Mapping) -> tuple[nn.Module, set[str]]:
    """Build a network with ``options`` and with those of ``optional`` that it takes.

    Args:
        what: the network, for messages.

    Returns:
        The network, and the names of the optional arguments that it takes.

    Raises:
        ValueError: it does not take one of ``options``, or refuses a value.
    """
    taken = {key: value for key, value in optional.items() if key not in options}
    while True:
        try:
            return build(**taken, **options), set(taken)
        except Exception as error:  # libraries raise any type for a value that they do not take
            unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
            if unknown is None or unknown[1] not in {**taken, **options}:
                raise ValueError(
                    f'{what} cannot be built with {dict(options)} ({type(error).__name__}: {error})'
                ) from error
            if unknown[1] in options:
                raise ValueError(f'{what} has no option {unknown[1]!r}') from error
            del taken[unknown[1]]
