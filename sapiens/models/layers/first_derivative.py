"""Refusal of second derivatives."""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor

__all__ = ['first_derivative_only']


def first_derivative_only(backward: Callable) -> Callable:
    """Decorate ``backward`` of an autograd function whose gradient has no gradient itself.

    torch's ``once_differentiable`` raises nothing where only the inputs of the function, not the gradient of its output, need
    a second derivative, and leaves it out.

    Raises:
        RuntimeError: when called, with ``create_graph=True``.
    """

    @wraps(backward)
    def checked(ctx, *grads: Tensor) -> tuple:
        if torch.is_grad_enabled():
            raise RuntimeError(
                f'{type(ctx).__name__.strip("_")} has no second derivative: call backward() or grad() without '
                'create_graph=True'
            )
        return backward(ctx, *grads)

    return checked
