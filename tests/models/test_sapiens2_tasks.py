"""Pointmaps, matting and albedo as dense tasks: targets, outputs and predictions."""

import numpy as np
import pytest
import torch

from sapiens.models import AlbedoTask, DenseEstimator, MattingTask, PointmapTask
from sapiens.models.estimators.pointmap_task import camera_of
from sapiens.structures import DenseDataSample
from sapiens.utils.pinhole import MIN_SCALE
from sapiens.utils.srgb import encode_srgb

from .test_dense_estimator import SIZE, TINY

H, W = SIZE
BACKBONES = {
    'v1': dict(type='SapiensViT', arch=TINY, img_size=SIZE),
    'v2': dict(type='Sapiens2ViT', arch=TINY, img_size=SIZE),
}
HEAD = dict(type='PixelShuffleHead', upsample_channels=(8, 8), conv_channels=(8,))
HEADS = dict(
    pointmap=dict(
        HEAD, predictor='conv_pointmap', scale=dict(conv_channels=(8,), conv_kernels=(1,), hidden=(4,), cells=(2, 2))
    ),
    matting=dict(HEAD, predictor='conv_matting', sigmoid=True),
    albedo=dict(HEAD, predictor='conv_albedo', norm='rms'),
)
LOSSES = dict(
    pointmap=[
        dict(type='PointmapL1Loss', loss_weight=2.0),
        dict(type='PointmapMultiscaleL1Loss'),
        dict(type='PointmapShiftInvariantLoss'),
        dict(type='PointmapSiLogLoss'),
        dict(type='PointmapIntrinsicsLoss'),
        dict(type='PointmapNormalLoss', loss_weight=2.0),
        dict(type='PointmapScaleLoss', loss_weight=4.0),
    ],
    matting=[dict(type='MattingL1Loss'), dict(type='MattingGradientLoss'), dict(type='MattingLaplacianLoss')],
    albedo=[
        dict(type='AlbedoL1Loss', loss_weight=2.0),
        dict(type='AlbedoGradientLoss', loss_weight=2.0),
        dict(type='AlbedoChromaticityLoss'),
        dict(type='AlbedoLowFrequencyLoss', downscale=16),
    ],
)
CAMERA = np.array([[90.0, 0, 20], [0, 90, 30], [0, 0, 1]])


def plane(intrinsics, size, depth=2.0):
    """Points (3, H, W) of a plane in front of a camera; its depth changes along x and y."""
    h, w = size
    v, u = np.meshgrid(np.arange(h), np.arange(w), indexing='ij')
    rays = np.einsum('ij,jhw->ihw', np.linalg.inv(intrinsics), np.stack([u, v, np.ones_like(u)]))
    depth = depth / (1 - 0.3 * rays[0] + 0.1 * rays[1])
    return torch.from_numpy(rays * depth).float()


def sample(task, size=SIZE, seed=0, **metainfo):
    generator = torch.Generator().manual_seed(seed)
    made = DenseDataSample(metainfo=dict(img_path=f'{task}.png', ori_shape=size, intrinsics=CAMERA) | metainfo)
    if task == 'pointmap':
        made.gt_pointmap = plane(made.metainfo['intrinsics'], size)
    elif task == 'albedo':
        made.gt_albedo = torch.rand(3, *size, generator=generator)
    else:
        made.gt_alpha = torch.rand(1, *size, generator=generator)
        made.gt_foreground = torch.rand(3, *size, generator=generator) * made.gt_alpha
        made.valid_foreground = torch.rand(size, generator=generator) > 0.2
    made.valid_mask = torch.rand(size, generator=generator) > 0.3
    return made


def model(task, backbone='v2', **options):
    torch.manual_seed(0)
    built = DenseEstimator(
        BACKBONES[backbone], HEADS[task], dict(type=f'{task.capitalize()}Task'), losses=LOSSES[task], **options
    )
    built.init_weights()
    return built


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('task', HEADS)
def test_every_parameter_learns(task, backbone):
    built = model(task, backbone).train()
    losses = built(torch.randn(2, 3, *SIZE), [sample(task, seed=seed) for seed in range(2)], mode='loss')
    assert len(losses) == len(LOSSES[task]) and all(value > 0 for value in losses.values())
    sum(losses.values()).backward()
    missing = [name for name, one in built.named_parameters() if one.grad is None or not one.grad.any()]
    # Instance norm removes the mean, and with it the bias of the layer before; softmax that of the keys.
    assert all(name.endswith('.bias') for name in missing), missing
    assert all(one.grad is not None and one.grad.isfinite().all() for one in built.parameters())


@pytest.mark.parametrize('task', HEADS)
def test_a_sample_without_a_valid_pixel(task):
    built, one = model(task).train(), sample(task)
    one.valid_mask[:] = False
    losses = built(torch.randn(1, 3, *SIZE), [one], mode='loss')
    assert all(value == 0 for value in losses.values())
    sum(losses.values()).backward()
    assert all(value.grad is None or not value.grad.any() for value in built.parameters())


