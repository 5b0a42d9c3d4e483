"""Reading label files."""

import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from sapiens.datasets.transforms import BadImage, LoadLabels, LoadResize, PackDense
from sapiens.datasets.transforms.color_files import read_alpha
from sapiens.datasets.transforms.label_files import read_depth, read_ids, read_mask, read_normal

from .folders import write_array, write_png
from .helpers import encode, smooth_image

IDS = np.random.default_rng(0).integers(0, 12, (9, 7)).astype(np.uint8)
NORMAL = np.random.default_rng(1).normal(size=(9, 7, 3)).astype(np.float32)
NORMAL /= np.linalg.norm(NORMAL, axis=-1, keepdims=True)
NORMAL[0, :2] = 0
DEPTH = np.random.default_rng(2).uniform(1, 4, (9, 7)).astype(np.float32)


def test_ids(tmp_path):
    grey = write_png(tmp_path / 'grey.png', IDS)
    equal = write_png(tmp_path / 'equal.png', np.repeat(IDS[..., None], 3, -1))
    palette = Image.fromarray(IDS, 'P')
    palette.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    palette.save(tmp_path / 'palette.png')
    for path in (grey, equal, str(tmp_path / 'palette.png')):
        assert np.array_equal(read_ids(path, count=12), IDS), path
    assert read_ids(grey).dtype == np.uint8
    Image.fromarray(IDS > 5).save(tmp_path / 'bits.png')
    assert np.array_equal(read_ids(str(tmp_path / 'bits.png')), IDS > 5)


def test_ids_out_of_range(tmp_path):
    path = write_png(tmp_path / 'a.png', IDS)
    with pytest.raises(BadImage, match=r'labels \[10, 11\]: expected 0 to 9, or 255'):
        read_ids(path, count=10)
    ignored = write_png(tmp_path / 'b.png', np.where(IDS > 9, 255, IDS).astype(np.uint8))
    assert (read_ids(ignored, count=10) == 255).sum() == (IDS > 9).sum()
    with pytest.raises(BadImage, match='colors'):
        read_ids(write_png(tmp_path / 'c.png', smooth_image(8, 8)))
    with pytest.raises(BadImage, match='16-bit'):
        read_ids(write_png(tmp_path / 'd.png', IDS.astype(np.uint16)))
    (tmp_path / 'e.png').write_bytes(b'nothing')
    with pytest.raises(BadImage, match='7 bytes'):
        read_ids(str(tmp_path / 'e.png'))
    with pytest.raises(BadImage, match='FileNotFoundError'):
        read_ids(str(tmp_path / 'none.png'))


def test_remapped_ids(tmp_path):
    table = np.full(256, 255, np.uint8)
    table[[3, 7]] = 1, 0
    found = read_ids(write_png(tmp_path / 'a.png', IDS), table, count=2)
    assert np.array_equal(found == 1, IDS == 3) and np.array_equal(found == 0, IDS == 7)


def test_masks_and_coverage(tmp_path):
    mask = np.zeros((40, 50), np.uint8)
    mask[10:30, 12:40] = 1  # any number above 0
    assert np.array_equal(read_mask(write_png(tmp_path / 'a.png', mask)), mask > 0)
    assert np.array_equal(read_mask(write_png(tmp_path / 'b.png', np.repeat(mask[..., None], 3, -1))), mask > 0)
    Image.fromarray(mask * 255).save(tmp_path / 'c.jpg', quality=60)
    assert (read_mask(str(tmp_path / 'c.jpg')) != (mask > 0)).mean() < 0.01
    assert np.allclose(read_alpha(write_png(tmp_path / 'd.png', np.uint8([[0, 51, 255]]))), [[0, 0.2, 1]])
    assert np.allclose(read_alpha(write_png(tmp_path / 'e.png', np.uint16([[0, 65535]]))), [[0, 1]])


def test_depth_of_every_kind_of_file(tmp_path):
    assert np.array_equal(read_depth(write_array(tmp_path / 'a.npy', DEPTH)), DEPTH)
    assert np.array_equal(read_depth(write_array(tmp_path / 'b.npy', DEPTH[..., None].astype(np.float64))), DEPTH)
    np.savez_compressed(tmp_path / 'c.npz', DEPTH)
    np.savez(tmp_path / 'd.npz', depth=DEPTH, other=IDS)
    for name in 'cd':
        assert np.array_equal(read_depth(str(tmp_path / f'{name}.npz')), DEPTH)
    millimeters = write_png(tmp_path / 'e.png', np.round(DEPTH * 1000).astype(np.uint16))
    assert np.allclose(read_depth(millimeters, scale=0.001), DEPTH, atol=0.0006)
    holes = DEPTH.copy()
    holes[0, :4] = np.nan, np.inf, -np.inf, 0
    assert np.array_equal(read_depth(write_array(tmp_path / 'f.npy', holes))[0, :4], np.zeros(4))


