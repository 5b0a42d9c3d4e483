"""When layers may overwrite their own intermediate results."""

import torch
from torch import nn

__all__ = ['is_recorded', 'may_work_in_place']


def may_work_in_place(module: nn.Module) -> bool:
    """Whether a module runs inference: not training, no gradients, and not recorded as a graph."""
    return not (module.training or torch.is_grad_enabled() or is_recorded())


def is_recorded() -> bool:
    """Whether ``torch.compile``, ``torch.export`` or ``torch.jit.trace`` records what is computed as a graph."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()
