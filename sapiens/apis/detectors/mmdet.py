"""Detectors of MMDetection, such as the RTMDet-m of the published demo."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from sapiens.checkpoints import resolve_checkpoint
from sapiens.utils.optional import require

__all__ = ['load_mmdet']

PERSON = 0


def load_mmdet(config: str, checkpoint: str, device: torch.device) -> Callable:
    """Load a model of MMDetection.

    Args:
        config: config of the detector.
        checkpoint: path or name of its weights.
        device: device of the model.

    Raises:
        ImportError: mmdet is not installed; it also needs the compiled operators of mmcv.
    """
    apis = require('mmdet.apis', f'detector mmdet:{config}', 'onedl-mmdetection')
    model = apis.init_detector(config, str(resolve_checkpoint(checkpoint)), device=str(device))

    def find(images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        # MMDetection takes arrays as OpenCV reads them.
        found = []
        for output in apis.inference_detector(model, [np.ascontiguousarray(image[..., ::-1]) for image in images]):
            people, instances = output.pred_instances.labels == PERSON, output.pred_instances
            found.append((instances.bboxes[people].cpu().numpy(), instances.scores[people].cpu().numpy()))
        return found

    return find
