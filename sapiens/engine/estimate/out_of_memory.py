"""What a training that runs out of memory ends with."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config

__all__ = ['explain_memory_errors']

# torch raises a class of its own for GPUs, and an error with this text for CPUs.
CPU_TEXT = "can't allocate memory"


@contextmanager
def explain_memory_errors(cfg: Config, processes: int) -> Iterator[None]:
    """Add to an out-of-memory error what the training of a config takes and the options that help most.

    Args:
        cfg: of the run.
        processes: that train together.

    Raises:
        torch.OutOfMemoryError: with the message of the original error, from which it is raised, and the advice.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise torch.OutOfMemoryError(f'{error}\n{_advice(cfg, processes)}') from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is that of an allocator of torch, on a GPU or a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and CPU_TEXT in str(error))


def _advice(cfg: Config, processes: int) -> str:
    # Imported here: a run that has enough memory does without.
    from .advice import explain_out_of_memory

    try:
        return explain_out_of_memory(cfg, processes)
    except Exception as error:  # nothing may replace the error that is explained
        return f'(There is no estimate for this config: {type(error).__name__}: {error})'
