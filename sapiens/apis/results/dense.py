"""Results of dense tasks: one value for each pixel."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from .base import Result

__all__ = ['DenseResult']


@dataclass
class DenseResult(Result):
    """Result of a dense task."""

    @classmethod
    def read_fields(cls, fields: Mapping[str, Tensor], task) -> dict:
        """Convert a prediction to attributes of the result.

        Args:
            fields: predicted fields of the sample, by name without ``pred_``, on any device.
            task: the ``DenseTask`` of the model.

        Returns:
            Attributes of the result, in memory of the host.
        """
        raise NotImplementedError
