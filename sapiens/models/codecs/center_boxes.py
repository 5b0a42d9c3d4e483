"""People as centers with boxes: targets of a training batch, and boxes from the output of the network."""

# B batch, M rows of boxes, N boxes that are decoded, w h size of the input in pixels, W H of the map in cells

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sapiens.registry import MODELS

from ..layers.pos_embed import is_open

__all__ = ['IGNORED', 'NOBODY', 'PERSON', 'BoxTargets', 'CenterBoxes', 'box_overlaps', 'suppress_boxes']

# Kinds of rows of boxes: samples of a batch have equally many rows.
NOBODY, PERSON, IGNORED = 0, 1, 2
# Rounds of the suppression; see suppress_boxes.
_ROUNDS = 8
# Largest logarithm of a distance in cells.
_LARGEST = 7.0


class BoxTargets(NamedTuple):
    """What the network should give for a batch.

    Attributes:
        heat: (B, 1, H, W) float32: 1 in the cell of a person's center, falling like a Gaussian around it.
        counted: (B, H, W) bool: False in ignored boxes, but for centers of people.
        distances: (B, 4, H, W) float32, from the center of a cell to the left, upper, right and lower edge of the box of its
            person, in cells; 1 where there is none.
        weights: (B, H, W) float32: of the distances. Those of one person sum to 1.
    """

    heat: Tensor
    counted: Tensor
    distances: Tensor
    weights: Tensor


