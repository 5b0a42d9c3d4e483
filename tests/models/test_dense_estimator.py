import copy
import hashlib
import itertools

import pytest
import torch
import torch.nn.functional as F

from sapiens import tasks
from sapiens.engine.optim.param_groups import make_param_groups
from sapiens.metainfo import get_classes
from sapiens.models import MAE, DenseEstimator, DenseHead, DenseTask
from sapiens.models.estimators.pixel_grid import PixelGrid
from sapiens.registry import MODELS
from sapiens.structures import DenseDataSample

TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
HEAD = dict(type='DenseHead', deconv_channels=(24, 16, 16), conv_channels=(16,))
FOUR = dict(name='four', classes=['background', 'left_arm', 'right_arm', 'torso'], ce_weights=[0.5, 2, 2, 1])
TASKS = dict(
    seg=dict(type='SegTask', classes=FOUR),
    depth=dict(type='DepthTask'),
    normal=dict(type='NormalTask'),
)
SIZE = (64, 48)


def tiny(task, seed=0, **kwargs):
    torch.manual_seed(seed)
    backbone = dict(type='SapiensViT', arch=TINY, img_size=SIZE, patch_padding=2)
    model = DenseEstimator(backbone, HEAD, TASKS[task], **kwargs)
    model.init_weights()
    return model


def label(task, size, generator):
    if task == 'seg':
        blocks = torch.randint(4, (1, 1, 4, 3), generator=generator).float()
        return F.interpolate(blocks, size)[0, 0].to(torch.uint8)
    if task == 'depth':
        return 2 + F.interpolate(torch.rand(1, 1, 4, 3, generator=generator), size, mode='bilinear')[0]
    smooth = F.interpolate(torch.randn(1, 3, 4, 3, generator=generator), size, mode='bilinear')[0]
    return F.normalize(smooth, dim=0)


def sample(task, size=SIZE, generator=None):
    made = DenseDataSample(metainfo=dict(img_path=f'{task}.png', ori_shape=size, img_shape=SIZE))
    made.set_field(label(task, size, generator), {'seg': 'gt_sem_seg'}.get(task, f'gt_{task}'))
    made.valid_mask = torch.rand(size, generator=generator) > 0.2
    return made


def batch(task, count=2, size=SIZE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, *SIZE, generator=generator)
    return images, [sample(task, size, generator) for _ in range(count)]


# Published checkpoints: number of tensors, and the digest of their sorted "key shape" lines.
MANIFESTS = {
    ('0.3b', 'goliath28'): (304, 'f56631e305e9b0f7'),
    ('0.3b', 'lip20'): (304, 'dbac4418c1e5f797'),
    ('0.3b', 'face19'): (304, '397dcbfe219cb793'),
    ('0.3b', 'normal'): (304, '5694f0b41b0999f5'),
    ('0.3b', 'depth'): (303, '91fbd0fb2b9882cb'),
    ('0.6b', 'goliath28'): (400, '42ab6ac423d9922d'),
    ('0.6b', 'lip20'): (400, 'ce65f732243b865e'),
    ('0.6b', 'face19'): (400, 'cb9f4adbdc49b3f5'),
    ('0.6b', 'normal'): (400, 'd16ae098a0915b77'),
    ('0.6b', 'depth'): (399, '9f35d0478fbe0b27'),
    ('1b', 'goliath28'): (496, 'ea918d2ba8cc2834'),
    ('1b', 'lip20'): (496, '2d6585b8e902bce9'),
    ('1b', 'face19'): (496, 'b171063b8ddc4caa'),
    ('1b', 'normal'): (496, '130c3fd5f1a1fc5a'),
    ('1b', 'depth'): (495, '68c13f774a11a433'),
    ('2b', 'goliath28'): (592, 'a6bfdf307e8a0a70'),
    ('2b', 'lip20'): (592, 'c025a7c5ba96b296'),
    ('2b', 'face19'): (592, '7668a8004c879203'),
    ('2b', 'normal'): (592, 'fa232ebb8164d3f5'),
    ('2b', 'depth'): (591, '0eae967f23fd3785'),
}
HEAD_PARAMETERS = dict(goliath28=33_250_588, lip20=33_244_436, face19=33_243_667, normal=33_231_363, depth=13_665_409)


