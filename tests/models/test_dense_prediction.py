"""Targets and predictions of the dense tasks: sizes, windows, flip test."""

import pytest
import torch
import torch.nn.functional as F

from sapiens.frames import to_published
from sapiens.models import DenseEstimator, DepthTask, NormalTask, SegTask
from sapiens.models.estimators.dense import _starts
from sapiens.models.layers import upsample as upsample_module
from sapiens.models.layers.upsample import upsample, upsample_grid, upsampled_argmax
from sapiens.structures import DenseDataSample

from .test_dense_estimator import FOUR, SIZE, TASKS, TINY, batch, tiny

# Of the second family.
BACKBONE2 = dict(type='Sapiens2ViT', arch=TINY, img_size=SIZE)
SHUFFLES = dict(type='PixelShuffleHead', upsample_channels=(16, 16, 8, 8), conv_channels=(8,))
MODELS2 = dict(
    seg2=(dict(type='DeconvHead', deconv_channels=(16, 16, 8, 8), conv_channels=(8,)), TASKS['seg']),
    normal2=(SHUFFLES, TASKS['normal']),
    normal2_rms=(dict(SHUFFLES, norm='rms'), TASKS['normal']),
)
FAMILIES = [*TASKS, *MODELS2]
FIELD = dict(seg='pred_sem_seg', depth='pred_depth', normal='pred_normal', seg2='pred_sem_seg')
FIELD |= dict(normal2='pred_normal', normal2_rms='pred_normal')


def unlabelled(count=1, size=(100, 90)):
    return [DenseDataSample(metainfo=dict(img_path='a.jpg', ori_shape=size)) for _ in range(count)]


def image(count=1, size=SIZE, seed=4):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope='module')
def models():
    """Weights larger than the initial ones, so that outputs differ from pixel to pixel."""
    made = {task: tiny(task).eval() for task in TASKS}
    for name, (head, task) in MODELS2.items():
        torch.manual_seed(0)
        made[name] = DenseEstimator(BACKBONE2, head, task).eval()
        made[name].init_weights()
    for model in made.values():
        torch.nn.init.normal_(model.head.get_submodule(model.head.predictor).weight, std=0.5)
        for block in model.backbone.blocks:
            if hasattr(block.attn, 'gamma'):
                torch.nn.init.ones_(block.attn.gamma.weight)
    return made


# ---------------------------------------------------------------------- targets


def packed(size=(4, 3), **fields):
    made = DenseDataSample(metainfo=dict(img_path='one.png'))
    made.valid_mask = torch.ones(size, dtype=torch.bool)
    for name, value in fields.items():
        made.set_field(value, name)
    return made


def test_relative_depth_by_hand():
    depth = torch.tensor([[2.0, 3.0, 4.0], [9.0, 2.5, 0.0]])[None]
    one = packed((2, 3), gt_depth=depth)
    one.valid_mask[1, 0] = False
    target, valid = DepthTask().read([one], (2, 3), 'cpu')['depth']
    # 9 is not valid, 0 is not a depth; the nearest pixel counts
    assert target.tolist() == [[[[0, 0.5, 1], [0, 0.25, 0]]]]
    assert valid.tolist() == [[[True, True, True], [False, True, False]]]
    target, valid = DepthTask(relative=False).read([one], (2, 3), 'cpu')['depth']
    assert target.tolist() == [[[[2, 3, 4], [0, 2.5, 0]]]] and valid.sum() == 4


@pytest.mark.parametrize('depth', [torch.full((1, 4, 3), 2.0), torch.full((1, 4, 3), torch.nan), torch.zeros(1, 4, 3)])
def test_depth_without_nearest_and_farthest_does_not_count(depth):
    good = packed(gt_depth=torch.arange(1.0, 13).view(1, 4, 3))
    target, valid = DepthTask().read([packed(gt_depth=depth), good], (4, 3), 'cpu')['depth']
    assert not valid[0].any() and valid[1].all()
    assert target.isfinite().all() and target[1].max() == 1


def test_normals_are_learned_in_the_published_frame():
    normal = F.normalize(torch.randn(3, 4, 3), dim=0)
    normal[:, 0, 0], normal[:, 0, 1] = 0, torch.nan
    target, valid = NormalTask().read([packed(gt_normal=normal)], (4, 3), 'cpu')['normal']
    assert valid[0, 0].tolist() == [False, False, True]
    expected = to_published(normal.permute(1, 2, 0).numpy())
    assert torch.equal(target[0].permute(1, 2, 0)[valid[0]], torch.from_numpy(expected)[valid[0]])
    assert target.isfinite().all()


