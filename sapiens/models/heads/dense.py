"""Head of the first family's dense tasks."""

from torch import Tensor, nn

from sapiens.registry import MODELS

from ..layers.sample_random import draw_seeds, dropout_factors
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
        dropout: fraction of the channels that is dropped in training, of each sample others.

    Raises:
        ValueError: a ``dropout`` out of its range.
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
        if not 0 <= dropout < 1:
            raise ValueError(f'dropout={dropout!r} must lie in [0, 1)')
        # conv_seg is the name in the published checkpoints of every dense task.
        super().__init__(
            in_channels, out_channels, deconv_channels, conv_channels, predictor='conv_seg', init_cfg=init_cfg
        )
        self.dropout = dropout

    def hidden(self, features: Tensor, seeds: Tensor | None = None) -> Tensor:
        x = super().hidden(features)
        if not (self.training and self.dropout):
            return x
        seeds = draw_seeds(len(x), x.device) if seeds is None else seeds
        return x * dropout_factors(seeds, x.shape[1], self.dropout).to(x.dtype)[:, :, None, None]

    def init_weights(self) -> None:
        """Draw the last convolution from N(0, 0.01^2) with bias 0; the others keep PyTorch's initialization, as published."""
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        nn.init.zeros_(self.conv_seg.bias)
