"""What makes one dense task differ from another, for :class:`~sapiens.models.DenseEstimator`: how labels become targets, what the
output of the network means, and how a mirrored image changes it.

A new task is one subclass of :class:`DenseTask` with ``task_name`` and ``channels``, and the methods in which it differs.
"""

# B batch, K channels of a map, h w size of the output, H W of the target or of the prediction

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sapiens.tasks import TaskSpec, get_task
from sapiens.utils.batch_labels import stack_labels

from ..layers.upsample import upsample
from .pixel_grid import PixelGrid

__all__ = ['DenseTask', 'content_box']

# Of the network: one map (B, K, h, w), or maps and scalars (B,) by name.
Outputs = Tensor | dict[str, Tensor]


class DenseTask:
    """One kind of dense output.

    A task with one map sets ``channels``, and its network outputs a tensor (B, K, h, w). A task with several outputs overrides
    ``maps`` or sets ``scalars``, and its network outputs a dict: maps (B, K, h, w) and scalars (B,) by name.

    Attributes:
        task_name: name of the task's declaration in :mod:`sapiens.tasks`. Labels are in ``gt_<field>`` of a data sample and
            predictions in ``pred_<field>``, for each field of the declaration.
        channels: K of the only map.
        scalars: names of values that the network outputs for a whole image.
        default_losses: configs of the losses, the published ones where there are some.
        test_options: options of prediction that only this task has, with their defaults.
        comparable: whether outputs for two windows of one image have the same scale, so that they can be averaged.
    """

    task_name: str
    channels: int
    scalars: tuple[str, ...] = ()
    default_losses: Sequence[dict] = ()
    test_options: dict = {}
    comparable = True

    @property
    def spec(self) -> TaskSpec:
        return get_task(self.task_name)

    @property
    def kind(self) -> str:
        """Name of the main field."""
        return self.spec.field.name

    @property
    def maps(self) -> dict[str, int]:
        """Name and channels of each output map of the network. A map with the name of a field predicts that field."""
        return {self.kind: self.channels}

    @property
    def head_arguments(self) -> dict:
        """Arguments of the head that follow from the task: ``out_channels``, K of the only map or K of each map by name, and
        ``scalars`` where there are some."""
        several = len(self.maps) > 1 or self.scalars
        arguments = dict(out_channels=dict(self.maps) if several else self.channels)
        return dict(arguments, scalars=self.scalars) if self.scalars else arguments

    @property
    def output_facts(self) -> dict[str, str]:
        """What fills in the ``{...}`` in the meanings of the declaration's outputs."""
        return {}

    def named(self, output: Outputs) -> dict[str, Tensor]:
        """The network's output by name."""
        return output if isinstance(output, dict) else {self.kind: output}

    # ------------------------------------------------------------------ labels

    def loss_config(self, config: dict) -> dict:
        """The config of a loss, with what follows from the task filled in."""
        return config

    def is_labelled(self, sample) -> bool:
        return f'gt_{self.kind}' in sample

    def read(
        self, samples: list, size: tuple[int, int], device, labels: dict[str, Tensor] | None = None
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Target (B, ..., H, W) and validity (B, H, W) of each field of labeled samples, at ``size`` (H, W).

        Labels of another size are resized by nearest pixels, to the part of the input that shows the image.

        Args:
            samples: B labeled samples.
            size: of the input.
            device: of the targets.
            labels: of the samples, stacked (:func:`sapiens.utils.batch_labels.stack_labels`, the default). Others are read
                from the samples.

        Raises:
            ValueError: a sample without labels, or without ``valid_mask``.
        """
        labels = stack_labels(samples, size) if labels is None else labels
        found = {}
        for field in self.spec.fields:
            label, own = f'gt_{field.name}', f'valid_{field.name}'
            # Samples of several tasks have a mask for each field.
            masks = ['valid_mask', *([own] if field.own_validity or own in labels else [])]
            for sample, key in itertools.product(samples, (label, *masks)):
                if key not in labels and key not in sample:
                    raise ValueError(
                        f'{where(sample)} has no {key}: {type(self).__name__} learns from {label} where '
                        f'{" and ".join(masks)} say that it counts; PackDense at the end of the pipeline packs them'
                    )
            target, *valid = (
                labels[key].to(device)
                if key in labels
                else torch.stack([_to_input(sample, sample.get(key), size, device) for sample in samples])
                for key in (label, *masks)
            )
            found[field.name] = self.prepare(target, valid[0].bool() & valid[-1].bool(), samples, field.name)
        return found

    def prepare(self, target: Tensor, valid: Tensor, samples: list, name: str) -> tuple[Tensor, Tensor]:
        """Convert the labels of one field to the target of the network's output. May reduce the valid pixels.

        In training the labels of ``samples`` are on the host. A host that reads a value of ``target`` waits for the device.
        """
        return target, valid

    def whole_targets(
        self,
        targets: dict[str, tuple[Tensor, Tensor]],
        samples: list,
        size: tuple[int, int],
        grid: PixelGrid | None,
        labels: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """What losses of several outputs get of whole images (B, ...), by name, in addition to the fields.

        Args:
            targets: of :meth:`read`, for all pixels of the input.
            samples: the labeled samples.
            size: (H, W) of the input.
            grid: the pixels that the losses compare; None for all.
            labels: see :meth:`read`.
        """
        return {}

    def context(
        self, samples: list, names: Sequence[str], device, labels: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Metainfo that a loss needs, such as ``intrinsics`` (B, 3, 3), stacked over the batch in float32.

        What ``labels`` hold (see :meth:`read`) is on the device already. The rest is copied from the samples.

        Raises:
            ValueError: a sample without it.
        """
        found = {}
        for name in names:
            if name in (labels or ()):
                found[name] = labels[name].to(device)
                continue
            for sample in samples:
                if name not in sample.metainfo:
                    raise ValueError(
                        f'{where(sample)} has no {name!r} in its metainfo, which a loss of {self.task_name!r} needs'
                    )
            values = np.stack([np.asarray(sample.metainfo[name], np.float32) for sample in samples])
            found[name] = torch.from_numpy(values).to(device, non_blocking=True)
        return found

    def monitor(self, output: Outputs, targets: dict[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Values for the training log, in addition to the losses. Maps of ``output`` have the size of the targets."""
        return {}

    # ------------------------------------------------------------------ predictions

    def mirrored(self, output: Outputs) -> Outputs:
        """Output for mirrored images -> the output it implies for the images: maps are flipped, and x of vectors is negated."""
        if isinstance(output, dict):
            return {name: self._mirrored(name, value) for name, value in output.items()}
        return self._mirrored(self.kind, output)

    def _mirrored(self, name: str, value: Tensor) -> Tensor:
        if value.ndim < 4:
            return value
        field = next((field for field in self.spec.fields if field.name == name), None)
        if field is None or field.kind not in ('vectors', 'unit_vectors'):
            return value.flip(-1)
        sign = value.new_ones(value.shape[1])
        sign[0] = -1
        return value.flip(-1) * sign[:, None, None]

    def decode(self, output: Outputs, size: tuple[int, int]) -> dict[str, Tensor]:
        """Predictions (B, ...) at ``size`` (H, W), in the order of the declaration's ``decoded_outputs``.

        Exports trace this method, so it may not branch on values.
        """
        return {
            name: upsample(value, size) if value.ndim == 4 else value for name, value in self.named(output).items()
        }

    def finish(self, output: Outputs, size: tuple[int, int], options: dict) -> dict[str, Tensor]:
        """Predictions of one image.

        Args:
            output: float32, without the batch dimension: (K, h, w), or a dict of maps and scalars.
            size: (H, W) of the prediction.
            options: of prediction, those of ``test_options`` among them.

        Returns:
            fields of the data sample: ``pred_<name>`` of each output.
        """
        batch = {name: value[None] for name, value in output.items()} if isinstance(output, dict) else output[None]
        return {f'pred_{name}': value[0] for name, value in self.decode(batch, size).items()}


def content_box(sample, input_size: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Rows and columns (top, bottom, left, right) of an input (h, w) that show the image; None where all of it does.

    The sample's ``warp_matrix`` (2, 3) maps pixels of the image to pixels of the input. Without one, the image was stretched to
    the whole input. Labels of the input's size were transformed with the image: then all of the input counts.

    Args:
        size: (H, W) of the labels or predictions.

    Raises:
        ValueError: a matrix that is neither a stretch nor a letterbox.
    """
    matrix = sample.metainfo.get('warp_matrix')
    if matrix is None or tuple(size) == tuple(input_size):
        return None
    matrix, (height, width) = np.asarray(matrix, np.float64), sample.metainfo['ori_shape'][:2]
    corners = np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]]) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    (left, top), (right, bottom) = np.rint(corners).astype(int).tolist()
    inside = 0 <= left < right <= input_size[1] and 0 <= top < bottom <= input_size[0]
    if not inside or np.abs(corners - np.rint(corners)).max() > 1e-3 or matrix[0, 1] or matrix[1, 0]:
        raise ValueError(
            f'{where(sample)}: warp_matrix={matrix.tolist()} of an image of (h, w) = {(height, width)} does not place it on '
            f'whole pixels of the input {tuple(input_size)}; LoadResize gives such matrices'
        )
    box = top, bottom, left, right
    return None if box == (0, input_size[0], 0, input_size[1]) else box


def where(sample) -> str:
    return str(sample.metainfo.get('img_path', 'a data sample'))


def _to_input(sample, field, size: tuple[int, int], device) -> Tensor:
    """A map of the image (..., H', W') at the size (H, W) of the input, with zeros where the input does not show the image."""
    field = torch.as_tensor(field, device=device)
    box = content_box(sample, size, field.shape[-2:])
    if box is None:
        return resize_nearest(field, size)
    top, bottom, left, right = box
    placed = field.new_zeros((*field.shape[:-2], *size))
    placed[..., top:bottom, left:right] = resize_nearest(field, (bottom - top, right - left))
    return placed


def resize_nearest(field: Tensor, size: tuple[int, int]) -> Tensor:
    """(..., H, W) at another size: the pixel under the center of each new one. Works for every dtype."""
    if tuple(field.shape[-2:]) == tuple(size):
        return field
    rows, columns = (
        ((torch.arange(new, device=field.device) + 0.5) * old / new).long()
        for new, old in zip(size, field.shape[-2:], strict=True)
    )
    return field[..., rows[:, None], columns]
