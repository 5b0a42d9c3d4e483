"""How far an export is from the eager model, on pictures.

The reference is the float32 model itself, by its own methods (``codec.decode``, ``task.finish``), never the exported graph. What
is decoded by a choice is measured by what the eager model says of that choice: near a tie a label or a keypoint may change, which
says nothing about the export.
"""

# One picture at a time: K channels, H W its size in pixels, h w of the network's output

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sapiens.models.layers.upsample import upsample

from .graph import TASKS, task_of
from .options import Tolerance

__all__ = ['Difference', 'Reference', 'compare', 'make_reference', 'prepare']

# Keypoints are compared where noise of the size of the mean tolerance moves them by at most half of this; then they must agree.
KEYPOINT_TOLERANCE = Tolerance(largest=1.0, mean=0.1)  # pixels of the crop
DRAWS = 4


@dataclass
class Reference:
    """What the eager model says of one picture of ``size`` (H, W): ``raw`` (1, K, h, w) float32, and decoded outputs by name."""

    raw: Tensor
    decoded: dict[str, Tensor]
    size: tuple[int, int]

    @property
    def range(self) -> float:
        """From the lowest to the highest raw value: what differences are shares of."""
        return max(float(self.raw.max() - self.raw.min()), 1e-30)


@dataclass(frozen=True)
class Difference:
    """Of one output over all pictures.

    Attributes:
        name: of the output.
        largest, mean: of the absolute differences, in ``unit``.
        limit: bounds in the same unit.
        unit: what the numbers are.
        compared: share of the values that was compared.
    """

    name: str
    largest: float
    mean: float
    limit: Tolerance
    unit: str
    compared: float = 1.0

    @property
    def passed(self) -> bool:
        # Not a number is within no bounds.
        return self.compared > 0 and self.largest <= self.limit.largest and self.mean <= self.limit.mean

    def __str__(self) -> str:
        verdict = 'ok' if self.passed else 'FAILED'
        note = '' if self.compared == 1 else f'; {self.compared:.0%} of them certain enough to compare'
        return (
            f'{self.name}: largest difference {self.largest:.2g}, mean {self.mean:.2g} ({self.unit}; allowed '
            f'{self.limit.largest:g} and {self.limit.mean:g}): {verdict}{note}'
        )


def prepare(model: nn.Module, pictures: Sequence[Tensor], preprocess: str | None) -> list[Tensor]:
    """Inputs (1, 3, H, W) of a graph from uint8 (3, H, W) RGB pictures; ``preprocess`` as in the options."""
    if preprocess == 'uint8':
        return [picture[None] for picture in pictures]
    if preprocess == 'float':
        return [picture[None].float() for picture in pictures]
    return [normalised(model, picture)[None] for picture in pictures]


def normalised(model: nn.Module, picture: Tensor) -> Tensor:
    """(3, H, W) float32 for the network. The picture is RGB whatever a config's pipeline loads."""
    normalizer = model.data_preprocessor
    return normalizer.normalize(picture.flip(-3) if normalizer.bgr_to_rgb else picture)


@torch.no_grad()
def make_reference(model: nn.Module, picture: Tensor, decode: bool = True) -> Reference:
    """Run the eager model on a uint8 (3, H, W) RGB picture."""
    task, inputs = task_of(model), normalised(model, picture)[None]
    size = tuple(inputs.shape[-2:])
    if task == 'features':
        return Reference(model.backbone.feature_map(inputs).float(), {}, size)
    raw = model(inputs).float()
    if task == 'pose':
        raw = model.loss_module.to_heatmaps(raw)
    return Reference(raw, decoded_by(model, raw, size) if decode else {}, size)


