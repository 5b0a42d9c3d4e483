"""Detectors by name."""

from functools import partial

from sapiens.utils.device import pick_device

from .base import PersonDetector

__all__ = ['DETECTORS', 'build_detector']

# What stands before the colon -> what a user should write.
DETECTORS = {
    'whole-image': 'whole-image',
    'embedded': 'embedded',
    'torchvision': 'torchvision:<name>[,<weights file>]',
    'transformers': 'transformers:<name or folder>',
    'mmdet': 'mmdet:<config>,<checkpoint>',
}


def build_detector(
    text: str,
    device: str = 'auto',
    threshold: float = 0.3,
    nms_threshold: float = 0.3,
    when_nobody: str = 'empty',
) -> PersonDetector:
    """A detector of people.

    Args:
        text: 'whole-image': the image is one person. 'embedded': OpenCV's histograms of gradients, which need no download and
            find standing people. 'torchvision:NAME' a model of ``torchvision.models.detection`` with its weights, or with
            those of a file, 'torchvision:NAME,FILE'. 'transformers:NAME_OR_FOLDER' an object detection model of that library.
            'mmdet:CONFIG,CHECKPOINT' of MMDetection, such as the published RTMDet-m.
        device: of models.
        threshold, nms_threshold, when_nobody: see :class:`PersonDetector`.

    Raises:
        ValueError: an unknown detector, or a part that is missing.
        ImportError: a package that is not installed, with the command that installs it.
    """
    kind, _, rest = text.partition(':')
    if kind not in DETECTORS or bool(rest) != (':' in DETECTORS[kind]):
        raise ValueError(f'detector {text!r}: expected {", ".join(DETECTORS.values())}')
    options = dict(threshold=threshold, nms_threshold=nms_threshold, when_nobody=when_nobody)
    if kind == 'whole-image':
        from ..pipeline import whole_image

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
