"""Difference between an export and the eager model, on images.

The reference is the float32 model itself, by its own methods (``codec.decode``, ``task.finish``), never the exported graph.
Labels and keypoints are judged by the scores of the eager model: near a tie they may change, which is not at fault of the export.
"""

# One image at a time: K channels, H W its size in pixels, h w of the network's output

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from sapiens.models import MAE, BoxEstimator, DenseEstimator, PoseEstimator
from sapiens.models.layers.upsample import upsample
from sapiens.tasks import members_of

from .graph import ExportGraph, as_float
from .near_ties import find_near_ties
from .options import TOLERANCES, Tolerance
from .outputs import field_names, outputs_of

__all__ = ['Difference', 'Reference', 'compare', 'make_reference', 'measure_heatmaps', 'name_raw', 'prepare']

# Keypoints are compared where noise of the size of the mean tolerance moves them by at most half of this; then they must agree.
KEYPOINT_TOLERANCE = Tolerance(largest=1.0, mean=0.1)  # pixels of the crop
DRAWS = 4
UNIT = 'fractions of the range of values'


@dataclass
class Reference:
    """Outputs of the eager model for one image.

    Attributes:
        raw: float32 output of the network: (1, K, h, w), or a dict of maps and scalars.
        decoded: decoded outputs (1, ...) by name.
        size: (H, W) of the image.
        tasks: the reference of each task of a model of several, by name; then the rest is empty.
        heatmap_difference: (1, K) largest difference of each heatmap in the precision of the export, where it was measured.
    """

    raw: Tensor | dict[str, Tensor]
    decoded: dict[str, Tensor]
    size: tuple[int, int]
    tasks: dict[str, 'Reference'] = field(default_factory=dict)
    heatmap_difference: Tensor | None = None


@dataclass(frozen=True)
class Difference:
    """Of one output over all images.

    Attributes:
        name: of the output.
        largest, mean: of the absolute differences, in ``unit``.
        limit: bounds, in the same unit.
        unit: of the numbers.
        compared: fraction of the values that was compared.
        near_ties: keypoints that were not compared because another cell of the heatmap is as high within the measured
            difference of the heatmaps.
    """

    name: str
    largest: float
    mean: float
    limit: Tolerance
    unit: str
    compared: float = 1.0
    near_ties: int = 0

    @property
    def passed(self) -> bool:
        # Not a number is within no bounds.
        return self.compared > 0 and self.largest <= self.limit.largest and self.mean <= self.limit.mean

    def __str__(self) -> str:
        verdict = 'ok' if self.passed else 'FAILED'
        note = '' if self.compared == 1 else f'; {self.compared:.0%} of them certain enough to compare'
        if self.near_ties:
            note += f', {self.near_ties} left out as near ties within the difference of the heatmaps'
        return (
            f'{self.name}: largest difference {self.largest:.2g}, mean {self.mean:.2g} ({self.unit}; allowed '
            f'{self.limit.largest:g} and {self.limit.mean:g}): {verdict}{note}'
        )


def prepare(model: nn.Module, images: Sequence[Tensor], preprocess: str | None) -> list[Tensor]:
    """Inputs (1, 3, H, W) of a graph from uint8 (3, H, W) RGB images; ``preprocess`` as in the options."""
    if preprocess is None:
        return [_normalize(model, image)[None] for image in images]
    return [image[None].float() if preprocess == 'float' else image[None] for image in images]


def _normalize(model: nn.Module, image: Tensor) -> Tensor:
    """(3, H, W) float32 for the network. The image is RGB for every pipeline of a config."""
    normalizer = model.data_preprocessor
    return normalizer.normalize(image.flip(-3) if normalizer.bgr_to_rgb else image)


