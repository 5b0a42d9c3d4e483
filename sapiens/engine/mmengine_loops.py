"""MMEngine's names of the training loop, for configs that come from there."""

from collections.abc import Sequence

from sapiens.registry import LOOPS

from .loops import TrainLoop

__all__ = ['EpochBasedTrainLoop', 'IterBasedTrainLoop']


@LOOPS.register_module()
class EpochBasedTrainLoop(TrainLoop):
    """:class:`TrainLoop` with MMEngine's arguments of a run counted in epochs."""

    def __init__(
        self,
        runner,
        dataloader,
        max_epochs: int,
        val_begin: int = 1,
        val_interval: int = 1,
        dynamic_intervals: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__(runner, dataloader, max_epochs, None, val_begin, val_interval, dynamic_intervals)


@LOOPS.register_module()
class IterBasedTrainLoop(TrainLoop):
    """:class:`TrainLoop` with MMEngine's arguments of a run counted in iterations."""

    def __init__(
        self,
        runner,
        dataloader,
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__(runner, dataloader, None, max_iters, val_begin, val_interval, dynamic_intervals)
