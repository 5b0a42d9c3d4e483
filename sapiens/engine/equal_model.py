"""Refuses to continue a run with another model, before anything of this run is replaced."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from torch import nn
from torch.optim import Optimizer

from sapiens.utils.counting import count_of

__all__ = ['require_equal_model']


def require_equal_model(
    model: nn.Module, optimizer: Optimizer, shapes: Mapping[str, Sequence[int]], groups: Sequence[Mapping], source: str
) -> None:
    """Check that a checkpoint has the tensors of a model, in their shapes, and an optimizer of the same parameters.

    Args:
        model: without a wrapper.
        shapes: of the tensors of the checkpoint by name.
        groups: of the optimizer of the checkpoint, each with ``params``.
        source: of the checkpoint, for the message.

    Raises:
        ValueError: they differ.
    """
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    differences = list(chain(_tensors(own, shapes), _groups(optimizer, groups)))
    if differences:
        others = len(differences) - 1
        more = f' ({count_of(others, "other difference")})' if others else ''
        raise ValueError(
            f'{source} is of another model or training: {differences[0]}{more}. Resume with the config of the first run. To '
            'start a new run from its weights use --cfg-options load_from=PATH instead of --resume'
        )


def _tensors(own: Mapping[str, tuple], saved: Mapping[str, Sequence[int]]) -> Iterator[str]:
    for name, shape in own.items():
        if name not in saved:
            yield f'it has no {name}, which this config has'
        elif tuple(saved[name]) != shape:
            yield f'its {name} has the shape {tuple(saved[name])}, and {shape} in this config'
    for name in saved:
        if name not in own:
            yield f'it has {name}, which this config has not'


def _groups(optimizer: Optimizer, saved: Sequence[Mapping]) -> Iterator[str]:
    before, now = ([len(group['params']) for group in groups] for groups in (saved, optimizer.param_groups))
    if sum(before) != sum(now):
        yield f'its optimizer trains {sum(before)} tensors, and {sum(now)} in this config (frozen parts differ)'
    elif before != now:
        before, now = (', '.join(map(str, counts)) for counts in (before, now))
        yield (
            f'its optimizer has groups of {before} tensors, and of {now} in this config (paramwise_cfg or frozen parts differ)'
        )
