"""The 40 kinds of published checkpoints: files with their names and shapes go through load, model and save unchanged."""

import hashlib
import zlib

import pytest
import torch

from sapiens.checkpoints import ZOO, expected_shapes, recognise
from sapiens.metainfo import get_classes
from sapiens.models import MAE, SAPIENS_ARCHS, DenseEstimator, PoseEstimator, SapiensViT
from sapiens.tasks import get_task
from sapiens.utils.checkpoint import limits, load_state, read_checkpoint, save_weights

from . import golden

# (size, task, outputs) -> number of tensors and the digest of the sorted "key shape" lines, taken from listings of the
# published system's own state dicts.
MANIFESTS = {
    ('0.3b', 'depth', None): (303, '91fbd0fb2b9882cb'),
    ('0.3b', 'normal', None): (304, '5694f0b41b0999f5'),
    ('0.3b', 'pose', 133): (301, '48f454121cd9fddd'),
    ('0.3b', 'pose', 17): (301, '1f2f7bd63c063eb3'),
    ('0.3b', 'pose', 308): (301, '5ac5300ec2b8e396'),
    ('0.3b', 'pretrain', None): (294, '4378428e0949fe4c'),
    ('0.3b', 'mae', None): (398, 'f56657750f1742b7'),
    ('0.3b', 'seg', 19): (304, '397dcbfe219cb793'),
    ('0.3b', 'seg', 20): (304, 'dbac4418c1e5f797'),
    ('0.3b', 'seg', 28): (304, 'f56631e305e9b0f7'),
    ('0.6b', 'depth', None): (399, '9f35d0478fbe0b27'),
    ('0.6b', 'normal', None): (400, 'd16ae098a0915b77'),
    ('0.6b', 'pose', 133): (397, '281d92330c764a25'),
    ('0.6b', 'pose', 17): (397, 'd91605078eaf445c'),
    ('0.6b', 'pose', 308): (397, '50d1a05a7a808bd1'),
    ('0.6b', 'pretrain', None): (390, 'e604b2b5b6663f72'),
    ('0.6b', 'mae', None): (494, '16445d834af6e50c'),
    ('0.6b', 'seg', 19): (400, 'cb9f4adbdc49b3f5'),
    ('0.6b', 'seg', 20): (400, 'ce65f732243b865e'),
    ('0.6b', 'seg', 28): (400, '42ab6ac423d9922d'),
    ('1b', 'depth', None): (495, '68c13f774a11a433'),
    ('1b', 'normal', None): (496, '130c3fd5f1a1fc5a'),
    ('1b', 'pose', 133): (493, '374d9c2069fb7d77'),
    ('1b', 'pose', 17): (493, '9ebdfbaeff2a3f83'),
    ('1b', 'pose', 308): (493, '4b66836f7ff4710d'),
    ('1b', 'pretrain', None): (486, '04c7838a43143bd0'),
    ('1b', 'mae', None): (590, 'f0f9c2de92715b6e'),
    ('1b', 'seg', 19): (496, 'b171063b8ddc4caa'),
    ('1b', 'seg', 20): (496, '2d6585b8e902bce9'),
    ('1b', 'seg', 28): (496, 'ea918d2ba8cc2834'),
    ('2b', 'depth', None): (591, '0eae967f23fd3785'),
    ('2b', 'normal', None): (592, 'fa232ebb8164d3f5'),
    ('2b', 'pose', 133): (589, 'e12f1ed759f823e5'),
    ('2b', 'pose', 17): (589, '36b1f130e8f86ed4'),
    ('2b', 'pose', 308): (589, '4edcc47a1306e748'),
    ('2b', 'pretrain', None): (582, '0edd2a592dc0568e'),
    ('2b', 'mae', None): (686, '70e706fed5561b06'),
    ('2b', 'seg', 19): (592, '7668a8004c879203'),
    ('2b', 'seg', 20): (592, 'c025a7c5ba96b296'),
    ('2b', 'seg', 28): (592, 'a6bfdf307e8a0a70'),
}
SKELETONS = {17: 'coco17', 133: 'wholebody133', 308: 'goliath308'}
CLASSES = {28: 'goliath28', 20: 'lip20', 19: 'face19'}
kinds = pytest.mark.parametrize(('size', 'task', 'outputs'), MANIFESTS)


