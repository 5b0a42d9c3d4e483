"""Alpha, foreground and albedo under geometry: what holds of the picture holds of its moved version."""

import numpy as np
import pytest
from PIL import Image

from sapiens.datasets.transforms import (
    CropToAlpha,
    Letterbox,
    LoadDense,
    PhotometricDistortion,
    RandomAreaCrop,
    RandomBackground,
    RandomCrop,
    RandomFlip,
    RandomResize,
    RandomRotate,
    Resize,
)
from sapiens.datasets.transforms.labels import add_validity
from sapiens.utils.matte import compose_linear
from sapiens.utils.srgb import decode_srgb, encode_srgb

from .helpers import smooth_image

SIZE = (120, 160)
BEHIND = 255  # as the padding, so that the composition also holds outside
STEPS = (
    RandomResize((90, 120), (0.3, 2), keep_ratio=False), RandomResize(None, (0.3, 2)), RandomCrop((80, 70)), RandomFlip(0.5),
    RandomAreaCrop(prob=1), RandomRotate(60, prob=1, fill=BEHIND), Resize((64, 31)), Resize((100, 130)),
)  # fmt: skip


def person(size=SIZE) -> dict:
    """A disc with a soft edge and thin rays like hair, in front of white."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    radius, angle = np.hypot(x - width * 0.45, y - height * 0.5), np.arctan2(y - height * 0.5, x - width * 0.45)
    alpha = np.clip((width * 0.25 - radius) / 6 + 0.5, 0, 1)
    strands = np.clip(np.cos(angle * 40) * 3 - 2, 0, 1) * np.clip((width * 0.4 - radius) / 10, 0, 1)
    alpha = np.maximum(alpha, strands).astype(np.float32)
    colors = smooth_image(*size, seed=3) / np.float32(255)
    foreground = colors * alpha[..., None]
    image = np.rint((foreground + (1 - alpha[..., None]) * (BEHIND / 255)) * 255).astype(np.uint8)
    results = dict(img=image, img_path='a.png', gt_alpha=alpha, gt_foreground=foreground)
    add_validity(results)
    return results


def composition_error(results) -> np.ndarray:
    """Gray levels between the picture and its composition, (H, W)."""
    alpha = results['gt_alpha'][..., None]
    composed = results['gt_foreground'] + (1 - alpha) * (BEHIND / 255)
    return np.abs(composed * 255 - results['img']).max(-1)


@pytest.mark.parametrize('seed', range(12))
def test_the_moved_foreground_over_the_background_is_the_moved_picture(seed):
    """Rounding of the picture, once in each of its resamplings, is all that differs."""
    rng = np.random.default_rng(seed)
    np.random.seed(seed)
    steps = [STEPS[i] for i in rng.permutation(len(STEPS))[: rng.integers(1, 6)]]
    moved = LoadDense(steps, decode='exact')(person())
    assert composition_error(moved).max() < 2.5, steps
    assert (
        moved['gt_alpha'].dtype == np.float32 and 0 <= moved['gt_alpha'].min() <= moved['gt_alpha'].max() <= 1 + 1e-6
    )
    assert (moved['gt_foreground'] <= moved['gt_alpha'][..., None] + 1e-5).all()
    assert moved['valid_mask'].all() and moved['valid_foreground'].all(), 'nobody is outside the image'


def test_several_small_images_on_the_way():
    steps = [Resize((50, 60)), Resize((60, 90)), Resize((90, 100)), Resize((120, 160))]
    moved = LoadDense(steps, decode='exact')(person())
    assert composition_error(moved).max() < 2.5
    still = person()
    solid = (still['gt_alpha'] == 1) & (moved['gt_alpha'] > 0.999)
    assert solid.mean() > 0.05 and np.abs(moved['img'].astype(int) - still['img'])[solid].mean() < 3


def test_reduced_alpha_is_an_average():
    """Single samples of hair alias; the sum of coverage stays."""
    reduced = LoadDense([Resize((30, 40))], decode='exact')(person())
    whole = person()['gt_alpha']
    assert abs(reduced['gt_alpha'].mean() - whole.mean()) < 0.002
    blocks = whole.reshape(40, 4, 30, 4).mean((1, 3))
    assert np.abs(reduced['gt_alpha'] - blocks).mean() < 0.02
    single = LoadDense([Resize((30, 40))], decode='exact', antialias=False)(person())
    assert np.abs(single['gt_alpha'] - blocks).mean() > np.abs(reduced['gt_alpha'] - blocks).mean() * 1.5


def test_flips_and_crops_are_exact():
    sample = person()
    alpha, foreground = sample['gt_alpha'].copy(), sample['gt_foreground'].copy()
    flipped = RandomFlip(1)(sample)
    assert np.array_equal(flipped['gt_alpha'], alpha[:, ::-1]) and np.array_equal(
        flipped['gt_foreground'], foreground[:, ::-1]
    )
    np.random.seed(0)
    cropped = RandomCrop((60, 80))(person())
    x, y = (-cropped['warp_matrix'][:, 2]).astype(int)
    np.testing.assert_allclose(cropped['gt_alpha'], alpha[y : y + 80, x : x + 60], atol=1e-6)


def test_white_padding_counts_as_background():
    np.random.seed(0)
    turned = RandomRotate(45, prob=1, fill=255)(person())
    assert turned['img'][0, 0].tolist() == [255] * 3 and turned['gt_alpha'][0, 0] == 0
    assert turned['valid_mask'].all() and composition_error(turned).max() < 4
    black = RandomRotate(45, prob=1)(person())
    assert black['img'][0, 0].tolist() == [0] * 3
    boxed = Letterbox((200, 100))(person())
    assert boxed['valid_mask'].all() and boxed['valid_foreground'].all() and boxed['gt_alpha'][:, :20].max() == 0
    cropped = CropToAlpha(prob=1)(person())
    assert cropped['valid_mask'].all() and cropped['valid_foreground'].all() and composition_error(cropped).max() < 1


def test_fields_that_are_unknown_outside_still_restrict():
    sample = person() | dict(gt_depth=np.ones(SIZE[::-1], np.float32))
    add_validity(sample)
    boxed = Letterbox((200, 100))(sample)
    assert not boxed['valid_mask'][:, :20].any() and boxed['valid_foreground'].all()


def test_unknown_colors_do_not_mix_with_known_ones():
    sample = person()
    known = sample['gt_alpha'] % 1 == 0
    sample['gt_foreground'] *= known[..., None]
    sample['valid_foreground'] = known.copy()
    truth = LoadDense([Resize((40, 50))], decode='exact')(person())
    moved = LoadDense([Resize((40, 50))], decode='exact')(sample)
    valid = moved['valid_foreground']
    assert valid.dtype == bool and 0.3 < valid.mean() < 0.95
    assert np.abs(moved['gt_foreground'] - truth['gt_foreground'])[valid].max() < 0.002


def test_albedo_is_averaged_over_people_only():
    mask = person()['gt_alpha'] > 0.5
    albedo = np.where(mask[..., None], np.float32(0.4), np.float32(0))
    sample = dict(img=smooth_image(*SIZE), img_path='a.png', gt_albedo=albedo, gt_mask=mask)
    add_validity(sample)
    for steps in ([Resize((30, 40))], [RandomRotate(45, prob=1), Resize((200, 300))]):
        np.random.seed(1)
        moved = LoadDense(steps, decode='exact')(dict(sample))
        valid = moved['valid_mask']
        assert 0.1 < valid.mean() < 0.5
        np.testing.assert_allclose(moved['gt_albedo'][valid], 0.4, atol=1e-4)


@pytest.mark.parametrize('lazy', [True, False])
def test_changes_of_color_change_the_foreground_with_the_picture(lazy):
    """Before loading they are drawn and applied later; where people cover the pixel, picture and foreground stay the same."""
    np.random.seed(4)
    sample = person()
    image = sample.pop('img')
    colors, geometry = PhotometricDistortion(), LoadDense([RandomFlip(1)], decode='exact')
    if lazy:
        results = colors(sample)
        assert 'pixel_changes' in results
        results = geometry(results | dict(img=image))
    else:
        results = colors(geometry(sample | dict(img=image)))
    assert 'pixel_changes' not in results and np.abs(results['img'].astype(int) - image[:, ::-1]).mean() > 10
    solid = results['gt_alpha'] == 1
    assert np.abs(results['gt_foreground'] * 255 - results['img'])[solid].max() < 0.01
    assert (results['gt_foreground'] <= results['gt_alpha'][..., None] + 1e-6).all()


def test_a_new_background_in_linear_light(tmp_path):
    """No color of the former background is left, and the foreground changes as the picture."""
    Image.fromarray(np.full((200, 150, 3), (0, 0, 255), np.uint8)).save(tmp_path / 'blue.png')
    for transfer in (0.0, 1.0):
        sample = person()
        alpha, before = sample['gt_alpha'].copy(), sample['gt_foreground'].copy()
        made = RandomBackground(str(tmp_path), prob=1, color_transfer=transfer)(sample)
        assert (made['img'][alpha == 0] == (0, 0, 255)).all() and np.array_equal(made['gt_alpha'], alpha)
        solid = alpha == 1
        assert np.abs(made['gt_foreground'] * 255 - made['img'])[solid].max() < 0.01
        straight = made['gt_foreground'] / np.maximum(alpha, 1e-6)[..., None]
        light = alpha[..., None] * decode_srgb(straight) + (1 - alpha[..., None]) * np.float32([0, 0, 1])
        assert np.abs(encode_srgb(light) * 255 - made['img']).max() < 1
        assert (np.abs(made['gt_foreground'] - before).max() < 0.003) == (transfer == 0)


def test_a_new_background_behind_colors_that_are_unknown_on_edges(tmp_path):
    Image.fromarray(np.full((200, 150, 3), (0, 0, 255), np.uint8)).save(tmp_path / 'blue.png')
    sample = person()
    known = sample['gt_alpha'] % 1 == 0
    sample['gt_foreground'] *= known[..., None]
    sample['valid_foreground'] = known.copy()
    image, alpha = sample['img'].copy(), sample['gt_alpha'].copy()
    made = RandomBackground(str(tmp_path), prob=1, color_transfer=0)(sample)
    assert np.array_equal(made['img'], compose_linear(image, np.full_like(image, (0, 0, 255)), alpha))
    assert np.array_equal(made['valid_foreground'], known) and made['gt_foreground'][~known].max() == 0
