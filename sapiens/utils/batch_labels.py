"""Labels of a batch as stacked tensors: one for each name instead of one for each name and sample.

A label then crosses from worker to trainer in one piece of shared memory, and is pinned and copied to the device in one piece.
"""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import default_collate

from sapiens.tasks import get_field

__all__ = ['SAMPLE_WEIGHTS', 'Batch', 'stack_labels', 'stack_weights']

# Of ``gt_instance_labels``: of the crop of one person (1, K, 2) and (1, K), of an image (1, M, 4) and (1, M).
_INSTANCES = ('keypoints', 'keypoint_weights', 'boxes', 'box_kinds')
# Arrays of the metainfo that losses take, and their shapes.
_METAINFO = {'intrinsics': (3, 3)}
# Name of the stacked weights of samples.
SAMPLE_WEIGHTS = 'sample_weights'


def stack_labels(samples: Sequence, size: tuple[int, int]) -> dict[str, Tensor]:
    """Stack the labels that all samples of a batch have in one form.

    Args:
        samples: B packed samples (:class:`sapiens.structures.DenseDataSample`, mmpose's ``PoseDataSample``); others give {}.
        size: (H, W) of the network's input.

    Returns:
        by name, on the device of the samples and in their data types:

        - declared maps of the size of the input, such as ``gt_depth`` (B, 1, H, W), ``gt_sem_seg`` (B, H, W), ``valid_mask``
          (B, H, W). Maps of another size, as in evaluation, and maps that some samples lack, are left out;
        - of the crops of persons ``keypoints`` (B, K, 2) and ``keypoint_weights`` (B, K);
        - of images with boxes of people ``boxes`` (B, M, 4) and ``box_kinds`` (B, M);
        - next to maps ``intrinsics`` (B, 3, 3) float32 of the metainfo;
        - ``sample_weights`` (B,), see :func:`stack_weights`.
    """
    if not samples or not all(isinstance(sample, BaseDataElement) for sample in samples):
        return {}
    found = {}
    for name in sorted(filter(_is_label, samples[0].keys())):
        maps = [sample.get(name) for sample in samples]
        if _are_alike(maps) and tuple(maps[0].shape[-2:]) == tuple(size):
            found[name] = default_collate(maps)  # in a worker: directly into shared memory
    if found:
        for name, shape in _METAINFO.items():
            arrays = [sample.metainfo.get(name) for sample in samples]
            if all(array is not None and np.shape(array) == shape for array in arrays):
                found[name] = torch.from_numpy(np.stack([np.asarray(array, np.float32) for array in arrays]))
    persons = [sample.get('gt_instance_labels') for sample in samples]
    for name in _INSTANCES if all(person is not None for person in persons) else ():
        values = [person.get(name) for person in persons]
        if _are_alike(values) and len(values[0]) == 1:
            found[name] = default_collate([value[0] for value in values])
    weights = stack_weights(samples)
    return found if weights is None else {**found, SAMPLE_WEIGHTS: weights}


def stack_weights(samples: Sequence) -> Tensor | None:
    """Weights (B,) float32 in the metainfo of samples (``weight``), 1 where there is none; None if no sample has one."""
    found = [sample.metainfo.get('weight') if isinstance(sample, BaseDataElement) else None for sample in samples]
    if all(weight is None for weight in found):
        return None
    return torch.tensor([1.0 if weight is None else float(weight) for weight in found])


class Batch(dict):
    """A batch whose ``labels`` (:func:`stack_labels`) do not travel a second time in its ``data_samples``.

    Pickling leaves the stacked labels out of the samples. Unpickling, and pinning the memory, give them back to the samples as
    views of the stacked tensors, so whoever reads a sample of the batch finds what its dataset packed.
    """

    def __reduce__(self):
        if 'labels' not in self:
            return Batch, (dict(self),)
        return _restored, (dict(self, data_samples=[_without(s, self['labels']) for s in self['data_samples']]),)

    def pin_memory(self) -> 'Batch':
        """The batch with its tensors in pinned memory; :class:`torch.utils.data.DataLoader` calls this method."""
        return _restored({key: _pinned(value) for key, value in self.items()})


def _restored(items: dict) -> Batch:
    """A batch from its items, whose samples get views of the labels."""
    batch, labels = Batch(items), items.get('labels', {})
    for index, sample in enumerate(batch['data_samples'] if labels else ()):
        for name, stacked in labels.items():
            if name in _INSTANCES:
                setattr(sample.gt_instance_labels, name, stacked[index : index + 1])
            elif _is_label(name):
                sample.set_field(stacked[index], name)
    return batch


def _without(sample: BaseDataElement, labels: dict[str, Tensor]) -> BaseDataElement:
    """A copy of a sample without its stacked labels. Other fields are shared."""
    kept = {name: value for name, value in sample.items() if name not in labels}
    if not labels.keys().isdisjoint(_INSTANCES):
        person = sample.gt_instance_labels
        others = {name: value for name, value in person.items() if name not in labels}
        kept['gt_instance_labels'] = type(person)(metainfo=person.metainfo, **others)
    return type(sample)(metainfo=sample.metainfo, **kept)


def _pinned(value):
    if isinstance(value, dict):
        return {key: _pinned(part) for key, part in value.items()}
    return value.pin_memory() if isinstance(value, Tensor) else value


def _is_label(name: str) -> bool:
    return name.startswith(('gt_', 'valid_')) and get_field(name) is not None


def _are_alike(values: list) -> bool:
    """Whether all values are tensors of one shape and type, in one place."""
    if not all(isinstance(value, Tensor) for value in values):
        return False
    return len({(value.shape, value.dtype, value.device) for value in values}) == 1
