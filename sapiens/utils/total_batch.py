"""The batch of a process where a config sets that of all processes."""

from collections.abc import Mapping
from typing import Any

__all__ = ['TOTAL', 'batch_of_process']

# Key of ``train_dataloader``.
TOTAL = 'total_batch_size'


def batch_of_process(loader: Mapping[str, Any], processes: int) -> int:
    """Images of a batch in one process: ``batch_size``, or the part of ``total_batch_size``, which takes its place.

    Args:
        loader: ``train_dataloader`` of a config.
        processes: that train together.

    Raises:
        ValueError: a batch or a total that is no whole number above 0, or a total that the processes do not divide.
    """
    total = loader.get(TOTAL)
    if total is None:
        batch = loader.get('batch_size')
        if type(batch) is not int or batch < 1:
            raise ValueError(
                f'train_dataloader.batch_size={batch!r}: expected the number of images of a process, 1 or more (or {TOTAL}, that '
                'of all processes)'
            )
        return batch
    if type(total) is not int or total < 1:
        raise ValueError(f'train_dataloader.{TOTAL}={total!r}: expected a number of images, 1 or more')
    if total % processes:
        near = ' or '.join(
            str(one) for one in (total - total % processes, total + processes - total % processes) if one
        )
        raise ValueError(
            f'train_dataloader.{TOTAL}={total} is not a multiple of the {processes} processes: take {near}'
        )
    return total // processes