@pytest.mark.parametrize('kind', ['depth', 'normal'])
def test_exr(tmp_path, kind):
    if 'OpenEXR:                     NO' in cv2.getBuildInformation():
        path = tmp_path / 'a.exr'
        path.write_bytes(b'\x76\x2f\x31\x01' + bytes(100))
        with pytest.raises(BadImage, match='convert to .npy'):
            read_depth(str(path)) if kind == 'depth' else read_normal(str(path))
        pytest.skip('this OpenCV is built without OpenEXR')
    path = str(tmp_path / 'a.exr')
    cv2.imwrite(path, DEPTH if kind == 'depth' else NORMAL[..., ::-1])
    found = read_depth(path) if kind == 'depth' else read_normal(path, 'camera')
    assert np.allclose(found, DEPTH if kind == 'depth' else NORMAL, atol=1e-3)


@pytest.mark.parametrize(
    'write, text',
    [
        (lambda root: write_png(root / 'a.png', np.round(DEPTH * 1000).astype(np.uint16)), 'depth_scale='),
        (lambda root: write_png(root / 'a.png', IDS), 'depth_scale='),
        (lambda root: write_array(root / 'a.npy', NORMAL), r'shape \(9, 7, 3\)'),
        (lambda root: write_array(root / 'a.npy', DEPTH > 1), 'bool'),
        (lambda root: np.savez(root / 'a.npz', x=DEPTH, y=DEPTH) or str(root / 'a.npz'), r"\['x', 'y'\].*'depth'"),
        (lambda root: (root / 'a.npy').write_bytes(b'x') and str(root / 'a.npy'), 'Error'),
        (lambda root: str(root / 'none.npy'), 'No such file'),
    ],
)
def test_files_without_depth(tmp_path, write, text):
    with pytest.raises(BadImage, match=text):
        read_depth(write(tmp_path))


def test_a_visualization_of_depth_is_no_depth(tmp_path):
    with pytest.raises(BadImage, match='255 steps'):
        read_depth(write_png(tmp_path / 'a.png', IDS), scale=0.01)


def test_normals_of_every_kind_of_file(tmp_path):
    published = NORMAL * [1, -1, -1]
    path = write_array(tmp_path / 'a.npy', published)
    found = read_normal(path)
    assert found.dtype == np.float32 and np.allclose(found, NORMAL, atol=1e-6)
    assert np.allclose(read_normal(path, 'camera'), published, atol=1e-6)
    np.savez_compressed(tmp_path / 'b.npz', normal=published.astype(np.float16))
    assert np.abs(read_normal(str(tmp_path / 'b.npz')) - NORMAL).max() < 0.001
    for name, kind, error in (('c', np.uint8, 0.01), ('d', np.uint16, 0.0001)):
        limit = np.iinfo(kind).max
        coded = np.round((published + 1) / 2 * limit)
        coded[0, :2] = 0
        cv2.imwrite(str(tmp_path / f'{name}.png'), coded[..., ::-1].astype(kind))
        assert np.abs(read_normal(str(tmp_path / f'{name}.png')) - NORMAL).max() < error
    with pytest.raises(BadImage, match=r'shape \(9, 7\)'):
        read_normal(write_array(tmp_path / 'e.npy', DEPTH))


def test_normals_become_unit_vectors_and_unknown_ones_zero(tmp_path):
    odd = NORMAL * np.linspace(0.5, 3, 7, dtype=np.float32)[:, None]
    odd[2, 3], odd[2, 4] = np.nan, np.inf
    found = read_normal(write_array(tmp_path / 'a.npy', odd), 'camera')
    assert not found[2, 3:5].any() and not found[0, :2].any()
    known = np.ones((9, 7), bool)
    known[2, 3:5] = known[0, :2] = False
    assert np.allclose(found[known], NORMAL[known], atol=1e-6)


