"""Stacks of convolution, norm and activation, as decoder heads use them, and their inference in bands of rows.

At the size of the image one copy of a map of 128 channels takes 384 MiB in float32 (1024x768). Plain execution keeps the input
and the output of a convolution, the shuffled copy and the normalized copy.
"""

# B batch, C channels, h w size

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .in_place import is_recorded
from .norm_silu import instance_norm_silu, rms_norm_silu
from .recompute import Recompute

__all__ = ['ChannelRMSNorm', 'ConvStack', 'run_in_bands']

# Bytes of a band, by its effect on time and memory on a CPU (docs/log/performance.md). A GPU needs larger bands to be busy.
BAND = dict(cpu=2**24, cuda=2**28)


class ChannelRMSNorm(nn.Module):
    """RMS norm over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class ConvStack(nn.Sequential):
    """Layers of [convolution, pixel shuffle (in some), norm, activation], each a module of its own, as published keys count.

    In training a layer keeps two maps: the input of the norm, and its own output, which the next convolution reads.
    """

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__(*modules)
        self.recompute: dict[int, Recompute | None] = {}  # by the number of a layer

    def forward(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers()):
            way = self.recompute.get(number)
            x = _run_layer(layer, x) if way is None else way(partial(_run_layer, layer), x)
        return x

    def parts(self) -> list['StackLayer']:
        """The layers, for :func:`.recompute.recompute_parts`."""
        return [StackLayer(self, number) for number, _ in enumerate(self.layers())]

    def layers(self) -> Iterator[list[nn.Module]]:
        """The modules of each layer, up to its activation."""
        layer = []
        for module in self:
            layer.append(module)
            if isinstance(module, nn.SiLU):
                yield layer
                layer = []


class StackLayer:
    """A layer of a stack, with how it is recomputed. Its modules are those of the stack, so it is not a module."""

    def __init__(self, stack: ConvStack, number: int) -> None:
        self.stack, self.number = stack, number

    @property
    def recompute(self) -> Recompute | None:
        return self.stack.recompute.get(self.number)

    @recompute.setter
    def recompute(self, way: Recompute | None) -> None:
        self.stack.recompute[self.number] = way


def _run_layer(layer: Sequence[nn.Module], x: Tensor) -> Tensor:
    *linear, norm, _ = layer
    for module in linear:
        x = module(x)
    # Graphs consist of the modules. A compiler finds the same saving by itself. The functions treat no single cells.
    if (
        not is_recorded()
        and torch.is_grad_enabled()
        and x.requires_grad
        and x.shape[0]
        and x.shape[2] * x.shape[3] > 1
    ):
        if isinstance(norm, nn.InstanceNorm2d) and not norm.affine and not norm.track_running_stats:
            return instance_norm_silu(x, norm.eps)
        if isinstance(norm, ChannelRMSNorm):
            return rms_norm_silu(x, norm.norm.weight, norm.norm.eps)
    # Not in place: a norm may return its input, which is the output that `selective` keeps.
    return F.silu(norm(x))


def run_in_bands(stacks: Sequence[ConvStack], last: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Compute ``last`` (a convolution of pixels) of the stacks of (B, C, h, w), in little more memory than its largest map.

    Maps are lists of bands of rows. A band is freed when the next layer has read it. The result is that of the layers one after
    the other, up to rounding.
    """
    bands = [x]
    for stack in stacks:
        for conv, *shuffle, norm, activation in stack.layers():
            bands = _convolve(bands, conv, *shuffle)
            if isinstance(norm, nn.InstanceNorm2d):
                _normalize_(bands, norm.eps)
                norm = nn.Identity()
            for index, band in enumerate(bands):
                bands[index] = activation(norm(band))
    return torch.cat([last(band) for band in bands], dim=2)


def _convolve(
    bands: list[Tensor], conv: nn.Conv2d | nn.ConvTranspose2d, shuffle: Callable | None = None
) -> list[Tensor]:
    """Bands of the output of a convolution that keeps the size, or doubles it if it is transposed. Empties the list of inputs."""
    B, C, _, w = bands[0].shape
    doubles = isinstance(conv, nn.ConvTranspose2d)
    wider = max(C, conv.out_channels * (4 if doubles else 1))
    starts = [0, *accumulate(band.shape[2] for band in bands)]
    height, halo = starts[-1], 1 if doubles else conv.kernel_size[0] // 2
    size = B * wider * height * w * bands[0].element_size()
    count = min(height, max(1, size // BAND.get(bands[0].device.type, BAND['cpu'])))
    outputs = []
    for first, end in pairwise(height * number // count for number in range(count + 1)):
        parts = []
        for index, start in enumerate(starts[:-1]):
            if starts[index + 1] <= first - halo:
                bands[index] = None
            elif start < end + halo:
                parts.append(bands[index][:, :, max(first - halo - start, 0) : end + halo - start])
        rows = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
        missing = max(halo - first, 0), max(end + halo - height, 0)
        rows = F.pad(rows, (0, 0, *missing)) if any(missing) else rows
        if doubles:
            padding = conv.padding[0] + 2 * halo, conv.padding[1]  # cuts the rows of the halo off
            output = F.conv_transpose2d(rows, conv.weight, conv.bias, conv.stride, padding, conv.output_padding)
        else:
            output = F.conv2d(rows, conv.weight, conv.bias, padding=(0, halo))
        del parts, rows
        outputs.append(output if shuffle is None else shuffle(output))
        del output
    bands.clear()
    return outputs


def _normalize_(bands: list[Tensor], eps: float) -> None:
    """Instance norm over all bands, in place and computed in float32."""
    height, means, variances = sum(band.shape[2] for band in bands), [], []
    for band in bands:
        values = band.flatten(2).float()
        means.append(values.mean(2))
        variances.append((values - means[-1][..., None]).square_().mean(2))
    shares = [band.shape[2] / height for band in bands]
    mean = sum(share * value for share, value in zip(shares, means, strict=True))  # (B, C)
    spread = [variance + (value - mean).square() for variance, value in zip(variances, means, strict=True)]
    variance = sum(share * value for share, value in zip(shares, spread, strict=True))
    scale = (variance + eps).rsqrt()
    for band in bands:
        values = band.float().sub_(mean[..., None, None]).mul_(scale[..., None, None])
        if values is not band:
            band.copy_(values)
