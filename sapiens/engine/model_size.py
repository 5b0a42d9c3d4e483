"""Parameters and floating-point operations of models, counted on the meta device."""

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch.utils.flop_counter import FlopCounterMode

from sapiens.registry import MODELS
from sapiens.tasks import members_of

__all__ = ['build', 'count']


def build(cfg: Config) -> torch.nn.Module:
    """Build the model of a config on the meta device."""
    with DefaultScope.overwrite_default_scope('sapiens'), torch.device('meta'):
        return MODELS.build(cfg.model)


def count(model: torch.nn.Module, height: int, width: int) -> dict[str, tuple[int, int]]:
    """Parameters and operations of the parts of a model, and of the whole, for one image.

    Args:
        model: on the meta device, which computes nothing. On a CPU, torch does not count attention.

    Returns:
        {name of the part: (parameters, operations)}; the last is ``'all'``.
    """
    image = torch.empty(1, 3, height, width, device=next(model.parameters()).device)
    # With gradients heads compute layer by layer. Without, in bands of rows, some of which they compute twice to save memory.
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        model.eval()(image, mode='loss' if model.task_name == 'mae' else 'tensor')
    root = type(model).__name__
    found = counter.get_flop_counts()
    total = counter.get_total_flops()
    rows, parts = {}, dict(model.named_children())
    for name, member in members_of(model).items():
        parts.pop('tasks', None)
        parts[f'tasks.{name}.{member.head_name}'] = member.head
    for name, part in parts.items():
        parameters = sum(value.numel() for value in part.parameters())
        if parameters:
            rows[name] = parameters, sum(found.get(f'{root}.{name}', {}).values())
    # Encoders of masked images are not called as a whole: theirs is the rest.
    rest = total - sum(flops for _, flops in rows.values())
    if rest and not rows['backbone'][1]:
        rows['backbone'] = rows['backbone'][0], rest
    return rows | {'all': (sum(value.numel() for value in model.parameters()), total)}
