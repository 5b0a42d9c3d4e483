import math
import os

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from sapiens.datasets import Draw
from sapiens.datasets.transforms import (
    BadImage,
    LoadLetterbox,
    LoadPerson,
    LoadRandomResizedCrop,
    LoadResize,
    PackDense,
    PackImage,
)
from sapiens.datasets.transforms.loading import read_file
from sapiens.registry import DATASETS, TRANSFORMS

from .helpers import encode, photographs, smooth_image


def resized_crop(image: np.ndarray, box, size) -> np.ndarray:
    x, y, w, h = box
    crop = Image.fromarray(image).crop((x, y, x + w, y + h))
    return np.asarray(crop.resize(size, Image.BICUBIC))


def load(transform, image, **extra):
    return transform(dict(img_path='memory', img_bytes=encode(image, 'PNG'), **extra))


@pytest.mark.parametrize('flip_prob', [0, 1])
def test_crop_resize_flip_equal_pillow(flip_prob):
    image = smooth_image(120, 90)
    transform = LoadRandomResizedCrop((48, 32), flip_prob=flip_prob)
    boxes = set()
    for seed in range(5):
        np.random.seed(seed)
        results = load(transform, image)
        expected = resized_crop(image, results['crop'], (48, 32))
        expected = expected[:, ::-1] if flip_prob else expected
        assert results['img'].shape == (32, 48, 3) and results['img'].dtype == np.uint8
        assert abs(results['img'].astype(int) - expected).max() <= 2
        assert results['flip'] is bool(flip_prob)
        assert (results['img_shape'], results['ori_shape']) == ((32, 48), (90, 120))
        boxes.add(results['crop'])
    assert len(boxes) == 5


def test_flip_rate():
    transform = LoadRandomResizedCrop(8, flip_prob=0.3)
    np.random.seed(0)
    flips = [load(transform, smooth_image(16, 16))['flip'] for _ in range(600)]
    assert abs(np.mean(flips) - 0.3) < 0.06  # 3.2 standard deviations


@pytest.mark.parametrize('width, height', [(640, 480), (300, 900), (2000, 100)])
def test_boxes_are_distributed_as_torchvisions(width, height):
    from torchvision.transforms import RandomResizedCrop

    transform = LoadRandomResizedCrop(224)  # the defaults are those of pretraining
    np.random.seed(0)
    torch.manual_seed(0)
    image = torch.empty(1, height, width)
    ours = np.array([transform.draw_box(width, height) for _ in range(3000)])
    theirs = [RandomResizedCrop.get_params(image, (0.2, 1.0), (3 / 4, 4 / 3)) for _ in range(3000)]
    theirs = np.array([(x, y, w, h) for y, x, h, w in theirs])
    assert (ours >= 0).all() and (ours[:, 0] + ours[:, 2] <= width).all() and (ours[:, 1] + ours[:, 3] <= height).all()
    aspect, area = ours[:, 2] / ours[:, 3], ours[:, 2] * ours[:, 3] / (width * height)
    assert aspect.min() > 0.74 and aspect.max() < 1.35
    # 2000 x 100 holds no such crop: both fall back to the largest centered one.
    assert area.min() > 0.19 or (width == 2000 and (ours == ours[0]).all())
    for quantile in (0.1, 0.5, 0.9):
        difference = np.quantile(ours, quantile, axis=0) - np.quantile(theirs, quantile, axis=0)
        assert (abs(difference) <= 0.03 * np.array([width, height, width, height])).all()


def test_global_seed_decides():
    transform, image = LoadRandomResizedCrop(16), smooth_image()
    np.random.seed(3)
    first = load(transform, image)
    np.random.seed(3)
    second = load(transform, image)
    assert first['crop'] == second['crop'] and first['flip'] == second['flip']


def test_load_resize_is_pillows():
    image = smooth_image(1201, 803)
    for data in (encode(image, 'PNG'), encode(image, quality=95)):
        reference = read_png_or_jpeg(data)
        results = LoadResize(64)(dict(img_path='memory', img_bytes=data))
        assert results['crop'] == (0, 0, 1201, 803) and results['flip'] is False
        expected = np.asarray(reference.resize((64, 64), Image.BICUBIC)).astype(int)
        assert abs(results['img'] - expected).max() <= 2 and abs(results['img'] - expected).mean() < 0.02


def read_png_or_jpeg(data):
    import io

    return Image.open(io.BytesIO(data)).convert('RGB')


def test_photographs():
    differences = []
    for path in photographs():
        np.random.seed(1)
        results = LoadRandomResizedCrop(256, flip_prob=0)(dict(img_path=path))
        x, y, w, h = results['crop']
        reference = Image.open(path).convert('RGB').crop((x, y, x + w, y + h)).resize((256, 256), Image.BICUBIC)
        differences.append(abs(results['img'].astype(int) - np.asarray(reference)).mean())
    assert max(differences) < 2.5 and np.mean(differences) < 1


def test_pack():
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    packed = PackImage()(
        dict(img=image, img_path='a', ori_shape=(9, 9), img_shape=(2, 3), crop=(0, 1, 2, 3), flip=True, sample_idx=4)
    )
    assert packed['inputs'].is_contiguous() and torch.equal(packed['inputs'], torch.from_numpy(image).permute(2, 0, 1))
    assert packed['data_samples'].metainfo == dict(
        img_path='a', ori_shape=(9, 9), img_shape=(2, 3), crop=(0, 1, 2, 3), flip=True, sample_idx=4
    )


