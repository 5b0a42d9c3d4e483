"""Dense tasks of other forms than the published ones: several outputs, losses with context, own validity, letterboxed inputs."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sapiens import tasks
from sapiens.models import DenseEstimator, DenseTask
from sapiens.registry import MODELS
from sapiens.structures import DenseDataSample
from sapiens.tasks import MapField, TaskSpec

from .test_dense_estimator import SIZE, TINY, label

BACKBONE = dict(type='SapiensViT', arch=TINY, img_size=SIZE)


class PointsTask(DenseTask):
    """Points and a confidence of each pixel, and the scale of the image."""

    task_name = 'points_for_tests'
    scalars = ('scale',)
    default_losses = (
        dict(type='RaysLossForTests', target='rays'),
        dict(type='ScaledLossForTests', target='trust'),
    )

    @property
    def maps(self):
        return dict(rays=3, trust=1)


class Head(nn.Module):
    """One layer for each map, and one for the scalars."""

    def __init__(self, in_channels, out_channels, scalars):
        super().__init__()
        self.maps = nn.ModuleDict({name: nn.Conv2d(in_channels, count, 1) for name, count in out_channels.items()})
        self.scalars = nn.ModuleDict({name: nn.Linear(in_channels, 1) for name in scalars})

    def forward(self, features):
        pooled = features.mean((2, 3))
        return {name: layer(features) for name, layer in self.maps.items()} | {
            name: layer(pooled)[:, 0] for name, layer in self.scalars.items()
        }


class RaysLoss(nn.Module):
    """Needs the camera."""

    name, context = 'rays', ('intrinsics',)

    def forward(self, output, target, valid, intrinsics):
        assert intrinsics.shape == (len(output), 3, 3) and valid.dtype == torch.bool
        error = (output - target).abs().sum(1) / intrinsics[:, 0, 0, None, None]
        return torch.where(valid, error, 0).sum() / valid.sum().clamp(min=1)


class ScaledLoss(nn.Module):
    """Needs a map and the scalar."""

    name, outputs = 'scaled', ('trust', 'scale')

    def forward(self, output, target, valid):
        assert valid is target['trust_valid']
        error = (output['trust'][:, 0] * output['scale'][:, None, None] - target['trust'][:, 0]).abs()
        return torch.where(valid, error, 0).sum() / valid.sum().clamp(min=1)


@pytest.fixture
def points(monkeypatch):
    monkeypatch.setattr(tasks.lookup, '_TASKS', dict(tasks.lookup._TASKS))
    fields = MapField('rays', 3, 'vectors', own_validity=True), MapField('trust', 1, own_validity=True)
    tasks.register_task(TaskSpec('points_for_tests', 'points', fields=fields))
    for name, part in dict(PointsTask=PointsTask, Head=Head, RaysLoss=RaysLoss, ScaledLoss=ScaledLoss).items():
        monkeypatch.setitem(MODELS.module_dict, f'{name}ForTests', part)
    torch.manual_seed(0)
    model = DenseEstimator(BACKBONE, dict(type='HeadForTests'), dict(type='PointsTaskForTests'))
    model.init_weights()
    return model


def samples(count=2):
    made = []
    for index in range(count):
        torch.manual_seed(index)
        one = DenseDataSample(
            metainfo=dict(img_path=f'{index}.png', ori_shape=SIZE, intrinsics=np.eye(3) * (2 + index))
        )
        one.gt_rays, one.gt_trust = torch.randn(3, *SIZE), torch.rand(1, *SIZE)
        one.valid_mask, one.valid_rays, one.valid_trust = (torch.rand(SIZE) > 0.3 for _ in range(3))
        made.append(one)
    return made


def test_several_maps_and_a_scalar_train(points):
    images = torch.randn(2, 3, *SIZE)
    losses = points(images, samples(), mode='loss')
    assert set(losses) == {'loss_rays', 'loss_scaled'}
    sum(losses.values()).backward()
    assert [name for name, value in points.named_parameters() if value.requires_grad and value.grad is None] == []


def test_each_target_counts_where_it_is_valid(points):
    images, labelled = torch.randn(2, 3, *SIZE), samples()
    before = points(images, labelled, mode='loss')
    for one in labelled:  # valid for one of them only
        one.gt_rays[:, ~one.valid_rays] = torch.nan
        one.gt_trust[:, one.valid_rays & ~one.valid_trust] = torch.nan
    after = points(images, labelled, mode='loss')
    assert before['loss_rays'].isfinite() and before == after
    for one in labelled:
        one.valid_trust[:] = one.valid_mask & one.valid_rays
    changed = points(images, labelled, mode='loss')
    assert changed['loss_rays'] == before['loss_rays'] and changed['loss_scaled'] != before['loss_scaled']
    del labelled[0].valid_rays
    with pytest.raises(
        ValueError, match=r'0.png has no valid_rays: PointsTask learns from gt_rays where valid_mask and valid_rays'
    ):
        points(images, labelled, mode='loss')


def test_a_loss_gets_its_context_or_names_the_sample_without(points):
    images, labelled = torch.randn(2, 3, *SIZE), samples()
    near = points(images, labelled, mode='loss')
    for one in labelled:
        one.set_metainfo(dict(intrinsics=one.metainfo['intrinsics'] * 2))
    far = points(images, labelled, mode='loss')
    assert far['loss_rays'].item() == pytest.approx(near['loss_rays'].item() / 2)
    bare = DenseDataSample(metainfo=dict(img_path='bare.png'))
    for field, value in labelled[0].items():
        bare.set_field(value, field)
    with pytest.raises(
        ValueError, match="bare.png has no 'intrinsics' in its metainfo, which a loss of 'points_for_tests'"
    ):
        points(images[:1], [bare], mode='loss')


def test_several_outputs_are_predicted_at_the_size_of_the_image(points):
    images = torch.randn(1, 3, *SIZE)
    (one,) = points.eval().predict(images, [DenseDataSample(metainfo=dict(ori_shape=(100, 90)))])
    assert one.pred_rays.shape == (3, 100, 90) and one.pred_trust.shape == (1, 100, 90) and one.pred_scale.shape == ()


def test_the_flip_test_negates_x_of_vectors_only(points):
    output = points.eval().network(torch.randn(1, 3, *SIZE))
    back = points.task.mirrored(output)
    assert torch.equal(back['rays'][:, 0], -output['rays'][:, 0].flip(-1))
    assert torch.equal(back['rays'][:, 1:], output['rays'][:, 1:].flip(-1))
    assert torch.equal(back['trust'], output['trust'].flip(-1)) and torch.equal(back['scale'], output['scale'])
    images = torch.randn(1, 3, *SIZE)
    one, other = (
        points.predict(inputs, [DenseDataSample()], flip_test=True)[0] for inputs in (images, images.flip(-1))
    )
    assert torch.allclose(one.pred_trust, other.pred_trust.flip(-1), atol=1e-5)
    assert torch.allclose(one.pred_scale, other.pred_scale, atol=1e-6)


def test_windows_of_a_task_with_a_scalar_are_refused(points):
    with pytest.raises(ValueError, match=r'crop_size=\(32, 32\): scale of windows cannot be averaged'):
        points.predict(torch.randn(1, 3, *SIZE), [DenseDataSample()], crop_size=(32, 32))


# ---------------------------------------------------------------------- letterboxed inputs

HEAD = dict(type='DenseHead', deconv_channels=(8, 8, 8), conv_channels=(8,))
# An image of 40 x 60 (H x W) in an input of 64 x 48: scaled by 0.8 to 32 x 48, 16 rows above and below.
WIDE = (40, 60)
MATRIX = np.array([[0.8, 0, -0.1], [0, 0.8, 15.9]])


def letterboxed(field=None, value=None, size=WIDE):
    one = DenseDataSample(metainfo=dict(img_path='wide.png', ori_shape=size, warp_matrix=MATRIX))
    if field:
        one.set_field(value, field)
        one.valid_mask = torch.ones(value.shape[-2:], dtype=torch.bool)
    return one


@pytest.mark.parametrize('resize', ['two_step', 'one_step'])
@pytest.mark.parametrize('task', ['depth', 'seg'])
def test_predictions_of_a_letterboxed_image_come_from_its_part_of_the_input(task, resize, monkeypatch):
    tasks_ = dict(depth=dict(type='DepthTask'), seg=dict(type='SegTask', classes='goliath28'))
    model = DenseEstimator(BACKBONE, HEAD, tasks_[task]).eval()
    output = torch.randn(1, model.task.channels, *SIZE)
    monkeypatch.setattr(model, 'network', lambda inputs, encode=None: output)
    (one,) = model.predict(torch.zeros(1, 3, *SIZE), [letterboxed()], resize=resize)
    expected = F.interpolate(output[..., 16:48, :], WIDE, mode='bilinear', align_corners=False)[0]
    if task == 'seg':
        assert torch.equal(one.pred_sem_seg, expected.argmax(0))
    else:
        assert torch.allclose(one.pred_depth, expected, atol=1e-6)


def test_the_published_evaluation_stretches_the_padding_over_the_image(monkeypatch):
    """Right for images without padding, wrong for others (docs/differences.md)."""
    model = DenseEstimator(BACKBONE, HEAD, dict(type='DepthTask'), test_cfg=dict(padding='keep')).eval()
    output = torch.randn(1, 1, *SIZE)
    monkeypatch.setattr(model, 'network', lambda inputs, encode=None: output)
    (kept,) = model.predict(torch.zeros(1, 3, *SIZE), [letterboxed()])
    whole = F.interpolate(output, WIDE, mode='bilinear', align_corners=False)[0]
    assert torch.allclose(kept.pred_depth, whole, atol=1e-6)
    (removed,) = model.predict(torch.zeros(1, 3, *SIZE), [letterboxed()], padding='remove')
    assert not torch.allclose(kept.pred_depth, removed.pred_depth, atol=0.1)
    matching = [
        DenseDataSample(metainfo=dict(ori_shape=(128, 96), warp_matrix=np.eye(2, 3) * 0.5 - [[0, 0, 0.25]] * 2))
    ]
    both = [model.predict(torch.zeros(1, 3, *SIZE), matching, padding=padding)[0].pred_depth.clone()
            for padding in ('keep', 'remove')]  # fmt: skip
    assert torch.equal(*both), 'an image of the aspect of the input has no padding'
    with pytest.raises(ValueError, match=r"test_cfg.padding='crop' is not one of \('remove', 'keep'\)"):
        DenseEstimator(BACKBONE, HEAD, dict(type='DepthTask'), test_cfg=dict(padding='crop'))


def test_labels_of_a_letterboxed_image_go_to_its_part_of_the_input():
    model = DenseEstimator(BACKBONE, HEAD, dict(type='DepthTask', relative=False))
    depth = label('depth', WIDE, torch.Generator().manual_seed(0))
    target, valid = model.task.read([letterboxed('gt_depth', depth)], SIZE, 'cpu')['depth']
    assert valid[0, 16:48].all() and not valid[0, :16].any() and not valid[0, 48:].any()
    rows, columns = ((torch.arange(32) + 0.5) / 0.8).long(), ((torch.arange(48) + 0.5) / 0.8).long()
    assert torch.equal(target[0, 0, 16:48], depth[0][rows[:, None], columns])
    images = torch.randn(1, 3, *SIZE)
    trained = model.eval()(images, [letterboxed('gt_depth', depth)], mode='loss')['loss_silog'].item()
    (one,) = model.predict(images, [letterboxed('gt_depth', depth)], losses=True)
    assert one.pred_depth.shape == (1, *WIDE) and one.loss == pytest.approx(trained, rel=1e-5)


def test_a_matrix_that_is_no_letterbox_is_refused():
    model = DenseEstimator(BACKBONE, HEAD, dict(type='DepthTask')).eval()
    one = letterboxed()
    one.set_metainfo(dict(warp_matrix=MATRIX + np.array([[0, 0, 0.5], [0, 0, 0]])))
    with pytest.raises(
        ValueError, match=r'wide.png: warp_matrix=.* does not place it on whole pixels of the input \(64, 48\)'
    ):
        model.predict(torch.zeros(1, 3, *SIZE), [one])


# ---------------------------------------------------------------------- names of arguments


def test_former_names_of_arguments_are_accepted():
    torch.manual_seed(0)
    new = DenseEstimator(BACKBONE, head=HEAD, task=dict(type='DepthTask'))
    torch.manual_seed(0)
    old = DenseEstimator(BACKBONE, decode_head=HEAD, task=dict(type='DepthTask'))
    assert all(torch.equal(a, b) for a, b in zip(new.parameters(), old.parameters(), strict=True))
    assert new.head is new.decode_head
    with pytest.raises(TypeError, match="'decode_head' is the former name of 'head'; give one of them"):
        DenseEstimator(BACKBONE, head=HEAD, decode_head=HEAD, task=dict(type='DepthTask'))
    with pytest.raises(TypeError, match="has no argument 'neck' \\(known: backbone, head, task,"):
        DenseEstimator(BACKBONE, head=HEAD, neck=HEAD, task=dict(type='DepthTask'))


def test_losses_of_prediction_are_computed_only_on_request(monkeypatch):
    model = DenseEstimator(BACKBONE, HEAD, dict(type='DepthTask')).eval()
    monkeypatch.setattr(model, '_losses', lambda *_: pytest.fail('losses were computed'))
    one = letterboxed('gt_depth', label('depth', WIDE, None))
    assert 'loss' not in model.predict(torch.zeros(1, 3, *SIZE), [one])[0]
