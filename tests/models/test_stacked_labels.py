"""Losses from the stacked labels of a batch: equal to those from the samples, and without a wait of the host."""

import math

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils._python_dispatch import TorchDispatchMode

from sapiens.datasets import stack_collate
from sapiens.datasets.transforms import PackDense
from sapiens.frames import to_published
from sapiens.models import ImageNormalizer, NormalTask
from sapiens.models.estimators.pixel_grid import PixelGrid
from sapiens.structures import DenseDataSample
from sapiens.utils.batch_labels import stack_labels

from . import multi_task
from . import test_dense_estimator as dense
from . import test_sapiens2_tasks as sapiens2
from .host_waits import host_waits

SIZE = dense.SIZE
LOSSES = dict(
    seg=[dict(type='SegCrossEntropyLoss', class_weight='classes'), dict(type='SegDiceLoss')],
    depth=[
        *(dict(type=f'{kind}Loss') for kind in ('SiLog', 'ScaleShiftInvariant', 'AlignedDepth', 'DepthGradient')),
        *(dict(type='SiLogLoss', published=True, name='published'), dict(type='DepthGradientLoss', invariant=True, name='x')),
    ],
    normal=[dict(type=f'Normal{kind}Loss') for kind in ('Cosine', 'L1', 'Gradient')],
)  # fmt: skip
TASKS = [*LOSSES, *sapiens2.HEADS]


def build(task, **options):
    if task in LOSSES:
        return dense.tiny(task, losses=LOSSES[task], **options)
    return sapiens2.model(task, **options)


def samples(task, **options):
    if task in LOSSES:
        return dense.batch(task)[1]
    return [sapiens2.sample(task, seed=seed, **options) for seed in range(2)]


def images():
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(5))


def gradients(model, *batch, **options):
    """Values and gradients of a step, with the random numbers of a fixed seed."""
    torch.manual_seed(0)
    found = model.train()(*batch, mode='loss', **options)
    sum(value for name, value in found.items() if 'loss' in name).backward()
    return [*found.values(), *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)]


# ---------------------------------------------------------------------- equal to those of the samples


@pytest.mark.parametrize('task', TASKS)
def test_targets_equal_those_of_the_samples(task):
    described, given = build(task).task, samples(task)
    stacked = stack_labels(given, SIZE)
    # Without any stacked label, each sample is read by itself.
    ways = [described.read(given, SIZE, 'cpu', labels) for labels in (stacked, {}, None)]
    for name, (target, valid) in ways[0].items():
        for other in ways[1:]:
            assert torch.equal(target, other[name][0]) and target.dtype == other[name][0].dtype
            assert torch.equal(valid, other[name][1]) and valid.dtype == torch.bool
    for grid in (None, PixelGrid(SIZE, 3, torch.tensor([[1, 2]] * len(given)))):
        whole = [described.whole_targets(ways[0], given, SIZE, grid, labels) for labels in (stacked, {}, None)]
        assert all(torch.equal(whole[0][name], other[name]) for other in whole[1:] for name in whole[0])
    if task == 'pointmap':
        assert torch.equal(whole[0]['scale'], torch.full((2,), 48 / 90))
        expected = [[30, 0, 6], [0, 30, 29 / 3], [0, 0, 1]]
        torch.testing.assert_close(whole[0]['intrinsics'], torch.tensor([expected] * 2), rtol=1e-6, atol=0)
        camera = described.context(given, ['intrinsics'], 'cpu', stacked)['intrinsics']
        assert torch.equal(camera, described.context(given, ['intrinsics'], 'cpu')['intrinsics'])


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('task', TASKS)
def test_losses_and_gradients_equal_those_of_the_samples(task, stride):
    given, found = samples(task), []
    for labels in (stack_labels(given, SIZE), {}, None):
        found.append(gradients(build(task, loss_stride=stride), images(), given, labels=labels))
    assert len(found[0]) > 20
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.parametrize('task', multi_task.TASKS)
def test_a_model_of_several_tasks_passes_labels_on(task):
    given = multi_task.samples(task)
    stacked = stack_labels(given, SIZE)
    with_labels, without = (
        gradients(multi_task.build(), multi_task.images(), given, labels=labels) for labels in (stacked, None)
    )
    assert all(torch.equal(one, two) for one, two in zip(with_labels, without, strict=True))
    # They are read: other labels give other losses.
    name = dict(pose='keypoints', seg='gt_sem_seg', normal='gt_normal')[task]
    changed = gradients(
        multi_task.build(), multi_task.images(), given, labels={**stacked, name: stacked[name].flip(1)}
    )
    assert not torch.equal(with_labels[0], changed[0])


