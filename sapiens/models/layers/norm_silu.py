"""Norm and SiLU as one step of the backward pass, which keeps one map.

Modules one after the other keep the input of the norm and the input of SiLU (RMS norm also copies in float32). The second one is
computed again here.
"""

# B batch, C channels, h w size

import torch
import torch.nn.functional as F
from torch import Tensor

from .chunks import chunks
from .first_derivative import first_derivative_only

__all__ = ['instance_norm_silu', 'rms_norm_silu']


def instance_norm_silu(x: Tensor, eps: float) -> Tensor:
    """SiLU of the instance norm without parameters of maps (B, C, h, w) of two cells or more, in the type of ``x``.

    The backward pass keeps ``x``, and mean and scale of each map in float32. It has no derivative itself.
    """
    return _InstanceNormSiLU.apply(x, eps)


def rms_norm_silu(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """SiLU of the RMS norm over the channels of each pixel of (B, C, h, w) with weights (C,), in the type of ``x``.

    Computed in float32. The backward pass keeps ``x``, and the scale of each pixel in float32. It has no derivative itself.
    """
    return _RMSNormSiLU.apply(x, weight, eps)


class _InstanceNormSiLU(torch.autograd.Function):
    """By torch's batch norm, with each map as a channel of a single sample, as ``F.instance_norm`` does it."""

    @staticmethod
    def forward(ctx, x: Tensor, eps: float) -> Tensor:
        maps = x.contiguous().view(1, -1, *x.shape[2:])
        # On a CPU, statistics of bfloat16 maps are in float32 only if there are weights in float32.
        one, zero = _ones_and_zeros(maps)
        normalized, mean, scale = torch.native_batch_norm(maps, one, zero, None, None, True, 0.0, eps)
        ctx.save_for_backward(maps, mean, scale)
        ctx.eps = eps
        return F.silu(normalized, inplace=True).view(x.shape)

    @staticmethod
    @first_derivative_only
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        maps, mean, scale = ctx.saved_tensors
        one, zero = _ones_and_zeros(maps)
        variance = scale.pow(-2) - ctx.eps
        normalized, *_ = torch.native_batch_norm(maps, one, zero, mean, variance, False, 0.0, ctx.eps)
        shape, grad = grad.shape, grad.reshape(maps.shape)
        # Into the memory of its input.
        grad = torch.ops.aten.silu_backward.grad_input(grad, normalized, grad_input=normalized)
        grad, *_ = torch.ops.aten.native_batch_norm_backward(
            grad, maps, one, None, None, mean, scale, True, ctx.eps, (True, False, False)
        )
        return grad.view(shape), None


def _ones_and_zeros(maps: Tensor) -> tuple[Tensor, Tensor]:
    one = torch.ones(maps.shape[1], dtype=_exact(maps), device=maps.device)
    return one, torch.zeros_like(one)


class _RMSNormSiLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        output, factors = torch.empty_like(x), weight.to(_exact(x))[:, None, None]
        scale = x.new_empty(x.shape[0], 1, *x.shape[2:], dtype=factors.dtype)
        for part in chunks(x):
            values = x[part].to(factors.dtype)
            scale[part] = (values.square().mean(1, keepdim=True) + eps).rsqrt()
            output[part] = F.silu((values * scale[part]).mul_(factors), inplace=True)
        ctx.save_for_backward(x, weight, scale)
        return output

    @staticmethod
    @first_derivative_only
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, scale = ctx.saved_tensors
        found, factors = torch.empty_like(x), weight.to(scale.dtype)[:, None, None]
        found_weight = torch.zeros_like(factors)
        for part in chunks(x):
            normalized = x[part].to(scale.dtype) * scale[part]
            scaled = normalized * factors
            step = torch.ops.aten.silu_backward.grad_input(grad[part].to(scale.dtype), scaled, grad_input=scaled)
            found_weight += (step * normalized).sum((0, 2, 3))[:, None, None]
            step.mul_(factors)
            along = (step * normalized).mean(1, keepdim=True)
            found[part] = step.sub_(normalized.mul_(along)).mul_(scale[part])
        return found, found_weight[:, 0, 0].to(weight.dtype), None


def _exact(x: Tensor) -> torch.dtype:
    """float32, or the type of ``x`` if that is more exact."""
    return torch.promote_types(x.dtype, torch.float32)
