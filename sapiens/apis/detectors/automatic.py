"""The best detector of people that this machine has or can fetch."""

import importlib.util
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log

from sapiens.checkpoints import resolve_checkpoint

from ..own_models import DETECTOR, has_detector

__all__ = ['Automatic', 'choose_detector']

PUBLISHED = 'sapiens-pose-bbox-detector'
# Its config is one of the demos of mmpose, which installs them in its package.
PUBLISHED_CONFIG = '.mim/demo/mmdetection_cfg/rtmdet_m_640-8xb32_coco-person.py'
FETCHED, LICENSE = 'fasterrcnn_resnet50_fpn_v2', 'BSD-3-Clause'
_ADVICE = 'Give --detector (filters.people.detector of a curation) or --boxes'
TIMEOUT = 10  # seconds for the first answer of a server


def choose_detector(say: Callable[[str], None] = print_log) -> str:
    """Choose a detector, and say in one line which one it is.

    In this order: the published one, if its weights are on this machine and MMDetection is installed; Faster R-CNN of
    torchvision, whose weights are fetched once; without a network, the embedded one of this package; without its weights, the
    whole image.

    Args:
        say: takes the line.

    Returns:
        Text for :func:`.build_detector`.
    """
    if published := _published():
        say(f'people are found by the published detector, {PUBLISHED}')
        return published
    reason = _fetch(say)
    if not reason:
        say(f'people are found by torchvision:{FETCHED} ({LICENSE})')
        return f'torchvision:{FETCHED}'
    if has_detector():
        say(f'people are found by {DETECTOR}: torchvision:{FETCHED} cannot be fetched ({reason})')
        return 'embedded'
    say(
        f'each image is taken as one person: torchvision:{FETCHED} cannot be fetched ({reason}), and this version of the package '
        f'has no weights of {DETECTOR}. {_ADVICE}'
    )
    return 'whole-image'


class Automatic:
    """The detector of :func:`choose_detector`, which is chosen and loaded when the first image needs it.

    Args:
        load: builds a function from images to (boxes, scores) from a text.
    """

    def __init__(self, load: Callable[[str], Callable]) -> None:
        self._load = load
        self._find: Callable | None = None

    def __call__(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        if self._find is None:
            self._find = self._load(choose_detector())
        return self._find(images)


def _published() -> str | None:
    if not all(importlib.util.find_spec(package) for package in ('mmdet', 'mmpose')):
        return None
    try:
        checkpoint = resolve_checkpoint(PUBLISHED)
    except FileNotFoundError:
        return None
    (package,) = importlib.util.find_spec('mmpose').submodule_search_locations
    config = Path(package, PUBLISHED_CONFIG)
    return f'mmdet:{config},{checkpoint}' if config.is_file() else None


def _fetch(say: Callable[[str], None]) -> str:
    """Fetch the weights of torchvision's model, unless they are there. Returns why that is not possible, or ''."""
    from torchvision.models import get_model_weights

    weights = get_model_weights(FETCHED).DEFAULT
    folder = Path(torch.hub.get_dir(), 'checkpoints')
    if (folder / Path(weights.url).name).is_file():
        return ''
    try:
        with urllib.request.urlopen(urllib.request.Request(weights.url, method='HEAD'), timeout=TIMEOUT):
            pass
        say(f'torchvision:{FETCHED} ({LICENSE}, {weights.meta["_file_size"]:.0f} MB) is fetched once into {folder}')
        weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, no space; a file of another checksum
        return str(getattr(error, 'reason', error)) or type(error).__name__
    return ''
