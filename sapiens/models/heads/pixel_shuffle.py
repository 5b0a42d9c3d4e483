"""Head of pixel shuffles: normals, pointmaps, matting and albedo of Sapiens2."""

# B batch, C channels of the encoder, K output channels, h w grid of patches

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from sapiens.registry import MODELS

from ..layers.conv_stack import ChannelRMSNorm, ConvStack, run_in_bands
from ..layers.in_place import may_work_in_place
from ..layers.pos_embed import is_open
from .deconv import init_he, per_layer

__all__ = ['PixelShuffleHead']

NORMS = dict(instance=nn.InstanceNorm2d, rms=ChannelRMSNorm)


@MODELS.register_module()
class PixelShuffleHead(BaseModule):
    """A 3x3 convolution, layers that double the size, convolutions, and a 1x1 convolution to the output.

    A layer that doubles the size is a 3x3 convolution to four times its channels, and a pixel shuffle. A norm and SiLU follow
    each layer but the last.

    Args:
        in_channels: width of the encoder; the estimator fills it in.
        out_channels: K of the only map, or a dict of K by name for several maps; the estimator fills it in.
        upsample_channels: channels after each doubling.
        conv_channels, conv_kernels: channels and kernel side (odd, default 3) of the convolutions.
        norm: ``'instance'`` (over all pixels of a channel, so results depend on the whole input) or ``'rms'`` (over the channels
            of a pixel, with weights; published for albedo).
        predictor: name of the last layer (published: ``conv_normal``, ``conv_pointmap``, ...).
        predictor_std: deviation of the initial weights of the last layer. None is the published initialization, whose first
            outputs have deviations of several units: meters that no label has, and saturated sigmoids.
        sigmoid: end the maps in [0, 1] by a sigmoid (published for matting).
        scale: options of :class:`ScaleBranch`, for a number of the whole image in addition to the maps.
        scalars: name of that number; the estimator fills it in.

    Raises:
        ValueError: an unknown norm, an even kernel, lists of different lengths, a ``predictor_std`` that is not above 0, or
            ``scale`` and ``scalars`` that do not agree.
    """

    name = 'decode_head'

    def __init__(
        self,
        in_channels: int,
        out_channels: int | Mapping[str, int],
        upsample_channels: Sequence[int],
        conv_channels: Sequence[int] = (),
        conv_kernels: Sequence[int] | None = None,
        norm: str = 'instance',
        predictor: str = 'conv_normal',
        predictor_std: float | None = None,
        sigmoid: bool = False,
        scale: Mapping | None = None,
        scalars: Sequence[str] = (),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if norm not in NORMS:
            raise ValueError(f'norm={norm!r} is not one of {tuple(NORMS)}')
        if predictor_std is not None and not predictor_std > 0:
            raise ValueError(
                f'predictor_std={predictor_std}: expected a number above 0, or None for the published one'
            )
        if len(scalars) != (scale is not None):
            raise ValueError(f'scale={scale!r} does not fit the numbers of the task, {tuple(scalars)}')
        conv_kernels = per_layer('conv_kernels', conv_kernels, conv_channels, 3)
        build_norm = NORMS[norm]

        def conv(before: int, after: int, kernel: int = 3) -> nn.Conv2d:
            return nn.Conv2d(before, after, kernel, padding=kernel // 2)

        self.input_conv = ConvStack(conv(in_channels, in_channels), build_norm(in_channels), nn.SiLU(inplace=True))
        self.upsample_blocks = nn.Sequential(
            *[
                ConvStack(conv(before, 4 * after), nn.PixelShuffle(2), build_norm(after), nn.SiLU(inplace=True))
                for before, after in pairwise([in_channels, *upsample_channels])
            ]
        )
        widths = [in_channels, *upsample_channels][-1:] + list(conv_channels)
        self.conv_layers = ConvStack()
        for (before, after), kernel in zip(pairwise(widths), conv_kernels, strict=True):
            self.conv_layers.extend([conv(before, after, kernel), build_norm(after), nn.SiLU(inplace=True)])
        self.maps = dict(out_channels) if isinstance(out_channels, Mapping) else None
        self.scalars, self.predictor, self.sigmoid = tuple(scalars), predictor, sigmoid
        self.predictor_std = predictor_std
        self.add_module(predictor, nn.Conv2d(widths[-1], sum(self.maps.values()) if self.maps else out_channels, 1))
        if scale is not None:
            branch = ScaleBranch(in_channels, **scale)
            self.scale_conv_layers, self.scale_final_layer = branch.convs, branch.final
        # Fewest patches on a side for exports of any size: all norms compare two cells or more.
        self.min_grid = 2 ** len(scale['conv_channels']) + 1 if scale is not None else 2

    def forward(self, features: Tensor) -> Tensor | dict[str, Tensor]:
        """(B, C, h, w) -> (B, K, 2^n h, 2^n w), n the number of doublings; of several outputs a dict of maps and numbers (B,)."""
        stacks, last = [self.input_conv, *self.upsample_blocks, self.conv_layers], self.get_submodule(self.predictor)
        if self.scalars:
            last = partial(in_own_precision, last)
        in_place = may_work_in_place(self)
        output = run_in_bands(stacks, last, features) if in_place else last(nn.Sequential(*stacks)(features))
        output = output.sigmoid() if self.sigmoid else output
        if self.maps is None:
            return output
        outputs = dict(zip(self.maps, output.split(list(self.maps.values()), dim=1), strict=True))
        for name in self.scalars:
            outputs[name] = in_own_precision(self.scale_final_layer, self.scale_conv_layers(features))[:, 0]
        return outputs

    def init_weights(self) -> None:
        """Initialize as published: convolutions from He's normal distribution by fan-out, linear layers by fan-in, biases 0; the
        last convolution by ``predictor_std``, if it is given."""
        init_he(self)
        if self.predictor_std is not None:
            nn.init.normal_(self.get_submodule(self.predictor).weight, std=self.predictor_std)
        for child in self.modules():
            if isinstance(child, nn.Linear):
                nn.init.kaiming_normal_(child.weight, mode='fan_in', nonlinearity='linear')
                nn.init.zeros_(child.bias)
        self._is_init = True

    def parts_to_compile(self) -> list[nn.Module]:
        """The whole head, see :func:`sapiens.engine.compiling.compile_parts`."""
        return [self]

    def parts_to_recompute(self) -> dict[str, list]:
        """All convolutions but the last one, see :func:`sapiens.engine.recomputing.recompute_activations`."""
        stacks = [self.input_conv, *self.upsample_blocks, self.conv_layers]
        if self.scalars:
            stacks.append(self.scale_conv_layers)
        return dict(head=[layer for stack in stacks for layer in stack.parts()])

    def parts_in_own_precision(self) -> list[nn.Module]:
        """The layers that :func:`in_own_precision` runs, whose weights sharded training does not round."""
        return [self.get_submodule(self.predictor), self.scale_final_layer] if self.scalars else []


def in_own_precision(layer: nn.Module, features: Tensor) -> Tensor:
    """Run a layer in the type of its weights, also under autocast. In bf16 a point at 2 meters is known to 8 mm only, so that
    neighboring points form steps."""
    if not torch.is_autocast_enabled(features.device.type):
        return layer(features)
    with torch.autocast(features.device.type, enabled=False):
        return layer(features.to(next(layer.parameters()).dtype))


class ScaleBranch:
    """Layers from the feature map to one number: convolutions of stride 2, then linear layers on all that is left.

    Published for inputs of 1024x768, whose last map has 8x6 cells. Maps of other sizes are pooled to that many.

    Args:
        conv_channels: channels after each convolution.
        conv_kernels: kernel side of each convolution, odd; default 1.
        hidden: width of the linear layers but the last.
        cells: (h, w) of the map that the linear layers take.

    Raises:
        ValueError: an even kernel, or a list of another length.
    """

    def __init__(
        self,
        in_channels: int,
        conv_channels: Sequence[int],
        conv_kernels: Sequence[int] | None = None,
        hidden: Sequence[int] = (512, 128),
        cells: tuple[int, int] = (8, 6),
    ) -> None:
        conv_kernels = per_layer('scale.conv_kernels', conv_kernels, conv_channels, 1)
        widths = [in_channels, *conv_channels]
        self.convs = ConvStack()
        for (before, after), kernel in zip(pairwise(widths), conv_kernels, strict=True):
            conv = nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2)
            self.convs.extend([conv, CellNorm(after), nn.SiLU(inplace=True)])
        self.final = nn.Sequential(FlatCells(cells))
        for before, after in pairwise([widths[-1] * cells[0] * cells[1], *hidden, 1]):
            self.final.extend([nn.Linear(before, after), nn.SiLU(inplace=True)])
        del self.final[-1]


class CellNorm(nn.InstanceNorm2d):
    """Instance norm that leaves a map of a single cell as it is: there is nothing to compare the cell with."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.shape[2] * x.shape[3] == 1 else super().forward(x)


class FlatCells(nn.Module):
    """Average a map (B, C, h, w) over ``cells`` (as adaptive average pooling) and flatten it to (B, C * cells)."""

    def __init__(self, cells: tuple[int, int]) -> None:
        super().__init__()
        self.cells = tuple(cells)

    def forward(self, x: Tensor) -> Tensor:
        # By matrix products, which are deterministic on GPUs and which ONNX has for every size.
        size = tuple(x.shape[-2:])
        if is_open(size) or size != self.cells:
            rows, columns = (_averages(*pair, x) for pair in zip(size, self.cells, strict=True))
            x = rows @ x @ columns.T
        return x.flatten(1)


def _averages(old: int, new: int, like: Tensor) -> Tensor:
    """(new, old) weights of the old cells in each of the new ones: constants of a graph, unless it takes images of any size."""
    if is_open((old,)):
        arange = partial(torch.arange, device=like.device)
    else:
        arange, old = np.arange, int(old)  # torch.jit.trace gives sizes as tensors
    cells, new_cells = arange(old), arange(new)
    first, end = new_cells * old // new, -(-(new_cells + 1) * old // new)
    inside = (cells >= first[:, None]) & (cells < end[:, None])
    return torch.as_tensor(inside / (end - first)[:, None]).to(like)
