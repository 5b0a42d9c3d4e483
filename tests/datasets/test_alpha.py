"""Foregrounds with alpha: composition in linear light, and the crop to the foreground."""

import numpy as np
import pytest
from PIL import Image

from sapiens.datasets import ImageFolder
from sapiens.datasets.base import build_pipeline
from sapiens.datasets.transforms import BadImage, ComposeRGBA, CropToAlpha
from sapiens.datasets.transforms.alpha import read_rgba
from sapiens.datasets.transforms.color_files import read_alpha
from sapiens.utils.matte import compose_linear

from .helpers import encode, smooth_image


def rgba(color=(200, 100, 50), alpha=128, size=(6, 4)):
    pixels = np.zeros((size[1], size[0], 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = color, alpha
    return encode(pixels, 'PNG')


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'behind').mkdir()
    Image.fromarray(np.full((8, 12, 3), 0, np.uint8)).save(tmp_path / 'behind/black.png')
    return tmp_path


def test_half_alpha_mixes_light_and_not_codes():
    """Half of white light over black is code 188, over white it is white. In codes it would be 128."""
    white, black = np.full((1, 1, 3), 255, np.uint8), np.zeros((1, 1, 3), np.uint8)
    half = np.full((1, 1), 0.5, np.float32)
    assert compose_linear(white, black, half).tolist() == [[[188, 188, 188]]]
    assert compose_linear(black, white, half).tolist() == [[[188, 188, 188]]]
    assert compose_linear(white, white, half).tolist() == [[[255, 255, 255]]]
    gray = np.full((1, 1, 3), 188, np.uint8)
    assert compose_linear(gray, black, half).tolist() == [[[137, 137, 137]]]  # a quarter of the light
    dark = np.full((1, 1, 3), 10, np.uint8)  # the straight part of the curve
    assert compose_linear(dark, black, half).tolist() == [[[5, 5, 5]]]


def test_ends_of_alpha_are_the_images_and_steps_between_rise():
    rng = np.random.default_rng(0)
    front, behind = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
    before = front.copy(), behind.copy()
    assert np.array_equal(compose_linear(front, behind, np.ones((16, 16), np.float32)), front)
    assert np.array_equal(compose_linear(front, behind, np.zeros((16, 16), np.float32)), behind)
    shares = np.linspace(0, 1, 256, dtype=np.float32)[None]
    ramp = compose_linear(np.full((1, 256, 3), 255, np.uint8), np.zeros((1, 256, 3), np.uint8), shares)
    assert (np.diff(ramp[0, :, 0].astype(int)) >= 0).all() and ramp[0, 0, 0] == 0 and ramp[0, -1, 0] == 255
    assert np.array_equal(front, before[0]) and np.array_equal(behind, before[1])


def test_composition_of_files(folder):
    (folder / 'front').mkdir()
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[..., :3] = 255
    pixels[:, 2:4, 3], pixels[:, 4:, 3] = 128, 255
    (folder / 'front/a.png').write_bytes(encode(pixels, 'PNG'))
    made = ComposeRGBA(str(folder / 'behind'))(dict(img_path=str(folder / 'front/a.png')))
    assert made['gt_alpha'].dtype == np.float32 and made['gt_alpha'].shape == (4, 6)
    np.testing.assert_allclose(made['gt_alpha'][0], np.array([0, 0, 128, 128, 255, 255]) / 255)
    assert made['img'][0, :, 0].tolist() == [0, 0, 188, 188, 255, 255] and made['background'].endswith('black.png')


def test_the_background_is_drawn_from_the_seed(folder):
    Image.fromarray(smooth_image(30, 20)).save(folder / 'behind/b.jpg')
    (folder / 'a.png').write_bytes(rgba(alpha=0))
    compose = ComposeRGBA(str(folder / 'behind'))
    seen = set()
    for seed in range(12):
        np.random.seed(seed)
        one = compose(dict(img_path=str(folder / 'a.png')))
        np.random.seed(seed)
        assert np.array_equal(one['img'], compose(dict(img_path=str(folder / 'a.png')))['img'])
        seen.add(one['background'])
    assert len(seen) == 2


def test_premultiplied_colors():
    straight, alpha = read_rgba(rgba((100, 50, 25), 128), premultiplied=True)
    assert straight[0, 0].tolist() == [199, 100, 50] and alpha[0, 0] == np.float32(128 / 255)
    assert read_rgba(rgba((128, 0, 129), 128), premultiplied=True)[0][0, 0].tolist() == [255, 0, 255]
    with pytest.raises(
        BadImage, match=r'colors of 24 of 24 pixels are above their alpha, by up to 72 of 255.*premultiplied=False'
    ):
        read_rgba(rgba((200, 0, 0), 128), premultiplied=True)
    with pytest.raises(BadImage, match='by up to 2 of 255'):
        read_rgba(rgba((128, 0, 130), 128), premultiplied=True)
    assert read_rgba(rgba((200, 0, 0), 0))[0][0, 0].tolist() == [200, 0, 0], 'straight colors may have any alpha'
    assert read_rgba(rgba((0, 0, 0), 0), premultiplied=True)[0].max() == 0


def test_files_without_alpha_are_named():
    with pytest.raises(BadImage, match='no alpha: mode RGB, expected RGBA'):
        read_rgba(encode(np.zeros((4, 4, 3), np.uint8), 'PNG'))
    with pytest.raises(BadImage, match='not an image'):
        read_rgba(b'nothing')
    with pytest.raises(BadImage, match='more than the limit of 1e-05 megapixels'):
        read_rgba(rgba(), max_megapixels=0.00001)


def test_bad_foregrounds_are_replaced_and_counted(folder):
    """As every unreadable file: another sample of the same draw takes the place, and the run counts it with its path."""
    (folder / 'front').mkdir()
    (folder / 'front/good.png').write_bytes(rgba((60, 60, 60), 128))
    (folder / 'front/wrong.png').write_bytes(rgba((200, 0, 0), 10))
    pipeline = [dict(type='ComposeRGBA', root=str(folder / 'behind'), premultiplied=True), dict(type='PackImage')]
    data = ImageFolder(str(folder / 'front'), pipeline=pipeline)
    samples = [data[index] for index in range(2)]
    assert all(sample['data_samples'].metainfo['img_path'].endswith('good.png') for sample in samples)
    assert samples[0]['bad'] == []
    path, reason = samples[1]['bad'][0]
    assert path.endswith('wrong.png') and 'are above their alpha' in reason


def scene(box=(20, 8, 12, 24), size=(60, 40)):
    """A sample with a foreground of value 1 in a box (x, y, w, h)."""
    x, y, w, h = box
    image = smooth_image(*size)
    alpha = np.zeros(size[::-1], np.float32)
    alpha[y : y + h, x : x + w] = 0.5
    labels = np.where(alpha > 0, 3, 0).astype(np.uint8)
    depth = np.arange(size[0] * size[1], dtype=np.float32).reshape(size[::-1]) + 1
    intrinsics = np.array([[50.0, 0, 30], [0, 50, 20], [0, 0, 1]])
    return dict(img=image, img_path='a.png', gt_alpha=alpha, gt_sem_seg=labels, gt_depth=depth,
                valid_mask=labels != 255, intrinsics=intrinsics)  # fmt: skip


def test_the_crop_is_the_foreground_in_the_aspect_of_the_image():
    sample = scene()
    image, depth = sample['img'].copy(), sample['gt_depth'].copy()
    made = CropToAlpha(prob=1, margin=(0, 0))(sample)
    assert made['img'].shape == (24, 36, 3), '12 x 24 pixels of 60 x 40, padded to 3:2'
    inner = np.s_[:, 12:24]
    assert np.array_equal(made['img'][inner], image[8:32, 20:32])
    outside = np.ones((24, 36), bool)
    outside[inner] = False
    assert (made['img'][outside] == 255).all()
    # Labels stay on their pixels and do not count in the padding.
    assert (made['gt_alpha'][inner] == 0.5).all() and (made['gt_alpha'][outside] == 0).all()
    assert (made['gt_sem_seg'][inner] == 3).all() and (made['gt_sem_seg'][outside] == 255).all()
    assert np.array_equal(made['gt_depth'][inner], depth[8:32, 20:32]) and not made['valid_mask'][outside].any()
    assert made['valid_mask'][inner].all() and made['valid_mask'].dtype == bool
    # A point of the scene projects to the same pixel of the content.
    assert made['intrinsics'][:2, 2].tolist() == [30 + 12 - 20, 20 + 0 - 8]
    assert made['intrinsics'][0, 0] == 50


def test_a_wide_foreground_is_padded_above_and_below():
    made = CropToAlpha(prob=1, margin=(0, 0), fill=0)(scene((5, 18, 48, 4)))
    assert made['img'].shape == (32, 48, 3) and (made['gt_alpha'][14:18] == 0.5).all() and made['img'][:14].max() == 0


def test_the_margin_is_a_fraction_of_the_width_within_the_image():
    made = CropToAlpha(prob=1, margin=(0.1, 0.1))(scene((0, 8, 12, 24)))  # 6 pixels, none to the left
    assert made['gt_alpha'].sum() == 0.5 * 12 * 24
    rows = np.flatnonzero((made['gt_alpha'] > 0).any(1))
    assert made['img'].shape[0] == 36 and rows[0] == 6 and rows[-1] == 29
    columns = np.flatnonzero((made['gt_alpha'] > 0).any(0))
    assert columns[0] == (54 - 18) // 2 and made['img'].shape[1] == 54


def test_crops_are_drawn_from_the_seed_and_with_their_probability():
    crop, sizes = CropToAlpha(), []
    for seed in range(60):
        np.random.seed(seed)
        sizes.append(crop(scene())['img'].shape)
        following = np.random.random()
        np.random.seed(seed)
        CropToAlpha(prob=0)(scene())
        assert np.random.random() == following, 'later draws do not depend on the probability'
    assert 18 < sizes.count((40, 60, 3)) < 42 and len(set(sizes)) > 4


def test_samples_without_a_foreground_or_alpha():
    sample = scene()
    sample['gt_alpha'][:] = 0
    assert CropToAlpha(prob=1)(sample)['img'].shape == (40, 60, 3)
    sample['gt_mask'] = sample.pop('gt_alpha') == 0
    sample['gt_mask'][:, :30] = False
    assert CropToAlpha(prob=1, margin=(0, 0))(sample)['img'].shape == (40, 60, 3)
    assert sample['gt_mask'][:, 15:45].all(), 'a mask does as well'
    del sample['gt_mask']
    with pytest.raises(ValueError, match='needs gt_alpha or gt_mask'):
        CropToAlpha(prob=1)(sample)


@pytest.mark.parametrize('options', [dict(prob=2), dict(margin=(0.2, 0.1)), dict(margin=(-1, 0)), dict(fill=256)])
def test_wrong_arguments(options):
    with pytest.raises(ValueError, match=f'{next(iter(options))}='):
        CropToAlpha(**options)


def test_alpha_of_rgba_files_is_their_alpha(tmp_path):
    """OpenCV has blue first: the first channel of four is a color."""
    (tmp_path / 'a.png').write_bytes(rgba((200, 100, 50), 128))
    assert np.allclose(read_alpha(str(tmp_path / 'a.png')), 128 / 255)
    Image.fromarray(np.full((4, 6), 64, np.uint8)).save(tmp_path / 'b.png')
    assert np.allclose(read_alpha(str(tmp_path / 'b.png')), 64 / 255)


def test_the_published_order_of_matting(folder):
    """Composition, crop to the foreground, random geometry, compression: alpha stays on the pixels of the foreground."""
    pixels = np.zeros((96, 72, 4), np.uint8)
    pixels[30:70, 20:50] = (255, 255, 255, 255)
    (folder / 'a.png').write_bytes(encode(pixels, 'PNG'))
    pipeline = build_pipeline([
        dict(type='ComposeRGBA', root=str(folder / 'behind')),
        dict(type='CropToAlpha', prob=1),
        dict(type='LoadDense', steps=[
            dict(type='RandomResize', size=(48, 64), ratio=(0.8, 1.5)),
            dict(type='RandomCrop', size=(48, 64), prob=0.5),
            dict(type='RandomFlip', prob=0.5),
            dict(type='Resize', size=(48, 64)),
        ]),
    ])  # fmt: skip
    for seed in range(8):
        np.random.seed(seed)
        made = pipeline(dict(img_path=str(folder / 'a.png')))
        assert made['img'].shape == (64, 48, 3) and made['gt_alpha'].shape == (64, 48)
        inside = made['gt_alpha'] > 0.99
        # Where an image is reduced and upsampled, its edges blur; alpha stays sharp.
        assert inside.sum() > 300 and made['img'][inside].mean() > 250 and np.median(made['img'][inside]) == 255


@pytest.mark.parametrize('key', ['keypoints', 'bbox'])
def test_samples_of_people_are_not_cropped(key):
    """Their boxes and keypoints would stay where they were. Refused whatever is drawn."""
    with pytest.raises(ValueError, match=f'CropToAlpha does not move {key}: use LoadPerson'):
        CropToAlpha(prob=0)(scene() | {key: np.zeros((1, 4))})