def test_wrong_labels_name_the_sample():
    given = samples('seg')
    given[1].gt_sem_seg[3, 4], given[1].valid_mask[3, 4] = 7, True
    given[1].set_metainfo(dict(img_path='second.png'))
    with pytest.raises(ValueError, match=r'second.png has the label 7, but'):
        build('seg')(images(), given, mode='loss', labels=stack_labels(given, SIZE))
    given[1].valid_mask[3, 4] = False  # labels that do not count may be anything
    given[1].gt_sem_seg[:2] = 255
    gradients(build('seg'), images(), given, labels=stack_labels(given, SIZE))
    del given[1].valid_mask
    with pytest.raises(ValueError, match='second.png has no valid_mask'):
        build('seg')(images(), given, mode='loss', labels=stack_labels(given, SIZE))
    given = samples('pointmap')
    given[1].set_metainfo(dict(img_path='second.png', intrinsics=np.zeros((3, 3))))
    with pytest.raises(ValueError, match='second.png: intrinsics='):
        build('pointmap')(images(), given, mode='loss', labels=stack_labels(given, SIZE))
    given = multi_task.samples('pose')
    model = multi_task.build().tasks['pose']
    labels = {name: value[:, :4] for name, value in stack_labels(given, SIZE).items()}
    with pytest.raises(ValueError, match='the data have 4 keypoints'):
        model(multi_task.images(), given, mode='loss', labels=labels)


# ---------------------------------------------------------------------- copies and waits


@pytest.fixture
def autocast_on_meta(monkeypatch):
    """The device ``meta`` has no autocast."""
    autocast, is_enabled = torch.autocast, torch.is_autocast_enabled
    monkeypatch.setattr(torch, 'autocast', lambda kind, **options: autocast(kind.replace('meta', 'cpu'), **options))
    monkeypatch.setattr(torch, 'is_autocast_enabled', lambda kind='cpu': is_enabled(kind.replace('meta', 'cpu')))


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('task', TASKS)
def test_a_step_does_not_wait_for_the_device(task, stride, autocast_on_meta):
    given, model = samples(task), build(task, loss_stride=stride).train().to('meta')
    labels, inputs = {name: value.to('meta') for name, value in stack_labels(given, SIZE).items()}, images().to('meta')
    with host_waits() as found:
        losses = model(inputs, given, mode='loss', labels=labels)
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        if 'intrinsics' in labels:
            assert model.task.context(given, ['intrinsics'], 'meta', labels)['intrinsics'] is labels['intrinsics']
    assert found == []


def test_half_normals_and_the_accuracy_of_keypoints_do_not_wait(autocast_on_meta):
    half = torch.zeros(2, 3, *SIZE, dtype=torch.float16, device='meta')
    model = multi_task.build().tasks['pose']
    output, points = torch.zeros(2, 5, 16, 12, device='meta'), torch.zeros(2, 5, 2, device='meta')
    with host_waits() as found:
        NormalTask().prepare(half, half[:, 0] > 0, [], 'normal')
        model._accuracy(output, points, points[..., 0], half)
        keypoints, _ = model._labels([], 'meta', dict(keypoints=points, keypoint_weights=points[..., 0]))
    assert found == [] and keypoints is points


def test_waits_are_found():
    values = torch.zeros(4, device='meta')
    waits = dict(
        item=lambda: values.sum().item(),
        branch=lambda: bool((values > 0).any()),
        new_tensor=lambda: values.new_tensor([1.0, 2]),
        tensor=lambda: torch.tensor([1.0, 2], device='meta'),
        copy=lambda: torch.zeros(3).to('meta'),
        back=lambda: values.cpu(),
        mask=lambda: values[values > 0],
        mixed=lambda: values + torch.zeros(4),
        masked_select=lambda: values.masked_select(values > 0),
    )
    for name, wait in waits.items():
        with host_waits() as found:
            try:
                wait()
            except (RuntimeError, NotImplementedError):
                found.append('refused')
        assert found, name
    with host_waits() as found:
        (values * 2 + values.new_zeros(4)).where(values > 0, 1)[torch.zeros(2, dtype=torch.long, device='meta')].sum()
    assert found == []


