"""Counts of skipped optimizer steps, which stay on the device until they are reported."""

import math

import torch
from mmengine.logging import MMLogger
from torch import Tensor

from ..host_group import gather_on_hosts

__all__ = ['SkippedSteps']


class SkippedSteps:
    """Number of skipped steps, in all and in a row, and the values of the last one.

    :meth:`add` launches a few small kernels and reads nothing back. :meth:`report` reads the counts.

    Args:
        limit: number of consecutive skipped steps that stops the run.

    Attributes:
        total: number of skipped steps, as of the latest :meth:`read`.
        in_a_row: number of skipped steps after the last one that was not, as of the latest :meth:`read`.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total, self.in_a_row = 0, 0
        # On the device: steps skipped since the latest report, in a row, in a row at most, and the iteration of the last one.
        self._counts: Tensor | None = None
        # Loss of this process and gradient norm of the last skipped step.
        self._values: Tensor | None = None
        self._reported = 0

    def add(self, skipped: Tensor, loss: Tensor, norm: Tensor, iteration: int) -> None:
        """Count a step.

        Args:
            skipped: bool scalar, equal on all processes.
            loss, norm: float32 scalars, the loss of this process and the gradient norm of all.
            iteration: from 1.
        """
        if self._counts is None:
            self._counts = torch.zeros(4, dtype=torch.int64, device=skipped.device)
            self._counts[1] = self.in_a_row
            self._values = torch.zeros(2, device=skipped.device)
        new, in_a_row, longest, last = self._counts.unbind()
        in_a_row = torch.where(skipped, in_a_row + 1, 0)
        last = torch.where(skipped, iteration, last)
        self._counts = torch.stack([new + skipped, in_a_row, torch.maximum(longest, in_a_row), last])
        self._values = torch.where(skipped, torch.stack([loss, norm]), self._values)

    def read(self) -> tuple[int, int]:
        """Read ``total`` and ``in_a_row`` from the device."""
        if self._counts is not None:
            new, self.in_a_row, *_ = self._counts.tolist()
            self.total = self._reported + new
        return self.total, self.in_a_row

    def report(self) -> None:
        """Log the steps that were skipped since the latest report. Every process must call this at the same iteration.

        Raises:
            RuntimeError: ``limit`` steps in a row were skipped.
        """
        if self._counts is None:
            return
        new, self.in_a_row, longest, iteration = self._counts.tolist()
        if not new:
            return
        self._reported += new
        self.total = self._reported
        loss, norm = self._values.tolist()
        self._counts[0] = 0
        self._counts[2] = self.in_a_row
        # The gradient norm is that of all ranks together, so only the losses tell where the numbers come from.
        losses = gather_on_hosts(loss)
        bad = {rank: loss for rank, loss in enumerate(losses) if not math.isfinite(loss)}
        values = f'loss {loss}'
        if len(losses) > 1:
            found = ', '.join(f'{loss} on rank {rank}' for rank, loss in bad.items())
            values = f'loss {found}' if bad else 'the losses of all ranks are finite'
        values += f', gradient norm {norm}'
        steps = (
            f'Step of iteration {iteration} skipped'
            if new == 1
            else f'{new} steps skipped, the last at iteration {iteration}'
        )
        MMLogger.get_current_instance().warning(
            f'{steps}: {values}; {self.total} skipped so far, {self.in_a_row} in a row'
        )
        if longest >= self.limit:
            raise RuntimeError(
                f'{longest} steps in a row had a non-finite loss or gradient norm, the last one at iteration {iteration} '
                f'({values}). They changed no weights. Resume from an older checkpoint with a lower learning rate, a lower '
                'clip_grad.max_norm or precision=fp32. optim_wrapper.max_skipped_in_a_row changes this limit.'
            )

    def state_dict(self) -> list[int]:
        """``[total, in_a_row]``."""
        return list(self.read())

    def load_state_dict(self, state: list[int]) -> None:
        self.total, self.in_a_row = state
        self._reported, self._counts = self.total, None
