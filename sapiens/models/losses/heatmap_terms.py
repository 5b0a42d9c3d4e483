"""Squared error and log-likelihood of heatmaps whose target is a product of two profiles.

The target at cell (x, y) is ``along_y[y] * along_x[x]``. All is computed in float32 from parts of the prediction. The backward
pass keeps the prediction in its own type, and no other map.
"""

# B batch, K keypoints, H W cells of a map, N maps of a part

from collections.abc import Iterator

import torch
from torch import Tensor

from ..layers.chunks import items_at_once
from ..layers.first_derivative import first_derivative_only

__all__ = ['log_likelihood', 'squared_error']


def squared_error(prediction: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    """Mean of ``(prediction - target)^2`` over the cells of each map (B, K).

    Args:
        prediction: (B, K, H, W), of any floating dtype. It gets a gradient of its own dtype, which has no derivative itself.
        along_y, along_x: (B, K, H) and (B, K, W) float32.
    """
    return _SquaredError.apply(prediction, along_y, along_x)


def log_likelihood(logits: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    """Sum of ``target * log_softmax(logits)`` over the cells of each map (B, K), for targets whose sum is 1 (or 0: such a map
    counts as if its highest cell were the target).

    Args:
        logits, along_y, along_x: as in :func:`squared_error`.
    """
    return _LogLikelihood.apply(logits, along_y, along_x)


class _SquaredError(torch.autograd.Function):
    @staticmethod
    def forward(ctx, prediction: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
        ctx.save_for_backward(prediction, along_y, along_x)
        errors = [_difference(*part).square_().mean((1, 2)) for part in _parts(prediction, along_y, along_x)]
        return torch.cat(errors).view(prediction.shape[:2])

    @staticmethod
    @first_derivative_only
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        found = _empty_gradient(ctx.saved_tensors[0])
        factors = grad * (2 / (found.shape[2] * found.shape[3]))
        for part, factor, *given in _parts(found, factors, *ctx.saved_tensors):
            part.copy_(_difference(*given).mul_(factor[:, None, None]))
        return found, None, None


def _difference(prediction: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    """(N, H, W) float32."""
    return torch.addcmul(prediction.float(), along_y[..., None], along_x[:, None], value=-1)


class _LogLikelihood(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
        peaks, sums, likelihoods = [], [], []
        for maps, along_down, along_right in _parts(logits, along_y, along_x):
            peak = maps.amax((1, 2)).float()
            shifted = maps.float() - peak[:, None, None]
            rows = (shifted * along_right[:, None]).sum(-1)
            total = shifted.exp_().sum((1, 2))
            likelihoods.append((rows * along_down).sum(-1) - total.log())
            peaks.append(peak)
            sums.append(total)
        peaks, sums, likelihoods = (torch.cat(values).view(logits.shape[:2]) for values in (peaks, sums, likelihoods))
        ctx.save_for_backward(logits, along_y, along_x, peaks, sums)
        return likelihoods

    @staticmethod
    @first_derivative_only
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        found = _empty_gradient(ctx.saved_tensors[0])
        for part, factor, maps, along_y, along_x, peak, total in _parts(found, grad, *ctx.saved_tensors):
            step = (maps.float() - peak[:, None, None]).exp_().div_(-total[:, None, None])
            step.addcmul_(along_y[..., None], along_x[:, None]).mul_(factor[:, None, None])
            part.copy_(step)
        return found, None, None


def _parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Parts of tensors (B, K, ...) as (N, ...), as many maps of the first one at once as the device should have in float32."""
    H, W = tensors[0].shape[2:]
    count = items_at_once(4 * H * W, tensors[0].device)
    return zip(*(tensor.flatten(0, 1).split(count) for tensor in tensors), strict=True)


def _empty_gradient(prediction: Tensor) -> Tensor:
    return torch.empty(prediction.shape, dtype=prediction.dtype, device=prediction.device)
