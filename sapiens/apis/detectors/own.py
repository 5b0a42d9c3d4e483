"""Detectors of people that this package trains."""

from collections.abc import Callable

from sapiens.coco import BOX_THRESHOLD
from sapiens.tasks import resolve

from .refine import RefinedByParts

__all__ = ['load_own', 'load_refined']

# Smallest score of a box that is passed on; the caller has its own.
LOWEST = 0.01


def load_own(text: str, device: str) -> Callable:
    """Load a model of the task ``person``.

    Args:
        text: ``CONFIG,CHECKPOINT`` or the name of a model, and optionally after a comma the number of tiles along each side.
        device: see :func:`sapiens.apis.load_model`.

    Raises:
        FileNotFoundError, ValueError: something does not exist, a config without weights, or a model of another task.
    """
    # By name: the loader of models builds detectors itself.
    load_model, is_config = (
        resolve(f'sapiens.apis.loading.load_model:{name}') for name in ('load_model', 'is_config')
    )
    model, *parts = text.split(',')
    tiles = int(parts.pop()) if parts and parts[-1].isdecimal() else 1
    checkpoint = parts.pop(0) if parts else None
    if not model or parts or checkpoint == '' or (checkpoint is None and is_config(model)):
        raise ValueError(
            f"detector 'sapiens:{text}': expected sapiens:<config>,<checkpoint>[,<tiles>], with the weights of the model"
        )
    predictor = load_model(model, checkpoint, task='person', device=device, box_threshold=LOWEST, tiles=tiles)
    return lambda images: [(found.boxes, found.scores) for found in predictor(list(images))]


def load_refined(model: str, parts: str, device: str, threshold: float | None = None) -> RefinedByParts:
    """Load a detector by name, and the segmentation that refines its boxes.

    Args:
        model, parts: names of weights of the package.
        device: see :func:`sapiens.apis.load_model`.
        threshold: smallest score of a box that is of use; default :data:`sapiens.coco.BOX_THRESHOLD`.
    """
    load_model = resolve('sapiens.apis.loading.load_model:load_model')
    threshold = BOX_THRESHOLD if threshold is None else threshold
    return RefinedByParts(load_own(model, device), load_model(parts, task='seg', device=device), threshold)
