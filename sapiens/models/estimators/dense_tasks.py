"""What makes one dense task differ from another, for :class:`~sapiens.models.DenseEstimator`: how labels become targets, what the
network's output means, and what a mirrored image does to it.

A new task is one class: its ``kind`` and ``channels``, and the methods of :class:`DenseTask` in which it differs.
"""

# B batch, K channels of the network's output, C classes, h w size of the output, H W of the target or of the prediction

from collections.abc import Sequence

import torch
from torch import Tensor

from sapiens.frames import to_published
from sapiens.metainfo import get_classes
from sapiens.metainfo.classes import IGNORE
from sapiens.models.layers import unit_vectors
from sapiens.registry import MODELS

from ..layers.upsample import upsample, upsampled_argmax

__all__ = ['DenseTask', 'DepthTask', 'NormalTask', 'SegTask']

# Depths of one image that differ by less than this share have no nearest and farthest: it is ten roundings of a float32.
FLAT = 1e-6
# Between our camera frame (x right, y down, z forward) and that of the released models (x right, y up, z to the camera).


class DenseTask:
    """One kind of dense output.

    Attributes:
        task_name: name of the task's declaration, see :mod:`sapiens.tasks`.
        kind: labels are in ``gt_<kind>`` of a data sample, predictions in ``pred_<kind>``.
        channels: K.
        default_losses: configs of the published losses.
        test_options: options of prediction that only this task has, with their defaults.
        comparable: whether the outputs for two windows of one image have the same scale, so that they can be averaged.
    """

    task_name: str
    kind: str
    channels: int
    default_losses: Sequence[dict] = ()
    test_options: dict = {}
    comparable = True

    def loss_config(self, config: dict) -> dict:
        """The config of a loss, with what follows from the task filled in."""
        return config

    def is_labelled(self, sample) -> bool:
        return f'gt_{self.kind}' in sample

    def read(self, samples: list, size: tuple[int, int], device) -> tuple[Tensor, Tensor]:
        """Targets (B, ..., H, W) and validity (B, H, W) of labelled samples at ``size`` (H, W), by nearest pixels where their
        labels have another size.

        Raises:
            ValueError: a sample without labels, or without ``valid_mask``.
        """
        targets, valid = [], []
        for sample in samples:
            for field in (f'gt_{self.kind}', 'valid_mask'):
                if field not in sample:
                    raise ValueError(
                        f'{_where(sample)} has no {field}: {type(self).__name__} learns from gt_{self.kind}, and valid_mask says '
                        'where it counts; PackDense at the end of the pipeline packs both'
                    )
            targets.append(_nearest(torch.as_tensor(sample.get(f'gt_{self.kind}'), device=device), size))
            valid.append(_nearest(torch.as_tensor(sample.valid_mask, device=device), size))
        return self.prepare(torch.stack(targets), torch.stack(valid).bool(), samples)

    def prepare(self, target: Tensor, valid: Tensor, samples: list) -> tuple[Tensor, Tensor]:
        """From labels to what the network should put out; may narrow down what is valid."""
        return target, valid

    def mirrored(self, output: Tensor) -> Tensor:
        """Output (B, K, h, w) for mirrored images -> what it says of the images themselves."""
        return output.flip(-1)

    def finish(self, output: Tensor, size: tuple[int, int], options: dict) -> dict[str, Tensor]:
        """Predictions of one image.

        Args:
            output: (K, h, w) float32.
            size: (H, W) of the prediction.
            options: of prediction, those of ``test_options`` among them.

        Returns:
            fields of the data sample.
        """
        return {f'pred_{self.kind}': upsample(output[None], size)[0]}

    def monitor(self, output: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Values for the training log, beside the losses."""
        return {}


@MODELS.register_module()
class SegTask(DenseTask):
    """Segmentation: a score for each class, ``pred_sem_seg`` (H, W) int64 is the class with the highest.

    Option of prediction ``output_logits``: also keep ``pred_logits`` (C, H, W). Without it scores are enlarged only where
    classes meet, so that an image of many pixels needs little memory.

    Args:
        classes: name, path of a .py file, or dict; see :func:`sapiens.metainfo.get_classes`.

    Raises:
        ValueError: unknown classes; in training, a label that is none of them.
    """

    task_name = 'seg'
    kind = 'sem_seg'
    default_losses = (dict(type='SegCrossEntropyLoss', class_weight='classes'),)
    test_options = dict(output_logits=False)

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

    def prepare(self, target: Tensor, valid: Tensor, samples: list) -> tuple[Tensor, Tensor]:
        valid = valid & (target != IGNORE)
        target = torch.where(valid, target, 0).long()
        # Asked before the forward pass, when the device has nothing else to do. Later it would be an assertion of a kernel.
        highest = target.flatten(1).amax(1)
        if (highest >= self.channels).any():
            index = int(highest.argmax())
            raise ValueError(
                f'{_where(samples[index])} has the label {int(highest[index])}, but {self.classes!r} ends at '
                f'{self.channels - 1}: model.task.classes and the classes of the data set must agree, {IGNORE} is ignored'
            )
        return target, valid

    def mirrored(self, output: Tensor) -> Tensor:
        """Left is right in a mirrored image."""
        partners = torch.as_tensor(self.classes.flip_indices.copy(), device=output.device)
        return output.flip(-1)[:, partners]

    def finish(self, output: Tensor, size: tuple[int, int], options: dict) -> dict[str, Tensor]:
        if options['output_logits']:
            logits = upsample(output[None], size)[0]
            return dict(pred_sem_seg=logits.argmax(0), pred_logits=logits)
        return dict(pred_sem_seg=upsampled_argmax(output, size))

    def monitor(self, output: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """``acc_seg``: share of the valid pixels whose class is found."""
        # The highest score and that of the label rather than argmax, which is much slower on CPUs.
        labels = torch.where(valid, target, 0)[:, None]
        hit = (output.gather(1, labels) >= output.amax(1, keepdim=True))[:, 0] & valid
        return dict(acc_seg=hit.sum() / valid.sum().clamp(min=1))


@MODELS.register_module()
class DepthTask(DenseTask):
    """Depth: one value without activation, ``pred_depth`` (1, H, W) float32.

    Relative depth, as published: 0 is the nearest and 1 the farthest valid pixel of the crop. An image whose valid pixels all
    have the same depth has no relative depth and does not count. Pixels whose depth is not finite or not above 0 never count.

    Args:
        relative: False to predict the labels' own unit, metres for example.
    """

    task_name = 'depth'
    kind = 'depth'
    channels = 1
    default_losses = (dict(type='SiLogLoss'),)

    def __init__(self, relative: bool = True) -> None:
        self.relative = relative
        self.comparable = not relative

    def prepare(self, target: Tensor, valid: Tensor, samples: list) -> tuple[Tensor, Tensor]:
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
    not finite never count.
    """

    task_name = 'normal'
    kind = 'normal'
    channels = 3
    default_losses = (dict(type='NormalCosineLoss'), dict(type='NormalL1Loss'))

    def prepare(self, target: Tensor, valid: Tensor, samples: list) -> tuple[Tensor, Tensor]:
        target = target.float()
        largest = target.abs().amax(1)
        valid = valid & (largest > 0) & largest.isfinite()
        target = torch.where(valid[:, None], target, 0)
        return to_published(target, dim=1), valid

    def mirrored(self, output: Tensor) -> Tensor:
        """x points the other way in a mirrored image, in either frame."""
        return output.flip(-1) * output.new_tensor((-1, 1, 1))[:, None, None]

    def finish(self, output: Tensor, size: tuple[int, int], options: dict) -> dict[str, Tensor]:
        return dict(pred_normal=to_published(unit_vectors(upsample(output[None], size)[0], dim=0), dim=0))


def _nearest(field: Tensor, size: tuple[int, int]) -> Tensor:
    """(..., H, W) at another size: the pixel under the centre of each new one. Works for every dtype."""
    if tuple(field.shape[-2:]) == tuple(size):
        return field
    rows, columns = (
        ((torch.arange(new, device=field.device) + 0.5) * old / new).long()
        for new, old in zip(size, field.shape[-2:], strict=True)
    )
    return field[..., rows[:, None], columns]


def _where(sample) -> str:
    return str(sample.metainfo.get('img_path', 'a data sample'))