@pytest.mark.parametrize('task', HEADS)
def test_missing_labels_are_named(task):
    built = model(task)
    with pytest.raises(ValueError, match=f'x.png has no gt_{built.task.kind}'):
        built(torch.randn(1, 3, *SIZE), [DenseDataSample(metainfo=dict(img_path='x.png'))], mode='loss')


@pytest.mark.parametrize('task', HEADS)
def test_predictions_have_the_size_of_the_image(task):
    built = model(task).eval()
    images, size = torch.randn(1, 3, *SIZE), (100, 90)
    (one,) = built.predict(images, [DenseDataSample(metainfo=dict(ori_shape=size))])
    names = dict(pointmap=('pointmap', 'scale'), matting=('alpha', 'foreground'), albedo=('albedo',))[task]
    assert set(one.keys()) == {f'pred_{name}' for name in names}
    for name in names:
        value = one.get(f'pred_{name}')
        assert value.dtype == torch.float32 and value.shape[-2:] == (() if name == 'scale' else size)
        if task != 'pointmap':
            assert value.min() >= 0 and value.max() <= 1
    flipped = built.predict(images, [DenseDataSample(metainfo=dict(ori_shape=size))], flip_test=True)[0]
    assert set(flipped.keys()) == set(one.keys())


@pytest.mark.parametrize('task', HEADS)
def test_losses_of_predictions(task):
    """In evaluation labels have the size of the image; the sum of the losses is that of training."""
    built, one = model(task).eval(), sample(task)
    images = torch.randn(1, 3, *SIZE)
    trained = sum(built(images, [one], mode='loss').values()).item()
    (found,) = built.predict(images, [one], losses=True)
    assert found.loss == pytest.approx(trained, rel=2e-3)  # normals of noise


# ---------------------------------------------------------------------- pointmaps


def test_points_become_canonical():
    task, one = PointmapTask(), sample('pointmap')
    target, valid = task.read([one], SIZE, 'cpu')['pointmap']
    scale = W / 90
    torch.testing.assert_close(target[0], torch.where(one.valid_mask, one.gt_pointmap * scale, 0))
    assert torch.equal(valid[0], one.valid_mask)
    whole = task.whole_targets(dict(pointmap=(target, valid)), [one], SIZE, None)
    assert whole['scale'].tolist() == pytest.approx([scale])
    assert whole['mean_depth'].item() == pytest.approx(target[0, 2][valid[0]].mean().item(), rel=1e-6)
    np.testing.assert_allclose(whole['intrinsics'][0], CAMERA)
    # Canonical points, seen by a camera of the canonical focal length, are at their pixels.
    rays = whole['intrinsics'][0] @ target[0].flatten(1)
    u = (rays[0] / rays[2]).view(SIZE)[valid[0]]
    torch.testing.assert_close(u, torch.arange(W).expand(SIZE)[valid[0]].float(), atol=1e-3, rtol=0)
    decoded = task.decode(dict(pointmap=target, scale=whole['scale']), SIZE)
    torch.testing.assert_close(decoded['pointmap'][0][:, valid[0]], one.gt_pointmap[:, valid[0]])


def test_pixels_without_a_point_do_not_count():
    one = sample('pointmap')
    one.valid_mask[:] = True
    one.gt_pointmap[2, 0, 0], one.gt_pointmap[2, 0, 1] = 0, -1
    one.gt_pointmap[0, 0, 2], one.gt_pointmap[1, 0, 3] = torch.nan, torch.inf
    target, valid = PointmapTask().read([one], SIZE, 'cpu')['pointmap']
    assert valid[0].sum() == H * W - 4 and not valid[0, 0, :4].any()
    assert target.isfinite().all() and not target[..., 0, :4].any()


