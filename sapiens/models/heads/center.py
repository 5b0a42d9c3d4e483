"""Head of the detector of people."""

# B batch, C channels of the encoder, K output channels, h w grid of patches

import math
from collections.abc import Sequence
from itertools import pairwise

from mmengine.model import BaseModule
from torch import Tensor, nn

from sapiens.registry import MODELS

from ..layers.conv_stack import ChannelRMSNorm, ConvStack, run_in_bands
from ..layers.in_place import may_work_in_place
from .deconv import DECONV_PADDING

__all__ = ['CenterHead']

# First distances to the edges of a box, in cells.
_DISTANCE = 6.0
# Kernel side of deconvolutions, which double the size.
_DECONV = 4


@MODELS.register_module()
class CenterHead(BaseModule):
    """A 1x1 convolution to fewer channels, deconvolutions that double the size, 3x3 convolutions, and a 1x1 convolution whose
    first output is the logit of a rare event and whose others are logarithms of distances.

    An RMS norm over the channels of each pixel and SiLU follow each layer but the last. Instance norm, as in other heads, would
    make an image without people as lively as one with many.

    Args:
        in_channels: width of the encoder; :class:`~sapiens.models.BoxEstimator` fills it in.
        out_channels: K; the estimator fills it in from the codec.
        reduced_channels: channels after the first layer.
        deconv_channels, conv_channels: channels after each deconvolution and each 3x3 convolution.
        prior: first probability of the event. A small one keeps the many cells without a person from hiding the few with one
            (Lin et al., "Focal Loss for Dense Object Detection", 2017).

    Raises:
        ValueError: ``prior`` out of (0, 1).
    """

    name = 'decode_head'
    min_grid = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        reduced_channels: int = 96,
        deconv_channels: Sequence[int] = (48, 48),
        conv_channels: Sequence[int] = (48,),
        prior: float = 0.01,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not 0 < prior < 1:
            raise ValueError(f'prior={prior!r}: expected a probability, above 0 and below 1')
        self.prior = prior
        self.input_conv, self.deconv_layers, self.conv_layers = ConvStack(), ConvStack(), ConvStack()
        self.input_conv.extend(_layer(nn.Conv2d(in_channels, reduced_channels, 1)))
        padding, extra = DECONV_PADDING[_DECONV]
        widths = [reduced_channels, *deconv_channels]
        for before, after in pairwise(widths):
            deconv = nn.ConvTranspose2d(before, after, _DECONV, 2, padding, output_padding=extra, bias=False)
            self.deconv_layers.extend(_layer(deconv))
        widths = [widths[-1], *conv_channels]
        for before, after in pairwise(widths):
            self.conv_layers.extend(_layer(nn.Conv2d(before, after, 3, padding=1)))
        self.conv_center = nn.Conv2d(widths[-1], out_channels, 1)

    @property
    def stacks(self) -> list[ConvStack]:
        return [self.input_conv, self.deconv_layers, self.conv_layers]

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, K, 2^n h, 2^n w), n the number of deconvolutions."""
        if may_work_in_place(self):
            return run_in_bands(self.stacks, self.conv_center, features)
        return self.conv_center(nn.Sequential(*self.stacks)(features))

    def init_weights(self) -> None:
        """Draw weights from He's normal distribution by fan-in, those of the last layer with deviation 0.01; its biases follow
        from ``prior`` and distances of 6 cells."""
        for module in self.modules():
            if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                continue
            taps = math.prod(module.kernel_size) / math.prod(module.stride)  # of an output, if the layer is transposed
            nn.init.normal_(module.weight, std=math.sqrt(2 / (module.in_channels * taps)))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.conv_center.weight, std=0.01)
        nn.init.constant_(self.conv_center.bias[:1], -math.log(1 / self.prior - 1))
        nn.init.constant_(self.conv_center.bias[1:], math.log(_DISTANCE))
        self._is_init = True

    def parts_to_compile(self) -> list[nn.Module]:
        """The whole head, see :func:`sapiens.engine.compiling.compile_parts`."""
        return [self]

    def parts_to_recompute(self) -> dict[str, list]:
        """All layers but the last one, see :func:`sapiens.engine.recomputing.recompute_activations`."""
        return dict(head=[layer for stack in self.stacks for layer in stack.parts()])


def _layer(conv: nn.Module) -> list[nn.Module]:
    return [conv, ChannelRMSNorm(conv.out_channels), nn.SiLU(inplace=True)]