def load(tmp_path, fields=None, **changes):
    mask = np.zeros((9, 7), np.uint8)
    mask[2:] = 255
    ids = np.where(IDS == 3, 255, IDS).astype(np.uint8)
    depth = DEPTH.copy()
    depth[3, :3] = 0, -1, np.nan
    normal = NORMAL.copy()
    normal[4, 0] = 0
    files = dict(
        sem_seg=write_png(tmp_path / 'seg.png', ids),
        depth=write_array(tmp_path / 'depth.npy', depth),
        normal=write_array(tmp_path / 'normal.npy', normal),
        mask=write_png(tmp_path / 'mask.png', mask),
    )
    given = dict(img_path='a.jpg', label_files=files | changes, num_classes=12, normal_frame='camera')
    return LoadLabels(fields)(given), ids, mask > 0


def test_where_labels_count(tmp_path):
    labels, ids, _ = load(tmp_path, ['sem_seg'])
    assert np.array_equal(labels['valid_mask'], ids != 255) and labels['valid_mask'].dtype == bool
    assert 'gt_depth' not in labels and 'gt_normal' not in labels and 'label_files' not in labels
    labels, _, mask = load(tmp_path, ['depth'])
    known = mask.copy()
    known[3, :3] = False
    assert np.array_equal(labels['valid_mask'], known) and np.isfinite(labels['gt_depth']).all()
    labels, _, mask = load(tmp_path, ['normal'])
    known = mask.copy()
    known[4, 0] = False
    assert np.array_equal(labels['valid_mask'], known) and np.array_equal(labels['gt_mask'], mask)
    everything, ids, _ = load(tmp_path)
    known[3, :3] = False
    assert np.array_equal(everything['valid_mask'], known & (ids != 255))


def test_labels_in_memory(tmp_path):
    given = dict(
        img_path='synthetic://1',
        gt_depth=DEPTH,
        gt_normal=NORMAL,
        gt_sem_seg=IDS,
        gt_instance=IDS % 2,
        gt_albedo=NORMAL,
    )
    labels = LoadLabels(['depth'])(dict(given))
    assert labels.keys() == {'img_path', 'gt_depth', 'gt_instance', 'gt_mask', 'valid_mask'}
    assert np.array_equal(labels['valid_mask'], IDS % 2 == 1)


def test_wrong_labels(tmp_path):
    with pytest.raises(ValueError, match="fields=.*'sem_seg', 'depth', 'normal'"):
        LoadLabels(['seg'])
    with pytest.raises(ValueError, match="no labels of 'normal'"):
        LoadLabels(['normal'])(dict(img_path='a', gt_depth=DEPTH))
    with pytest.raises(ValueError, match='without any labels'):
        LoadLabels()(dict(img_path='a'))
    with pytest.raises(BadImage, match='gt_depth 7 x 8, gt_mask 7 x 9'):
        load(tmp_path, ['depth'], depth=write_array(tmp_path / 'other.npy', DEPTH[1:]))
    with pytest.raises(BadImage, match='seg.png: not a readable'):
        (tmp_path / 'empty').mkdir()
        bad = tmp_path / 'empty/seg.png'
        bad.write_bytes(b'')
        load(tmp_path, ['sem_seg'], sem_seg=str(bad))


def test_packed_for_training_and_for_evaluation(tmp_path):
    image = smooth_image(7, 9)
    for size in ((7, 9), (12, 16)):
        labels, ids, mask = load(tmp_path)
        results = LoadResize(size, 'bilinear', antialias=False)(dict(labels, img=image, sample_idx=4))
        packed = PackDense()(results)
        sample = packed['data_samples']
        assert packed['inputs'].shape == (3, *size[::-1]) and packed['inputs'].dtype.is_floating_point is False
        assert np.array_equal(packed['inputs'].permute(1, 2, 0).numpy(), cv2.resize(image, size))
        assert np.array_equal(sample.gt_sem_seg.numpy(), ids) and sample.gt_depth.shape == (1, 9, 7)
        assert np.array_equal(sample.gt_normal.permute(1, 2, 0).numpy(), results['gt_normal'])
        assert np.array_equal(sample.gt_mask.numpy(), mask) and sample.valid_mask.dtype.is_floating_point is False
        assert sample.ori_shape == (9, 7) and sample.img_shape == size[::-1] and sample.sample_idx == 4
    with pytest.raises(BadImage, match='gt_depth is 7 x 8'):
        PackDense()(dict(results, gt_depth=DEPTH[1:]))
    with pytest.raises(ValueError, match='antialias=False'):
        LoadResize((4, 4), 'bicubic', antialias=False)


