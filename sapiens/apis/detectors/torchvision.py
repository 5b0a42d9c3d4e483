"""Detection models of torchvision."""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
import torch
from torch import Tensor

from sapiens.utils.checkpoint import read_checkpoint

__all__ = ['TorchvisionDetector']

PERSON = 1  # in COCO's labels, as torchvision has them


class TorchvisionDetector:
    """A model of ``torchvision.models.detection``.

    Args:
        name: such as 'fasterrcnn_resnet50_fpn_v2'.
        weights: file of its weights; None for torchvision's own, which it downloads once.
        device: to run on.

    Raises:
        ValueError: an unknown name, or weights that do not fit.
    """

    def __init__(self, name: str, weights: str | None, device: torch.device) -> None:
        import torchvision
        from torchvision.models import detection, get_model, list_models

        _ensure_nms(torchvision)
        known = [model for model in list_models(detection) if 'keypoint' not in model]
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f'; did you mean {near[0]!r}?' if near else ''
            raise ValueError(f'torchvision has no detection model {name!r}{hint} Known: {", ".join(known)}')
        if weights is None:
            self.model = get_model(name, weights='DEFAULT')
        else:
            self.model = get_model(name, weights=None, weights_backbone=None)
            state = read_checkpoint(weights).state_dict
            try:
                self.model.load_state_dict(state)
            except RuntimeError as error:
                raise ValueError(
                    f'{weights} does not fit torchvision:{name}: {str(error).splitlines()[-1]}'
                ) from error
        self.device = device
        self.model.to(device).eval()

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        inputs = [torch.from_numpy(image).to(self.device).permute(2, 0, 1).float() / 255 for image in images]
        found = []
        for output in self.model(inputs):
            people = output['labels'] == PERSON
            found.append((output['boxes'][people].cpu().numpy(), output['scores'][people].cpu().numpy()))
        return found


def _ensure_nms(torchvision) -> None:
    """Give torchvision's suppression of boxes a kernel where its compiled library could not be loaded (a CPU build of torch)."""
    boxes, scores = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1)
    try:
        torchvision.ops.nms(boxes, scores, 0.5)
    except (NotImplementedError, RuntimeError):
        library = torch.library.Library('torchvision', 'IMPL')
        library.impl('nms', _nms, 'CPU')
        _LIBRARIES.append(library)
        # It asks whether the compiled library is there before it calls the operator.
        torchvision.extension._assert_has_ops = lambda: None
        torchvision.ops.boxes._assert_has_ops = lambda: None


_LIBRARIES: list = []  # undone when collected


def _nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Ids of boxes (N, 4) that stay, best first."""
    order = scores.argsort(descending=True, stable=True)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[rest, :2])
        high = torch.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        order = rest[shared / (areas[best] + areas[rest] - shared) <= threshold]
    return torch.stack(kept) if kept else order
