"""Predictor of every dense task."""

import numpy as np
from torch import nn

from ..preprocess import WholeInput
from ..results import Result
from ..results.by_task import get_result_class
from .base import Predictor

__all__ = ['DensePredictor']


class DensePredictor(Predictor):
    """Predicts a value for each pixel. The result class of the task reads the predicted fields."""

    def __init__(self, task: str, network: nn.Module, preprocess: WholeInput, **options) -> None:
        super().__init__(task, network, preprocess, **options)
        self.result_class = get_result_class(task)

    def read(self, samples: list) -> list:
        """Return the attributes of the results of predicted samples, in memory of the host."""
        return [
            self.result_class.read_fields(
                {name.removeprefix('pred_'): value for name, value in sample.items() if name.startswith('pred_')},
                self.network.task,
            )
            for sample in samples
        ]

    def result(self, image: np.ndarray, path: str, outputs: list) -> Result:
        (attributes,) = outputs
        return self.result_class(image=image, path=path, **attributes)
