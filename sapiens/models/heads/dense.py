"""Head for dense maps of the input."""

# B batch, C channels of the encoder, K output channels, h w grid of patches

from torch import Tensor, nn

from sapiens.registry import MODELS

from .deconv import DeconvHead

__all__ = ['DenseHead']


@MODELS.register_module()
class DenseHead(DeconvHead):
    """The layers of :class:`DeconvHead`, dropout of whole channels, and a 1x1 convolution to the output, without activation.

    Published (Sapiens v1): segmentation and normals with three deconvolutions and three convolutions of 768 channels, so maps of
    half the input size; depth with four and two of 384, so the full size.

    Args:
        in_channels: width of the encoder; :class:`~sapiens.models.DenseEstimator` fills it in.
        out_channels: K; the estimator fills it in from the task.
        deconv_channels: channels after each deconvolution; each doubles the size.
        conv_channels: channels after each 1x1 convolution.
        dropout: fraction of the channels that is dropped in training, before the last convolution.
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
        super().__init__(in_channels, deconv_channels, conv_channels, init_cfg)
        self.dropout = nn.Dropout2d(dropout)
        # The name in the published checkpoints of every dense task.
        self.conv_seg = nn.Conv2d(self.hidden_channels, out_channels, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, K, 2^n h, 2^n w), n the number of deconvolutions."""
        return self.conv_seg(self.dropout(self.hidden(features)))

    def init_weights(self) -> None:
        """Draw the last convolution from N(0, 0.01^2) with bias 0; the others keep PyTorch's initialisation, as published."""
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        nn.init.zeros_(self.conv_seg.bias)
