"""A field of a task outside the package: folders, reading, validity, geometry, packing and checks follow from its declaration."""

import numpy as np
import pytest

from sapiens import tasks
from sapiens.datasets import Draw, GeometryDataset
from sapiens.datasets.checks import Findings
from sapiens.datasets.transforms import LoadDense, LoadLabels, LoadResize
from sapiens.datasets.transforms.label_files import read_ids
from sapiens.structures import DenseDataSample
from sapiens.tasks import MapField, TaskSpec, register_task

from .helpers import encode, smooth_image


def read_shade(path, info):
    return np.load(path) * np.float32(info.get('gain', 1))


def known_shade(shade):
    return shade[..., 0] >= 0


@pytest.fixture(params=[False, True], ids=['shared', 'own'])
def own_validity(request, monkeypatch):
    """Registers a task with a target of two channels for the time of a test."""
    monkeypatch.setattr(tasks.lookup, '_TASKS', dict(tasks.lookup._TASKS))
    field = MapField(
        'shade', 2, interpolation='linear', own_validity=request.param, folders=('shade', 'shades'), suffixes=('.npy',),
        reader=read_shade, known=known_shade,
    )  # fmt: skip
    register_task(TaskSpec('shade', 'shading', fields=(field,), masked_by_people=True))
    return request.param


def write_shades(root, count=3):
    rng = np.random.default_rng(0)
    for name in ('rgb', 'shades', 'depth', 'mask'):
        (root / name).mkdir(parents=True)
    for i in range(count):
        (root / f'rgb/{i}.png').write_bytes(encode(smooth_image(30, 40, seed=i), 'PNG'))
        shade = rng.uniform(0, 1, (40, 30, 2)).astype(np.float32)
        shade[:5] = -1
        np.save(root / f'shades/{i}.npy', shade)
        np.save(root / f'depth/{i}.npy', np.where(np.arange(30) < 9, 0, 2.0) * np.ones((40, 30), np.float32))
        mask = np.zeros((40, 30), np.uint8)
        mask[:, :20] = 255
        (root / f'mask/{i}.png').write_bytes(encode(mask, 'PNG'))
    return str(root)


def test_from_folders_to_the_model(tmp_path, own_validity):
    pipeline = [
        dict(type='LoadLabels'),
        dict(type='LoadDense', steps=[dict(type='RandomFlip', prob=1)]),
        dict(type='PackDense'),
    ]
    root = write_shades(tmp_path)
    dataset = GeometryDataset(root, ['shade', 'depth'], pipeline=pipeline, options=dict(gain=10))
    sample = dataset[Draw(1, 5)]['data_samples']
    stored = np.load(tmp_path / 'shades/1.npy') * 10
    assert sample.gt_shade.shape == (2, 40, 30) and sample.gt_depth.shape == (1, 40, 30)
    assert np.allclose(sample.gt_shade.numpy(), stored[:, ::-1].transpose(2, 0, 1))
    mask = np.arange(30)[None] < 20
    shade, depth = (stored[..., 0] >= 0) & mask, np.broadcast_to((np.arange(30)[None] >= 9) & mask, (40, 30))
    if own_validity:
        assert np.array_equal(sample.valid_shade.numpy(), shade[:, ::-1])
        assert np.array_equal(sample.valid_mask.numpy(), depth[:, ::-1])
    else:
        assert 'valid_shade' not in sample
        assert np.array_equal(sample.valid_mask.numpy(), (depth & shade)[:, ::-1])
    only = GeometryDataset(root, ['shade'], pipeline=[LoadLabels(['shade']), *pipeline[1:]])[0]['data_samples']
    assert only.valid_mask.all() == own_validity and 'gt_depth' not in only


def test_checks(tmp_path, own_validity):
    root = write_shades(tmp_path)
    np.save(tmp_path / 'shades/0.npy', np.full((40, 30, 2), -1, np.float32))
    np.save(tmp_path / 'shades/2.npy', np.zeros((7, 30, 2), np.float32))
    findings = Findings()
    GeometryDataset(root, ['shade']).check(findings)
    assert {what: finding.count for what, finding in findings.items()} == {
        'shade map without a known value': 1,
        'shade of another size than its image': 1,
    }


