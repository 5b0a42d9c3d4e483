"""Values of training steps, which stay on the device until they are logged."""

from collections.abc import Mapping

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

from .host_group import gather_on_hosts

__all__ = ['StepValues']


class StepValues:
    """Scalars of steps by name.

    :meth:`add` reads nothing back. :meth:`read` returns the values of all steps since, as means over the processes, with one
    reduction and one copy from the device.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[tuple[str, ...], Tensor]] = []

    def add(self, values: Mapping[str, Tensor | float]) -> None:
        """Add the values of a step: tensors of one element, or numbers."""
        device = next((value.device for value in values.values() if isinstance(value, Tensor)), torch.device('cpu'))
        row = [
            value.detach().float().reshape(())
            if isinstance(value, Tensor)
            else torch.full((), float(value), device=device)  # a kernel; a copy of the number would wait
            for value in values.values()
        ]
        self._steps.append((tuple(values), torch.stack(row) if row else torch.zeros(0)))

    def read(self) -> list[dict[str, float]]:
        """Values of each step since the last call. Every process must call this after the same step.

        A name that some processes do not have in a step is averaged over those that have it.
        """
        steps, self._steps = self._steps, []
        names = list(dict.fromkeys(name for step, _ in steps for name in step))
        if get_world_size() > 1:  # names and their order may differ
            names = list(dict.fromkeys(name for other in gather_on_hosts(names) for name in other))
        if not names:
            return []
        place = {name: index for index, name in enumerate(names)}
        device = next((row.device for _, row in steps if len(row)), torch.device('cpu'))
        values = torch.zeros(len(steps), len(names), device=device)
        present = torch.zeros(len(steps), len(names))
        for index, (step, row) in enumerate(steps):
            if step == tuple(names):
                values[index] = row
            else:
                for name, value in zip(step, row.unbind(), strict=True):
                    values[index, place[name]] = value
            present[index, [place[name] for name in step]] = 1
        if get_world_size() > 1:
            table = torch.stack([values, present.to(device)])
            all_reduce(table)
            values, present = table
            values = values / present
        rows = zip(values.tolist(), present.tolist(), strict=True)
        return [{name: value for name, value, has in zip(names, *row, strict=True) if has} for row in rows]