def decoded_by(model: nn.Module, raw: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
    """Decoded outputs (1, ...) of raw ones (1, K, h, w) by the model's own methods, for pictures of ``size`` (H, W)."""
    task = task_of(model)
    if task == 'pose':
        points, scores = model.codec.decode(raw, size[::-1])
        return dict(keypoints=points, scores=scores)
    (output,) = TASKS[task][True]
    value = model.task.finish(raw[0], size, model.test_cfg)[f'pred_{task}']
    return {output.name: value[None]}


def compare(
    model: nn.Module,
    references: Sequence[Reference],
    outputs: Sequence[dict[str, Tensor]],
    tolerance: Tolerance,
    decode: bool,
) -> list[Difference]:
    """Differences of each output, over all pictures.

    Args:
        model: the eager model; its decoding is used, not its weights.
        references: of the pictures.
        outputs: of the export for the same pictures, by name.
        tolerance: of values, as shares of the range of the reference.
        decode: whether the export's outputs are decoded.

    Raises:
        ValueError: an output of another shape.
    """
    task = task_of(model)
    judge = {'pose': _keypoints, 'sem_seg': _labels, 'depth': _depth, 'normal': _normals}[task] if decode else _raw
    rows = []
    for got, reference in zip(outputs, references, strict=True):
        for name, want in (reference.decoded if decode else {TASKS[task][False][0].name: reference.raw}).items():
            if got[name].shape != want.shape:
                raise ValueError(
                    f'{name} is {tuple(got[name].shape)} in the export, {tuple(want.shape)} in the eager model'
                )
        rows.append(judge(model, got, reference, tolerance))
    return [_merged(column) for column in zip(*rows, strict=True)]


# Of one picture each: (model, outputs of the export, reference, tolerance) -> a Difference for each output.


def _raw(model: nn.Module, got: dict, reference: Reference, tolerance: Tolerance) -> list[Difference]:
    name = TASKS[task_of(model)][False][0].name
    return [_values(name, got[name], reference.raw, reference, tolerance)]


def _depth(model: nn.Module, got: dict, reference: Reference, tolerance: Tolerance) -> list[Difference]:
    return [_values('depth', got['depth'], reference.decoded['depth'], reference, tolerance)]


def _normals(model: nn.Module, got: dict, reference: Reference, tolerance: Tolerance) -> list[Difference]:
    """The error of a direction is that of the vector over its length: so it is multiplied by the length before normalisation."""
    want = reference.decoded['normals']
    length = upsample(reference.raw, reference.size).norm(dim=1, keepdim=True)
    error = (got['normals'].float() - want).abs() * length / length.max().clamp(min=1e-30)
    unit = 'components, times the length before normalisation as a share of the longest'
    return [Difference('normals', *_summary(error), tolerance, unit)]


def _labels(model: nn.Module, got: dict, reference: Reference, tolerance: Tolerance) -> list[Difference]:
    """How much lower the eager model's score is for the export's label than for its own."""
    scores = upsample(reference.raw, reference.size)
    chosen = scores.gather(1, got['labels'].long()[:, None].clamp(0, scores.shape[1] - 1))[:, 0]
    error = (scores.amax(1) - chosen) / reference.range
    error = torch.where(got['labels'] < scores.shape[1], error, torch.inf)
    unit = "loss of the eager model's score, shares of the range of scores"
    return [Difference('labels', *_summary(error), tolerance, unit)]


def _keypoints(model: nn.Module, got: dict, reference: Reference, tolerance: Tolerance) -> list[Difference]:
    """In pixels, where the eager model's point does not hang on noise."""
    want, raw = reference.decoded, reference.raw
    generator = torch.Generator().manual_seed(0)
    moved = torch.zeros_like(want['scores'])
    for _ in range(DRAWS):
        noise = (2 * torch.rand(raw.shape, generator=generator) - 1).to(raw.device) * tolerance.mean * reference.range
        points = model.codec.decode(raw + noise, reference.size[::-1])[0]
        moved = moved.maximum((points - want['keypoints']).norm(dim=-1))
    certain = (moved <= KEYPOINT_TOLERANCE.largest / 2) | ~got['keypoints'].isfinite().all(-1)
    error = (got['keypoints'] - want['keypoints']).norm(dim=-1)[certain]
    share = float(certain.float().mean())
    # Scores are the ends of the range, where errors are the largest: their mean is no mean over values.
    limit = Tolerance(tolerance.largest, tolerance.largest)
    scores = _values('scores', got['scores'][certain], want['scores'][certain], reference, limit)
    return [
        Difference('keypoints', *_summary(error), KEYPOINT_TOLERANCE, 'pixels of the crop', share),
        replace(scores, compared=share),
    ]


def _values(name: str, got: Tensor, want: Tensor, reference: Reference, tolerance: Tolerance) -> Difference:
    error = (got.float() - want).abs() / reference.range
    return Difference(name, *_summary(error), tolerance, 'shares of the range of values')


def _summary(error: Tensor) -> tuple[float, float]:
    return (float(error.max()), float(error.mean())) if error.numel() else (0.0, 0.0)


def _merged(rows: Sequence[Difference]) -> Difference:
    """Of several pictures: the largest of all, and the mean over all values that were compared."""
    total = math.fsum(row.compared for row in rows)
    mean = math.fsum(row.mean * row.compared for row in rows) / total if total else 0.0
    # max() of Python would pass over what is not a number.
    largest = float(torch.tensor([row.largest for row in rows]).max())
    return replace(rows[0], largest=largest, mean=mean, compared=total / len(rows))