def test_names_and_shapes_are_checked(tmp_path, own_validity):
    root = write_shades(tmp_path)
    assert len(GeometryDataset(root, ['shade'], shade='shades', mask='')) == 3
    with pytest.raises(FileNotFoundError, match='none'):
        GeometryDataset(root, ['shade'], shade='none')
    with pytest.raises(TypeError, match="unexpected argument shadow='x'"):
        GeometryDataset(root, ['shade'], shadow='x')
    with pytest.raises(ValueError, match=r'expected \(2, H, W\)'):
        DenseDataSample(gt_shade=np.zeros((3, 4, 4)))
    with pytest.raises(ValueError, match="'shade', or None for all"):
        LoadLabels(['flow'])
    with pytest.raises(ValueError, match='gt_shade'):
        LoadDense([], interpolation=dict(gt_flow='linear'))


def read_garment(path, info):
    return read_ids(path)


@pytest.mark.parametrize('swap', [None, 'garment_swap'])
def test_a_map_of_ids(tmp_path, monkeypatch, swap):
    monkeypatch.setattr(tasks.lookup, '_TASKS', dict(tasks.lookup._TASKS))
    field = MapField(
        'garment', kind='labels', padding=255, swap=swap, folders=('garment',), suffixes=('.png',), reader=read_garment
    )
    register_task(TaskSpec('garment', 'garments', fields=(field,)))
    for name in ('rgb', 'garment'):
        (tmp_path / name).mkdir()
    (tmp_path / 'rgb/0.png').write_bytes(encode(smooth_image(30, 40), 'PNG'))
    ids = np.where(np.arange(30) < 12, 1, 2)[None].repeat(40, 0).astype(np.uint8)
    (tmp_path / 'garment/0.png').write_bytes(encode(ids, 'PNG'))
    pipeline = [LoadLabels(['garment']), LoadDense([dict(type='RandomFlip', prob=1)]), dict(type='PackDense')]
    table = np.array([0, 2, 1, *range(3, 256)], np.uint8)
    if swap:
        with pytest.raises(ValueError, match='expected some of'):
            GeometryDataset(str(tmp_path), ['garment'], mask='')
    options = dict(garment_swap=table) if swap else None
    dataset = GeometryDataset(str(tmp_path), ['garment'], mask='', options=options, pipeline=pipeline)
    sample = dataset[0]['data_samples']
    expected = ids[:, ::-1]
    assert np.array_equal(sample.gt_garment.numpy(), table[expected] if swap else expected)


@pytest.mark.parametrize(
    ('size', 'box'), [((60, 20), (0, 8, 24, 8)), ((20, 60), (8, 0, 8, 24)), ((50, 50), (0, 0, 24, 24))]
)
def test_letterbox(size, box):
    image = smooth_image(*size)
    left, top, width, height = box
    results = LoadResize((24, 24), keep_ratio=True)(dict(img=image, img_path=''))
    inner = results['img'][top : top + height, left : left + width]
    assert np.array_equal(inner, LoadResize((width, height))(dict(img=image, img_path=''))['img'])
    assert results['img'].sum() == inner.sum() and results['img'].shape == (24, 24, 3)
    corners = np.array([[-0.5, -0.5], [size[0] - 0.5, size[1] - 0.5]])
    matrix = results['warp_matrix']
    expected = [[left - 0.5, top - 0.5], [left + width - 0.5, top + height - 0.5]]
    assert np.allclose(corners @ matrix[:, :2].T + matrix[:, 2], expected)


def test_the_matrix_of_a_stretch():
    results = LoadResize((24, 12))(dict(img=smooth_image(60, 20), img_path=''))
    assert np.allclose(results['warp_matrix'], [[0.4, 0, -0.3], [0, 0.6, -0.2]])
    assert results['img_shape'] == (12, 24) and results['ori_shape'] == (20, 60)


def test_letterbox_in_inference():
    import torch

    from sapiens.apis.preprocess import WholeInput

    image = smooth_image(60, 20)
    inputs = WholeInput(LoadResize((24, 24), 'bilinear', keep_ratio=True))
    [sample] = inputs.samples(image)
    assert np.allclose(sample.warp_matrix, [[0.4, 0, -0.3], [0, 0.4, 7.7]])
    host = inputs.on_host(image, sample)
    device = inputs.on_device(torch.from_numpy(image).permute(2, 0, 1), [sample])
    assert (
        host.shape == device.shape[1:] == (3, 24, 24) and (host[:, :8] == 0).all() and (device[0, :, 16:] == 0).all()
    )
    assert (host - device[0]).abs().max() <= 1
