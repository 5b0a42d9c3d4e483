"""Batches of any task without data: what the loader would give, of the right shapes and types."""

# B batch, K keypoints, h w size of the images in pixels

from collections.abc import Mapping

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import nn

from sapiens.structures import DenseDataSample
from sapiens.tasks import MapField, members_of, task_of
from sapiens.utils.batch_labels import stack_labels

__all__ = ['image_size', 'training_batch']

# Rows of boxes of an image, as many as PackBoxes makes by default.
ROWS = 64
# What a pretraining reads of a sample: nothing.
UNLABELED = 'mae'


def image_size(model: nn.Module) -> tuple[int, int]:
    """Height and width in pixels of the images that a model is built for.

    Raises:
        ValueError: its encoder does not say.
    """
    size = getattr(getattr(model, 'backbone', None), 'img_size', None)
    if size is None:
        raise ValueError(
            f'{type(model).__name__} has no backbone.img_size: the size of an image cannot be derived from the model'
        )
    return tuple(size)


def training_batch(model: nn.Module, batch: int, task: str | None = None, size: tuple[int, int] | None = None) -> dict:
    """Make a batch as the loaders of this package give it, with random images and labels.

    Labels are those that the task of the model declares: keypoints of its skeleton, boxes, or a map for each field. They are
    valid everywhere. Under a ``FakeTensorMode`` nothing is computed and no memory is used.

    Args:
        model: the model that is trained.
        batch: B.
        task: name of the task of a model of several tasks, to which all samples of a batch belong.
        size: (h, w) in pixels, by default that of the encoder.

    Returns:
        dict(inputs=uint8 (B, 3, h, w), data_samples=list of B, and if there are labels, labels=stacked ones by name), see
        :func:`sapiens.datasets.stack_collate`.

    Raises:
        ValueError: a model without a size or a task, or of several tasks of which none is named.
    """
    height, width = size or image_size(model)
    members = members_of(model)
    if members and task not in members:
        raise ValueError(f'task={task!r} is not one of the tasks of the model: {", ".join(members)}')
    member = members[task] if members else model
    facts = dict(img_path='none.jpg', ori_shape=(height, width), img_shape=(height, width), sample_idx=0)
    facts |= dict(task=task) if task else {}
    facts['intrinsics'] = np.array([[width, 0, (width - 1) / 2], [0, width, (height - 1) / 2], [0, 0, 1]], np.float64)
    images = torch.randint(256, (batch, 3, height, width), dtype=torch.uint8)
    samples = [_sample(member, height, width, facts) for _ in range(batch)]
    found = dict(inputs=images, data_samples=samples)
    if labels := stack_labels(samples, (height, width)):
        found['labels'] = labels
        for index, sample in enumerate(samples):  # a loader gives views of the stacked labels
            for name in sample.keys() & labels.keys():
                sample.set_field(labels[name][index], name)
            points = sample.get('gt_instance_labels')
            for name in () if points is None else points.keys():
                setattr(points, name, labels[name][index, None])
    return found


def _sample(model: nn.Module, height: int, width: int, facts: Mapping) -> DenseDataSample:
    sample = DenseDataSample(metainfo=dict(facts))
    spec = task_of(model)
    if spec.name == UNLABELED:
        return sample
    if not spec.fields and hasattr(model, 'skeleton'):
        points = torch.rand(1, len(model.skeleton), 2) * torch.tensor([width - 1.0, height - 1.0])
        sample.gt_instance_labels = InstanceData(keypoints=points, keypoint_weights=torch.ones(points.shape[:2]))
        return sample
    if not spec.fields:
        sides = torch.tensor([width, height], dtype=torch.float32) * torch.rand(1, ROWS, 2)
        corners = (torch.tensor([width, height]) - sides) * torch.rand(1, ROWS, 2)
        kinds = torch.ones(1, ROWS, dtype=torch.uint8)
        sample.gt_instance_labels = InstanceData(boxes=torch.cat([corners, corners + sides], 2), box_kinds=kinds)
        return sample
    for field in spec.fields:
        sample.set_field(_map(field, getattr(model.task, 'channels', 1), height, width), f'gt_{field.name}')
        if field.own_validity:
            sample.set_field(torch.ones(height, width, dtype=torch.bool), f'valid_{field.name}')
    sample.valid_mask = torch.ones(height, width, dtype=torch.bool)
    return sample


def _map(field: MapField, classes: int, height: int, width: int) -> torch.Tensor:
    """Values above 0 and below 1, which every kind of map allows; class ids of labels."""
    shape = (*field.leading, height, width)
    if field.kind == 'labels':
        return torch.randint(classes, shape, dtype=torch.uint8)
    return torch.rand(shape) * 0.9 + 0.05
