"""Segmentation, depth and surface normals as dense tasks; see :class:`.dense_task.DenseTask`."""

# B batch, K channels of the network's output, C classes, h w size of the output, H W of the target or of the prediction

import torch
from torch import Tensor

from sapiens.frames import PUBLISHED, to_published
from sapiens.metainfo import get_classes
from sapiens.metainfo.classes import IGNORE
from sapiens.registry import MODELS

from ..layers.unit_vectors import unit_vectors
from ..layers.upsample import upsample, upsampled_argmax
from .dense_task import DenseTask, where

__all__ = ['DepthTask', 'NormalTask', 'SegTask']

# Depths of one image that differ by less than this fraction have no nearest and farthest: it is ten roundings of a float32.
FLAT = 1e-6


@MODELS.register_module()
class SegTask(DenseTask):
    """Segmentation: a score for each class, ``pred_sem_seg`` (H, W) int64 is the class with the highest.

    Options of prediction: ``output_logits`` also keeps ``pred_logits`` (C, H, W). Without it scores are upsampled only where
    classes meet, so that an image of many pixels needs little memory. ``output_score`` also keeps ``pred_score``, how sure the
    prediction is: the mean over the cells of the output of the probability of their class, a scalar in (0, 1].

    Args:
        classes: name, path of a .py file, or dict; see :func:`sapiens.metainfo.get_classes`.

    Raises:
        ValueError: unknown classes; in training, a label that is none of them.
    """

    task_name = 'seg'
    default_losses = (dict(type='SegCrossEntropyLoss', class_weight='classes'),)
    test_options = dict(output_logits=False, output_score=False)

    def __init__(self, classes) -> None:
        self.classes = get_classes(classes)
        self.channels = len(self.classes)

    def loss_config(self, config: dict) -> dict:
        """``class_weight='classes'`` becomes the weights of the class list."""
        weights = config.get('class_weight')
        if isinstance(weights, str) and weights == 'classes':
            return {**config, 'class_weight': self.classes.ce_weights.tolist()}
        if weights is not None and not isinstance(weights, str) and len(weights) != self.channels:
            raise ValueError(f'class_weight has {len(weights)} numbers for {self.classes!r}')
        return config

    def prepare(self, target: Tensor, valid: Tensor, samples: list, name: str) -> tuple[Tensor, Tensor]:
        for sample in samples:
            self._require_known(sample)
        valid = valid & (target != IGNORE)
        return torch.where(valid, target, 0).long(), valid

    def _require_known(self, sample) -> None:
        """Raise ValueError for a label that is no class; on the device it would be an assertion of a kernel.

        The labels of a sample are on the host in training, where this waits for nothing.
        """
        labels = torch.as_tensor(sample.gt_sem_seg)
        # In one pass over bytes: IGNORE, the highest one, wraps around to 0.
        if labels.dtype == torch.uint8 and int((labels + 1).amax()) <= self.channels:
            return
        valid = torch.as_tensor(sample.valid_mask).bool()
        unknown = valid & (labels >= self.channels) & (labels != IGNORE)
        if unknown.any():
            raise ValueError(
                f'{where(sample)} has the label {int(labels[unknown].amax())}, but {self.classes!r} ends at {self.channels - 1}: '
                f'model.task.classes and the classes of the dataset must agree, {IGNORE} is ignored'
            )

    def mirrored(self, output: Tensor) -> Tensor:
        """Left classes swap with right ones in a mirrored image."""
        partners = torch.as_tensor(self.classes.flip_indices.copy(), device=output.device)
        return output.flip(-1)[:, partners]

    def decode(self, output: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """Classes (B, H, W) uint8."""
        return dict(sem_seg=upsample(output, size).argmax(1).to(torch.uint8))

    def finish(self, output: Tensor, size: tuple[int, int], options: dict) -> dict[str, Tensor]:
        score = dict(pred_score=output.softmax(0).amax(0).mean()) if options['output_score'] else {}
        if options['output_logits']:
            logits = upsample(output[None], size)[0]
            return dict(pred_sem_seg=logits.argmax(0), pred_logits=logits, **score)
        return dict(pred_sem_seg=upsampled_argmax(output, size), **score)

    def monitor(self, output: Tensor, targets: dict[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """``acc_seg``: fraction of the valid pixels whose class is found."""
        target, valid = targets['sem_seg']
        # Compare the highest score with that of the label: argmax is much slower on CPUs.
        labels = torch.where(valid, target, 0)[:, None]
        hit = (output.gather(1, labels) >= output.amax(1, keepdim=True))[:, 0] & valid
        return dict(acc_seg=hit.sum() / valid.sum().clamp(min=1))


@MODELS.register_module()
class DepthTask(DenseTask):
    """Depth: one value without activation, ``pred_depth`` (1, H, W) float32.

    Relative depth, as published: 0 is the nearest and 1 the farthest valid pixel of the crop. An image whose valid pixels all
    have the same depth has no relative depth and does not count. Pixels whose depth is not finite or not above 0 never count.

    Args:
        relative: False to predict the labels' own unit, meters for example.
    """

    task_name = 'depth'
    channels = 1
    default_losses = (dict(type='SiLogLoss'),)

    def __init__(self, relative: bool = True) -> None:
        self.relative = relative
        self.comparable = not relative

    @property
    def output_facts(self) -> dict[str, str]:
        relative = '0 the nearest and 1 the farthest pixel of the person'
        return dict(unit=relative if self.relative else "unit of the training's labels")

    def prepare(self, target: Tensor, valid: Tensor, samples: list, name: str) -> tuple[Tensor, Tensor]:
        target = target.float()
        valid = valid & (target[:, 0] > 0) & target[:, 0].isfinite()
        target = torch.where(valid[:, None], target, 0)
        if not self.relative:
            return target, valid
        known = valid[:, None]
        nearest = torch.where(known, target, torch.inf).amin((1, 2, 3), keepdim=True)
        farthest = torch.where(known, target, 0).amax((1, 2, 3), keepdim=True)
        extent = farthest - nearest
        known = known & (extent > FLAT * farthest)
        # Nothing may divide by the infinite extent of an image without valid pixels.
        return torch.where(known, (target - nearest) / torch.where(known, extent, 1), 0), known[:, 0]


@MODELS.register_module()
class NormalTask(DenseTask):
    """Surface normals: three values, not of length 1; ``pred_normal`` (3, H, W) float32 unit vectors.

    Labels and predictions are in the camera frame (x right, y down, z forward). The network's output is in the frame of the
    released models (x right, y up, z towards the camera), and so are the targets of the losses. Pixels whose normal is zero or
    not finite never count. Labels of half precision (:class:`sapiens.datasets.transforms.PackDense`) are scaled to length 1.
    """

    task_name = 'normal'
    channels = 3
    default_losses = (dict(type='NormalCosineLoss'), dict(type='NormalL1Loss'))

    def prepare(self, target: Tensor, valid: Tensor, samples: list, name: str) -> tuple[Tensor, Tensor]:
        is_half, target = target.dtype == torch.float16, target.float()
        largest = target.abs().amax(1)
        valid = valid & (largest > 0) & largest.isfinite()
        target = torch.where(valid[:, None], target, 0)
        if is_half:
            target = unit_vectors(target, dim=1)
        # As to_published, without a tensor of its factors: the host would wait for the copy to the device.
        parts = zip(target.unbind(1), PUBLISHED, strict=True)
        return torch.stack([part * factor for part, factor in parts], dim=1), valid

    def decode(self, output: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """Unit vectors (B, 3, H, W) in the camera frame."""
        return dict(normal=to_published(unit_vectors(upsample(output, size), dim=1), dim=1))
