"""Detection models of torchvision."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches

import numpy as np
import torch
from torch import Tensor

from sapiens.utils.checkpoint import read_checkpoint

from .base import suppress

__all__ = ['load_torchvision']

PERSON = 1  # COCO label of torchvision's models


def load_torchvision(name: str, weights: str | None, device: torch.device) -> Callable:
    """Load a model of ``torchvision.models.detection``.

    Args:
        name: such as 'fasterrcnn_resnet50_fpn_v2'.
        weights: file of weights; None for those of torchvision, which it downloads once.
        device: device of the model.

    Raises:
        ValueError: the name is unknown, or the weights cannot be fetched or do not fit.
    """
    import torchvision
    from torchvision.models import detection, get_model, list_models

    _ensure_nms(torchvision)
    known = [model for model in list_models(detection) if 'keypoint' not in model]
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f'; did you mean {near[0]!r}?' if near else '.'
        raise ValueError(f'torchvision has no detection model {name!r}{hint} Known: {", ".join(known)}')
    if weights is None:
        try:
            model = get_model(name, weights='DEFAULT')
        except (OSError, RuntimeError) as error:  # no network, no space; a file of another checksum
            reason = getattr(error, 'reason', error)
            raise ValueError(
                f'the weights of torchvision:{name} cannot be fetched ({reason}); torchvision:{name},FILE takes a file'
            ) from error
    else:
        model = get_model(name, weights=None, weights_backbone=None)
        try:
            model.load_state_dict(read_checkpoint(weights).state_dict)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1]
            raise ValueError(f'{weights} does not fit torchvision:{name}: {reason}') from error
    model.to(device).eval()

    @torch.inference_mode()
    def find(images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        inputs = [torch.from_numpy(image).to(device).permute(2, 0, 1).float() / 255 for image in images]
        found = []
        for output in model(inputs):
            people = output['labels'] == PERSON
            found.append((output['boxes'][people].cpu().numpy(), output['scores'][people].cpu().numpy()))
        return found

    return find


def _ensure_nms(torchvision) -> None:
    """Register non-maximum suppression if torchvision's compiled library is missing, as with a CPU build of torch."""
    boxes, scores = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1)
    try:
        torchvision.ops.nms(boxes, scores, 0.5)
    except (NotImplementedError, RuntimeError):
        library = torch.library.Library('torchvision', 'IMPL')
        library.impl('nms', _nms, 'CPU')
        _LIBRARIES.append(library)
        # torchvision checks for the compiled library before it calls the operator.
        torchvision.extension._assert_has_ops = lambda: None
        torchvision.ops.boxes._assert_has_ops = lambda: None


_LIBRARIES: list = []  # keeps the registration alive


def _nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Return indices of the kept boxes (N, 4), best first."""
    return torch.from_numpy(suppress(boxes.numpy(), scores.numpy(), threshold, border=0))