@pytest.mark.parametrize('letterboxed', [False, True])
def test_labels_of_the_image_and_the_camera_of_the_input(letterboxed):
    """In evaluation labels and intrinsics are those of the original image; losses compare at the input."""
    size = (40, 60)
    if letterboxed:  # scaled by 0.8 to 32 x 48, 16 rows above and below
        matrix = np.array([[0.8, 0, -0.1], [0, 0.8, 15.9]])
        one = sample('pointmap', size, warp_matrix=matrix)
        fx, cx, fy, cy = 72, 0.8 * 20 - 0.1, 72, 0.8 * 30 + 15.9
    else:  # stretched
        one = sample('pointmap', size)
        fx, cx, fy, cy = 90 * 48 / 60, 20.5 * 48 / 60 - 0.5, 90 * 64 / 40, 30.5 * 64 / 40 - 0.5
    found = camera_of(one, SIZE)
    np.testing.assert_allclose(found, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    target, valid = (task := PointmapTask()).read([one], SIZE, 'cpu')['pointmap']
    whole = task.whole_targets(dict(pointmap=(target, valid)), [one], SIZE, None)
    assert whole['scale'].item() == pytest.approx(48 / 72)
    rays = (whole['intrinsics'][0] @ target[0].flatten(1)).view(3, *SIZE)
    u, v = torch.arange(W).expand(SIZE), torch.arange(H)[:, None].expand(SIZE)
    for row, pixel, step in ((0, u, 1), (1, v, 1.2)):  # labels are taken from the nearest pixels
        assert ((rays[row] / rays[2])[valid[0]] - pixel[valid[0]]).abs().max() < step
    images = torch.randn(1, 3, *SIZE)
    built = model('pointmap').eval()
    (predicted,) = built.predict(images, [one], losses=True)
    assert predicted.pred_pointmap.shape == (3, *size) and np.isfinite(predicted.loss)
    assert predicted.loss == pytest.approx(sum(built(images, [one], mode='loss').values()).item(), rel=2e-3)


def test_a_grid_of_pixels_has_its_own_camera(monkeypatch):
    """Points on their rays have no error at any stride."""
    one = sample('pointmap')
    torch.manual_seed(3)
    built = model('pointmap', loss_stride=3)
    canonical = one.gt_pointmap[None] * W / 90
    monkeypatch.setattr(built, 'network', lambda inputs, **options: dict(pointmap=canonical, scale=torch.ones(1)))
    for _ in range(5):
        losses = built(torch.zeros(1, 3, *SIZE), [one], mode='loss')
        assert losses['loss_intrinsics'] < 1e-4 and losses['loss_l1'] < 1e-4 and losses['loss_normal'] < 1e-3
        assert losses['loss_scale'].item() == pytest.approx(4 * (1 - W / 90), rel=1e-5)


def test_scales_that_are_not_positive():
    """A network that predicts none must not turn the points around, or make them infinite."""
    output = dict(pointmap=torch.ones(3, 3, 4, 4), scale=torch.tensor([-2.0, 0.0, 0.5]))
    found = PointmapTask().decode(output, (8, 8))
    assert found['scale'].tolist() == pytest.approx([MIN_SCALE, MIN_SCALE, 0.5])
    assert found['pointmap'].amax((1, 2, 3)).tolist() == pytest.approx([1 / MIN_SCALE, 1 / MIN_SCALE, 2])


@pytest.mark.parametrize(
    ('intrinsics', 'message'),
    [
        (None, r"pointmap.png has no 'intrinsics' \(3, 3\) in its metainfo"),
        (np.diag([0.0, 90, 1]), 'expected a finite .* with focal lengths above 0'),
        (np.diag([-90.0, 90, 1]), 'focal lengths above 0'),
        (np.diag([np.nan, 90, 1]), 'focal lengths above 0'),
        (np.ones(4), 'focal lengths above 0'),
    ],
)
def test_cameras_that_cannot_be(intrinsics, message):
    one = sample('pointmap')
    if intrinsics is None:
        one = DenseDataSample(
            metainfo=dict(img_path='pointmap.png'), gt_pointmap=one.gt_pointmap, valid_mask=one.valid_mask
        )
    else:
        one.set_metainfo(dict(intrinsics=intrinsics))
    with pytest.raises(ValueError, match=message):
        model('pointmap')(torch.randn(1, 3, *SIZE), [one], mode='loss')


def test_a_mirrored_image_has_mirrored_points():
    output = dict(pointmap=torch.randn(1, 3, 4, 4), scale=torch.tensor([0.7]))
    back = PointmapTask().mirrored(output)
    expected = output['pointmap'].flip(-1) * torch.tensor([-1.0, 1, 1]).view(3, 1, 1)
    assert torch.equal(back['pointmap'], expected) and torch.equal(back['scale'], output['scale'])


# ---------------------------------------------------------------------- matting and albedo


def test_alpha_and_foreground_count_in_places_of_their_own():
    one = sample('matting')
    found = MattingTask().read([one], SIZE, 'cpu')
    assert torch.equal(found['alpha'][1][0], one.valid_mask)
    assert torch.equal(found['foreground'][1][0], one.valid_mask & one.valid_foreground)
    built, images = model('matting').train(), torch.randn(1, 3, *SIZE)
    before = built(images, [one], mode='loss')
    one.gt_foreground[:, ~one.valid_foreground] = torch.nan
    one.gt_alpha[:, ~one.valid_mask] = torch.nan
    assert built(images, [one], mode='loss') == before
    del one.valid_foreground
    with pytest.raises(ValueError, match='has no valid_foreground: MattingTask learns from gt_foreground'):
        built(images, [one], mode='loss')


def test_albedo_is_learned_in_its_coding():
    one = sample('albedo')
    one.valid_mask[:] = True
    one.gt_albedo[0, 0, 0] = torch.nan
    for encoding, expected in (('srgb', encode_srgb(one.gt_albedo)), ('linear', one.gt_albedo)):
        task = AlbedoTask(encoding)
        target, valid = task.read([one], SIZE, 'cpu')['albedo']
        assert not valid[0, 0, 0] and valid[0].sum() == H * W - 1
        torch.testing.assert_close(target[0], expected.nan_to_num(0).where(valid[0], 0))
        assert (encoding == 'linear') == ('linear' in task.output_facts['coding'])
    with pytest.raises(ValueError, match="encoding='gamma' is not one of"):
        AlbedoTask('gamma')
    assert AlbedoTask().decode(torch.tensor([-1.0, 0.5, 2]).view(1, 3, 1, 1), (1, 1))['albedo'].flatten().tolist() == [
        0,
        0.5,
        1,
    ]
