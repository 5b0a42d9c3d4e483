"""Dense prediction: maps over the pixels of an image, and values of the whole image where a task has some."""

# B batch, K channels of a map, H W size of the network's input in pixels, h w of the head's output

import logging
from collections.abc import Callable

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from sapiens.registry import MODELS
from sapiens.utils.batch_labels import stack_labels

from ..layers.sample_random import draw_seeds
from ..layers.upsample import upsample, upsample_grid
from ..losses.base import DenseLoss
from ..losses.weights import SampleWeights
from .base import Estimator, loss_configs
from .dense_task import DenseTask, Outputs, content_box
from .pixel_grid import PixelGrid

__all__ = ['DenseEstimator']

# Options of prediction and their defaults. A task may have more.
TEST_OPTIONS = dict(flip_test=False, crop_size=None, stride=None, resize='two_step', padding='remove', losses=False)
RESIZES, PADDINGS = ('two_step', 'one_step'), ('remove', 'keep')


@MODELS.register_module()
class DenseEstimator(Estimator):
    """Encoder, dense head, and the task that defines what the output means.

    Sizes follow from the parts: the head's input from the backbone, its output from the task.

    Args:
        backbone: config of the encoder; its last feature map (B, C, h, w) is used.
        head: config of the head (``decode_head`` is its former name).
        task: config of the task: ``SegTask``, ``DepthTask``, ``NormalTask``, or another :class:`~sapiens.models.DenseTask`.
        losses: config of a loss, or a list of them, which are summed; by default the published ones of the task. A key ``target``
            names the field that the loss compares; by default the main one. A loss with an attribute ``outputs`` gets dicts of
            these outputs, and of the targets: the fields of the task by name, ``<field>_valid`` (B, H, W) of fields with their
            own validity, and the task's ``whole_targets``. One with an attribute ``context`` gets this metainfo, stacked, as
            keyword arguments.
        loss_stride: evaluates the losses on a random 1-in-n pixel grid, of each image its own, and upsamples the output only
            there. 1 takes all pixels, as published. The expected mean over pixels is the same, for a fraction of the time
            (docs/performance.md). Losses of slopes compare pixels that are n apart.
            Beyond the largest multiple of n, rows and columns are not compared.
        test_cfg: ``flip_test`` (default False): average with the prediction for the mirrored image. ``crop_size``: (h, w) in
            pixels of windows to predict in, averaged where they overlap; default None, the whole image at once. ``stride``:
            (h, w) in pixels from window to window, default half of their size; the last of a row ends at the border.
            ``resize``: to the size of the prediction ``'two_step'`` (default, published), by way of the size of the input, or
            ``'one_step'``. ``padding`` of letterboxed inputs: ``'remove'`` (default), or ``'keep'``, which stretches it over the
            prediction as the published evaluation of Sapiens2 does: right only for images without any. ``losses``
            (default False): compute the losses of labeled images too; loops set it where a metric needs them. And the options of
            the task.
        data_preprocessor: normalization of the images.

    Raises:
        ValueError: an unknown or contradictory option, two losses of one name, or a head that contradicts backbone or task.
    """

    head_name = 'decode_head'

    def __init__(
        self,
        backbone: dict | nn.Module,
        head: dict | None = None,
        task: dict | None = None,
        losses: dict | list[dict] | None = None,
        loss_stride: int = 1,
        test_cfg: dict | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
        **renamed,
    ) -> None:
        head, losses = self.take_renamed(renamed, head=head, losses=losses)
        if head is None or task is None:
            raise TypeError(f'DenseEstimator needs the arguments head and task, got head={head!r}, task={task!r}')
        described: DenseTask = MODELS.build(task)
        derived = {key: (value, 'the task') for key, value in described.head_arguments.items()}
        super().__init__(backbone, head, derived, data_preprocessor, init_cfg)
        self.task = described
        self.loss_modules, self.loss_targets = self._build_losses(losses)
        if not isinstance(loss_stride, int) or loss_stride < 1:
            raise ValueError(f'loss_stride={loss_stride!r}: expected 1 for all pixels, or a larger integer')
        self.loss_stride = loss_stride
        self.test_options = {**TEST_OPTIONS, **self.task.test_options}
        self.test_cfg = self.options(test_cfg, self.test_options)
        if self.test_cfg['crop_size'] is not None and not self.task.comparable:
            print_log(
                f'test_cfg.crop_size: outputs of {type(self.task).__name__} for two windows have no common scale, so their '
                'average has no meaning. Predict the whole image',
                logger='current',
                level=logging.WARNING,
            )

    @property
    def task_name(self) -> str:
        return self.task.task_name

    def loss(
        self,
        inputs: Tensor,
        data_samples: list,
        labels: dict[str, Tensor] | None = None,
        seeds: Tensor | None = None,
        encode: Callable | None = None,
    ) -> dict[str, Tensor]:
        """``loss_<name>`` of each loss, weighted, which the runner sums; and what the task monitors (``acc_seg``).

        Maps are upsampled to the size of the input and compared there with the labels, at every ``loss_stride``-th pixel.
        A sample of weight w (``weight`` in its metainfo) counts as w samples, see :mod:`sapiens.models.losses.weights`.
        """
        size = tuple(inputs.shape[-2:])
        if self.loss_stride > min(size):
            raise ValueError(f'loss_stride={self.loss_stride} is larger than an input of (h, w) = {size}')
        labels = self._stacked(data_samples, size, inputs.device) if labels is None else labels
        weights = SampleWeights.of(data_samples, labels, inputs.device)
        targets, grid = self.task.read(data_samples, size, inputs.device, labels), None
        targets = {name: (target, weights.keep(valid)) for name, (target, valid) in targets.items()}
        if self.loss_stride > 1:
            seeds = draw_seeds(len(inputs), inputs.device) if seeds is None else seeds
            grid = PixelGrid.draw(seeds, size, self.loss_stride)
        whole = self._whole_targets(targets, data_samples, size, grid, labels)
        output = self.network(inputs, encode=encode, seeds=seeds)
        if grid is None:
            output = _each_map(output, lambda value: upsample(value, size))
        else:
            output = _each_map(output, lambda value: upsample_grid(value, size, grid.rows, grid.columns))
            targets = {name: tuple(map(grid.take, pair)) for name, pair in targets.items()}
        losses = self._losses(output, targets, whole, data_samples, labels, weights)
        return {**losses, **self.task.monitor(_each(output, Tensor.detach), targets)}

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list, encode: Callable | None = None, **options) -> list:
        """Predict each image at its own size: that of its labels if it has some, else its ``ori_shape``, else the input's.

        Outputs of a batch stay at the network's size and are upsampled for one image at a time. With ``warp_matrix`` in the
        metainfo of a sample, only the part of the input that shows the image is used. ``crop_size`` needs (B, K, H, W) float32
        more memory, for the sums over windows.

        Args:
            inputs: (B, 3, H, W) normalized images.
            data_samples: B samples of :class:`sapiens.structures.DenseDataSample`.
            encode: see :meth:`.Estimator.network`.
            **options: override those of ``test_cfg``.

        Returns:
            The samples with the fields of the task, on the device of the inputs; and with the option ``losses``, where there are
            labels, ``loss`` (float): the sum of the losses, as in training, at the size of the input and without flip test.
        """
        options = self.options(options, self.test_cfg)
        input_size = tuple(inputs.shape[-2:])
        output = self._output(inputs, options, encode)
        losses = [None] * len(data_samples)
        if options['losses']:
            losses = [self._sample_loss(_one(output, i), s, input_size) for i, s in enumerate(data_samples)]
        if options['flip_test']:
            mirrored = self.task.mirrored(self._output(inputs.flip(-1), options, encode))
            output = _each(output, lambda value, other: (value + other) / 2, mirrored)
        for index, (sample, loss) in enumerate(zip(data_samples, losses, strict=True)):
            one, size = _one(output, index), self._size_of(sample, input_size)
            box = content_box(sample, input_size, size) if options['padding'] == 'remove' else None
            if options['resize'] == 'two_step' or box:
                one = _each_map(one, lambda value: upsample(value, input_size))
            if box:
                one = _each_map(one, lambda value, box=box: value[..., box[0] : box[1], box[2] : box[3]])
            one = _each(one, lambda value: value[0])
            for name, value in self.task.finish(one, size, options).items():
                sample.set_field(value, name)
            if loss is not None:
                sample.set_field(loss, 'loss', dtype=float)
        return data_samples

    # ------------------------------------------------------------------ parts

    def _output(self, inputs: Tensor, options: dict, encode: Callable | None = None) -> Outputs:
        """Float32 output of the network: maps (B, K, h, w), or (B, K, H, W) where several windows were averaged."""
        if options['crop_size'] is None:
            return _each(self.network(inputs, encode=encode), Tensor.float)
        height, width = inputs.shape[-2:]
        h, w = min(options['crop_size'][0], height), min(options['crop_size'][1], width)
        down, right = options['stride'] or (max(h // 2, 1), max(w // 2, 1))
        windows = [(top, left) for top in _starts(height, h, down) for left in _starts(width, w, right)]
        if len(windows) == 1:
            return _each(self.network(inputs, encode=encode), Tensor.float)
        total, count = None, inputs.new_zeros(height, width)
        for top, left in windows:
            window = (..., slice(top, top + h), slice(left, left + w))
            part = _each_map(self.network(inputs[window], encode=encode), lambda value: upsample(value, (h, w)))
            if total is None:
                total = _each(part, lambda value: value.new_zeros(*value.shape[:2], height, width))
            _each(total, lambda whole, values, window=window: whole[window].add_(values), part)
            count[window] += 1
        return _each(total, lambda value: value / count)

    def _losses(
        self,
        output: Outputs,
        targets: dict,
        whole: dict,
        samples: list,
        labels: dict[str, Tensor],
        weights: SampleWeights | None = None,
    ) -> dict[str, Tensor]:
        named, losses = self.task.named(output), {}
        every = {name: target for name, (target, _) in targets.items()}
        every |= {
            f'{field.name}_valid': targets[field.name][1] for field in self.task.spec.fields if field.own_validity
        }
        for name, loss in self.loss_modules.items():
            field = self.loss_targets[name]
            (target, valid), given = targets[field], named.get(field)
            if hasattr(loss, 'outputs'):
                target, given = every | whole, {key: named[key] for key in loss.outputs}
            context = self.task.context(samples, getattr(loss, 'context', ()), valid.device, labels)
            if weights is not None and weights.relative is not None:
                if not isinstance(loss, DenseLoss):
                    raise ValueError(
                        f'{type(loss).__name__} does not weigh samples, and the data set gives weights: derive the loss from '
                        'sapiens.models.losses.base.DenseLoss'
                    )
                context['weights'] = weights.relative
            losses[f'loss_{name}'] = loss(given, target, valid, **context)
        return losses

    @staticmethod
    def _stacked(samples: list, size: tuple[int, int], device) -> dict[str, Tensor]:
        return {name: value.to(device) for name, value in stack_labels(samples, size).items()}

    def _whole_targets(
        self, targets: dict, samples: list, size: tuple[int, int], grid: PixelGrid | None, labels: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        if not any(hasattr(loss, 'outputs') for loss in self.loss_modules.values()):
            return {}
        return self.task.whole_targets(targets, samples, size, grid, labels)

    def _sample_loss(self, output: Outputs, sample, size: tuple[int, int]) -> float | None:
        """Sum of the losses of one sample from its output (1, K, h, w); None without labels."""
        if not self.task.is_labelled(sample):
            return None
        output = _each_map(output, lambda value: upsample(value, size))
        device = next(iter(self.task.named(output).values())).device
        labels = self._stacked([sample], size, device)
        targets = self.task.read([sample], size, device, labels)
        whole = self._whole_targets(targets, [sample], size, None, labels)
        return float(sum(self._losses(output, targets, whole, [sample], labels).values()))

    def _size_of(self, sample, default: tuple[int, int]) -> tuple[int, int]:
        if self.task.is_labelled(sample):
            return tuple(sample.get(f'gt_{self.task.kind}').shape[-2:])
        return tuple(sample.metainfo.get('ori_shape', default)[:2])

    def _build_losses(self, losses: dict | list[dict] | None) -> tuple[nn.ModuleDict, dict[str, str]]:
        """Losses by name, and the field that each compares."""
        built, targets = nn.ModuleDict(), {}
        fields = [field.name for field in self.task.spec.fields]
        for config in loss_configs(losses, self.task.default_losses):
            target = config.pop('target', self.task.kind)
            if target not in fields:
                raise ValueError(
                    f'target={target!r} of {config} is not a field of the task (fields: {", ".join(fields)})'
                )
            loss = MODELS.build(self.task.loss_config(config))
            if loss.name in built:
                raise ValueError(f'two losses have the name {loss.name!r}: set name=... of one of them')
            built[loss.name], targets[loss.name] = loss, target
        return built, targets

    def check_options(self, options: dict) -> None:
        for key, known in (('resize', RESIZES), ('padding', PADDINGS)):
            if options[key] not in known:
                raise ValueError(f'test_cfg.{key}={options[key]!r} is not one of {known}')
        crop, stride = options['crop_size'], options['stride']
        for key, pair in (('crop_size', crop), ('stride', stride)):
            if pair is not None and (not isinstance(pair, list | tuple) or len(pair) != 2 or min(pair) < 1):
                raise ValueError(f'test_cfg.{key}={pair!r}: expected (h, w) in pixels, or None')
        if crop is not None and hasattr(self.backbone, 'grid_of'):
            try:
                self.backbone.grid_of(*crop)
            except ValueError as error:
                raise ValueError(f'test_cfg.crop_size={crop!r}: {error}') from error
        if crop is not None and self.task.scalars:
            raise ValueError(
                f'test_cfg.crop_size={crop!r}: {", ".join(self.task.scalars)} of windows cannot be averaged'
            )
        if stride is not None and crop is None:
            raise ValueError(f'test_cfg.stride={stride!r} has no effect without test_cfg.crop_size')
        if stride is not None and (stride[0] > crop[0] or stride[1] > crop[1]):
            raise ValueError(f'test_cfg.stride={stride!r} leaves gaps between windows of crop_size={crop!r}')


def _each(output: Outputs, function, *others: Outputs) -> Outputs:
    """``function`` of every tensor of an output, or of outputs of one form."""
    if isinstance(output, dict):
        return {name: function(value, *(other[name] for other in others)) for name, value in output.items()}
    return function(output, *others)


def _each_map(output: Outputs, function) -> Outputs:
    """``function`` of every map (B, K, h, w) of an output; scalars stay."""
    return _each(output, lambda value: function(value) if value.ndim == 4 else value)


def _one(output: Outputs, index: int) -> Outputs:
    """The output of one image, as a batch of one."""
    return _each(output, lambda value: value[index : index + 1])


def _starts(size: int, window: int, stride: int) -> list[int]:
    """First pixels of windows that cover ``size`` pixels; the last one ends at the border."""
    return [*range(0, size - window, stride), size - window]