def test_ignored_labels_are_not_valid():
    labels = torch.tensor([[0, 3, 255], [1, 2, 255]], dtype=torch.uint8)
    target, valid = SegTask(FOUR).read([packed((2, 3), gt_sem_seg=labels)], (2, 3), 'cpu')['sem_seg']
    assert target.dtype == torch.int64 and target.tolist() == [[[0, 3, 0], [1, 2, 0]]]
    assert valid.tolist() == [[[True, True, False]] * 2]


def test_labels_of_another_size_are_taken_from_the_nearest_pixel():
    labels = torch.arange(4).repeat_interleave(2)[None].repeat(6, 1).to(torch.uint8)  # (6, 8)
    one = packed((6, 8), gt_sem_seg=labels)
    one.valid_mask[3:] = False
    target, valid = SegTask(FOUR).read([one], (2, 4), 'cpu')['sem_seg']
    assert target.tolist() == [[[0, 1, 2, 3], [0, 0, 0, 0]]]
    assert valid.tolist() == [[[True] * 4, [False] * 4]]
    assert SegTask(FOUR).read([one], (12, 16), 'cpu')['sem_seg'][0][0, 0].tolist() == [k // 4 for k in range(16)]


def test_wrong_labels_are_refused():
    labels = torch.full((4, 3), 2, dtype=torch.uint8)
    labels[1, 1] = 7
    with pytest.raises(ValueError, match=r"one.png has the label 7, but ClassList\('four'"):
        SegTask(FOUR).read([packed(gt_sem_seg=labels)], (4, 3), 'cpu')
    with pytest.raises(ValueError, match='one.png has no gt_depth'):
        DepthTask().read([packed()], (4, 3), 'cpu')
    one = packed(gt_depth=torch.ones(1, 4, 3))
    del one.valid_mask
    with pytest.raises(ValueError, match='has no valid_mask'):
        DepthTask().read([one], (4, 3), 'cpu')


# ---------------------------------------------------------------------- sizes


@pytest.mark.parametrize('task', TASKS)
def test_predictions_have_the_size_of_their_image(models, task):
    inputs, data_samples = image(3), unlabelled(3)
    data_samples[1].set_metainfo(dict(ori_shape=(40, 200)))
    data_samples[2] = DenseDataSample()
    results = models[task].predict(inputs, data_samples, losses=True)
    assert [tuple(one.get(FIELD[task]).shape[-2:]) for one in results] == [(100, 90), (40, 200), SIZE]
    assert all('loss' not in one for one in results)


def test_labelled_and_unlabelled_in_one_batch(models):
    inputs, data_samples = batch('seg')
    data_samples[1] = unlabelled()[0]
    results = models['seg'].predict(inputs, data_samples, losses=True)
    assert 'loss' in results[0] and 'loss' not in results[1]
    alone = models['seg'](inputs[:1], data_samples[:1], mode='loss')['loss_ce']
    assert results[0].loss == pytest.approx(alone.item(), rel=1e-5)


@pytest.mark.parametrize('resize', ['two_step', 'one_step'])
def test_segmentation_is_the_highest_upsampled_score(models, resize):
    """By way of the input's size or not."""
    model = models['seg']
    inputs = image()
    with torch.no_grad():
        logits = model(inputs)
    assert logits.shape == (1, 4, 32, 24)
    if resize == 'two_step':
        logits = F.interpolate(logits, SIZE, mode='bilinear', align_corners=False)
    logits = F.interpolate(logits, (100, 90), mode='bilinear', align_corners=False)[0]
    one = model.predict(inputs, unlabelled(), resize=resize)[0]
    assert one.pred_sem_seg.dtype == torch.int64 and 'pred_logits' not in one
    assert torch.equal(one.pred_sem_seg, logits.argmax(0))
    full = model.predict(inputs, unlabelled(), resize=resize, output_logits=True)[0]
    assert torch.allclose(full.pred_logits, logits, atol=1e-6)
    assert torch.equal(full.pred_sem_seg, one.pred_sem_seg)


@pytest.mark.parametrize('size', [(8, 6), (19, 6), (50, 41), (8, 5), (3, 4), (1, 1)])
@pytest.mark.parametrize('classes', [1, 2, 11])
def test_upsampled_argmax_without_upsampled_scores(classes, size, monkeypatch):
    """Scores of a few large parts, of many equal values, and of noise; to more pixels or fewer."""
    monkeypatch.setitem(upsample_module.PIXELS_AT_ONCE, 'cpu', 100)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(classes, 8, 6, generator=generator)
    parts = upsample(torch.randn(1, classes, 2, 2, generator=generator), (8, 6))[0] + 0.01 * noise
    equal = torch.randint(3, (classes, 8, 6), generator=generator).float()
    for scores in (parts, equal, noise, torch.zeros_like(noise)):
        found, whole = upsampled_argmax(scores, size), upsample(scores[None], size)[0]
        assert found.dtype == torch.int64 and found.shape == size
        # Weighted means that are equal but for their rounding may come out in either order.
        best = whole.max(0).values
        assert torch.allclose(whole.gather(0, found[None])[0], best, atol=1e-6)
        clear = (whole > best - 1e-5).sum(0) == 1
        assert torch.equal(found[clear], whole.argmax(0)[clear])
    assert torch.equal(upsampled_argmax(torch.zeros(classes, 8, 6), size), torch.zeros(size, dtype=torch.int64))


@pytest.mark.parametrize('size', [(8, 6), (32, 24), (19, 7), (5, 4)])
@pytest.mark.parametrize('stride', [1, 2, 3])
def test_a_pixel_grid_of_upsampled_maps(size, stride):
    """To more pixels or fewer; the same gradient, also under autocast."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 8, 6, generator=generator, requires_grad=True)
    for first in range(stride):
        rows, columns = (
            torch.arange(start, length, stride)
            for start, length in zip((first, stride - 1 - first), size, strict=True)
        )
        # The second image has other pixels: those of the first mirrored.
        pairs = torch.stack([rows, size[0] - 1 - rows]), torch.stack([columns, size[1] - 1 - columns])
        whole = torch.stack(
            [one[:, down[:, None], right] for one, down, right in zip(upsample(maps, size), *pairs, strict=True)]
        )
        with torch.autocast('cpu', torch.bfloat16):
            found = upsample_grid(maps, size, *pairs)
        assert found.dtype == torch.float32
        assert torch.allclose(found, whole, atol=1e-5)
        weights = torch.randn(whole.shape, generator=generator)
        expected, gradient = (torch.autograd.grad((part * weights).sum(), maps)[0] for part in (whole, found))
        assert torch.allclose(gradient, expected, atol=1e-5)


def test_normals_are_unit_vectors_in_our_frame(models):
    inputs = image()
    with torch.no_grad():
        raw = models['normal'](inputs)
    normal = models['normal'].predict(inputs, unlabelled(size=SIZE))[0].pred_normal
    expected = F.normalize(upsample(raw, SIZE)[0], dim=0)
    expected = torch.from_numpy(to_published(expected.permute(1, 2, 0).numpy()))
    assert torch.allclose(normal.permute(1, 2, 0), expected, atol=1e-6)
    assert torch.allclose(normal.norm(dim=0), torch.ones(SIZE), atol=1e-5)


# ---------------------------------------------------------------------- flip test


@pytest.mark.parametrize('task', FAMILIES)
def test_flip_test_of_a_mirrored_image_is_the_mirrored_result(models, task):
    model, inputs = models[task], image()
    plain = model.predict(inputs, unlabelled(), flip_test=True)[0].get(FIELD[task])
    mirrored = model.predict(inputs.flip(-1), unlabelled(), flip_test=True)[0].get(FIELD[task]).flip(-1)
    single = model.predict(inputs, unlabelled())[0].get(FIELD[task])
    if 'seg' in task:
        mirrored = torch.tensor([0, 2, 1, 3])[mirrored]
        assert (mirrored == plain).float().mean() > 0.999  # but for equal scores
        assert (single != plain).any()
        return
    if 'normal' in task:
        mirrored = mirrored * torch.tensor([-1.0, 1, 1])[:, None, None]
    assert torch.allclose(mirrored, plain, atol=1e-4)
    assert not torch.allclose(single, plain, atol=1e-3)


@pytest.mark.parametrize('task', FAMILIES)
def test_mirrored_outputs_are_corrected(models, task):
    """Twice mirrored is as before; left is right, x points the other way, depth stays."""
    described = models[task].task
    output = torch.randn(1, described.channels, 4, 6)
    assert torch.equal(described.mirrored(described.mirrored(output)), output)
    back = described.mirrored(output).flip(-1)
    if 'seg' in task:
        assert torch.equal(back, output[:, [0, 2, 1, 3]])
    elif task == 'depth':
        assert torch.equal(back, output)
    else:
        assert torch.equal(back, torch.stack([-output[:, 0], output[:, 1], output[:, 2]], dim=1))


# ---------------------------------------------------------------------- windows


def test_windows_cover_the_image():
    assert _starts(64, 64, 32) == [0]
    assert _starts(100, 40, 30) == [0, 30, 60]
    assert _starts(101, 40, 30) == [0, 30, 60, 61]
    assert _starts(64, 32, 16) == [0, 16, 32]


@pytest.mark.parametrize('resize', ['two_step', 'one_step'])
@pytest.mark.parametrize('task', FAMILIES)
def test_one_window_is_the_whole_image(models, task, resize):
    model, inputs = models[task], image(2)
    whole = model.predict(inputs, unlabelled(2), resize=resize, flip_test=True)
    for crop in (SIZE, (128, 64)):
        window = model.predict(inputs, unlabelled(2), resize=resize, crop_size=crop, stride=(8, 8), flip_test=True)
        for one, other in zip(whole, window, strict=True):
            assert torch.equal(one.get(FIELD[task]), other.get(FIELD[task]))


@pytest.mark.parametrize('task', FAMILIES)
def test_overlapping_windows_are_averaged(models, task):
    """The average of all windows over each pixel, written down pixel by pixel."""
    model = models[task]
    inputs = image(size=(96, 80))
    crop, stride = (64, 48), (32, 20)
    total, count = torch.zeros(model.task.channels, 96, 80), torch.zeros(96, 80)
    for top in (0, 32):
        for left in (0, 20, 32):
            with torch.no_grad():
                part = model(inputs[..., top : top + 64, left : left + 48])
            total[:, top : top + 64, left : left + 48] += upsample(part, crop)[0]
            count[top : top + 64, left : left + 48] += 1
    assert count.min() == 1 and count.max() == 6
    output = total / count
    found = model.predict(inputs, unlabelled(size=(96, 80)), crop_size=crop, stride=stride)[0].get(FIELD[task])
    expected = model.task.finish(output, output.shape[-2:], dict(output_logits=False, output_score=False))[FIELD[task]]
    if 'seg' in task:
        assert torch.equal(found, expected)
    else:
        assert torch.allclose(found, expected, atol=1e-5)
    half = model.predict(inputs, unlabelled(size=(96, 80)), crop_size=crop)[0].get(FIELD[task])
    other = model.predict(inputs, unlabelled(size=(96, 80)), crop_size=crop, stride=(32, 24))[0].get(FIELD[task])
    assert torch.equal(half, other)


@pytest.mark.parametrize(
    ('task', 'local'), [('normal2', False), ('normal2_rms', True), ('seg2', False), ('seg', False)]
)
def test_instance_norm_sees_the_whole_map(models, task, local):
    """The same features, whole and in a window: only a head without instance norm gives the same pixels, but for the border."""
    head = models[task].head
    features = torch.randn(1, 32, 12, 8, generator=torch.Generator().manual_seed(0))
    features[:, :, 6:] *= 3
    with torch.no_grad():
        whole, window = head(features), head(features[:, :, :6])
    scale = whole.shape[-2] // 12
    inside = (..., slice(0, 3 * scale), slice(None))  # the convolutions see less than 3 cells more
    assert torch.allclose(whole[inside], window[inside], atol=1e-4) == local
    assert local or float((whole[inside] - window[inside]).abs().mean() / whole[inside].std()) > 0.05


def test_windows_of_relative_depth_are_warned_of(monkeypatch):
    warnings = []
    monkeypatch.setattr('sapiens.models.estimators.dense.print_log', lambda text, **kwargs: warnings.append(text))
    tiny('normal', test_cfg=dict(crop_size=(32, 32)))
    tiny('depth')
    assert warnings == []
    tiny('depth', test_cfg=dict(crop_size=(32, 32)))
    assert len(warnings) == 1 and 'outputs of DepthTask for two windows have no common scale' in warnings[0]
