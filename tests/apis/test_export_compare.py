"""Comparison of exports: detected faults and accepted ties."""

from itertools import pairwise

import pytest
import torch

from sapiens.apis import build_model
from sapiens.apis.export.compare import Difference, Reference, compare, make_reference
from sapiens.apis.export.images import load_images
from sapiens.apis.export.options import TOLERANCES, Tolerance

from .export_models import SIZE, checkpoint, config

FP32 = TOLERANCES['fp32']


@pytest.fixture(scope='module', params=['pose', 'sem_seg', 'depth', 'normal'])
def case(request, tmp_path_factory):
    """Model, reference, and the outputs of a perfect export."""
    task = request.param
    model = build_model(config(task), checkpoint(task, tmp_path_factory.mktemp('w')), 'cpu')
    (picture,) = load_images([], SIZE)
    reference = make_reference(model, picture)
    return task, model, reference


def judged(case, outputs, tolerance=FP32, repeats=1):
    _, model, reference = case
    return compare(model, [reference] * repeats, outputs if repeats > 1 else [outputs], tolerance, decode=True)


def test_equal_outputs_pass(case):
    rows = judged(case, case[2].decoded)
    assert all(row.passed and row.largest == 0 for row in rows)


def wrong(task, name, value):
    """A small fault in each kind of output."""
    if task == 'pose':
        return value + (1.5 if name == 'keypoints' else 0)
    if task == 'sem_seg':
        return (value + 1) % 4  # the class list, shifted by one
    if task == 'depth':
        return value * 1.01
    return value * torch.tensor([1.0, -1, 1]).view(1, 3, 1, 1)  # y up instead of down


def test_faults_are_seen(case):
    task, _, reference = case
    rows = judged(case, {name: wrong(task, name, value) for name, value in reference.decoded.items()})
    assert not rows[0].passed and 'FAILED' in str(rows[0])


def test_a_fault_in_one_of_several_images_is_detected(case):
    task, _, reference = case
    fault = {name: wrong(task, name, value) for name, value in reference.decoded.items()}
    first = judged(case, [fault, reference.decoded], repeats=2)[0]
    last = judged(case, [reference.decoded, fault], repeats=2)[0]
    assert not first.passed and not last.passed
    assert first.largest == last.largest and first.mean == pytest.approx(judged(case, fault)[0].mean / 2)


@pytest.mark.parametrize('case', ['pose', 'depth', 'normal'], indirect=True)  # labels are whole numbers
def test_nan_fails(case):
    _, _, reference = case
    outputs = {name: value.clone() for name, value in reference.decoded.items()}
    for value in outputs.values():
        value[(0,) * value.ndim] = float('nan')
    good = dict(reference.decoded)
    for given in ([outputs, good], [good, outputs]):
        rows = judged(case, given, repeats=2)
        assert not all(row.passed for row in rows)


def test_another_shape_is_an_error(case):
    _, _, reference = case
    outputs = {name: value[..., :-1] for name, value in reference.decoded.items()}
    with pytest.raises(ValueError, match='in the export'):
        judged(case, outputs)


def test_a_label_that_does_not_exist_fails(case):
    task, _, reference = case
    if task == 'sem_seg':
        labels = reference.decoded['labels'].clone()
        labels[0, 0, 0] = 200
        assert not judged(case, dict(labels=labels), Tolerance(1.0, 1.0))[0].passed


def test_a_tie_is_forgiven(case):
    """Ties: the other of two equal classes, the other of two equal peaks."""
    task, model, reference = case
    raw = reference.raw.clone()
    if task == 'sem_seg':
        raw[:, 2] = raw.amax(1)  # class 2 is as good as the best everywhere
        labels = torch.full_like(reference.decoded['labels'], 2)
        reference = type(reference)(raw, dict(labels=labels * 0 + 1), reference.size)
        raw[:, 1] = raw[:, 2]
        assert judged((task, model, reference), dict(labels=labels))[0].passed
    elif task == 'pose':
        raw = torch.zeros(1, 5, 16, 12)
        raw[:, :, 4, 3] = raw[:, :, 12, 9] = 1.0  # two peaks
        raw[:, 4, 12, 9] = 0.2  # one point is certain
        points, scores = model.codec.decode(raw, SIZE[::-1])
        reference = type(reference)(raw, dict(keypoints=points, scores=scores), SIZE)
        other = points.clone()
        other[:, :4] += 30.0
        rows = judged((task, model, reference), dict(keypoints=other, scores=scores))
        assert rows[0].passed and rows[0].compared == pytest.approx(0.2)
        other[:, 4] += 2.0
        assert not judged((task, model, reference), dict(keypoints=other, scores=scores))[0].passed


