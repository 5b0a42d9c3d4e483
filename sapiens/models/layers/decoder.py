"""The two kinds of layers that every decoder head is made of: twice the size, and mixing of channels."""

from torch import nn

__all__ = ['conv_layers', 'deconv_layers']


def deconv_layers(in_channels: int, channels: tuple[int, ...]) -> nn.Sequential:
    """(B, in_channels, h, w) -> (B, channels[-1], h * 2^n, w * 2^n), n the number of ``channels``.

    Each layer is a 4x4 transposed convolution of stride 2 without bias, instance normalisation without parameters (its
    statistics are those of the sample, in evaluation too) and SiLU: three modules, so the published keys count 0, 3, 6.
    """
    return nn.Sequential(
        *(
            module
            for before, after in zip((in_channels, *channels), channels, strict=False)
            for module in (
                nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1, bias=False),
                nn.InstanceNorm2d(after),
                nn.SiLU(inplace=True),
            )
        )
    )


def conv_layers(in_channels: int, channels: tuple[int, ...]) -> nn.Sequential:
    """(B, in_channels, h, w) -> (B, channels[-1], h, w) by 1x1 convolutions with bias, normalised and activated as above."""
    return nn.Sequential(
        *(
            module
            for before, after in zip((in_channels, *channels), channels, strict=False)
            for module in (nn.Conv2d(before, after, kernel_size=1), nn.InstanceNorm2d(after), nn.SiLU(inplace=True))
        )
    )
