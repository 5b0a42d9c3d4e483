"""Detectors by name."""

from sapiens.utils.device import pick_device

from ..own_models import DETECTOR, PARTS
from .automatic import Automatic
from .base import PersonDetector, whole_image

__all__ = ['DETECTORS', 'build_detector', 'check_detector']

# Kind of detector -> form of its text.
DETECTORS = {
    'auto': 'auto',
    'whole-image': 'whole-image',
    'embedded': 'embedded',
    'sapiens': 'sapiens:<config>,<checkpoint>[,<tiles>]',
    'torchvision': 'torchvision:<name>[,<weights file>]',
    'transformers': 'transformers:<name or folder>',
    'mmdet': 'mmdet:<config>,<checkpoint>',
}


def build_detector(text: str, device: str = 'auto', **options) -> PersonDetector:
    """Build a detector of people.

    Args:
        text: 'auto': the best one of these that this machine has or can fetch, see :func:`.choose_detector`; it is chosen when
            the first image needs it. 'whole-image': the image is one person. 'embedded', without a download: sapiens-tiny-person,
            whose boxes sapiens-tiny-seg28 refines (:class:`.refine.RefinedByParts`). 'sapiens:CONFIG,CHECKPOINT' or
            'sapiens:NAME': a detector of this package as it is. A number after another comma is that of tiles along each side,
            for small people. 'torchvision:NAME' or 'torchvision:NAME,FILE': a model of ``torchvision.models.detection`` with its
            weights or those of a file. 'transformers:NAME_OR_FOLDER': an object detection model of that library.
            'mmdet:CONFIG,CHECKPOINT': a model of MMDetection, such as the published RTMDet-m.
        device: of models.
        **options: ``threshold``, ``nms_threshold``, ``if_no_detections`` of :class:`PersonDetector`.

    Raises:
        ValueError: an unknown detector, or a missing part.
        FileNotFoundError: a version of the package without the weights of 'embedded', or another missing file.
        ImportError: a package is not installed; the message has the command that installs it.
    """
    check_detector(text)
    kind, _, rest = text.partition(':')
    if kind == 'auto':
        find = Automatic(lambda text: build_detector(text, device, **options).find)
    elif kind == 'whole-image':
        find = lambda images: [whole_image(image) for image in images]  # noqa: E731
    elif kind == 'embedded':
        from .own import load_refined

        find = load_refined(DETECTOR, PARTS, device, options.get('threshold'))
    elif kind == 'sapiens':
        from .own import load_own

        find = load_own(rest, device)
    elif kind == 'torchvision':
        from .torchvision import load_torchvision

        name, _, weights = rest.partition(',')
        find = load_torchvision(name, weights or None, pick_device(device))
    elif kind == 'transformers':
        from .transformers import load_transformers

        find = load_transformers(rest, pick_device(device))
    else:
        from .mmdet import load_mmdet

        config, _, checkpoint = rest.partition(',')
        find = load_mmdet(config, checkpoint, pick_device(device))
    return PersonDetector(find, **options)


def check_detector(text: str) -> None:
    """Raise ValueError for a text that names no kind of detector, or lacks a part."""
    kind, _, rest = text.partition(':')
    if kind not in DETECTORS or bool(rest) != (':' in DETECTORS[kind]):
        raise ValueError(f'detector {text!r}: expected {", ".join(DETECTORS.values())}')
    if kind == 'mmdet' and not rest.partition(',')[2]:
        raise ValueError(f'detector {text!r}: expected {DETECTORS[kind]}, the checkpoint is missing')