@pytest.mark.parametrize('case', ['pose'], indirect=True)
def test_keypoints_that_noise_moves_by_more_than_half_a_pixel_are_not_compared(case):
    """Five peaks of one form, the last ones so faint that noise within the tolerance moves them."""
    _, model, _ = case
    points = torch.tensor([[[20.3, 30.6]] * 5])
    heights = torch.tensor([1, 0.6, 0.3, 0.05, 0.05])
    raw = model.codec.encode(points, torch.ones(1, 5), SIZE[::-1], (12, 16))[0] * heights[:, None, None]
    want, scores = model.codec.decode(raw, SIZE[::-1])
    noise = 2 * torch.rand(100, *raw.shape[1:], generator=torch.Generator().manual_seed(1)) - 1
    moved = (model.codec.decode(raw + 0.01 * noise, SIZE[::-1])[0] - want).norm(dim=-1).amax(0)
    assert moved[:3].max() < 0.4 and moved[3:].min() > 1 and moved.max() < 1.5
    reference = Reference(raw, dict(keypoints=want, scores=scores), SIZE)
    rows = judged((None, model, reference), reference.decoded, Tolerance(largest=0.1, mean=0.01))
    assert [row.compared for row in rows] == pytest.approx([0.6, 0.6])


def lower_precision(task, tmp_path, **outputs):
    """Model of several outputs, and its reference for a photograph with other raw outputs."""
    model = build_model(config(task), checkpoint(task, tmp_path), 'cpu')
    (picture,) = load_images([], SIZE)
    raw = make_reference(model, picture).raw
    raw = {**raw, **outputs} if isinstance(raw, dict) else outputs['albedo']
    one = {name: value[0] for name, value in raw.items()} if isinstance(raw, dict) else raw[0]
    fields = model.task.finish(one, SIZE, model.test_cfg)
    return model, Reference(raw, {name.removeprefix('pred_'): value[None] for name, value in fields.items()}, SIZE)


def test_values_that_are_cut_have_the_bounds_of_those_before(tmp_path):
    """Albedo of random weights leaves [0, 1] far, and errors of low precision grow with it."""
    values = torch.linspace(-2, 3, 64 * 48).view(1, 1, 64, 48).repeat(1, 3, 1, 1)
    for albedo, extent, unit in ((values, 5.0, ' before they are cut'), (values / 10 + 0.4, 0.5, '')):
        model, reference = lower_precision('albedo2', tmp_path, albedo=albedo)
        for factor, passes in ((0.99, True), (1.01, False)):
            wrong = dict(albedo=reference.decoded['albedo'].clone())
            wrong['albedo'][0, 0, 0, 0] += factor * 0.1 * extent
            (row,) = judged((None, model, reference), wrong, TOLERANCES['bf16'])
            assert row.passed == passes and row.largest == pytest.approx(factor * 0.1)
            assert row.unit == 'fractions of the range of values' + unit


def test_a_scale_is_a_single_value(tmp_path):
    """The bound of means is for many values, but float32 keeps it."""
    model, reference = lower_precision('pointmap2', tmp_path, scale=torch.tensor([0.5]))
    for name, change, passes in (
        ('bf16', 0.09, True),
        ('bf16', 0.11, False),
        ('fp32', 9e-6, True),
        ('fp32', 2e-5, False),
    ):
        got = dict(reference.decoded, scale=reference.decoded['scale'] * (1 + change))
        points, scale = judged((None, model, reference), got, TOLERANCES[name])
        assert points.passed and scale.passed == passes, name


def test_nothing_certain_is_no_proof():
    assert not Difference('keypoints', 0.0, 0.0, Tolerance(1, 1), 'pixels', compared=0.0).passed


def test_bounds_are_inclusive():
    assert Difference('depth', 0.5, 0.25, Tolerance(0.5, 0.25), 'shares').passed
    assert not Difference('depth', 0.51, 0.25, Tolerance(0.5, 0.25), 'shares').passed
    assert not Difference('depth', 0.5, 0.26, Tolerance(0.5, 0.25), 'shares').passed


def test_lower_precision_is_allowed_more():
    order = [TOLERANCES[name] for name in ('fp32', 'fp16', 'bf16', 'int8')]
    assert all(a.largest < b.largest and a.mean < b.mean for a, b in pairwise(order))
