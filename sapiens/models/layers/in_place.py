"""When layers may overwrite their own intermediate results."""

import torch
from torch import nn

__all__ = ['may_work_in_place']


def may_work_in_place(module: nn.Module) -> bool:
    """Whether a module runs inference: not training, no gradients, and not recorded as a graph."""
    is_graph = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return not (module.training or torch.is_grad_enabled() or is_graph)
