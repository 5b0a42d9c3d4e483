"""Detectors of MMDetection, such as the RTMDet-m of the published demo."""

from collections.abc import Sequence

import numpy as np
import torch

from sapiens.checkpoints import resolve_checkpoint
from sapiens.utils.optional import require

__all__ = ['MMDetDetector']

PERSON = 0


class MMDetDetector:
    """A model of MMDetection.

    Args:
        config: config of the detector.
        checkpoint: path or name of its weights.
        device: device of the model.

    Raises:
        ImportError: mmdet is not installed; it also needs the compiled operators of mmcv.
    """

    def __init__(self, config: str, checkpoint: str, device: torch.device) -> None:
        apis = require('mmdet.apis', f'detector mmdet:{config}', 'onedl-mmdetection')
        self.infer = apis.inference_detector
        self.model = apis.init_detector(config, str(resolve_checkpoint(checkpoint)), device=str(device))

    def __call__(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        # MMDetection takes arrays as OpenCV reads them.
        found = []
        for output in self.infer(self.model, [np.ascontiguousarray(image[..., ::-1]) for image in images]):
            instances = output.pred_instances
            people = (instances.labels == PERSON).cpu().numpy()
            found.append((instances.bboxes.cpu().numpy()[people], instances.scores.cpu().numpy()[people]))
        return found
