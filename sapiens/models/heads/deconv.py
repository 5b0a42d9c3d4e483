"""The layers that all decoder heads share: deconvolutions, then 1x1 convolutions."""

# B batch, C channels of the encoder, h w grid of patches

from collections.abc import Sequence
from itertools import pairwise

from mmengine.model import BaseModule
from torch import Tensor, nn

__all__ = ['DeconvHead']


class DeconvHead(BaseModule):
    """Base class: everything but the last layer.

    Each deconvolution is a 4x4 transposed convolution of stride 2 without bias and doubles the size. Instance normalisation
    without parameters (with the statistics of the sample, in evaluation too) and SiLU follow each deconvolution and each 1x1
    convolution. These are three modules per layer, so the published keys count 0, 3, 6.
    """

    def __init__(
        self, in_channels: int, deconv_channels: Sequence[int], conv_channels: Sequence[int], init_cfg: dict | None
    ) -> None:
        super().__init__(init_cfg)
        widths = [in_channels, *deconv_channels, *conv_channels]
        split = len(deconv_channels)
        self.deconv_layers, self.conv_layers = nn.Sequential(), nn.Sequential()
        for before, after in pairwise(widths[: split + 1]):
            deconv = nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1, bias=False)
            self.deconv_layers.extend([deconv, nn.InstanceNorm2d(after), nn.SiLU(inplace=True)])
        for before, after in pairwise(widths[split:]):
            conv = nn.Conv2d(before, after, kernel_size=1)
            self.conv_layers.extend([conv, nn.InstanceNorm2d(after), nn.SiLU(inplace=True)])
        self.hidden_channels = widths[-1]

    def hidden(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, hidden_channels, 2^n h, 2^n w), n the number of deconvolutions."""
        return self.conv_layers(self.deconv_layers(features))

    def parts_to_compile(self) -> list[nn.Module]:
        """The whole head, see :func:`sapiens.engine.compiling.compile_parts`."""
        return [self]
