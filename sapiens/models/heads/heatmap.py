"""Head of the first family's pose models."""

import math

from torch import nn

from sapiens.registry import MODELS

from .deconv import DeconvHead

__all__ = ['HeatmapHead']


@MODELS.register_module()
class HeatmapHead(DeconvHead):
    """:class:`DeconvHead` with the sizes, names and initial weights of Sapiens v1.

    Published: two deconvolutions and two convolutions of 768 channels, so maps of a quarter of the input size.

    Args:
        in_channels: width of the encoder; :class:`~sapiens.models.PoseEstimator` fills it in.
        out_channels: keypoints; the estimator fills it in from the skeleton.
        deconv_channels, conv_channels: see :class:`DeconvHead`.
        init: ``'published'`` draws all weights with standard deviation 0.001. Normalization layers hide this scale from the
            output, but an optimizer step is large relative to such weights until they have grown. ``'fan_in'`` draws those before
            an activation with variance 2 / fan-in (He et al., ICCV 2015), which learns from fewer samples.

    Raises:
        ValueError: an unknown ``init``.
    """

    name = 'head'

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        deconv_channels: tuple[int, ...] = (768, 768),
        conv_channels: tuple[int, ...] = (768, 768),
        init: str = 'published',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, deconv_channels, conv_channels, predictor='final_layer', init_cfg=init_cfg
        )
        if init not in ('published', 'fan_in'):
            raise ValueError(f"init={init!r} is not one of ('published', 'fan_in')")
        self.init = init

    def init_weights(self) -> None:
        """Initialize as ``init`` says, biases 0."""
        for module in self.modules():
            if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                continue
            std = 0.001
            if self.init == 'fan_in' and module is not self.final_layer:
                # A transposed convolution of stride s spreads its kernel over s * s outputs.
                taps = math.prod(module.kernel_size)
                if isinstance(module, nn.ConvTranspose2d):
                    taps /= math.prod(module.stride)
                std = math.sqrt(2 / (module.in_channels * taps))
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        self._is_init = True
