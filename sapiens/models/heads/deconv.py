"""Head of deconvolutions, then convolutions: pose and segmentation of both families, and the first family's other tasks."""

# B batch, C channels of the encoder, K output channels, k those asked for, h w grid of patches

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from sapiens.registry import MODELS

from ..layers.conv_stack import ConvStack, run_in_bands
from ..layers.in_place import may_work_in_place

__all__ = ['DeconvHead']

# Padding and output padding by kernel, with which stride 2 doubles the size.
DECONV_PADDING = {2: (0, 0), 3: (1, 1), 4: (1, 0)}


@MODELS.register_module()
class DeconvHead(BaseModule):
    """Deconvolutions, convolutions, and a 1x1 convolution to the output.

    Each deconvolution is a transposed convolution of stride 2 without bias and doubles the size. Instance normalization without
    parameters (with the statistics of the sample, in evaluation too) and SiLU follow each deconvolution and each convolution.
    These are three modules per layer, so the published keys count 0, 3, 6.

    Published (Sapiens2): pose with deconvolutions (512, 768) and convolutions (512, 512, 256) in most sizes; segmentation with
    (512, 256, 128, 64) and (64, 64).

    Args:
        in_channels: width of the encoder; the estimator fills it in.
        out_channels: K; the estimator fills it in.
        deconv_channels, conv_channels: channels after each layer.
        deconv_kernels: kernel side of each deconvolution, 2, 3 or 4; default 4.
        conv_kernels: kernel side of each convolution, odd; default 1.
        predictor: name of the last layer (published: ``conv_pose``, ``conv_seg``).
        init_deconvs: draw deconvolutions from He's distribution as the other layers (published for pose), or keep PyTorch's
            (published for segmentation).

    Raises:
        ValueError: a kernel that does not double or keep the size, or lists of different lengths.
    """

    # Of the head in the published state dicts of the family.
    name = 'decode_head'

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        deconv_channels: Sequence[int],
        conv_channels: Sequence[int] = (),
        deconv_kernels: Sequence[int] | None = None,
        conv_kernels: Sequence[int] | None = None,
        predictor: str = 'conv_seg',
        init_deconvs: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        deconv_kernels = per_layer('deconv_kernels', deconv_kernels, deconv_channels, 4, tuple(DECONV_PADDING))
        conv_kernels = per_layer('conv_kernels', conv_kernels, conv_channels, 1)
        widths = [in_channels, *deconv_channels, *conv_channels]
        split = len(deconv_channels)
        self.deconv_layers, self.conv_layers = ConvStack(), ConvStack()
        for (before, after), kernel in zip(pairwise(widths[: split + 1]), deconv_kernels, strict=True):
            padding, extra = DECONV_PADDING[kernel]
            deconv = nn.ConvTranspose2d(before, after, kernel, 2, padding, output_padding=extra, bias=False)
            self.deconv_layers.extend([deconv, nn.InstanceNorm2d(after), nn.SiLU(inplace=True)])
        for (before, after), kernel in zip(pairwise(widths[split:]), conv_kernels, strict=True):
            conv = nn.Conv2d(before, after, kernel, padding=kernel // 2)
            self.conv_layers.extend([conv, nn.InstanceNorm2d(after), nn.SiLU(inplace=True)])
        self.predictor, self.init_deconvs = predictor, init_deconvs
        self.add_module(predictor, nn.Conv2d(widths[-1], out_channels, kernel_size=1))

    @property
    def last_layer(self) -> nn.Conv2d:
        return self.get_submodule(self.predictor)

    def hidden(self, features: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Everything before the last layer, in training. ``seeds`` (B,) of the samples are for layers that draw."""
        return self.conv_layers(self.deconv_layers(features))

    def forward(self, features: Tensor, channels: Tensor | None = None, seeds: Tensor | None = None) -> Tensor:
        """(B, C, h, w) -> (B, K, 2^n h, 2^n w), n the number of deconvolutions.

        Args:
            channels: ids (k,) of the maps to compute, all by default; the result is (B, k, ...).
            seeds: (B,) of the samples in training, see :mod:`~sapiens.models.layers.sample_random`.
        """
        last = self.last_layer
        if channels is not None:
            last = partial(F.conv2d, weight=last.weight[channels], bias=last.bias[channels])
        if may_work_in_place(self):
            return run_in_bands([self.deconv_layers, self.conv_layers], last, features)
        return last(self.hidden(features, seeds))

    def init_weights(self) -> None:
        """Initialize as published: He's normal distribution by fan-out, biases 0."""
        kinds = (nn.Conv2d, nn.ConvTranspose2d) if self.init_deconvs else (nn.Conv2d,)
        init_he(self, kinds)
        self._is_init = True

    def parts_to_compile(self) -> list[nn.Module]:
        """The whole head, see :func:`sapiens.engine.compiling.compile_parts`."""
        return [self]

    def parts_to_recompute(self) -> dict[str, list]:
        """The layers before the last one, see :func:`sapiens.engine.recomputing.recompute_activations`."""
        return dict(head=[*self.deconv_layers.parts(), *self.conv_layers.parts()])


def init_he(module: nn.Module, kinds: tuple[type, ...] = (nn.Conv2d,)) -> None:
    """Draw weights of the layers from He's normal distribution by fan-out, and set biases to 0."""
    for child in module.modules():
        if isinstance(child, kinds):
            nn.init.kaiming_normal_(child.weight, mode='fan_out', nonlinearity='relu')
            if child.bias is not None:
                nn.init.zeros_(child.bias)


def per_layer(
    name: str, kernels: Sequence[int] | None, channels: Sequence[int], default: int, known: tuple[int, ...] = ()
) -> Sequence[int]:
    """The kernel side of each layer.

    Raises:
        ValueError: another number of kernels than of layers, or a side that is not among ``known`` (empty: not odd).
    """
    kernels = [default] * len(channels) if kernels is None else kernels
    if len(kernels) != len(channels):
        raise ValueError(f'{name}={tuple(kernels)} has {len(kernels)} numbers for {len(channels)} layers')
    for kernel in kernels:
        if kernel not in known if known else kernel % 2 == 0:
            raise ValueError(f'{name}={tuple(kernels)}: {kernel} is not {f"one of {known}" if known else "odd"}')
    return kernels
