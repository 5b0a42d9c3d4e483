"""Head of the first family's dense tasks."""

from torch import Tensor, nn

from sapiens.registry import MODELS

from .deconv import DeconvHead

__all__ = ['DenseHead']


@MODELS.register_module()
class DenseHead(DeconvHead):
    """:class:`DeconvHead` with dropout of whole channels before the last convolution, and the initial weights of Sapiens v1.

    Published: segmentation and normals with three deconvolutions and three convolutions of 768 channels, so maps of half the
    input size; depth with four and two of 384, so the full size.

    Args:
        in_channels: width of the encoder; :class:`~sapiens.models.DenseEstimator` fills it in.
        out_channels: channels of the output; the estimator fills it in from the task.
        deconv_channels, conv_channels: see :class:`DeconvHead`.
        dropout: fraction of the channels that is dropped in training.
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
        # conv_seg is the name in the published checkpoints of every dense task.
        super().__init__(
            in_channels, out_channels, deconv_channels, conv_channels, predictor='conv_seg', init_cfg=init_cfg
        )
        self.dropout = nn.Dropout2d(dropout)

    def hidden(self, features: Tensor) -> Tensor:
        return self.dropout(super().hidden(features))

    def init_weights(self) -> None:
        """Draw the last convolution from N(0, 0.01^2) with bias 0; the others keep PyTorch's initialization, as published."""
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        nn.init.zeros_(self.conv_seg.bias)