def build(arch, task, outputs, channels=None, decoder=None, image_size=None):
    """The model of one kind; ``channels`` of every layer of its head instead of the published ones."""
    if task in ('mae', 'pretrain'):
        options = dict(arch=arch, img_size=image_size or 1024, with_cls_token=True, pos_embed='sincos')
        return MAE(dict(type='SapiensViT', **options), decoder=decoder) if task == 'mae' else SapiensViT(**options)
    backbone = dict(type='SapiensViT', arch=arch, img_size=image_size or (1024, 768))
    head = get_task(task).published
    sizes = dict(deconv_channels=head.deconv_channels, conv_channels=head.conv_channels)
    if channels:
        sizes = {name: (channels,) * len(value) for name, value in sizes.items()}
    if task == 'pose':
        return PoseEstimator(backbone, dict(type='HeatmapHead', **sizes), SKELETONS[outputs])
    tasks = dict(depth=dict(type='DepthTask'), normal=dict(type='NormalTask'))
    return DenseEstimator(
        backbone, dict(type='DenseHead', **sizes), tasks.get(task) or dict(type='SegTask', classes=CLASSES[outputs])
    )


def digest(shapes):
    lines = sorted((key, list(shape)) for key, shape in shapes.items())
    text = '\n'.join(f'{key} {shape}' for key, shape in lines)
    return len(lines), hashlib.sha256(text.encode()).hexdigest()[:16]


def shapes_of(state_dict):
    return {name: tuple(value.shape) for name, value in state_dict.items()}


def test_there_are_forty():
    assert len(MANIFESTS) == 40 and {size for size, _, _ in MANIFESTS} == set(SAPIENS_ARCHS) - {'tiny'}


@kinds
def test_full_size(size, task, outputs, tmp_path, monkeypatch):
    """Names and shapes at full size. Each tensor of the file is one number seen many times, the model is on the meta device."""
    shapes = expected_shapes(size, task, outputs)
    assert digest(shapes) == MANIFESTS[size, task, outputs]
    weights = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    torch.save(weights if task == 'pretrain' else dict(state_dict=weights, meta={}), tmp_path / 'x.pth')
    assert (tmp_path / 'x.pth').stat().st_size < 1e6
    monkeypatch.setattr(limits, 'SPARE', 1 << 40)  # such a file is refused otherwise
    read = read_checkpoint(tmp_path / 'x.pth')
    with torch.device('meta'):
        model = build(size, task, outputs)
    report = load_state(model, read.state_dict)
    assert set(report.loaded) == set(shapes) and report.share == 1
    assert not (report.missing or report.unused or report.resized or report.reinitialized)
    assert shapes_of(model.state_dict()) == shapes
    found = recognise(read.state_dict)
    assert (found['size'], found['task']) == (size, task)
    assert (found['keypoints'], found['classes']) == (
        outputs if task == 'pose' else None,
        outputs if task == 'seg' else None,
    )
    assert found['image_size'] == ((1024, 1024) if task in ('mae', 'pretrain') else (1024, 768))


@kinds
def test_values(size, task, outputs, tmp_path):
    """The same names with few channels: every value survives load, model, save and load."""
    suffix = 'pth' if size in ('0.3b', '1b') else 'safetensors'
    arch = dict(SAPIENS_ARCHS[size], embed_dims=16, num_heads=2, feedforward_channels=32)
    small = dict(channels=4, decoder=dict(embed_dims=16, num_heads=2), image_size=64)
    model, other = build(arch, task, outputs, **small), build(arch, task, outputs, **small)
    assert set(model.state_dict()) == set(expected_shapes(size, task, outputs))
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode()))))
    save_weights(model.state_dict(), tmp_path / f'a.{suffix}')
    first = read_checkpoint(tmp_path / f'a.{suffix}')
    assert load_state(other, first.state_dict, min_share=1.0).share == 1
    save_weights(other.state_dict(), tmp_path / f'b.{suffix}', first.meta)
    second = read_checkpoint(tmp_path / f'b.{suffix}').state_dict
    assert list(second) == list(first.state_dict) and set(second) == set(model.state_dict())
    assert all(torch.equal(second[name], value) for name, value in model.state_dict().items())


