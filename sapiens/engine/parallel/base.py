"""What a runner asks of the way in which several processes share a training."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from torch import nn
from torch.optim import Optimizer

__all__ = ['Parallel']


class Parallel:
    """Every process has the whole model: the base class of what ``parallel`` in a config names.

    A runner builds it once, before the model. Methods are called by every process, in the same order.

    Attributes:
        is_sharded: whether a process holds a part of each weight only. Then the model is not wrapped, its parameters are
            ``DTensor``, and it must not be called by some processes alone outside of :meth:`gathered`.
    """

    is_sharded = False

    def prepare(self, uses_bf16: bool, accumulates: bool) -> None:
        """Resolve options by how the run trains. Called once, before the others.

        Args:
            uses_bf16: steps use bf16 autocast.
            accumulates: a step is that of several batches.

        Raises:
            ValueError: options that do not fit.
        """

    def building(self) -> AbstractContextManager:
        """In which the model is built from its config."""
        return nullcontext()

    def initializing(self) -> AbstractContextManager:
        """In which the model sets its initial weights and loads those that an ``init_cfg`` names."""
        return nullcontext()

    def wrap(self, model: nn.Module, wrap: Callable[[dict | None, nn.Module], nn.Module]) -> nn.Module:
        """Distribute a model over processes.

        Args:
            wrap: ``wrap_model`` of MMEngine's runner, which moves the model to the device and takes the config of a wrapper.
        """
        return wrap(None, model)

    def gathered(self, model: nn.Module) -> AbstractContextManager:
        """Inside of which each process holds all weights of a wrapped model and may predict alone."""
        return nullcontext()

    def gather(self, checkpoint: dict) -> dict:
        """A checkpoint with whole tensors, as one process would write it. Only that of the main process is complete."""
        return checkpoint

    def split(self, checkpoint: dict, model: nn.Module, optimizer: Optimizer) -> dict:
        """A checkpoint as it was written, with the parts of this process in place of whole tensors."""
        return checkpoint

    def describe(self) -> str:
        """For the first lines of a run; '' for what every run does."""
        return ''
