"""Detectors by name."""

from functools import partial

from sapiens.utils.device import pick_device

from .base import PersonDetector, whole_image

__all__ = ['DETECTORS', 'build_detector']

# Kind of detector -> form of its text.
DETECTORS = {
    'whole-image': 'whole-image',
    'embedded': 'embedded',
    'torchvision': 'torchvision:<name>[,<weights file>]',
    'transformers': 'transformers:<name or folder>',
    'mmdet': 'mmdet:<config>,<checkpoint>',
}


def build_detector(text: str, device: str = 'auto', **options) -> PersonDetector:
    """Build a detector of people.

    Args:
        text: 'whole-image': the image is one person. 'embedded': OpenCV's histograms of gradients, which need no download and
            find standing people. 'torchvision:NAME' or 'torchvision:NAME,FILE': a model of ``torchvision.models.detection`` with
            its weights or those of a file. 'transformers:NAME_OR_FOLDER': an object detection model of that library.
            'mmdet:CONFIG,CHECKPOINT': a model of MMDetection, such as the published RTMDet-m.
        device: of models.
        **options: ``threshold``, ``nms_threshold``, ``if_no_detections`` of :class:`PersonDetector`.

    Raises:
        ValueError: an unknown detector, or a missing part.
        ImportError: a package is not installed; the message has the command that installs it.
    """
    kind, _, rest = text.partition(':')
    if kind not in DETECTORS or bool(rest) != (':' in DETECTORS[kind]):
        raise ValueError(f'detector {text!r}: expected {", ".join(DETECTORS.values())}')
    if kind == 'whole-image':
        return PersonDetector(lambda images: [whole_image(image) for image in images], **options)
    if kind == 'embedded':
        from .hog import HOGDetector

        return PersonDetector(HOGDetector(), **options)
    target = pick_device(device)
    if kind == 'torchvision':
        from .torchvision import TorchvisionDetector as Detector

        name, _, weights = rest.partition(',')
        make = partial(Detector, name, weights or None)
    elif kind == 'transformers':
        from .transformers import TransformersDetector as Detector

        make = partial(Detector, rest)
    else:
        from .mmdet import MMDetDetector as Detector

        config, _, checkpoint = rest.partition(',')
        if not checkpoint:
            raise ValueError(f'detector {text!r}: expected {DETECTORS[kind]}, the checkpoint is missing')
        make = partial(Detector, config, checkpoint)
    return PersonDetector(make(target), **options)
