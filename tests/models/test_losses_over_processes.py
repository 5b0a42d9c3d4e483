"""Losses with ``reduce='global'``: several processes equal one with the whole batch."""

import math

import pytest
import torch
import torch.distributed as dist

from sapiens import models
from sapiens.models.losses.base import DenseLoss

from ..ranks import on_ranks

SIZE = (12, 10)
OPTIONS = dict(
    SegCrossEntropyLoss=dict(average='weights', class_weight=[0.5, 2.0, 1.0]), AlbedoLowFrequencyLoss=dict(downscale=4)
)


def all_losses():
    """Every loss that divides by valid values."""
    classes = {name: getattr(models, name) for name in models.__all__}
    dense = {name: kind for name, kind in classes.items() if isinstance(kind, type) and issubclass(kind, DenseLoss)}
    found = [(name, {}) for name, kind in dense.items() if kind.divides_by_valid]
    clamped = [('PointmapL1Loss', dict(clamp=0.05)), ('PointmapL1Loss', dict(clamp=None))]
    return [(name, OPTIONS.get(name, {}) | options) for name, options in found + clamped]


def batch():
    """Four images; those of the second half have few valid pixels, the last has none."""
    generator = torch.Generator().manual_seed(0)
    valid = torch.rand(4, *SIZE, generator=generator) < 0.8
    valid[2, 3:] = False
    valid[3] = False

    def numbers(channels):
        return torch.rand(4, channels, *SIZE, generator=generator)

    sides = {
        name: [numbers(channels) for _ in range(2)]
        for name, channels in dict(depth=1, normal=3, albedo=3, seg=3).items()
    }
    sides['seg'][1] = torch.randint(0, 3, (4, *SIZE), generator=generator)
    camera = torch.tensor([[20.0, 0, 5], [0, 20, 6], [0, 0, 1]]).expand(4, 3, 3)
    points = [dict(pointmap=numbers(3) + 0.5, scale=torch.rand(4, generator=generator) + 0.5) for _ in range(2)]
    points[1].update(mean_depth=torch.tensor([1.0, 1.2, 0.8, 1.0]), intrinsics=camera)
    heat = (torch.rand(4, 1, *SIZE, generator=generator) * (valid[:, None] & (numbers(1) < 0.5))).masked_fill(
        numbers(1) > 0.9, 1
    )
    centers = [torch.randn(4, 1, *SIZE, generator=generator), heat]
    boxes = [numbers(4) + 0.1, numbers(4) + 0.1]
    return sides | dict(pointmap=points, center=centers, box=boxes), valid


def loss_and_gradients(name, options, rows, reduce):
    """The loss of some rows of the batch, and the gradients of the output."""
    sides, valid = batch()
    kind = {
        'Seg': 'seg',
        'Norm': 'normal',
        'Albe': 'albedo',
        'Poin': 'pointmap',
        'Cent': 'center',
        'BoxG': 'box',
        'BoxL': 'box',
    }.get(name[:4].removesuffix('C'), 'depth')
    output, target = sides[kind]
    output, target = ({key: value[rows] for key, value in side.items()} if isinstance(side, dict) else side[rows]
                      for side in (output, target))  # fmt: skip
    leaves = list(output.values()) if isinstance(output, dict) else [output]
    for leaf in leaves:
        leaf.requires_grad_()
    loss = getattr(models, name)(reduce=reduce, **options)(output, target, valid[rows])
    loss.backward()
    return loss.detach(), [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]


def shares():
    """What each process computes, as a mean over the processes."""
    rank, world = dist.get_rank(), dist.get_world_size()
    rows = slice(rank * 4 // world, (rank + 1) * 4 // world)
    found = []
    for name, options in all_losses():
        per_reduction = {}
        for reduce in ('global', 'process'):
            loss, gradients = loss_and_gradients(name, options, rows, reduce)
            per_reduction[reduce] = loss / world, [gradient / world for gradient in gradients]
        found.append(per_reduction)
    return found


@pytest.mark.parametrize('world', [2, 4])
def test_several_processes_equal_one(tmp_path, world):
    ranks = on_ranks(world, shares, tmp_path)
    differs = set()
    for index, (name, options) in enumerate(all_losses()):
        whole, gradients = loss_and_gradients(name, options, slice(0, 4), 'process')
        parts = [rank[index]['global'] for rank in ranks]
        torch.testing.assert_close(
            sum(loss for loss, _ in parts), whole, msg=lambda text, name=name: f'{name}: {text}'
        )
        for place, gradient in enumerate(gradients):
            found = torch.cat([rank[place] for _, rank in parts])
            torch.testing.assert_close(found, gradient, msg=lambda text, name=name: f'{name}: {text}')
        if not math.isclose(sum(rank[index]['process'][0] for rank in ranks), whole, rel_tol=1e-4):
            differs.add(name)
    # Means of means are another loss; a value at the limit of both is not.
    assert differs == {name for name, _ in all_losses()}


def losses_of_an_evaluation():
    """The first process has two samples, the second one."""
    (output, target), valid = (part[:2] for part in batch()[0]['normal']), batch()[1][:2]
    loss = models.NormalL1Loss(reduce='global')
    with torch.no_grad():
        return [
            float(loss(output[i : i + 1], target[i : i + 1], valid[i : i + 1])) for i in range(2 - dist.get_rank())
        ]


def test_evaluations_may_have_different_numbers_of_samples(tmp_path):
    first, second = on_ranks(2, losses_of_an_evaluation, tmp_path, seconds=20)
    (output, target), valid = (part[:2] for part in batch()[0]['normal']), batch()[1][:2]
    loss = models.NormalL1Loss()
    expected = [float(loss(output[i : i + 1], target[i : i + 1], valid[i : i + 1])) for i in range(2)]
    assert first == expected and second == expected[:1]


def test_one_process_needs_no_group():
    for name, options in all_losses():
        assert (
            loss_and_gradients(name, options, slice(0, 4), 'global')[0]
            == loss_and_gradients(name, options, slice(0, 4), 'process')[0]
        )


def test_a_value_that_is_not_finite_stays():
    sides, valid = batch()
    output, target = sides['pointmap']
    output['pointmap'][0] = torch.nan
    assert models.PointmapL1Loss(reduce='global')(output, target, valid).isnan()


@pytest.mark.parametrize(
    ('name', 'options'),
    [('SegDiceLoss', {}), ('SegCrossEntropyLoss', dict(average='pixels')), ('MattingL1Loss', {})],
)
def test_losses_without_such_a_mean_refuse_it(name, options):
    with pytest.raises(ValueError, match=f"reduce='global' has no effect in {name}"):
        getattr(models, name)(reduce='global', **options)
    with pytest.raises(ValueError, match="reduce='all' is not one of"):
        getattr(models, name)(reduce='all', **options)
