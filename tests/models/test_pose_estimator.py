import copy
import hashlib

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from sapiens.engine.optim.param_groups import make_param_groups
from sapiens.metainfo import get_skeleton
from sapiens.models import MAE, HeatmapHead, PoseEstimator
from sapiens.models.layers.pos_embed import resize_grid
from sapiens.registry import MODELS

TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
HEAD = dict(type='HeatmapHead', deconv_channels=(24, 16), conv_channels=(16,))
FIVE = dict(
    name='five',
    keypoints=['head', 'left_hand', 'right_hand', 'left_foot', 'right_foot'],
    links=[('left_hand', 'head'), ('right_hand', 'head')],
)
SIZE = (48, 64)  # w, h of the crop


def tiny(skeleton=FIVE, seed=0, **kwargs):
    torch.manual_seed(seed)
    backbone = dict(type='SapiensViT', arch=TINY, img_size=(64, 48), patch_padding=2)
    model = PoseEstimator(backbone, HEAD, skeleton, codec=dict(type='UDPHeatmap', sigma=1.5), **kwargs)
    model.init_weights()
    return model


def samples(keypoints, weights=None, center=(24, 32), scale=SIZE):
    """Data samples of crops with keypoints (B, K, 2) in pixels of the crop."""
    weights = torch.ones(keypoints.shape[:2]) if weights is None else weights
    made = []
    for points, weight in zip(keypoints, weights, strict=True):
        sample = PoseDataSample(
            metainfo=dict(input_center=np.array(center), input_scale=np.array(scale), input_size=SIZE)
        )
        sample.gt_instances = InstanceData(
            bboxes=np.array([[1, 2, 30, 40]], np.float32), bbox_scores=np.ones(1, np.float32)
        )
        sample.gt_instance_labels = InstanceData(keypoints=points[None], keypoint_weights=weight[None])
        made.append(sample)
    return made


def batch(count=2, skeleton=FIVE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, 64, 48, generator=generator)
    points = torch.rand(count, len(get_skeleton(skeleton)), 2, generator=generator) * torch.tensor([47.0, 63.0])
    return images, samples(points)


# Published pose checkpoints: number of tensors, and the digest of their sorted "key shape" lines.
MANIFESTS = {
    ('0.3b', 'coco17'): (301, '1f2f7bd63c063eb3'),
    ('0.3b', 'wholebody133'): (301, '48f454121cd9fddd'),
    ('0.3b', 'goliath308'): (301, '5ac5300ec2b8e396'),
    ('0.6b', 'coco17'): (397, 'd91605078eaf445c'),
    ('0.6b', 'wholebody133'): (397, '281d92330c764a25'),
    ('0.6b', 'goliath308'): (397, '50d1a05a7a808bd1'),
    ('1b', 'coco17'): (493, '9ebdfbaeff2a3f83'),
    ('1b', 'wholebody133'): (493, '374d9c2069fb7d77'),
    ('1b', 'goliath308'): (493, '4b66836f7ff4710d'),
    ('2b', 'coco17'): (589, '36b1f130e8f86ed4'),
    ('2b', 'wholebody133'): (589, 'e12f1ed759f823e5'),
    ('2b', 'goliath308'): (589, '4edcc47a1306e748'),
}
HEAD_PARAMETERS = {17: 23_214_353, 133: 23_303_557, 308: 23_438_132}  # of 0.3b


def published(arch, skeleton):
    backbone = dict(type='SapiensViT', arch=arch, img_size=(1024, 768), patch_padding=2)
    with torch.device('meta'):
        return PoseEstimator(backbone, dict(type='HeatmapHead'), skeleton)


@pytest.mark.parametrize(('arch', 'skeleton'), MANIFESTS)
def test_state_dict_equals_the_published_checkpoints(arch, skeleton):
    model = published(arch, skeleton)
    lines = sorted((key, list(value.shape)) for key, value in model.state_dict().items())
    text = '\n'.join(f'{key} {shape}' for key, shape in lines)
    assert (len(lines), hashlib.sha256(text.encode()).hexdigest()[:16]) == MANIFESTS[arch, skeleton]
    if arch == '0.3b':
        assert sum(p.numel() for p in model.head.parameters()) == HEAD_PARAMETERS[len(get_skeleton(skeleton))]