@pytest.mark.parametrize(
    'options, text',
    [
        (dict(size=0), 'size=0'),
        (dict(size=(4, 5, 6)), r'size=\(4, 5, 6\)'),
        (dict(size='1024'), "size='1024'"),
        (dict(size=8, area=(0, 1)), 'area'),
        (dict(size=8, area=(0.5, 1.5)), 'area'),
        (dict(size=8, aspect=(2, 1)), 'aspect'),
        (dict(size=8, flip_prob=2), 'flip_prob'),
        (dict(size=8, interpolation='area'), "'bicubic' or 'bilinear'"),
        (dict(size=8, decode='quick'), "'fast' or 'exact'"),
        (dict(size=8, max_megapixels=0), 'max_megapixels'),
    ],
)
def test_wrong_arguments(options, text):
    with pytest.raises(ValueError, match=text):
        TRANSFORMS.build(dict(type='LoadRandomResizedCrop', **options))


def test_unreadable_paths(tmp_path):
    with pytest.raises(BadImage, match='FileNotFoundError: No such file'):
        read_file(str(tmp_path / 'none.jpg'))
    with pytest.raises(BadImage, match='IsADirectoryError'):
        read_file(str(tmp_path))
    with pytest.raises(BadImage, match='FileNotFoundError'):
        read_file('memory://none.jpg')
    huge = tmp_path / 'huge.jpg'
    with open(huge, 'wb') as file:
        file.truncate((1 << 30) + 1)  # sparse
    with pytest.raises(BadImage, match='limit of 1024 MiB'):
        read_file(str(huge))
    assert math.isclose(huge.stat().st_size, 2**30, rel_tol=1e-6)


def test_letterbox_states_its_padding():
    image = smooth_image(60, 90)
    results = LoadLetterbox((64, 48))(dict(img=image.copy()))
    assert results['img'].shape == (48, 64, 3) and results['padding'] == (16, 16, 0, 0)
    inner = LoadResize((32, 48), interpolation='bilinear')(dict(img=image.copy()))['img']
    assert np.array_equal(results['img'][:, 16:48], inner) and not results['img'][:, :16].any()
    wide = LoadLetterbox((64, 48))(dict(img=smooth_image(90, 31)))
    assert wide['padding'] == (0, 0, 13, 13) and wide['img'][13:35].any((1, 2)).all()
    assert wide['padding'] == PackDense()(wide)['data_samples'].padding


@pytest.mark.parametrize('size', [(32, 24), (200, 150)])
def test_published_resize_is_that_of_opencv(size):
    image = smooth_image(100, 75)
    theirs = cv2.INTER_AREA if size[0] < 100 else cv2.INTER_CUBIC
    stretched = LoadResize(size, interpolation='published')(dict(img=image.copy()))['img']
    assert np.array_equal(stretched, cv2.resize(image, size, interpolation=theirs))
    boxed = LoadLetterbox(size, interpolation='published')(dict(img=image.copy()))['img']
    assert np.array_equal(boxed, cv2.resize(image, size, interpolation=cv2.INTER_LINEAR))


def test_interpolations_of_each_loader():
    with pytest.raises(ValueError, match="interpolation='published': expected 'bicubic' or 'bilinear'"):
        LoadRandomResizedCrop(32, interpolation='published')
    with pytest.raises(ValueError, match="interpolation='bicubic': expected 'bilinear' or 'published'"):
        LoadPerson((32, 32), interpolation='bicubic')


@pytest.mark.parametrize('path', ['foo://x', 's3://bucket/key.jpg', 'http://[::1/x', 'file:///dev/zero', '://', 'a\0b.jpg',
                                  'y' * 300, '/dev/zero', '.'])  # fmt: skip
def test_paths_that_are_no_files_are_bad_data(tmp_path, path):
    """A data set skips and counts them."""
    with pytest.raises(BadImage):
        LoadResize(8)(dict(img_path=path))
    good = tmp_path / 'good.png'
    Image.fromarray(smooth_image(8, 8)).save(good)
    (tmp_path / 'list.txt').write_text(f'{good}\n{path}\n')
    pipeline = [dict(type='LoadRandomResizedCrop', size=8), dict(type='PackImage')]
    dataset = DATASETS.build(dict(type='ImageList', ann_file=str(tmp_path / 'list.txt'), pipeline=pipeline))
    (bad, *_) = dataset[Draw(1, 0)]['bad']
    assert bad[0].endswith(path) and bad[1]


def test_files_without_an_end_are_not_read(tmp_path):
    os.mkfifo(tmp_path / 'pipe.jpg')
    (tmp_path / 'loop.jpg').symlink_to('loop.jpg')
    (tmp_path / 'sparse.jpg').touch()
    os.truncate(tmp_path / 'sparse.jpg', 1 << 40)
    for name, text in dict(pipe='no regular file', loop='symbolic links', sparse='limit of 1024 MiB').items():
        with pytest.raises(BadImage, match=text):
            LoadResize(8)(dict(img_path=str(tmp_path / f'{name}.jpg')))
