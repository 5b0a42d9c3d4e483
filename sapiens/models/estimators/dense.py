"""Dense prediction: one output for each pixel of an image."""

# B batch, K channels of the output, H W size of the network's input in pixels, h w of the head's output

import logging
from difflib import get_close_matches

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from sapiens.registry import MODELS

from ..backbones import require_members
from ..layers.upsample import upsample, upsample_grid
from .dense_tasks import DenseTask

__all__ = ['DenseEstimator']

# Options of prediction and their defaults; a task may have more.
TEST_OPTIONS = dict(flip_test=False, crop_size=None, stride=None, resize='two_step')
RESIZES = ('two_step', 'one_step')


@MODELS.register_module()
class DenseEstimator(BaseModel):
    """Backbone, dense head, and the task that says what the output means.

    Sizes follow from the parts: the head's input from the backbone, its output from the task.

    Args:
        backbone: config of the encoder; its last feature map (B, C, h, w) is used.
        decode_head: config of the head.
        task: config of the task: ``SegTask``, ``DepthTask``, ``NormalTask``, or another :class:`~sapiens.models.DenseTask`.
        losses: config of a loss, or a list of them, which are summed; the published ones of the task by default.
        loss_stride: n: training compares every n-th pixel of every n-th row with the labels, beginning at a random one in each
            step, and enlarges the output only there; 1, all pixels, as published. On average over the steps the mean over pixels
            is the same, for a fraction of the time of the losses (docs/performance.md). Those of slopes compare pixels n apart.
        test_cfg: ``flip_test`` (default False): average with the prediction for the mirrored image. ``crop_size``: (h, w) in
            pixels of windows to predict in, averaged where they overlap; default None, the whole image at once. ``stride``:
            (h, w) in pixels from window to window, default half of their size; the last of a row ends at the border.
            ``resize``: to the size of the prediction ``'two_step'`` (default, published), by way of the size of the input, or
            ``'one_step'``. And the options of the task.
        data_preprocessor: normalisation of the images.

    Raises:
        ValueError: an unknown or contradictory option, two losses of one name, or a head that contradicts backbone or task.
    """

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        task: dict,
        losses: dict | list[dict] | None = None,
        loss_stride: int = 1,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or dict(type='ImageNormalizer')), init_cfg)
        self.task: DenseTask = MODELS.build(task)
        self.backbone = MODELS.build(backbone)
        require_members(self.backbone, 'embed_dims', what=type(self).__name__)
        derived = dict(in_channels=self.backbone.embed_dims, out_channels=self.task.channels)
        for key, value in derived.items():
            if decode_head.get(key, value) != value:
                raise ValueError(
                    f'decode_head.{key}={decode_head[key]} contradicts {value}, which follows from '
                    f'the {"backbone" if key == "in_channels" else "task"}; leave it out'
                )
        self.decode_head = MODELS.build({**decode_head, **derived})
        self.loss_modules = self._build_losses(losses)
        if not isinstance(loss_stride, int) or loss_stride < 1:
            raise ValueError(
                f'loss_stride={loss_stride!r}: expected 1, to compare all pixels, or a larger whole number'
            )
        self.loss_stride = loss_stride
        self.test_options = {**TEST_OPTIONS, **self.task.test_options}
        self.test_cfg = self._options(test_cfg or {}, self.test_options)
        if self.test_cfg['crop_size'] is not None and not self.task.comparable:
            print_log(
                'test_cfg.crop_size: what is near in one window may be far in another, so averages of their relative depth '
                'have no scale of their own; predict the whole image, or train with DepthTask(relative=False)',
                logger='current',
                level=logging.WARNING,
            )

    @property
    def task_name(self) -> str:
        return self.task.task_name

    # ------------------------------------------------------------------ MMEngine's interface

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = 'tensor'):
        """``'tensor'``: the head's output (B, K, h, w); ``'loss'``: see :meth:`loss`; ``'predict'``: see :meth:`predict`."""
        if mode == 'tensor':
            return self.decode_head(self.backbone(inputs)[-1])
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode={mode!r} is not one of 'tensor', 'loss', 'predict'")

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """``loss_<name>`` of each loss, weighted, which the runner sums; and what the task monitors (``acc_seg``).

        The output is enlarged to the size of the input and compared there with the labels, at every ``loss_stride``-th pixel.
        """
        size = tuple(inputs.shape[-2:])
        target, valid = self.task.read(data_samples, size, inputs.device)
        output = self(inputs)
        if self.loss_stride == 1:
            output = upsample(output, size)
        else:
            if self.loss_stride > min(size):
                raise ValueError(f'loss_stride={self.loss_stride} is larger than an input of (h, w) = {size}')
            # PyTorch's generator, whose state is part of a checkpoint.
            here = [slice(int(first), None, self.loss_stride) for first in torch.randint(self.loss_stride, (2,))]
            output = upsample_grid(output, size, *here)
            target, valid = (labels[..., here[0], here[1]] for labels in (target, valid))
        return {**self._losses(output, target, valid), **self.task.monitor(output.detach(), target, valid)}

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list, **options) -> list:
        """Predict each image at its own size: that of its labels if it has some, else its ``ori_shape``, else the input's.

        Outputs of a batch stay at the network's size; they are enlarged for one image at a time. ``crop_size`` needs (B, K, H, W)
        float32 besides, for the sums over windows.

        Args:
            inputs: (B, 3, H, W) normalised images.
            data_samples: B samples of :class:`sapiens.structures.DenseDataSample`.
            **options: override those of ``test_cfg``.

        Returns:
            The samples with the fields of the task, on the device of the inputs; and where there are labels ``loss`` (float), the
            sum of the losses, as in training at the size of the input and without flip test.
        """
        options = self._options(options, self.test_cfg)
        input_size = tuple(inputs.shape[-2:])
        output = self._output(inputs, options)
        losses = [
            self._sample_loss(output[index : index + 1], sample, input_size)
            for index, sample in enumerate(data_samples)
        ]
        if options['flip_test']:
            output = (output + self.task.mirrored(self._output(inputs.flip(-1), options))) / 2
        for one, sample, loss in zip(output, data_samples, losses, strict=True):
            size = self._size_of(sample, input_size)

            if options['resize'] == 'two_step':
                one = upsample(one[None], input_size)[0]
            for name, value in self.task.finish(one, size, options).items():
                sample.set_field(value, name)
            if loss is not None:
                sample.set_field(loss, 'loss', dtype=float)
        return data_samples

    # ------------------------------------------------------------------ parts

    def _output(self, inputs: Tensor, options: dict) -> Tensor:
        """Float32 output of the network: (B, K, h, w), or (B, K, H, W) if it was made of several windows."""
        if options['crop_size'] is None:
            return self(inputs).float()
        height, width = inputs.shape[-2:]
        h, w = min(options['crop_size'][0], height), min(options['crop_size'][1], width)
        down, right = options['stride'] or (max(h // 2, 1), max(w // 2, 1))
        windows = [(top, left) for top in _starts(height, h, down) for left in _starts(width, w, right)]
        if len(windows) == 1:
            return self(inputs).float()
        total, count = None, inputs.new_zeros(height, width)
        for top, left in windows:
            here = (..., slice(top, top + h), slice(left, left + w))
            part = upsample(self(inputs[here]), (h, w))
            if total is None:
                total = part.new_zeros(*part.shape[:2], height, width)
            total[here] += part
            count[here] += 1
        return total / count

    def _losses(self, output: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        return {f'loss_{name}': loss(output, target, valid) for name, loss in self.loss_modules.items()}

    def _sample_loss(self, output: Tensor, sample, size: tuple[int, int]) -> float | None:
        """Sum of the losses of one sample from its output (1, K, h, w); None without labels."""
        if not self.task.is_labelled(sample):
            return None
        target, valid = self.task.read([sample], size, output.device)
        return float(sum(self._losses(upsample(output, size), target, valid).values()))

    def _size_of(self, sample, default: tuple[int, int]) -> tuple[int, int]:
        if self.task.is_labelled(sample):
            return tuple(sample.get(f'gt_{self.task.kind}').shape[-2:])
        return tuple(sample.metainfo.get('ori_shape', default)[:2])

    def _build_losses(self, losses: dict | list[dict] | None) -> nn.ModuleDict:
        configs = self.task.default_losses if losses is None else [losses] if isinstance(losses, dict) else losses
        if not isinstance(configs, list | tuple) or not all(isinstance(config, dict) for config in configs):
            raise ValueError(
                f'losses={losses!r}: expected a config of a loss (a dict with its type), or a list of them'
            )
        built = nn.ModuleDict()
        for config in configs:
            loss = MODELS.build(self.task.loss_config(config))
            if loss.name in built:
                raise ValueError(f'two losses have the name {loss.name!r}: give one of them another, name=...')
            built[loss.name] = loss
        if not built:
            raise ValueError(f'losses={losses!r}: expected at least one loss')
        return built

    def _options(self, given: dict, defaults: dict) -> dict:
        """The defaults overridden by what is given; ValueError for an unknown key or a value that cannot be."""
        for key in given:
            if key not in self.test_options:
                close = get_close_matches(key, self.test_options, n=1)
                hint = f'; did you mean {close[0]!r}?' if close else ''
                raise ValueError(f'test_cfg has an unknown key {key!r}{hint} (known: {", ".join(self.test_options)})')
        options = {**defaults, **given}
        if options['resize'] not in RESIZES:
            raise ValueError(f'test_cfg.resize={options["resize"]!r} is not one of {RESIZES}')
        crop, stride = options['crop_size'], options['stride']
        for key, pair in (('crop_size', crop), ('stride', stride)):
            if pair is not None and (not isinstance(pair, list | tuple) or len(pair) != 2 or min(pair) < 1):
                raise ValueError(f'test_cfg.{key}={pair!r}: expected (h, w) in pixels, or None')
        if stride is not None and crop is None:
            raise ValueError(f'test_cfg.stride={stride!r} has no effect without test_cfg.crop_size')
        if stride is not None and (stride[0] > crop[0] or stride[1] > crop[1]):
            raise ValueError(f'test_cfg.stride={stride!r} leaves gaps between windows of crop_size={crop!r}')
        return options


def _starts(size: int, window: int, stride: int) -> list[int]:
    """First pixels of windows that cover ``size`` pixels; the last one ends at the border."""
    return [*range(0, size - window, stride), size - window]
