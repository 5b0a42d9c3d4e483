"""The predictor class of a task."""

from sapiens.tasks import resolve

from ..results.by_task import get_inference_task
from .base import Predictor
from .dense import DensePredictor

__all__ = ['get_predictor_class']


def get_predictor_class(task: str) -> type[Predictor]:
    """Return the predictor class of a task, by its name in inference."""
    return resolve(get_inference_task(task).predictor) or DensePredictor
