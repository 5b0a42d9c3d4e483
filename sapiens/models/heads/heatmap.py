"""Head for one heatmap per keypoint."""

# B batch, C channels of the encoder, K keypoints, k those asked for, h w grid of patches

import math

import torch.nn.functional as F
from torch import Tensor, nn

from sapiens.registry import MODELS

from .deconv import DeconvHead

__all__ = ['HeatmapHead']


@MODELS.register_module()
class HeatmapHead(DeconvHead):
    """The layers of :class:`DeconvHead` and a 1x1 convolution with one output channel per keypoint.

    Published (Sapiens v1): two deconvolutions and two convolutions of 768 channels, so maps of a quarter of the input size.

    Args:
        in_channels: width of the encoder; :class:`~sapiens.models.PoseEstimator` fills it in.
        num_keypoints: K; the estimator fills it in from the skeleton.
        deconv_channels: channels after each deconvolution; each doubles the size.
        conv_channels: channels after each 1x1 convolution.
        init: ``'published'`` draws all weights with standard deviation 0.001. Normalisation layers hide this scale from the
            output, but an optimizer step is large relative to such weights until they have grown. ``'fan_in'`` draws those before
            an activation with variance 2 / fan-in (He et al., ICCV 2015), which learns from fewer samples.

    Raises:
        ValueError: an unknown ``init``.
    """

    def __init__(
        self,
        in_channels: int,
        num_keypoints: int,
        deconv_channels: tuple[int, ...] = (768, 768),
        conv_channels: tuple[int, ...] = (768, 768),
        init: str = 'published',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(in_channels, deconv_channels, conv_channels, init_cfg)
        if init not in ('published', 'fan_in'):
            raise ValueError(f"init={init!r} is not one of ('published', 'fan_in')")
        self.init, self.num_keypoints = init, num_keypoints
        self.final_layer = nn.Conv2d(self.hidden_channels, num_keypoints, kernel_size=1)

    def forward(self, features: Tensor, keypoints: Tensor | None = None) -> Tensor:
        """(B, C, h, w) -> (B, K, 2^n h, 2^n w), n the number of deconvolutions.

        Args:
            keypoints: ids (k,) of the maps to compute, all by default; the result is (B, k, ...).
        """
        features = self.hidden(features)
        if keypoints is None:
            return self.final_layer(features)
        return F.conv2d(features, self.final_layer.weight[keypoints], self.final_layer.bias[keypoints])

    def init_weights(self) -> None:
        """Initialise as ``init`` says, biases 0."""
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
