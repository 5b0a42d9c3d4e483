"""From features to a dense map of the input."""

# B batch, C channels of the backbone, K output channels, h w grid of patches

from mmengine.model import BaseModule
from torch import Tensor, nn

from sapiens.registry import MODELS

from ..layers import conv_layers, deconv_layers

__all__ = ['DenseHead']


@MODELS.register_module()
class DenseHead(BaseModule):
    """Deconvolutions that enlarge the grid of patches, 1x1 convolutions, dropout of whole channels, and a 1x1 convolution to the
    output (``conv_seg`` for every task: the name in the published checkpoints). No activation at the end.

    Published (Sapiens v1): segmentation and normals with three deconvolutions and three convolutions of 768 channels, so maps of
    half the input size; depth with four and two of 384, so the full size.

    Args:
        in_channels: width of the backbone; :class:`~sapiens.models.DenseEstimator` fills it in.
        out_channels: K; the estimator fills it in from the task.
        deconv_channels: channels after each deconvolution; each doubles the size.
        conv_channels: channels after each 1x1 convolution.
        dropout: share of the channels that are dropped in training, before the last convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        deconv_channels: tuple[int, ...] = (768, 768, 768),
        conv_channels: tuple[int, ...] = (768, 768, 768),
        dropout: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        widths = (in_channels, *deconv_channels, *conv_channels)
        self.deconv_layers = deconv_layers(in_channels, tuple(deconv_channels))
        self.conv_layers = conv_layers(widths[len(deconv_channels)], tuple(conv_channels))
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(widths[-1], out_channels, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, K, 2^n h, 2^n w), n the number of deconvolutions."""
        return self.conv_seg(self.dropout(self.conv_layers(self.deconv_layers(features))))

    def init_weights(self) -> None:
        """The last convolution normal with deviation 0.01, bias 0; the others keep PyTorch's initialisation, as published."""
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        nn.init.zeros_(self.conv_seg.bias)
        self._is_init = True