def published(arch, task):
    backbone = dict(type='SapiensViT', arch=arch, img_size=(1024, 768))
    head = dict(type='DenseHead')
    if task == 'depth':
        head.update(deconv_channels=(384,) * 4, conv_channels=(384,) * 2)
    with torch.device('meta'):
        return DenseEstimator(backbone, head, TASKS.get(task, dict(type='SegTask', classes=task)))


@pytest.mark.parametrize(('arch', 'task'), MANIFESTS)
def test_state_dict_equals_the_published_checkpoints(arch, task):
    model = published(arch, task)
    lines = sorted((key, list(value.shape)) for key, value in model.state_dict().items())
    text = '\n'.join(f'{key} {shape}' for key, shape in lines)
    assert (len(lines), hashlib.sha256(text.encode()).hexdigest()[:16]) == MANIFESTS[arch, task]
    if arch == '0.3b':
        assert sum(p.numel() for p in model.decode_head.parameters()) == HEAD_PARAMETERS[task]


@pytest.mark.parametrize('task', ['goliath28', 'depth'])
@pytest.mark.parametrize(
    ('arch', 'depth', 'embedding'),
    [('0.3b', 24, 1.72e-2), ('0.6b', 32, 4.69e-3), ('1b', 40, 1.28e-3), ('2b', 48, 3.48e-4)],
)
def test_learning_rates_of_the_layers_are_the_published_ones(arch, depth, embedding, task):
    model = published(arch, task)
    groups = make_param_groups(
        model, lr=5e-4, weight_decay=0.1, layer_decay_rate=0.85, no_decay=('pos_embed',), no_decay_1d=True
    )
    found = {id(parameter): group for group in groups for parameter in group['params']}
    assert len(found) == sum(len(group['params']) for group in groups) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        group = found[id(parameter)]
        if name.startswith('backbone.layers.'):
            scale = 0.85 ** (depth - int(name.split('.')[2]))
        elif name.startswith(('backbone.pos_embed', 'backbone.patch_embed')):
            scale = 0.85 ** (depth + 1)
            assert scale == pytest.approx(embedding, rel=6e-3)
        else:  # final norm and head
            scale = 1.0
        assert group['lr'] == pytest.approx(5e-4 * scale, rel=1e-12), name
        assert group['weight_decay'] == (0 if parameter.ndim == 1 or 'pos_embed' in name else 0.1), name


def test_published_initialisation():
    torch.manual_seed(1)
    head = DenseHead(64, 200, deconv_channels=(32,), conv_channels=(128,))
    before = copy.deepcopy(head.state_dict())
    head.init_weights()
    for name, value in head.state_dict().items():
        if name == 'conv_seg.weight':
            assert value.std().item() == pytest.approx(0.01, rel=0.05)
        elif name == 'conv_seg.bias':
            assert value.eq(0).all()
        else:
            assert torch.equal(value, before[name]), name


def test_dropout_of_whole_channels():
    head = DenseHead(8, 1, deconv_channels=(8,), conv_channels=(1000,))
    features, seeds = torch.randn(2, 8, 2, 2), torch.tensor([3, 4])
    dropped, whole = head.hidden(features, seeds), head.eval().hidden(features, seeds)
    gone = dropped.eq(0).all((2, 3))
    assert gone.sum(1).tolist() == [pytest.approx(100, abs=40)] * 2 and not torch.equal(gone[0], gone[1])
    assert torch.equal(gone, dropped.eq(0).any(3).any(2))
    torch.testing.assert_close(dropped, torch.where(gone[..., None, None], 0, whole / 0.9))
    assert torch.equal(head(features), head(features, seeds=seeds))
    head.train()
    assert not torch.equal(head(features), head(features))
    assert torch.equal(head(features, seeds=seeds), head(features, seeds=seeds))
    with pytest.raises(ValueError, match=r'dropout=1.0 must lie in \[0, 1\)'):
        DenseHead(8, 1, deconv_channels=(8,), conv_channels=(8,), dropout=1.0)