def huge(path, shape):
    """An array file whose header declares more values than follow."""
    with open(path, 'wb') as file:
        np.lib.format.write_array_header_1_0(file, dict(descr='<f4', fortran_order=False, shape=shape))
        file.write(bytes(64))
    return str(path)


ARRAYS = {
    'number': np.float32(1), 'list': np.ones(5, np.float32), 'empty': np.ones((0, 7), np.float32),
    'four': np.ones((1, 2, 3, 4), np.float32), 'text': np.full((9, 7), 'far'), 'bytes': np.full((9, 7), b'far'),
    'objects': np.array([[None]]), 'complex': np.ones((9, 7), complex), 'record': np.ones((9, 7), [('z', 'f4')]),
    'dates': np.zeros((9, 7), 'M8[s]'), 'flags': np.ones((9, 7), bool),
}  # fmt: skip


@pytest.mark.parametrize('suffix', ['.npy', '.npz'])
@pytest.mark.parametrize('name', [*ARRAYS, 'huge', 'cut', 'nothing', 'device', 'two_gigabytes'])
def test_arrays_that_are_no_maps_are_bad_data(tmp_path, name, suffix):
    path = tmp_path / f'{name}{suffix}'
    if name in ARRAYS:
        (np.save if suffix == '.npy' else np.savez)(path, ARRAYS[name])
    elif name == 'huge':
        huge(tmp_path / 'arr_0.npy', (10**6, 10**6))
        if suffix == '.npz':
            with zipfile.ZipFile(path, 'w') as archive:
                archive.write(tmp_path / 'arr_0.npy', 'arr_0.npy')
        else:
            (tmp_path / 'arr_0.npy').rename(path)
    elif name == 'device':
        path.symlink_to('/dev/zero')
    elif name == 'two_gigabytes':  # of zeros: a few megabytes compressed, nothing on the disk as it is
        if suffix == '.npz':
            with zipfile.ZipFile(path, 'w') as archive:
                archive.writestr('arr_0.npy', bytes(9))
            content = path.read_bytes()
            sizes = (9).to_bytes(4, 'little') * 2
            path.write_bytes(content.replace(sizes, (9).to_bytes(4, 'little') + (2 << 30).to_bytes(4, 'little')))
        else:
            huge(path, (1 << 15, 1 << 14))
            with open(path, 'r+b') as file:
                file.truncate(128 + (1 << 31))
    else:
        (np.save if suffix == '.npy' else np.savez)(path, DEPTH)
        path.write_bytes(path.read_bytes()[: -40 if name == 'cut' else 0])
    for read in (read_depth, read_normal):
        with pytest.raises(BadImage):
            read(str(path))
        with pytest.raises(BadImage):
            read(f'file://{path}')


def test_images_that_declare_too_much_are_bad_data(tmp_path):
    png = bytearray(encode(smooth_image(8, 8), 'PNG'))
    png[16:24] = (10**6).to_bytes(4, 'big') * 2
    for name in ('a.png', 'a.tif', 'a.exr'):
        (tmp_path / name).write_bytes(png)
        for read in (read_ids, read_mask, read_alpha, read_depth, read_normal):
            with pytest.raises(BadImage, match='1000000 x 1000000 pixels are more than the limit of 150 megapixels'):
                read(str(tmp_path / name))
    Image.fromarray(DEPTH).save(tmp_path / 'float.tif')
    with pytest.raises(BadImage, match='alpha from 1.1'):
        read_alpha(str(tmp_path / 'float.tif'))


@pytest.mark.parametrize('suffix', ['.bmp', '.webp', '.tif'])
def test_ids_of_other_lossless_formats_are_not_scaled(tmp_path, suffix):
    """Only a PNG tells its bit depth in its 25th byte."""
    ids = np.random.default_rng(0).integers(0, 20, (30, 40)).astype(np.uint8)
    path = tmp_path / f'a{suffix}'
    picture = ids if suffix == '.tif' else np.repeat(ids[..., None], 3, -1)
    Image.fromarray(picture).save(path, **(dict(lossless=True) if suffix == '.webp' else {}))
    np.testing.assert_array_equal(read_ids(str(path), count=20), ids)