# The second family: tests/checkpoints/test_sapiens2.py.
FIRST = [
    name
    for name, entry in ZOO.items()
    if entry.task != 'detector' and entry.family.name == 'sapiens' and not entry.is_own
]


@pytest.mark.parametrize('name', FIRST)
def test_every_published_model_is_one_of_them(name):
    entry = ZOO[name]
    if entry.classes == 2:  # foreground: the head of the 28 classes with another number
        assert entry.shapes()['decode_head.conv_seg.weight'] == (2, 768, 1, 1)
        assert set(entry.shapes()) == set(expected_shapes(entry.size, 'seg', 28))
        return
    kind = entry.size, entry.task, entry.keypoints or entry.classes
    assert digest(entry.shapes()) == MANIFESTS[kind]


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
@pytest.mark.parametrize('form', ['flat', 'whole', 'safetensors', 'torchscript', 'compiled'])
@pytest.mark.parametrize('padding', [0, 2])
def test_golden_features_after_a_round_trip(tmp_path, form, padding):
    """Weights made by the golden formula, written in each form and loaded into a new model, give the golden features."""
    image = golden.golden_image(64, 48)
    source = SapiensViT(golden.TINY_ARCH, img_size=(64, 48), patch_padding=padding).eval()
    golden.golden_weights(source)
    weights, path = source.state_dict(), tmp_path / ('x.safetensors' if form == 'safetensors' else 'x.pth')
    if form == 'torchscript':
        torch.jit.save(torch.jit.trace(source, image), path)
    elif form == 'safetensors':
        save_weights(weights, path)
    else:
        prefix = dict(flat='', whole='backbone.', compiled='module._orig_mod.backbone.')[form]
        content = {f'{prefix}{name}': value for name, value in weights.items()}
        torch.save(content if form == 'flat' else dict(state_dict=content, meta={}), path)
    model = SapiensViT(golden.TINY_ARCH, img_size=(64, 48), patch_padding=padding).eval()
    load_state(model, read_checkpoint(path).state_dict, min_share=1.0)
    (features,) = model(image)
    first, total, magnitude = golden.VIT[padding]
    torch.testing.assert_close(features.flatten()[:5], torch.tensor(first), atol=1e-5, rtol=0)
    assert features.sum().item() == pytest.approx(total, abs=1e-4)
    assert features.abs().sum().item() == pytest.approx(magnitude, abs=1e-3)


def test_golden_heatmaps_after_a_round_trip(tmp_path):
    head = dict(type='HeatmapHead', deconv_channels=(16, 16), conv_channels=(16, 16))
    skeleton = dict(dataset_name='five', keypoint_info={i: dict(name=f'k{i}', id=i, type='upper', swap='') for i in range(5)},
                    skeleton_info={}, joint_weights=[1.0] * 5, sigmas=[0.05] * 5)  # fmt: skip
    backbone = dict(type='SapiensViT', arch=golden.TINY_ARCH, img_size=(64, 48), patch_padding=2)
    source, model = (PoseEstimator(backbone, head, skeleton).eval() for _ in range(2))
    golden.golden_weights(source.backbone)
    golden.golden_weights(source.head)
    save_weights(source.state_dict(), tmp_path / 'x.pth')
    load_state(model, read_checkpoint(tmp_path / 'x.pth').state_dict, min_share=1.0)
    maps = model(golden.golden_image(64, 48))
    first, total, magnitude = golden.POSE_HEAD
    torch.testing.assert_close(maps.flatten()[:5], torch.tensor(first), atol=1e-5, rtol=0)
    assert maps.sum().item() == pytest.approx(total, abs=1e-4)
    assert maps.abs().sum().item() == pytest.approx(magnitude, abs=1e-4)


def test_the_classes_of_the_manifests_are_real():
    assert {len(get_classes(name)) for name in CLASSES.values()} == set(CLASSES)