def test_dropout_is_the_last_thing_before_the_output():
    head = DenseHead(8, 64, deconv_channels=(8,), conv_channels=(64,), dropout=0.5)
    with torch.no_grad():
        head.conv_seg.weight.copy_(torch.eye(64)[..., None, None])
        head.conv_seg.bias.zero_()
    features = torch.randn(1, 8, 2, 2)
    dropped, whole = head.train()(features)[0], head.eval()(features)[0]
    gone = dropped.eq(0).flatten(1).all(1)
    assert 10 < gone.sum() < 54
    torch.testing.assert_close(dropped[~gone], 2 * whole[~gone])


@pytest.mark.parametrize('task', TASKS)
def test_every_parameter_gets_a_gradient(task):
    model = tiny(task)
    losses = model(*batch(task), mode='loss')
    names = dict(seg={'loss_ce', 'acc_seg'}, depth={'loss_silog'}, normal={'loss_cosine', 'loss_l1'})
    assert set(losses) == names[task]
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize('task', TASKS)
def test_invalid_pixels_do_not_matter(task):
    images, data_samples = batch(task)
    results = []
    for change in (False, True):
        if change:
            for one in data_samples:
                field = one.gt_sem_seg if task == 'seg' else one.get(f'gt_{task}')
                field[..., ~one.valid_mask] = {'seg': 200, 'depth': -5.0, 'normal': torch.nan}[task]
        model = tiny(task)
        losses = model(images, data_samples, mode='loss')
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        results.append([losses, [p.grad for p in model.parameters()]])
    (losses, grads), (others, other_grads) = results
    assert all(torch.equal(losses[name], others[name]) for name in losses)
    assert all(torch.equal(one, other) for one, other in zip(grads, other_grads, strict=True))


@pytest.mark.parametrize('task', TASKS)
def test_a_batch_without_labels_that_count(task):
    images, data_samples = batch(task)
    for one in data_samples:
        one.valid_mask[:] = False
    model = tiny(task)
    losses = model(images, data_samples, mode='loss')
    assert all(value == 0 for value in losses.values())
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize('task', TASKS)
def test_safe_in_bf16(task):
    model, (images, data_samples) = tiny(task).eval(), batch(task)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model(images, data_samples, mode='loss')
        result = model.predict(images, data_samples, flip_test=True)[0]
    exact = model(images, data_samples, mode='loss')
    for name, value in losses.items():
        assert value.dtype == torch.float32 and value.isfinite()
        if 'loss' in name:
            assert value.item() == pytest.approx(exact[name].item(), rel=0.03)
    field = 'sem_seg' if task == 'seg' else task
    assert result.get(f'pred_{field}').dtype == (torch.int64 if task == 'seg' else torch.float32)


LOSSES = dict(
    seg=[dict(type='SegCrossEntropyLoss', class_weight='classes'), dict(type='SegDiceLoss', loss_weight=0.5)],
    depth=[dict(type='SiLogLoss'), dict(type='DepthGradientLoss', loss_weight=0.5)],
    normal=[
        dict(type='NormalCosineLoss', loss_weight=10.0),
        dict(type='NormalL1Loss'),
        dict(type='NormalGradientLoss', loss_weight=10.0),
    ],
)