@torch.no_grad()
def make_reference(model: nn.Module, image: Tensor, decode: bool = True) -> Reference:
    """Run the eager model on a uint8 (3, H, W) RGB image."""
    inputs = _normalize(model, image)[None]
    size = tuple(inputs.shape[-2:])
    if isinstance(model, MAE):
        return Reference(model.backbone.feature_map(inputs).float(), {}, size)
    output = model(inputs)
    if members := members_of(model):
        parts = {name: _reference(part, output[name], size, decode) for name, part in members.items()}
        return Reference({}, {}, size, parts)
    return _reference(model, output, size, decode)


def _reference(model: nn.Module, output: Tensor | dict[str, Tensor], size: tuple[int, int], decode: bool) -> Reference:
    """From the output of a head."""
    is_pose = isinstance(model, PoseEstimator)
    raw = model.loss_module.to_heatmaps(output.float()) if is_pose else as_float(output)
    return Reference(raw, _decode(model, raw, size) if decode else {}, size)


def _decode(model: nn.Module, raw: Tensor | dict[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
    """Decoded outputs (1, ...) of raw ones by the model's own methods, for images of ``size`` (H, W)."""
    if isinstance(model, PoseEstimator):
        points, scores = model.codec.decode(raw, size[::-1])
        return dict(keypoints=points, scores=scores)
    if isinstance(model, BoxEstimator):
        return dict(zip(('boxes', 'scores'), model.decode(raw, size[::-1]), strict=True))
    one = {name: value[0] for name, value in raw.items()} if isinstance(raw, dict) else raw[0]
    fields = model.task.finish(one, size, model.test_cfg)
    return {name: fields[f'pred_{key}'][None] for name, key in field_names(model, decode=True).items()}


def measure_heatmaps(graph: ExportGraph, references: Sequence[Reference], inputs: Sequence[Tensor]) -> None:
    """Set ``heatmap_difference`` of the references from the network of the graph, in its precision, for the same images."""
    for reference, one in zip(references, inputs, strict=True):
        for head, heatmaps in graph.heatmaps(one).items():
            own = reference if head is None else reference.tasks[head]
            own.heatmap_difference = (heatmaps - own.raw).abs().amax((-1, -2))


def compare(
    model: nn.Module,
    references: Sequence[Reference],
    outputs: Sequence[dict[str, Tensor]],
    tolerance: Tolerance,
    decode: bool,
) -> list[Difference]:
    """Differences of each output, over all images.

    Args:
        model: the eager model; its decoding is used, not its weights.
        references: of the images.
        outputs: of the export for the same images, by name.
        tolerance: of values, as fractions of the range of the reference.
        decode: whether the export's outputs are decoded.

    Raises:
        ValueError: an output of another shape.
    """
    if members := members_of(model):
        found = []
        for task, part in members.items():
            own = [_below(task, got) for got in outputs]
            differences = compare(part, [reference.tasks[task] for reference in references], own, tolerance, decode)
            found += [replace(one, name=f'{task}.{one.name}') for one in differences]
        return found
    rows = []
    for got, reference in zip(outputs, references, strict=True):
        wanted = reference.decoded if decode else name_raw(model, reference)
        for name, want in wanted.items():
            if got[name].shape != want.shape:
                raise ValueError(
                    f'{name} is {tuple(got[name].shape)} in the export, {tuple(want.shape)} in the eager model'
                )
        if not decode:
            rows.append([_values(name, got[name], want, _range(want), tolerance) for name, want in wanted.items()])
        elif isinstance(model, PoseEstimator):
            rows.append(_keypoints(model, got, reference, tolerance))
        elif isinstance(model, BoxEstimator):
            rows.append(_boxes(model, got, reference, tolerance))
        else:
            rows.append(_fields(model, got, reference, tolerance))
    return [_merge(column) for column in zip(*rows, strict=True)]


def _below(task: str, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Outputs of one of several tasks, under the names that they have alone."""
    return {name.removeprefix(f'{task}.'): value for name, value in outputs.items() if name.startswith(f'{task}.')}


def name_raw(model: nn.Module, reference: Reference) -> dict[str, Tensor]:
    """Raw outputs under the names of the graph."""
    if members := members_of(model):
        return {
            f'{task}.{name}': value
            for task, part in members.items()
            for name, value in name_raw(part, reference.tasks[task]).items()
        }
    raw = reference.raw
    if not isinstance(raw, dict):
        return {outputs_of(model, decode=False)[0].name: raw}
    return {name: raw[key] for name, key in field_names(model, decode=False).items()}


# Each judges one image: (model, outputs of the export, reference, tolerance) -> a Difference for each output.


def _fields(model: DenseEstimator, got: dict, reference: Reference, tolerance: Tolerance) -> list[Difference]:
    """By the kind of each field: labels by their scores, unit vectors by their lengths, others by their values. Below float32,
    values that are cut to a range (albedo) count as fractions of their range before, as without decoding."""
    kinds = {field.name: field.kind for field in model.task.spec.fields}
    raw, rows = model.task.named(reference.raw), []
    for name, key in field_names(model, decode=True).items():
        value, want = got[name], reference.decoded[name]
        scores = raw.get(key)
        if kinds.get(key) == 'labels' and scores is not None and scores.shape[1] > 1:
            rows.append(_labels(name, value, upsample(scores, reference.size), _range(scores), tolerance))
        elif kinds.get(key) == 'unit_vectors' and scores is not None and scores.shape[1] == want.shape[1]:
            rows.append(_unit_vectors(name, value, want, upsample(scores, reference.size), tolerance))
        elif (
            scores is not None
            and scores.shape[1:2] == want.shape[1:2]
            and want.ndim == 4
            and tolerance != TOLERANCES['fp32']
        ):
            rows.append(_cut_values(name, value, want, upsample(scores, reference.size), tolerance))
        else:
            rows.append(_values(name, value, want, _range(want), tolerance))
    return rows


def _unit_vectors(name: str, got: Tensor, want: Tensor, vectors: Tensor, tolerance: Tolerance) -> Difference:
    """The error of a direction is that of the vector over its length: it is multiplied by the length before normalization."""
    length = vectors.norm(dim=1, keepdim=True)
    error = (got.float() - want).abs() * length / length.max().clamp(min=1e-30)
    unit = 'components, times the length before normalization as a fraction of the longest'
    return Difference(name, *_summarize(error), tolerance, unit)


def _cut_values(name: str, got: Tensor, want: Tensor, whole: Tensor, tolerance: Tolerance) -> Difference:
    """Of values that may be those of ``whole``, cut to a range."""
    is_cut = torch.equal(whole.clamp(float(want.min()), float(want.max())), want) and not torch.equal(whole, want)
    row = _values(name, got, want, _range(whole if is_cut else want), tolerance)
    return replace(row, unit=f'{UNIT} before they are cut') if is_cut else row


def _labels(name: str, got: Tensor, scores: Tensor, extent: float, tolerance: Tolerance) -> Difference:
    """How much lower the eager model's score is for the export's label than for its own."""
    chosen = scores.gather(1, got.long()[:, None].clamp(0, scores.shape[1] - 1))[:, 0]
    error = torch.where(got < scores.shape[1], (scores.amax(1) - chosen) / extent, torch.inf)
    unit = "loss of the eager model's score, fractions of the range of scores"
    return Difference(name, *_summarize(error), tolerance, unit)


def _keypoints(model: nn.Module, got: dict, reference: Reference, tolerance: Tolerance) -> list[Difference]:
    """In pixels, where noise hardly moves the point of the eager model and no other cell may be the highest one."""
    want, raw = reference.decoded, reference.raw
    generator = torch.Generator().manual_seed(0)
    moved = torch.zeros_like(want['scores'])
    for _ in range(DRAWS):
        noise = (2 * torch.rand(raw.shape, generator=generator) - 1).to(raw.device) * tolerance.mean * _range(raw)
        points = model.codec.decode(raw + noise, reference.size[::-1])[0]
        moved = moved.maximum((points - want['keypoints']).norm(dim=-1))
    certain = (moved <= KEYPOINT_TOLERANCE.largest / 2) | ~got['keypoints'].isfinite().all(-1)
    unique = torch.ones_like(certain)
    if reference.heatmap_difference is not None:
        difference = reference.heatmap_difference.clamp(max=tolerance.largest * _range(raw))  # more is a fault
        tied = find_near_ties(model.codec, raw, difference, reference.size[::-1], KEYPOINT_TOLERANCE.largest / 2)
        unique = ~tied | ~got['keypoints'].isfinite().all(-1)
    error = (got['keypoints'] - want['keypoints']).norm(dim=-1)[certain & unique]
    fraction = float(certain.float().mean())
    # Scores are the highest values, where errors are the largest: their mean is not a mean over values.
    limit = Tolerance(tolerance.largest, tolerance.largest)
    scores = _values('scores', got['scores'][certain], want['scores'][certain], _range(raw), limit)
    compared, ties = float((certain & unique).float().mean()), int((certain & ~unique).sum())
    return [
        Difference('keypoints', *_summarize(error), KEYPOINT_TOLERANCE, 'pixels of the crop', compared, ties),
        replace(scores, compared=fraction),
    ]


def _boxes(model: BoxEstimator, got: dict, reference: Reference, tolerance: Tolerance) -> list[Difference]:
    """Each box of the export against those of the eager model's cells, of which it must be one with such a score.

    Which of two cells with nearly equal scores is a person may change, so rows are not compared with each other.
    """
    size = reference.size[::-1]
    boxes, scores = (value[0].flatten(1) for value in model.codec.boxes(reference.raw, size))
    limits = torch.tensor(size, dtype=torch.float32, device=boxes.device).repeat(2)[:, None]
    boxes = boxes.clamp(min=0).minimum(limits)
    real = got['scores'][0] > 0
    apart = (got['boxes'][0].T[:, real, None] - boxes[:, None]).abs().amax(0) / max(size)  # (found, cells)
    unlike = (got['scores'][0][real, None] - scores).abs()
    error = torch.maximum(apart, unlike).amin(1)
    limit = Tolerance(tolerance.largest, tolerance.largest)
    unit = 'fractions of the side of the input, and of 1 of scores'
    kept = float(real.float().mean()) if len(error) else 1.0
    lists = [values['scores'].sort(descending=True).values for values in (got, reference.decoded)]
    return [
        Difference('boxes', *_summarize(error), limit, unit, kept),
        Difference('scores', *_summarize((lists[0] - lists[1]).abs()), limit, 'of sorted lists, fractions of 1'),
    ]


def _values(name: str, got: Tensor, want: Tensor, extent: float, tolerance: Tolerance) -> Difference:
    if want.numel() == 1 and tolerance != TOLERANCES['fp32']:
        # A number of the whole image, such as a scale, is no mean over values. Float32 keeps within the bound of means.
        tolerance = Tolerance(tolerance.largest, tolerance.largest)
    return Difference(name, *_summarize((got.float() - want.float()).abs() / extent), tolerance, UNIT)


def _range(values: Tensor) -> float:
    """From the lowest to the highest value; the size of a single value. Differences are fractions of it."""
    extent = values.float().abs() if values.numel() == 1 else values.float().max() - values.float().min()
    return max(float(extent), 1e-30)


def _summarize(error: Tensor) -> tuple[float, float]:
    return (float(error.max()), float(error.mean())) if error.numel() else (0.0, 0.0)


def _merge(rows: Sequence[Difference]) -> Difference:
    """Of several images: the largest of all, and the mean over all values that were compared."""
    total = math.fsum(row.compared for row in rows)
    mean = math.fsum(row.mean * row.compared for row in rows) / total if total else 0.0
    # max() of Python would ignore what is not a number.
    largest = float(torch.tensor([row.largest for row in rows]).max())
    ties = sum(row.near_ties for row in rows)
    return replace(rows[0], largest=largest, mean=mean, compared=total / len(rows), near_ties=ties)
