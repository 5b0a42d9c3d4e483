"""``compile=True`` in a config: the network's parts by ``torch.compile``."""

from mmengine.logging import print_log
from torch import nn

from sapiens.models import DenseHead, HeatmapHead
from sapiens.models.layers import TransformerBlock

__all__ = ['compile_parts']

# Blocks one by one: they are alike, so that one is compiled and 6 or 48 run, and activation checkpointing works as before.
PARTS = (TransformerBlock, DenseHead, HeatmapHead)


def compile_parts(model: nn.Module, options: bool | dict) -> None:
    """Compile blocks and heads in place, before their first call; names of parameters stay as they are.

    Not MMEngine's whole ``train_step``, which holds the optimizer and the values for the log.

    Args:
        model: any of ours.
        options: arguments of :func:`torch.compile`, or True for its defaults.

    Raises:
        ValueError: other options, or a model without such parts.
    """
    if options is not True and not isinstance(options, dict):
        raise ValueError(f'compile={options!r}: expected True, False, or arguments of torch.compile in a dict')
    parts = [module for module in model.modules() if isinstance(module, PARTS)]
    if not parts:
        names = ', '.join(part.__name__ for part in PARTS)
        raise ValueError(f'compile={options!r}: {type(model).__name__} has none of {names}')
    for part in parts:
        part.compile(**({} if options is True else options))
    print_log(f'Compiling {len(parts)} blocks and heads: the first iterations are slow', logger='current')