@pytest.mark.parametrize('task', TASKS)
def test_an_overfitted_model_predicts_the_labels_in_the_image(task):
    """Overfit one batch without dropout, then predict at twice the size."""
    torch.manual_seed(0)
    model = tiny(task, losses=LOSSES[task])
    model.decode_head.dropout = 0.0
    images, data_samples = batch(task)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        losses = model(images, data_samples, mode='loss')
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        optimizer.step()
    model.eval()
    trained = sum(value for name, value in model(images, data_samples, mode='loss').items() if 'loss' in name).item()

    large = (2 * SIZE[0], 2 * SIZE[1])
    labels = []
    for one in data_samples:
        name = 'gt_sem_seg' if task == 'seg' else f'gt_{task}'
        truth, valid = one.pop(name), one.pop('valid_mask')
        labels.append((truth, valid))
        one.set_field(truth.repeat_interleave(2, -1).repeat_interleave(2, -2), name)
        one.valid_mask = valid.repeat_interleave(2, -1).repeat_interleave(2, -2)
        one.set_metainfo(dict(ori_shape=large))
    total = 0.0
    for one, (truth, valid) in zip(model.predict(images, data_samples, losses=True), labels, strict=True):
        kind = 'sem_seg' if task == 'seg' else task
        found = one.get(f'pred_{kind}')
        assert found.shape[-2:] == large
        found = found[..., 1::2, 1::2]
        if task == 'seg':
            assert (found == truth)[valid].float().mean() > 0.9
        elif task == 'depth':
            low, high = truth[0][valid].min(), truth[0][valid].max()
            assert (found - (truth - low) / (high - low)).abs()[0][valid].mean() < 0.05
        else:
            assert torch.allclose(found.norm(dim=0), torch.ones(SIZE), atol=1e-5)
            assert (found * truth).sum(0)[valid].mean() > 0.95  # our frame on both sides
        assert isinstance(one.loss, float)
        total += one.loss / 2
    # The loss of prediction is that of training: labels are compared at the size of the input.
    assert total == pytest.approx(trained, rel=0.2 if task == 'normal' else 0.1)