class Copies(TorchDispatchMode):
    """Counts copies from the host to the device ``meta``."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.count += function.overloadpacket is torch.ops.aten._to_copy and result.is_meta and not args[0].is_meta
        return result


@pytest.mark.parametrize('task', [*TASKS, 'pose'])
def test_the_preprocessor_copies_each_label_once(task):
    given = multi_task.samples('pose') if task == 'pose' else samples(task)
    packed = [dict(inputs=torch.zeros(3, *SIZE, dtype=torch.uint8), data_samples=sample) for sample in given]
    normalizer, batch = ImageNormalizer().to('meta'), stack_collate(packed)
    with Copies() as copies:
        found = normalizer(batch, training=True)
    assert copies.count == 1 + len(batch['labels'])
    assert set(found) == {'inputs', 'data_samples', 'labels'} and set(found['labels']) == set(batch['labels'])
    assert all(value.is_meta and value.dtype == batch['labels'][name].dtype for name, value in found['labels'].items())
    assert all(one is two for one, two in zip(found['data_samples'], given, strict=True))
    # Evaluation, and training without stacked labels, move the labels of samples as ever.
    maps = 2 * (len(batch['labels']) - ('intrinsics' in batch['labels']))
    for other, training in (
        (batch, False),
        (stack_collate(packed, labels=False), True),
        (pseudo_collate(packed), True),
    ):
        with Copies() as copies:
            found = normalizer(other, training=training)
        assert set(found) == {'inputs', 'data_samples'} and copies.count == 1 + maps


@pytest.mark.parametrize('task', ['seg', 'pointmap', 'matting'])
def test_all_collate_functions_train_alike(task):
    given = samples(task)
    packed = [
        dict(inputs=torch.full((3, *SIZE), 60 * i, dtype=torch.uint8), data_samples=s) for i, s in enumerate(given)
    ]
    found = []
    for batch in (stack_collate(packed), stack_collate(packed, labels=False), pseudo_collate(packed)):
        model = build(task)
        data = model.data_preprocessor(batch, training=True)
        found.append(gradients(model, data['inputs'], data['data_samples'], labels=data.get('labels')))
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


# ---------------------------------------------------------------------- normals of half precision


def packed_normals(**options):
    generator = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(64, 48, 3, generator=generator), dim=-1).numpy()
    normals[0, 0], normals[0, 1] = 0, np.nan
    results = dict(
        img=np.zeros((64, 48, 3), np.uint8), img_shape=(64, 48), ori_shape=(64, 48), gt_normal=normals,
        gt_depth=np.ones((64, 48), np.float32), valid_mask=np.ones((64, 48), bool),
    )  # fmt: skip
    return normals, PackDense(**options)(results)['data_samples']


def test_half_normals_turn_by_little_and_keep_their_length():
    normals, exact = packed_normals()
    _, half = packed_normals(unit_vectors='fp16')
    assert exact.gt_normal.dtype == torch.float32 and half.gt_normal.dtype == torch.float16
    assert half.gt_depth.dtype == torch.float32  # only unit vectors
    (target, valid), (expected, known) = (
        NormalTask().read([sample], (64, 48), 'cpu')['normal'] for sample in (half, exact)
    )
    assert (
        torch.equal(valid, known) and valid[0, 0, :3].tolist() == [False, False, True] and valid.sum() == 64 * 48 - 2
    )
    assert torch.equal(expected[0].permute(1, 2, 0)[valid[0]], to_published(torch.from_numpy(normals))[valid[0]])
    torch.testing.assert_close(target.norm(dim=1)[valid], torch.ones(64 * 48 - 2), rtol=0, atol=1e-6)
    angles = torch.linalg.cross(target.double(), expected.double(), dim=1).norm(dim=1)[valid].asin().rad2deg()
    assert 0.003 < angles.mean() < 0.01 and angles.max() < math.degrees(2**-11)
    assert target[:, :, 0, :2].eq(0).all()


def test_other_types_of_unit_vectors_are_refused():
    with pytest.raises(ValueError, match="unit_vectors='int8' is not one of"):
        PackDense(unit_vectors='int8')


def test_evaluation_of_normals_is_exact():
    normals, sample = packed_normals()
    assert isinstance(sample, DenseDataSample)
    np.testing.assert_array_equal(sample.gt_normal.permute(1, 2, 0).numpy(), normals)


# ---------------------------------------------------------------------- accuracy of keypoints


def test_accuracy_counts_keypoints_within_a_twentieth_of_the_map():
    model = multi_task.build().tasks['pose']
    output, inputs = torch.zeros(1, 5, 16, 12), torch.zeros(1, 3, *SIZE)
    output[:, :, 7, 5] = 1
    truth = torch.tensor([5 / 11 * 47, 7 / 15 * 63])
    offsets = torch.tensor([[0, 0], [0.04 * 47, 0], [0, 0.06 * 63], [0.06 * 47, 0], [0, 0]])
    weights = torch.tensor([[1.0, 1, 1, 1, 0]])
    assert model._accuracy(output, (truth + offsets)[None], weights, inputs) == 0.5
