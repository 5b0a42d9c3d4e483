"""``compile=True`` in a config: ``torch.compile`` for the blocks and heads of a model."""

from mmengine.logging import print_log
from torch import nn

__all__ = ['compile_parts']


def compile_parts(model: nn.Module, options: bool | dict) -> None:
    """Compile parts of a model in place, before their first call. Names of parameters stay.

    Each module with a method ``parts_to_compile()`` says which of its parts are compiled: an encoder its blocks, a head itself.
    Equal blocks are compiled once, and activation checkpointing works as before. MMEngine would compile
    the whole ``train_step`` with the optimizer and the logged values.

    Args:
        options: arguments of :func:`torch.compile`, or True for its defaults.

    Raises:
        ValueError: other options, or a model without such parts.
    """
    if options is not True and not isinstance(options, dict):
        raise ValueError(f'compile={options!r}: expected True, False, or arguments of torch.compile in a dict')
    parts = [
        part for module in model.modules() if hasattr(module, 'parts_to_compile') for part in module.parts_to_compile()
    ]
    if not parts:
        raise ValueError(
            f'compile={options!r}: no part of {type(model).__name__} has a method parts_to_compile(), which encoders and '
            'heads of this package have'
        )
    for part in parts:
        part.compile(**({} if options is True else options))
    print_log(f'Compiling {len(parts)} blocks and heads: the first iterations are slow', logger='current')