@pytest.mark.parametrize('form', ['ours', 'clean'])
def test_starts_from_a_pretraining_checkpoint(form, tmp_path):
    torch.manual_seed(3)
    encoder = dict(type='SapiensViT', arch=TINY, img_size=64, with_cls_token=True, pos_embed='sincos')
    mae = MAE(encoder, decoder=dict(num_layers=1, embed_dims=16, num_heads=2))
    mae.init_weights()
    path = tmp_path / f'{form}.pth'
    torch.save(dict(state_dict=mae.state_dict(), meta={}) if form == 'ours' else mae.backbone.state_dict(), path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    backbone = dict(type='SapiensViT', arch=TINY, img_size=SIZE, init_cfg=init_cfg)
    model = DenseEstimator(backbone, HEAD, TASKS['depth'])
    model.init_weights()
    assert torch.equal(model.backbone.layers[1].attn.qkv.weight, mae.backbone.layers[1].attn.qkv.weight)
    assert 0 < model.decode_head.conv_seg.weight.std() < 0.02


# ---------------------------------------------------------------------- settings


def test_losses_of_the_classes():
    model = tiny('seg', losses=LOSSES['seg'])
    assert list(model.loss_modules) == ['ce', 'dice']
    assert model.loss_modules['ce'].class_weight.tolist() == [0.5, 2, 2, 1]
    assert model.loss_modules['dice'].loss_weight == 0.5
    assert not [key for key in model.state_dict() if not key.startswith(('backbone.', 'decode_head.'))]
    goliath = DenseEstimator(
        dict(type='SapiensViT', arch=TINY, img_size=SIZE), HEAD, dict(type='SegTask', classes='goliath28')
    )
    weights = goliath.loss_modules['ce'].class_weight
    assert weights.tolist() == pytest.approx(get_classes('goliath28').ce_weights.tolist())


def test_names_and_weights_of_several_losses():
    model, (images, data_samples) = tiny('depth', losses=LOSSES['depth']).eval(), batch('depth')
    both = model(images, data_samples, mode='loss')
    assert set(both) == {'loss_silog', 'loss_grad'}
    model.loss_modules['grad'].loss_weight = 1.0
    doubled = model(images, data_samples, mode='loss')['loss_grad']
    assert doubled.item() == pytest.approx(2 * both['loss_grad'].item())
    assert model.parse_losses(both)[1]['loss'].item() == pytest.approx(sum(both.values()).item())


def test_a_loss_at_every_fourth_pixel_is_on_average_that_of_all():
    """The mean over the sixteen first pixels, in value and gradient; accuracy alike."""
    images, data_samples = batch('seg')
    whole = tiny('seg').eval()
    expected = whole(images, data_samples, mode='loss')
    expected['loss_ce'].backward()
    model = tiny('seg', loss_stride=4).eval()
    drawn = PixelGrid.draw(torch.arange(200), SIZE, 4).first.tolist()
    losses, accuracy, compared = 0.0, 0.0, 0
    valid = torch.stack([one.valid_mask for one in data_samples])
    for down, right in itertools.product(range(4), repeat=2):
        seeds = torch.full((len(images),), drawn.index([down, right]))
        found = model(images, data_samples, mode='loss', seeds=seeds)
        losses = losses + found['loss_ce'] / 16
        count = valid[:, down::4, right::4].sum()
        accuracy, compared = accuracy + found['acc_seg'] * count, compared + count
    assert compared == valid.sum()
    assert losses.item() == pytest.approx(expected['loss_ce'].item(), rel=1e-5)
    assert (accuracy / compared).item() == pytest.approx(expected['acc_seg'].item(), rel=1e-5)
    losses.backward()
    for one, other in zip(model.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-6)


def test_pixels_that_losses_compare():
    """Each image has its own first pixel, and all have equally many; 64 rows are not divided by 3."""
    grid, labels = PixelGrid.draw(torch.arange(90), SIZE, 3), torch.rand(90, 2, *SIZE)
    assert grid.rows.shape == (90, 21) and grid.columns.shape == (90, 16)
    found = grid.take(labels)
    for index, (down, right) in enumerate(grid.first.tolist()):
        assert torch.equal(found[index], labels[index, :, down : down + 63 : 3, right::3])
    counts = torch.zeros(3, 3).index_put(tuple(grid.first.T), torch.ones(()), accumulate=True)
    assert counts.min() > 3 and counts.max() < 20
    assert torch.equal(grid.take(labels[:, 0]), found[:, 0])


@pytest.mark.parametrize('task', TASKS)
def test_the_compared_pixels_of_a_sample_follow_its_seed(task):
    images, data_samples = batch(task)
    model = tiny(task, loss_stride=4).eval()

    def loss(*seeds):
        count, given = len(seeds) or len(images), dict(seeds=torch.tensor(seeds)) if seeds else {}
        losses = model(images[:count], data_samples[:count], mode='loss', **given)
        return sum(value for name, value in losses.items() if 'loss' in name).item()

    assert loss(1, 2) == loss(1, 2) and len({loss(1), loss(2), loss(3), loss(4)}) > 1
    torch.manual_seed(0)
    values = [loss() for _ in range(4)]
    assert len(set(values)) > 1, 'without seeds torch draws'
    torch.manual_seed(0)
    assert values == [loss() for _ in range(4)]


def test_a_stride_beyond_the_input_is_refused():
    with pytest.raises(ValueError, match=r'loss_stride=49 is larger than an input of \(h, w\) = \(64, 48\)'):
        tiny('seg', loss_stride=49)(*batch('seg'), mode='loss')


def test_prediction_and_its_loss_compare_all_pixels():
    images, data_samples = batch('seg')
    results = [
        tiny('seg', loss_stride=stride).eval().predict(images, copy.deepcopy(data_samples), losses=True)
        for stride in (1, 4)
    ]
    for one, other in zip(*results, strict=True):
        assert torch.equal(one.pred_sem_seg, other.pred_sem_seg) and one.loss == other.loss


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(loss_stride=0), 'loss_stride=0: expected 1'),
        (dict(loss_stride=1.5), 'loss_stride=1.5: expected 1'),
        (dict(test_cfg=dict(flip=True)), "unknown key 'flip'; did you mean 'flip_test'"),
        (dict(test_cfg=dict(resize='nearest')), "resize='nearest' is not one of"),
        (dict(test_cfg=dict(stride=(8, 8))), 'has no effect without test_cfg.crop_size'),
        (dict(test_cfg=dict(crop_size=(32, 32), stride=(16, 48))), 'leaves gaps'),
        (dict(test_cfg=dict(crop_size=32)), r'crop_size=32: expected \(h, w\)'),
        (dict(test_cfg=dict(crop_size=(32, 0))), r'crop_size=\(32, 0\): expected \(h, w\)'),
        (dict(losses=[]), 'at least one loss'),
        (dict(losses='[{}]'), 'expected a config of a loss'),
        (dict(losses=['SegDiceLoss']), 'expected a config of a loss'),
        (dict(losses=[dict(type='SegDiceLoss'), dict(type='SegDiceLoss', smooth=1.0)]), "have the name 'dice'"),
        (dict(losses=dict(type='SegCrossEntropyLoss', class_weight=[1, 2])), 'has 2 numbers for ClassList'),
    ],
)
def test_wrong_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        tiny('seg', **change)