@MODELS.register_module()
class CenterBoxes:
    """Codec of boxes around centers (Zhou et al., "Objects as Points", 2019; the Gaussians and weights are those of Liu et al.,
    "Training-Time-Friendly Network", AAAI 2020).

    The network gives 5 numbers in each cell: the logit of a person's center, and the logarithms of the distances to the left,
    upper, right and lower edge of the person's box, in cells. Boxes are x1, y1, x2, y2, see :mod:`sapiens.utils.boxes`.

    Args:
        alpha: the Gaussian of a person reaches (3 deviations) over this fraction of the box, and a cell's half width further.

    Raises:
        ValueError: ``alpha`` out of (0, 1].
    """

    channels = 5

    def __init__(self, alpha: float = 0.54) -> None:
        if not 0 < alpha <= 1:
            raise ValueError(f'alpha={alpha!r}: expected a fraction of the box, above 0 and at most 1')
        self.alpha = alpha

    def targets(self, boxes: Tensor, kinds: Tensor, size: tuple[int, int], cells: tuple[int, int]) -> BoxTargets:
        """Targets of a batch, without waiting for the device.

        Args:
            boxes: (B, M, 4) in pixels of the input, inside it.
            kinds: (B, M) :data:`NOBODY`, :data:`PERSON` or :data:`IGNORED`.
            size: (w, h) of the input.
            cells: (W, H) of the map.
        """
        people, ignored = (kinds == PERSON)[..., None], (kinds == IGNORED)[..., None]
        # Scales stay numbers: as tensors they are copies to the device, which wait for it.
        scales = [cells[axis] / size[axis] for axis in (0, 1)]
        boxes = torch.stack([boxes[..., side].float() * scales[side % 2] for side in range(4)], -1)
        places = [torch.arange(count, device=boxes.device) + 0.5 for count in cells]
        # Along x and y: Gaussians and insides (B, M, W) and (B, M, H), whose products are maps.
        gaussians, insides, holes = [], [], []
        for axis, place in enumerate(places):
            low, high = boxes[..., axis, None], boxes[..., axis + 2, None]
            at, half = (low + high) / 2, (high - low) / 2
            cell = (at.floor() + 0.5).clamp(max=len(place) - 0.5)
            deviation = (2 * half * self.alpha + 1) / 6
            gaussians.append(torch.exp(-((place - cell) / deviation).square() / 2) * people)
            insides.append(((place - at).abs() < half) | (place == cell))
            holes.append(((place - at).abs() <= half.clamp(min=0.5)) & ignored)
        heats = gaussians[1][..., :, None] * gaussians[0][..., None, :]  # (B, M, H, W)
        heat, owner = heats.max(1)  # of each cell the person who is most of it
        # Its distances count within 3 deviations inside the box.
        reach = heats * (insides[1][..., :, None] & insides[0][..., None, :]) * (heats > math.exp(-4.5))
        rows = torch.arange(boxes.shape[1], device=boxes.device)[:, None, None]
        reach = reach * (rows == owner[:, None])
        weights = (reach / reach.sum((2, 3), keepdim=True).clamp(min=1e-6)).sum(1)
        own = (
            boxes.gather(1, owner.flatten(1)[..., None].expand(-1, -1, 4)).transpose(1, 2).unflatten(2, heat.shape[1:])
        )
        x, y = places[0].view(1, 1, -1), places[1].view(1, -1, 1)
        distances = torch.stack([x - own[:, 0], y - own[:, 1], own[:, 2] - x, own[:, 3] - y], 1)
        distances = torch.where(weights[:, None] > 0, distances.clamp(min=1e-2), 1.0)
        hole = (holes[1][..., :, None] & holes[0][..., None, :]).any(1)
        return BoxTargets(heat[:, None], ~hole | (heat == 1), distances, weights)

    def distances(self, output: Tensor) -> Tensor:
        """Distances (B, 4, H, W) in cells, above 0, of an output (B, 5, H, W)."""
        return output[:, 1:].float().clamp(max=_LARGEST).exp()

    def boxes(self, output: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The box of each cell (B, 4, H, W) in pixels of the input, and its score (B, 1, H, W), the probability of a center.

        Args:
            output: (B, 5, H, W) of the network.
            size: (w, h) of the input.
        """
        height, width = output.shape[-2:]
        x = (torch.arange(width, device=output.device) + 0.5).view(1, 1, -1)
        y = (torch.arange(height, device=output.device) + 0.5).view(1, -1, 1)
        left, top, right, bottom = self.distances(output).unbind(1)
        across, down = size[0] / width, size[1] / height
        found = [(x - left) * across, (y - top) * down, (x + right) * across, (y + bottom) * down]
        return torch.stack(found, 1), output[:, :1].float().sigmoid()

    def decode(
        self, boxes: Tensor, scores: Tensor, size: tuple[int, int], count: int, threshold: float
    ) -> tuple[Tensor, Tensor]:
        """The people of each image, best first.

        People are the cells whose score is the highest of their neighborhood of 3x3 cells. Of boxes with a larger overlap (IoU)
        than ``threshold`` the better one is kept.

        Args:
            boxes, scores: of :meth:`boxes`, or an average.
            size: (w, h) of the input, to which boxes are clipped.
            count: N; at most the number of cells.
            threshold: IoU.

        Returns:
            (B, N, 4) and (B, N); rows that are no people have score 0.
        """
        peak = scores == F.max_pool2d(scores, 3, 1, 1)
        cells = tuple(scores.shape[-2:])
        count = count if is_open(cells) else min(count, int(cells[0]) * int(cells[1]))
        scores, places = (scores * peak).flatten(1).topk(count, 1)
        boxes = boxes.flatten(2).transpose(1, 2).gather(1, places[..., None].expand(-1, -1, 4))
        width, height = size
        x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
        boxes = torch.stack([x, y], -1).flatten(2)
        return boxes, scores * suppress_boxes(boxes, threshold)


def box_overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU (..., N, M) of boxes (..., N, 4) and (..., M, 4)."""
    first, second = boxes[..., :, None, :], others[..., None, :, :]
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    areas = ((boxes[..., 2:] - boxes[..., :2]).prod(-1)[..., :, None]
             + (others[..., 2:] - others[..., :2]).prod(-1)[..., None, :])  # fmt: skip
    return shared / (areas - shared).clamp(min=1e-6)


def suppress_boxes(boxes: Tensor, threshold: float) -> Tensor:
    """Which boxes to keep of those (B, N, 4) that are sorted by score, as (B, N) float32 of 0 and 1.

    A box is dropped if a better one that is kept overlaps it by more than ``threshold`` (IoU). All boxes are treated at once,
    in rounds (Zheng et al., "Enhancing Geometric Factors", 2020): a round is right about one box more of each chain of boxes of
    which each overlaps the next. Chains of 9 and more may keep another choice than one box after the other gives.
    """
    over = (box_overlaps(boxes, boxes) > threshold).float().triu(1)
    kept = torch.ones_like(boxes[..., 0])
    for _ in range(_ROUNDS):
        kept = 1 - ((kept[..., None] * over).amax(1) > 0).float()
    return kept
