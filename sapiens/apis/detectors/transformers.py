"""Object detection models of the transformers library."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch

from sapiens.utils.loggers import quiet_loggers
from sapiens.utils.optional import require
from sapiens.utils.terminal import is_verbose

__all__ = ['load_transformers']


def load_transformers(name: str, device: torch.device) -> Callable:
    """Load a model of ``AutoModelForObjectDetection`` (DETR, RT-DETR, YOLOS, ...).

    Args:
        name: name on the hub, or a folder written by ``save_pretrained``.
        device: device of the model.

    Raises:
        ImportError: transformers is not installed.
        ValueError: the model cannot be loaded, or it has no class 'person'.
    """
    transformers = require('transformers', f'detector transformers:{name}')
    # Without a network the hub's client has several lines for each of its tries.
    level = logging.NOTSET if is_verbose() else logging.ERROR
    try:
        with quiet_loggers(logging.getLogger('huggingface_hub'), level=level):
            processor = transformers.AutoImageProcessor.from_pretrained(name)
            model = transformers.AutoModelForObjectDetection.from_pretrained(name)
    except (OSError, ValueError) as error:  # no such model, no network; a folder of another kind
        reason = str(error).partition('\n')[0]
        raise ValueError(f'detector transformers:{name} cannot be loaded: {reason}') from error
    model.to(device).eval()
    labels = {int(index): str(label).lower() for index, label in model.config.id2label.items()}
    people = [index for index, label in labels.items() if label in ('person', 'human', 'people', 'pedestrian')]
    if not people:
        raise ValueError(f"transformers:{name} has no class 'person', but {', '.join(list(labels.values())[:20])}")

    @torch.inference_mode()
    def find(images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        inputs = processor(images=list(images), return_tensors='pt').to(device)
        sizes = [image.shape[:2] for image in images]
        found = []
        for output in processor.post_process_object_detection(model(**inputs), threshold=0.0, target_sizes=sizes):
            chosen = torch.isin(output['labels'], torch.tensor(people, device=output['labels'].device))
            found.append(tuple(output[key][chosen].float().cpu().numpy() for key in ('boxes', 'scores')))
        return found

    return find