def test_missing_parts_are_named():
    with pytest.raises(TypeError, match='needs the arguments head and task, got head=None'):
        DenseEstimator(backbone=dict(type='SapiensViT'), task=dict(type='DepthTask'))


def test_contradictions_are_refused():
    backbone = dict(type='SapiensViT', arch=TINY, img_size=SIZE)
    with pytest.raises(ValueError, match='head.out_channels=28 contradicts 4, which follows from the task'):
        DenseEstimator(backbone, dict(HEAD, out_channels=28), TASKS['seg'])
    with pytest.raises(ValueError, match='head.in_channels=64 contradicts 32, which follows from the backbone'):
        DenseEstimator(backbone, dict(HEAD, in_channels=64), TASKS['depth'])
    with pytest.raises(ValueError, match="unknown key 'output_logits'"):
        tiny('depth', test_cfg=dict(output_logits=True))
    with pytest.raises(ValueError, match='output_logit'):
        tiny('seg').predict(*batch('seg'), output_logit=True)


def test_a_new_task_is_one_class(monkeypatch):
    """Opacity, with an activation: no other part knows of it, apart from its declaration."""
    monkeypatch.setattr(tasks.lookup, '_TASKS', dict(tasks.lookup._TASKS))
    tasks.register_task(tasks.TaskSpec('opacity', 'opacity', fields=(tasks.map_fields()['alpha'],)))

    class Opacity(DenseTask):
        task_name, channels = 'opacity', 1
        default_losses = (dict(type='DepthGradientLoss'),)

        def finish(self, output, size, options):
            return {name: value.sigmoid() for name, value in super().finish(output, size, options).items()}

    monkeypatch.setitem(MODELS.module_dict, 'OpacityForTests', Opacity)
    backbone = dict(type='SapiensViT', arch=TINY, img_size=SIZE)
    model = DenseEstimator(backbone, HEAD, dict(type='OpacityForTests'))
    images, data_samples = batch('depth')
    for one in data_samples:
        one.gt_alpha = one.pop('gt_depth')
    assert model(images, data_samples, mode='loss')['loss_grad'] > 0
    assert 0 < model.predict(images, data_samples, flip_test=True)[0].pred_alpha.min() < 1
