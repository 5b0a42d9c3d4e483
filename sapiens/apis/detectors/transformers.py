"""Object detection models of the transformers library."""

from collections.abc import Sequence

import numpy as np
import torch

from sapiens.utils.optional import require

__all__ = ['TransformersDetector']


class TransformersDetector:
    """A model that ``AutoModelForObjectDetection`` loads (DETR, RT-DETR, YOLOS, ...).

    Args:
        name: name on the hub, or a folder written by ``save_pretrained``.
        device: device of the model.

    Raises:
        ImportError: transformers is not installed.
        ValueError: the model has no class 'person'.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        transformers = require('transformers', f'detector transformers:{name}')
        self.processor = transformers.AutoImageProcessor.from_pretrained(name)
        self.model = transformers.AutoModelForObjectDetection.from_pretrained(name).to(device).eval()
        labels = {int(index): str(label).lower() for index, label in self.model.config.id2label.items()}
        self.people = [
            index for index, label in labels.items() if label in ('person', 'human', 'people', 'pedestrian')
        ]
        if not self.people:
            raise ValueError(f"transformers:{name} has no class 'person', but {', '.join(list(labels.values())[:20])}")
        self.device = device

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        inputs = self.processor(images=list(images), return_tensors='pt').to(self.device)
        sizes = [image.shape[:2] for image in images]
        outputs = self.processor.post_process_object_detection(self.model(**inputs), threshold=0.0, target_sizes=sizes)
        found = []
        for output in outputs:
            people = torch.isin(output['labels'], torch.tensor(self.people, device=output['labels'].device))
            found.append(
                (output['boxes'][people].float().cpu().numpy(), output['scores'][people].float().cpu().numpy())
            )
        return found