@pytest.mark.parametrize(
    ('arch', 'rate', 'depth', 'embedding'),
    [
        ('0.3b', 0.85, 24, 1.72e-2),
        ('0.3b', 0.75, 24, 7.5e-4),
        ('0.6b', 0.85, 32, 4.69e-3),
        ('0.6b', 0.75, 32, 7.5e-5),
        ('1b', 0.85, 40, 1.28e-3),
        ('1b', 0.95, 40, 0.122),
        ('2b', 0.85, 48, 3.48e-4),
    ],
)
def test_learning_rates_of_the_layers_are_the_published_ones(arch, rate, depth, embedding):
    model = published(arch, 'coco17')
    groups = make_param_groups(
        model, lr=5e-4, weight_decay=0.1, layer_decay_rate=rate, no_decay=('pos_embed',), no_decay_1d=True
    )
    found = {id(parameter): group for group in groups for parameter in group['params']}
    assert len(found) == sum(len(group['params']) for group in groups) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        group = found[id(parameter)]
        if name.startswith('backbone.layers.'):
            scale = rate ** (depth - int(name.split('.')[2]))
        elif name.startswith(('backbone.pos_embed', 'backbone.patch_embed')):
            scale = rate ** (depth + 1)
            assert scale == pytest.approx(embedding, rel=6e-3)
        else:  # final norm and head
            scale = 1.0
        assert group['lr'] == pytest.approx(5e-4 * scale, rel=1e-12), name
        assert group['weight_decay'] == (0 if parameter.ndim == 1 or 'pos_embed' in name else 0.1), name


def test_every_parameter_gets_a_gradient():
    model = tiny()
    losses = model(*batch(), mode='loss')
    assert set(losses) == {'loss', 'acc_pose'} and 0 <= losses['acc_pose'] <= 1
    losses['loss'].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_points_without_weight_do_not_matter():
    images, data_samples = batch()
    data_samples[0].gt_instance_labels.keypoint_weights[0, 2] = 0
    loss = tiny()(images, data_samples, mode='loss')['loss']
    data_samples[0].gt_instance_labels.keypoints[0, 2] = torch.tensor([-3.0, 900.0])
    assert torch.equal(loss, tiny()(images, data_samples, mode='loss')['loss'])


GROUPED = dict(FIVE, groups=dict(top=['head'], hands=['left_hand', 'right_hand'], ends=['left_hand', 'left_foot']))


@pytest.mark.parametrize('loss', ['HeatmapCrossEntropyLoss', 'HeatmapMSELoss'])
def test_groups_weigh_in_the_loss(loss):
    """The loss is the weighted mean of those of single keypoints (cross entropy), or has them as factors (squared error)."""
    losses = dict(type=loss)
    alone = []
    for index in range(5):
        images, data_samples = batch(1)
        data_samples[0].gt_instance_labels.keypoint_weights[0] = torch.eye(5)[index]
        alone.append(tiny(GROUPED, losses=losses)(images, data_samples, mode='loss')['loss'])
    factors, alone = torch.tensor([0.25, 3.0, 3.0, 1.0, 1.0]), torch.stack(alone)
    mean = (factors * alone).sum() / (factors.sum() if loss == 'HeatmapCrossEntropyLoss' else 1)
    model = tiny(GROUPED, losses=losses, group_weights=dict(hands=3.0, top=0.25))
    found = model(*batch(1), mode='loss')
    assert torch.allclose(found['loss'], mean, rtol=1e-5)
    assert found['acc_pose'] == tiny(GROUPED, losses=losses)(*batch(1), mode='loss')['acc_pose']
    (scored,) = model.predict(*batch(1), losses=True)
    assert scored.loss == pytest.approx(mean.item(), rel=1e-5), 'of held-out people too'
    assert not any('factors' in name for name in model.state_dict())


