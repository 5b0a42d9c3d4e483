"""Keypoints to heatmaps and back, in batches, on the device of the tensors.

Source: Huang et al., "The Devil Is in the Details" (UDP, CVPR 2020) for the geometry, Zhang et al., "Distribution-Aware
Coordinate Representation" (DARK, CVPR 2020) for the Newton step; values as in mmpose's ``UDPHeatmap``.
"""

# B batch, K keypoints, w h size of the network input in pixels, W H size of a heatmap in cells

import torch
import torch.nn.functional as F
from torch import Tensor

from sapiens.registry import MODELS
from sapiens.utils.crop import crop_to_image

from .heatmap_target import HeatmapTarget

__all__ = ['UDPHeatmap']

REFINEMENTS = ('newton', 'expectation', 'none')
# The Newton step clips values to this range before it takes their logarithm (as mmpose).
LOG_RANGE = (1e-3, 50.0)


@MODELS.register_module()
class UDPHeatmap:
    """Gaussian heatmaps in the geometry of UDP: pixel 0 is cell 0 and pixel w - 1 is cell W - 1.

    Args:
        sigma: standard deviation of the Gaussian in cells. It is cut at 3 sigma (rounded) from the cell nearest to the keypoint.
            Published: 6.
        refine: position around the highest cell. ``'newton'`` (published): one Newton step on the logarithm of the blurred map.
            ``'expectation'``: mean position of the 3 x 3 cells weighted by their values, for maps of probabilities.
            ``'none'``: the cell.
        blur_kernel_size: side, in cells, of the Gaussian blur before the Newton step; 1 does not blur. Published: 11, although
            it does not match sigma 6.

    Raises:
        ValueError: an option out of its range.
    """

    def __init__(self, sigma: float = 6.0, refine: str = 'newton', blur_kernel_size: int = 11) -> None:
        if not sigma > 0:
            raise ValueError(f'sigma={sigma!r}: expected a positive number of heatmap cells')
        if refine not in REFINEMENTS:
            raise ValueError(f'refine={refine!r} is not one of {REFINEMENTS}')
        if not (isinstance(blur_kernel_size, int) and blur_kernel_size > 0 and blur_kernel_size % 2):
            raise ValueError(f'blur_kernel_size={blur_kernel_size!r}: expected an odd number of cells')
        self.sigma, self.refine, self.blur_kernel_size = sigma, refine, blur_kernel_size

    # ------------------------------------------------------------------ keypoints -> heatmaps

    def encode(
        self, keypoints: Tensor, weights: Tensor, input_size: tuple[int, int], heatmap_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Make the target heatmaps, as :meth:`targets` but as maps (B, K, H, W) float32."""
        target, weights = self.targets(keypoints, weights, input_size, heatmap_size)
        return target.dense(), weights

    def targets(
        self, keypoints: Tensor, weights: Tensor, input_size: tuple[int, int], heatmap_size: tuple[int, int]
    ) -> tuple[HeatmapTarget, Tensor]:
        """Make the target heatmaps as profiles, without a read-back from the device.

        Args:
            keypoints: (B, K, 2) x, y in pixels of the network's input; any finite value where the weight is 0.
            weights: (B, K); below 0.5 the map stays empty.
            input_size: (w, h) pixels.
            heatmap_size: (W, H) cells.

        Returns:
            heatmaps (B, K, H, W), at most 1; and weights (B, K) float32, 0 where the Gaussian lies outside.
        """
        radius, windows = 3 * self.sigma, []
        outside = torch.zeros_like(weights, dtype=torch.bool)
        for axis, (pixels, cells) in enumerate(zip(input_size, heatmap_size, strict=True)):
            center = keypoints[..., axis].float() / ((pixels - 1) / (cells - 1))  # (B, K) cells
            nearest = (center + 0.5).trunc()  # towards zero, as mmpose
            # mmpose truncates both ends of the window to whole cells, also for a fractional sigma.
            first, last = (nearest - radius).trunc(), (nearest + radius + 1).trunc()
            outside |= (first >= cells) | (last < 0)
            windows.append((center[..., None], first[..., None], last[..., None]))
        labeled, profiles = weights >= 0.5, []
        for (center, first, last), cells in zip(windows, heatmap_size, strict=True):
            cell = torch.arange(cells, device=keypoints.device, dtype=torch.float32)
            inside = (cell >= first) & (cell < last) & (labeled & ~outside)[..., None]
            profile = (cell - center).square_().div_(-2 * self.sigma**2).exp_()
            profiles.append(torch.where(inside, profile, 0))
        along_x, along_y = profiles
        return HeatmapTarget(along_y, along_x), torch.where(outside & labeled, 0, weights).float()

    # ------------------------------------------------------------------ heatmaps -> keypoints

    def decode(self, heatmaps: Tensor, input_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Find the keypoints of heatmaps.

        Args:
            heatmaps: (B, K, H, W), of any floating dtype; computed in float32.
            input_size: (w, h) pixels.

        Returns:
            keypoints (B, K, 2) float32 x, y: cell / (size in cells - 1) * size in pixels, for :meth:`to_image`. This convention
            of mmpose is larger by w / (w - 1) than the pixels that :meth:`encode` takes. Maps without a value above 0 give cell
            (-1, -1). scores (B, K) float32: the highest value; for ``'expectation'`` the sum of the 3 x 3 cells, a probability.
        """
        heatmaps = heatmaps.float()
        return self.decode_at(heatmaps, *self.highest_cells(heatmaps), input_size)

    def decode_at(
        self, heatmaps: Tensor, cells: Tensor, peaks: Tensor, input_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`decode` of float32 heatmaps, around given cells (B, K, 2) x, y instead of the highest ones, with the highest
        values ``peaks`` (B, K)."""
        found = peaks > 0
        scores = peaks
        positions = cells.float()
        with torch.autocast(heatmaps.device.type, enabled=False):
            if self.refine == 'newton':
                positions = positions - self._newton_step(heatmaps, cells, peaks).float()
            elif self.refine == 'expectation':
                offset, scores = _local_expectation(heatmaps, cells)
                positions = positions + offset
        positions = torch.where(found[..., None], positions, -1.0)
        # Sizes stay numbers, which an exported graph may leave open.
        last_cell = heatmaps.shape[-1] - 1, heatmaps.shape[-2] - 1
        axes = zip(positions.unbind(-1), last_cell, input_size, strict=True)
        return torch.stack([axis / last * side for axis, last, side in axes], -1), torch.where(found, scores, peaks)

    def to_image(self, keypoints: Tensor, input_size: tuple[int, int], center: Tensor, scale: Tensor) -> Tensor:
        """Map keypoints of :meth:`decode` to the image that the crop was taken from.

        Args:
            keypoints: (B, K, 2).
            input_size: (w, h) pixels.
            center: (B, 2) center of the crop in pixels of the image.
            scale: (B, 2) width and height of the crop in pixels of the image.

        Returns:
            (B, K, 2) pixels of the image.
        """
        return crop_to_image(keypoints, keypoints.new_tensor(input_size), center, scale)

    def _newton_step(self, heatmaps: Tensor, cells: Tensor, peaks: Tensor) -> Tensor:
        """Step (B, K, 2) to subtract, in cells: inverse Hessian times gradient of the logarithm of the blurred map."""
        values = self._blurred_neighbors(heatmaps, cells, peaks)
        # Double precision, because the finite differences below cancel; these are only B * K * 9 numbers.
        values = (values if values.device.type == 'mps' else values.double()).clamp(*LOG_RANGE).log()
        (a, b, _), (c, d, e), (_, f, g) = [row.unbind(-1) for row in values.unbind(-2)]  # rows of y, columns of x
        dx, dy = (e - c) / 2, (f - b) / 2
        eps = torch.finfo(torch.float32).eps
        dxx, dyy = e - 2 * d + c + eps, f - 2 * d + b + eps
        dxy = (g - e - f + 2 * d - c - b + a) / 2
        determinant = dxx * dyy - dxy * dxy
        return torch.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], dim=-1) / determinant[..., None]

    def _blurred_neighbors(self, heatmaps: Tensor, cells: Tensor, peaks: Tensor) -> Tensor:
        """(B, K, 3, 3) values around ``cells`` of the blurred maps, scaled so that each map keeps its maximum.

        Only the cells that influence these nine are blurred; blurring whole maps takes twenty times as long. The scale adds a
        constant to the logarithm, which the derivatives ignore unless a value is clipped. Maps where that is possible are
        blurred whole.
        """
        kernel = gaussian_kernel(self.blur_kernel_size, heatmaps)
        patches = _patches(heatmaps, cells, self.blur_kernel_size // 2 + 1)
        blurred = torch.einsum('bkyx,iy,jx->bkij', patches, *[_banded(kernel, patches.shape[-1])] * 2)
        blurred = self._replicate_border(blurred, cells, heatmaps.shape)
        # The blurred maximum lies between the blurred value at the peak and the peak.
        center = blurred[..., 1, 1]
        low, high = blurred.flatten(2).amin(-1), blurred.flatten(2).amax(-1)
        certain = (low >= LOG_RANGE[0]) & (high * peaks <= LOG_RANGE[1] * center)
        uncertain = (~certain & (peaks > 0)).nonzero(as_tuple=True)
        if len(uncertain[0]):
            highest = gaussian_blur(heatmaps[uncertain], kernel).amax((-1, -2))
            blurred[uncertain] = blurred[uncertain] * rescaling(peaks[uncertain], highest)[:, None, None]
        return blurred

    @staticmethod
    def _replicate_border(blurred: Tensor, cells: Tensor, shape: torch.Size) -> Tensor:
        """Replicate the outermost blurred values beyond the map."""
        for axis, size in ((0, shape[-1]), (1, shape[-2])):
            dim = 3 - axis
            near, middle, far = blurred.unbind(dim)
            at = cells[..., axis, None]
            near, far = torch.where(at == 0, middle, near), torch.where(at == size - 1, middle, far)
            blurred = torch.stack([near, middle, far], dim=dim)
        return blurred

    @staticmethod
    def highest_cells(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Cell (B, K, 2) int64 x, y of the highest value of each map (the first in row-major order), and the value (B, K)."""
        rows, columns = heatmaps.amax(-1), heatmaps.shape[-1]  # amax is vectorized on CPUs, argmax is not
        peaks, y = rows.max(-1)
        row = heatmaps.gather(-2, y[..., None, None].expand(*y.shape, 1, columns))[..., 0, :]
        return torch.stack([row.argmax(-1), y], dim=-1), peaks

    def __repr__(self) -> str:
        return f'UDPHeatmap(sigma={self.sigma}, refine={self.refine!r}, blur_kernel_size={self.blur_kernel_size})'


def _patches(heatmaps: Tensor, cells: Tensor, reach: int) -> Tensor:
    """(B, K, 2 reach + 1, 2 reach + 1) values around cells, 0 beyond the map."""
    height, width = heatmaps.shape[-2:]
    offsets = torch.arange(-reach, reach + 1, device=heatmaps.device)
    x, y = cells[..., :1] + offsets, cells[..., 1:] + offsets  # (B, K, n)
    inside = ((y >= 0) & (y < height))[..., :, None] & ((x >= 0) & (x < width))[..., None, :]
    index = y.clamp(0, height - 1)[..., :, None] * width + x.clamp(0, width - 1)[..., None, :]
    values = heatmaps.flatten(2).gather(2, index.flatten(2)).view(inside.shape)
    return torch.where(inside, values, 0)


def gaussian_kernel(size: int, like: Tensor) -> Tensor:
    """(size,) weights with sum 1 and OpenCV's standard deviation for a kernel of this size."""
    sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    cell = torch.arange(size, dtype=torch.float64) - size // 2
    kernel = torch.exp(-(cell**2) / (2 * sigma**2)) if size > 1 else torch.ones(1)
    return (kernel / kernel.sum()).to(like)


def rescaling(peaks: Tensor, highest: Tensor) -> Tensor:
    """Factors that give blurred maps their maximum back. Maps without a blurred value above 0 keep theirs: all are clipped, so
    there is no step, where a negative factor would turn the map around."""
    return torch.where(highest > 0, peaks / highest, 1)


def gaussian_blur(maps: Tensor, kernel: Tensor) -> Tensor:
    """Blur maps (N, H, W) by a kernel (n,) in both directions. Maps are 0 beyond their border."""
    border = len(kernel) // 2
    maps = F.conv2d(maps[:, None], kernel[None, None, None], padding=(0, border))
    return F.conv2d(maps, kernel[None, None, :, None], padding=(border, 0))[:, 0]


def _banded(kernel: Tensor, length: int) -> Tensor:
    """(3, length) matrix that correlates ``length`` = kernel + 2 values to three."""
    return torch.stack([F.pad(kernel, (shift, length - len(kernel) - shift)) for shift in range(3)])


def _local_expectation(heatmaps: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Mean offset (B, K, 2) of the 3 x 3 cells around ``cells``, weighted by their values, and the sum of the values."""
    patches = _patches(heatmaps, cells, 1).clamp(min=0)
    total = patches.sum((-1, -2))
    steps = torch.arange(-1.0, 2.0, device=heatmaps.device)
    x, y = (patches.sum(-2) * steps).sum(-1), (patches.sum(-1) * steps).sum(-1)
    return torch.stack([x, y], dim=-1) / total.clamp(min=1e-12)[..., None], total
