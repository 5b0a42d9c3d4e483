"""Images as sequences of square patches, and their embedding."""

# B batch, N patches of an image, K patches chosen, C channels, H W image size in pixels, P side of a patch in pixels

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ['PatchEmbed', 'patchify', 'take', 'unpatchify']


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """(B, 3, H, W) -> (B, N, P*P*3), patches in row-major order, their pixels in (row, column, channel) order."""
    B, C, H, W = images.shape
    h, w = H // patch_size, W // patch_size
    patches = images.reshape(B, C, h, patch_size, w, patch_size)
    return patches.permute(0, 2, 4, 3, 5, 1).reshape(B, h * w, patch_size**2 * C)


def unpatchify(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, N, P*P*3) -> (B, 3, H, W), the inverse of :func:`patchify` for a grid (h, w) of patches."""
    B, _, length = patches.shape
    side = round((length // 3) ** 0.5)
    images = patches.reshape(B, *grid, side, side, 3).permute(0, 5, 1, 3, 2, 4)
    return images.reshape(B, 3, grid[0] * side, grid[1] * side)


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Gather the rows (B, K, C) of tokens (B or 1, N, C) by their numbers (B, K)."""
    tokens = tokens.expand(index.shape[0], -1, -1)
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))


class PatchEmbed(nn.Module):
    """Convolution whose stride is its kernel size."""

    def __init__(self, embed_dims: int, patch_size: int, padding: int = 0) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.projection = nn.Conv2d(3, embed_dims, kernel_size=patch_size, stride=patch_size, padding=padding)

    def forward(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) -> (B, N, C), patches in row-major order; (B, K, C) of the patches ``keep`` (B, K), without padding."""
        if keep is None:
            return self.projection(images).flatten(2).transpose(1, 2)
        pixels = take(patchify(images, self.patch_size), keep)
        # From (row, column, channel) order to the order of the weights, (channel, row, column).
        pixels = pixels.unflatten(-1, (self.patch_size**2, 3)).transpose(2, 3).flatten(2)
        return F.linear(pixels, self.projection.weight.flatten(1), self.projection.bias)
