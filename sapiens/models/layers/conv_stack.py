"""Stacks of convolution, norm and activation, as decoder heads use them. Inference works in place and in parts.

At the size of the image one copy of a map of 128 channels takes 384 MiB in float32 (1024x768). Plain execution keeps the output
of the convolution, its shuffled copy and its normalized copy.
"""

# B batch, C channels, h w size

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ['ChannelRMSNorm', 'ConvStack']

# Bytes of the parts in which inference computes a layer.
PART = 2**25


class ChannelRMSNorm(nn.Module):
    """RMS norm over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class ConvStack(nn.Sequential):
    """Layers of [convolution, pixel shuffle (in some), norm, activation], each a module of its own, as published keys count.

    Outside of training the activation and the norm work in place, and a convolution before a pixel shuffle is computed for some
    output channels at a time. The result is the same up to rounding.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')"""
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return super().forward(x)
        modules, index = list(self), 0
        while index < len(modules):
            layer = modules[index]
            if isinstance(modules[index + 1], nn.PixelShuffle):
                _, norm, activation = modules[index + 1 : index + 4]
                x, index = _shuffled(x, layer, norm, activation), index + 4
            else:
                norm, activation = modules[index + 1 : index + 3]
                x, index = _normalize_(layer(x), norm, activation), index + 3
        return x


def _normalize_(x: Tensor, norm: nn.Module, activation: nn.Module) -> Tensor:
    """Norm and activation in place, for some channels at a time, or for some rows where the norm takes all channels."""
    dim = 2 if isinstance(norm, ChannelRMSNorm) else 1
    for part in x.split(_step(x, dim), dim):
        part.copy_(activation(_normalized(part, norm)))
    return x


def _normalized(part: Tensor, norm: nn.Module) -> Tensor:
    # The module warns of another number of channels than it was made for.
    return F.instance_norm(part, eps=norm.eps) if isinstance(norm, nn.InstanceNorm2d) else norm(part)


def _shuffled(x: Tensor, conv: nn.Conv2d, norm: nn.Module, activation: nn.Module) -> Tensor:
    """Convolution, pixel shuffle by 2, norm and activation, for some output channels at a time."""
    B, _, h, w = x.shape
    channels = conv.out_channels // 4
    out = x.new_empty(B, channels, 2 * h, 2 * w)
    for part in torch.arange(channels).split(_step(out, 1)):
        first, last = int(part[0]), int(part[-1]) + 1
        rows = slice(4 * first, 4 * last)
        whole = F.conv2d(x, conv.weight[rows], conv.bias[rows], padding=conv.padding)
        whole = F.pixel_shuffle(whole, 2)
        if isinstance(norm, ChannelRMSNorm):
            out[:, first:last] = whole
        else:
            out[:, first:last] = activation(_normalized(whole, norm))
    return _normalize_(out, norm, activation) if isinstance(norm, ChannelRMSNorm) else out


def _step(x: Tensor, dim: int) -> int:
    """Entries of a dimension of ``x`` that take about :data:`PART` bytes."""
    return max(1, PART * x.shape[dim] // (x.numel() * x.element_size()))