def overfitted(loss=None, steps=150, **kwargs):
    """A model that is overfitted to one batch, and the batch."""
    model = tiny(losses=loss, **kwargs)
    images, data_samples = batch()
    for sample in data_samples:  # away from the borders, where a map can be decoded exactly
        labels = sample.gt_instance_labels
        labels.keypoints = labels.keypoints * 0.7 + torch.tensor([7.0, 9.0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        model(images, data_samples, mode='loss')['loss'].backward()
        optimizer.step()
    return model.eval(), images, data_samples


@pytest.fixture(scope='module')
def learned():
    return overfitted(test_cfg=dict(flip_test=False))


def test_an_overfitted_model_predicts_the_labels_in_the_image(learned):
    model, images, data_samples = learned
    truth = torch.stack([sample.gt_instance_labels.keypoints[0] for sample in data_samples])
    with torch.no_grad():
        assert model(images, data_samples, mode='loss')['acc_pose'] == 1.0
    data_samples = samples(truth, center=(100, 200), scale=(96, 128))  # the crop, twice as large, elsewhere
    results = model.predict(images, data_samples, losses=True)
    for sample, points in zip(results, truth.numpy(), strict=True):
        found = sample.pred_instances
        assert found.keypoints.shape == (1, 5, 2) and found.keypoint_scores.shape == (1, 5)
        # UDP: pixel 0 of the crop is its left edge, pixel w - 1 its right edge
        expected = points / (np.array(SIZE) - 1) * (96, 128) + (100 - 48, 200 - 64)
        assert np.abs(found.keypoints[0] - expected).max() < 3
        assert (found.keypoint_scores > 0.5).all()
        assert found.bboxes.tolist() == [[1, 2, 30, 40]] and found.bbox_scores.tolist() == [1]
        assert isinstance(sample.loss, float) and sample.loss < 0.01
    loss = model(images, data_samples, mode='loss')['loss'].item()
    assert np.mean([sample.loss for sample in results]) == pytest.approx(loss, rel=1e-5)


def test_cross_entropy_learns_and_scores_are_probabilities():
    codec = dict(type='UDPHeatmap', sigma=1.0, refine='expectation')
    torch.manual_seed(0)
    model, images, data_samples = overfitted(loss=dict(type='HeatmapCrossEntropyLoss'), steps=200)
    model.codec = MODELS.build(codec)
    truth = [sample.gt_instance_labels.keypoints[0].numpy() for sample in data_samples]
    for sample, points in zip(model.predict(images, data_samples, flip_test=False), truth, strict=True):
        expected = points / (np.array(SIZE) - 1) * np.array(SIZE)
        assert np.abs(sample.pred_instances.keypoints[0] - expected).max() < 4
        assert ((sample.pred_instances.keypoint_scores > 0) & (sample.pred_instances.keypoint_scores <= 1)).all()


def test_flip_test_of_a_mirrored_crop_is_the_mirrored_result(learned, monkeypatch):
    model, images, data_samples = learned
    # The published mixed derivative of the Newton step looks at two of four corners, so it is not symmetric itself.
    monkeypatch.setattr(model.codec, 'refine', 'expectation')
    flip = [0, 2, 1, 4, 3]
    plain = model.predict(images, copy.deepcopy(data_samples), flip_test=True)
    mirrored = model.predict(images.flip(-1), copy.deepcopy(data_samples), flip_test=True)
    for one, other in zip(plain, mirrored, strict=True):
        points = other.pred_instances.keypoints[0, flip]
        # cells are mirrored at the middle of the map, which lies at half the crop's width
        points[:, 0] = SIZE[0] - points[:, 0]
        assert np.abs(points - one.pred_instances.keypoints[0]).max() < 1e-3
        assert np.allclose(other.pred_instances.keypoint_scores[0, flip], one.pred_instances.keypoint_scores[0])


def test_requested_keypoints_only(learned):
    model, images, data_samples = learned
    full = copy.deepcopy(model.predict(images, copy.deepcopy(data_samples), flip_test=True))
    names = ['right_hand', 'head']
    some = model.predict(images, copy.deepcopy(data_samples), flip_test=True, keypoints=names, output_heatmaps=True)
    for one, other in zip(some, full, strict=True):
        assert one.pred_fields.heatmaps.shape == (2, 16, 12)
        for keypoint in (0, 2):
            assert np.allclose(
                one.pred_instances.keypoints[0, keypoint], other.pred_instances.keypoints[0, keypoint], atol=1e-3
            )
        assert np.isnan(one.pred_instances.keypoints[0, [1, 3, 4]]).all()
        assert one.pred_instances.keypoint_scores[0, [1, 3, 4]].tolist() == [0, 0, 0]


def test_safe_in_bf16():
    model, (images, data_samples) = tiny(), batch()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = model(images, data_samples, mode='loss')['loss']
        result = model.predict(images, data_samples)[0].pred_instances
    assert loss.dtype == torch.float32 and loss.isfinite()
    assert result.keypoints.dtype == np.float32 and np.isfinite(result.keypoints).all()
    assert loss.item() == pytest.approx(model(images, data_samples, mode='loss')['loss'].item(), rel=0.02)


def test_unlabelled_samples_have_no_loss(learned):
    model, images, data_samples = learned
    data_samples = copy.deepcopy(data_samples)
    for sample in data_samples:
        del sample.gt_instance_labels
        sample.pop('loss', None)
    assert all('loss' not in sample for sample in model.predict(images, data_samples, losses=True))
    images, mixed = batch()
    del mixed[1].gt_instance_labels  # one of two is enough
    assert all('loss' not in sample for sample in model.predict(images, mixed, losses=True))
    images, labelled = batch()
    assert all('loss' in sample for sample in model.predict(images, labelled, losses=True))
    some = dict(losses=True, keypoints=['head'])
    assert all('loss' not in sample for sample in model.predict(*batch(), **some))


@pytest.mark.parametrize('form', ['ours', 'clean'])
def test_starts_from_a_pretraining_checkpoint(form, tmp_path):
    """Ours: {state_dict, meta} with backbone and decoder; published: the flat encoder, class token and 65 positions included."""
    torch.manual_seed(3)
    encoder = dict(type='SapiensViT', arch=TINY, img_size=64, with_cls_token=True, pos_embed='sincos')
    mae = MAE(encoder, decoder=dict(num_layers=1, embed_dims=16, num_heads=2))
    mae.init_weights()
    path = tmp_path / f'{form}.pth'
    torch.save(dict(state_dict=mae.state_dict(), meta={}) if form == 'ours' else mae.backbone.state_dict(), path)

    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    torch.manual_seed(0)
    backbone = dict(type='SapiensViT', arch=TINY, img_size=(64, 48), patch_padding=2, init_cfg=init_cfg)
    model = PoseEstimator(backbone, HEAD, FIVE)
    model.init_weights()
    for name, value in model.backbone.state_dict().items():
        if name == 'pos_embed':
            assert torch.equal(value, resize_grid(mae.backbone.pos_embed[:, 1:], (4, 4), (4, 3)))
        else:
            assert torch.equal(value, mae.backbone.state_dict()[name]), name
    head = [p.std() for name, p in model.head.named_parameters() if name.endswith('weight')]
    assert all(0 < std < 2e-3 for std in head)


def test_published_initialisation():
    head = HeatmapHead(256, 17, deconv_channels=(256,), conv_channels=(64,))
    head.init_weights()
    for name, parameter in head.named_parameters():
        if name.endswith('bias'):
            assert parameter.eq(0).all()
        else:
            assert parameter.std().item() == pytest.approx(1e-3, rel=0.1), name


def test_initialisation_by_fan_in_keeps_the_size_of_features():
    """Without the normalization, which hides it, noise of deviation 1 comes out of each layer with a mean square of 2, which the
    activation halves."""
    torch.manual_seed(0)
    head = HeatmapHead(256, 17, deconv_channels=(256,), conv_channels=(128,), init='fan_in')
    head.init_weights()
    for layer in (head.deconv_layers[0], head.conv_layers[0]):
        out = layer(torch.randn(2, 256, 16, 16))
        assert out[..., 1:-1, 1:-1].square().mean().item() == pytest.approx(2, rel=0.05)
    assert head.final_layer.weight.std().item() == pytest.approx(1e-3, rel=0.1)
    with pytest.raises(ValueError, match="init='kaiming' is not one of"):
        HeatmapHead(256, 17, init='kaiming')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(test_cfg=dict(flip=True)), "unknown key 'flip'; did you mean 'flip_test'"),
        (dict(test_cfg=dict(keypoints=['left_hnad'])), "did you mean 'left_hand'"),
        (dict(test_cfg=dict(keypoints='head')), 'expected a list of names'),
        (dict(group_weights=dict(hand=2.0)), "group_weights.hand: .* has no group 'hand'; did you mean 'hands'"),
        (dict(group_weights=dict(hands=0)), 'group_weights.hands=0: expected a number above 0'),
        (dict(group_weights=dict(hands=True)), 'group_weights.hands=True: expected a number above 0'),
        (dict(group_weights=dict(hands=2.0, ends=2.0)), "group_weights.ends: left_hand is also in group 'hands'"),
    ],
)
def test_wrong_options_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        tiny(GROUPED, **change)


def test_contradictions_are_refused():
    backbone = dict(type='SapiensViT', arch=TINY, img_size=(64, 48))
    with pytest.raises(ValueError, match='head.out_channels=17 contradicts 5'):
        PoseEstimator(backbone, dict(HEAD, num_keypoints=17), FIVE)
    with pytest.raises(ValueError, match='head.in_channels=64 contradicts 32, which follows from the backbone'):
        PoseEstimator(backbone, dict(HEAD, in_channels=64), FIVE)
    model = tiny()
    images, _ = batch()
    with pytest.raises(ValueError, match='the data have 17 keypoints'):
        model(images, samples(torch.rand(2, 17, 2)), mode='loss')
