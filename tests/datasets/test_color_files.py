"""Files of albedo, alpha and foregrounds: ranges, codings, validity."""

import cv2
import numpy as np
import pytest

from sapiens.datasets import GeometryDataset
from sapiens.datasets.checks import Findings
from sapiens.datasets.doubts import dark_albedo, extreme_alpha, far_points
from sapiens.datasets.transforms import BadImage, LoadLabels
from sapiens.datasets.transforms.color_files import load_foreground, read_albedo, read_alpha
from sapiens.utils.srgb import decode_srgb, encode_srgb

from .folders import SIZE, write_array, write_geometry, write_png
from .helpers import smooth_image

COLORS = smooth_image(7, 9, seed=1)
ALPHA = np.tile(np.uint8([0, 1, 100, 253, 254, 255, 255]), (9, 1))


def test_albedo_is_linear_whatever_the_files_are(tmp_path):
    path = write_png(tmp_path / 'a.png', COLORS)
    coded = COLORS / np.float32(255)
    assert read_albedo(path, 'srgb').dtype == np.float32
    np.testing.assert_allclose(read_albedo(path, 'srgb'), decode_srgb(coded), atol=1e-6)
    np.testing.assert_allclose(read_albedo(path, 'linear'), coded, atol=1e-6)
    assert (
        abs(read_albedo(write_png(tmp_path / 'b.png', np.full((2, 2, 3), 188, np.uint8)), 'srgb') - 0.5).max() < 0.003
    )
    cv2.imwrite(str(tmp_path / 'c.png'), (COLORS.astype(np.uint16) * 257)[..., ::-1])
    np.testing.assert_allclose(read_albedo(str(tmp_path / 'c.png'), 'linear'), coded, atol=1e-6)
    np.testing.assert_allclose(
        read_albedo(write_array(tmp_path / 'd.npy', coded), 'srgb'), decode_srgb(coded), atol=1e-6
    )


@pytest.mark.parametrize(
    'array, reason',
    [
        (COLORS[..., 0], r'shape \(9, 7\): expected \(H, W, 3\)'),
        (COLORS.astype(np.float32), 'albedo from 0 to 255|albedo from .* to .*: expected floats from 0 to 1'),
        (COLORS.astype(np.int32), 'type int32'),
        (np.full((9, 7, 3), np.nan, np.float32), 'expected floats from 0 to 1'),
    ],
)
def test_files_without_albedo(tmp_path, array, reason):
    with pytest.raises(BadImage, match=reason):
        read_albedo(write_array(tmp_path / 'a.npy', array), 'linear')
    with pytest.raises(BadImage, match="albedo_coding='srgb' or 'linear'"):
        read_albedo(str(tmp_path / 'a.npy'), None)


def test_alpha_of_every_kind_of_file(tmp_path):
    wanted = ALPHA / np.float32(255)
    for name, array in dict(
        one=ALPHA,
        deep=ALPHA.astype(np.uint16) * 257,
        three=np.repeat(ALPHA[..., None], 3, 2),
        four=np.dstack([COLORS, ALPHA]),
    ).items():
        path = str(tmp_path / f'{name}.png')
        cv2.imwrite(path, array)
        np.testing.assert_allclose(read_alpha(path), wanted, atol=1e-6, err_msg=name)
    assert np.array_equal(read_alpha(write_array(tmp_path / 'a.npy', wanted)), wanted)
    np.savez(tmp_path / 'a.npz', alpha=wanted[..., None])
    assert np.array_equal(read_alpha(str(tmp_path / 'a.npz')), wanted)


def test_mixed_ranges_of_alpha_are_named(tmp_path):
    ones = (ALPHA > 100).astype(np.uint8)
    with pytest.raises(BadImage, match='alpha from 0 to 1 in 8-bit integers, where 255 is full coverage'):
        read_alpha(write_png(tmp_path / 'a.png', ones))
    with pytest.raises(BadImage, match='alpha from 0 to 1 in 16-bit integers, where 65535'):
        read_alpha(write_png(tmp_path / 'b.png', ones.astype(np.uint16)))
    with pytest.raises(BadImage, match='alpha from 0 to 255: expected floats from 0 to 1'):
        read_alpha(write_array(tmp_path / 'c.npy', ALPHA.astype(np.float32)))
    yellow = np.dstack([ALPHA, ALPHA, ALPHA // 2])
    for name, colors in dict(d=COLORS, f=yellow).items():
        with pytest.raises(BadImage, match='colors without alpha'):
            read_alpha(write_png(tmp_path / f'{name}.png', colors))
    assert read_alpha(write_png(tmp_path / 'e.png', ones * 0)).max() == 0


def test_foregrounds_of_straight_and_premultiplied_colors(tmp_path):
    share = ALPHA[..., None] / 255
    straight = write_png(tmp_path / 'a.png', np.dstack([COLORS, ALPHA]))
    wanted = COLORS / 255 * share
    info = {}
    values, known = load_foreground(straight, info)
    assert known is None and values.dtype == np.float32 and np.abs(values - wanted).max() < 1e-6
    np.testing.assert_allclose(info['gt_alpha'], ALPHA / np.float32(255), atol=1e-6)
    multiplied = write_png(tmp_path / 'b.png', np.dstack([np.rint(COLORS * share), ALPHA]).astype(np.uint8))
    values, known = load_foreground(multiplied, dict(premultiplied=True))
    assert known is None and np.abs(values - wanted).max() < 0.5 / 255 + 1e-6
    assert (values <= ALPHA[..., None] / np.float32(255) + 1e-7).all()
    with pytest.raises(BadImage, match='colors of .* of 63 pixels are above their alpha.*premultiplied=False'):
        load_foreground(straight, dict(premultiplied=True))
    # Colors alone take alpha from its own file.
    alone = write_png(tmp_path / 'c.png', COLORS)
    values, known = load_foreground(alone, dict(gt_alpha=ALPHA / np.float32(255)))
    assert known is None and np.abs(values - wanted).max() < 1e-6
    with pytest.raises(BadImage, match='7 x 9, its alpha is 7 x 8'):
        load_foreground(alone, dict(gt_alpha=ALPHA[1:] / np.float32(255)))
    with pytest.raises(BadImage, match='without an alpha file'):
        load_foreground(alone, {})


def test_the_picture_gives_the_foreground_of_opaque_pixels(tmp_path):
    """Alpha 254 / 255 is above 0.996, 253 / 255 is not."""
    path = write_png(tmp_path / 'alpha.png', ALPHA)
    info = dict(img_path=write_png(tmp_path / 'image.png', COLORS))
    values, known = load_foreground(path, info)
    assert known[0].tolist() == [True, False, False, False, True, True, True]
    wanted = np.where(ALPHA[..., None] >= 254, COLORS / np.float32(255), 0)
    np.testing.assert_allclose(values, wanted, atol=1e-6)
    assert np.array_equal(info['img'], COLORS), 'the picture is decoded once'
    with pytest.raises(BadImage, match='7 x 9, the upright image is 7 x 8'):
        load_foreground(path, dict(img_path=write_png(tmp_path / 'other.png', COLORS[1:])))


def test_alpha_as_gray_of_three_channels_is_no_color(tmp_path):
    """Many programs save masks so, and lists of pairs name one file for both. A gray foreground keeps its colors."""
    path = write_png(tmp_path / 'alpha.png', np.repeat(ALPHA[..., None], 3, 2))
    image = write_png(tmp_path / 'image.png', COLORS)
    values, known = load_foreground(path, dict(img_path=image, gt_alpha=read_alpha(path)))
    plain = load_foreground(write_png(tmp_path / 'one.png', ALPHA), dict(img_path=image))
    assert np.array_equal(values, plain[0]) and np.array_equal(known, plain[1])
    gray = write_png(tmp_path / 'gray.png', np.full((*ALPHA.shape, 3), 90, np.uint8))
    values, known = load_foreground(gray, dict(img_path=image, gt_alpha=read_alpha(path)))
    assert known is None and values.max() == pytest.approx(90 / 255)


def test_all_fields_of_folders(tmp_path):
    write_geometry(tmp_path)
    albedo = smooth_image(*SIZE, seed=9)
    alpha = np.where(np.arange(SIZE[0]) < 20, 0, np.where(np.arange(SIZE[0]) < 30, 127, 255)).astype(np.uint8)
    alpha = np.tile(alpha, (SIZE[1], 1))
    for i in range(3):
        write_png(tmp_path / f'albedo/{i:06d}.png', albedo)
        write_png(tmp_path / f'alpha/{i:06d}.png', alpha)
        write_png(tmp_path / f'foreground/{i:06d}.png', np.dstack([albedo, alpha]))
    fields = ['foreground', 'albedo', 'alpha', 'depth']
    load = [dict(type='LoadLabels')]
    dataset = GeometryDataset(str(tmp_path), fields, albedo_coding='srgb', pipeline=load, test_mode=True)
    found = dataset[0]
    share = alpha[..., None] / np.float32(255)
    np.testing.assert_allclose(found['gt_alpha'], share[..., 0], atol=1e-6)
    np.testing.assert_allclose(found['gt_foreground'], albedo / np.float32(255) * share, atol=1e-6)
    np.testing.assert_allclose(found['gt_albedo'], decode_srgb(albedo / np.float32(255)), atol=1e-6)
    assert np.array_equal(found['valid_mask'], found['gt_mask'] & (found['gt_depth'] > 0))
    assert found['valid_foreground'].all()
    # Albedo counts on people, alpha everywhere.
    only = [dict(type='LoadLabels', fields=['albedo'])]
    albedo = GeometryDataset(str(tmp_path), ['albedo'], albedo_coding='srgb', pipeline=only)[0]
    assert np.array_equal(albedo['valid_mask'], albedo['gt_mask'])
    only = [dict(type='LoadLabels', fields=['alpha', 'foreground'])]
    matte = GeometryDataset(str(tmp_path), ['alpha', 'foreground'], pipeline=only)[0]
    assert matte['valid_mask'].all() and not matte['gt_mask'].all()


def test_labels_of_the_picture_do_not_replace_what_the_dataset_says(tmp_path):
    given = dict(
        img_path=write_png(tmp_path / 'image.png', COLORS),
        label_files=dict.fromkeys(('foreground', 'alpha'), write_png(tmp_path / 'alpha.png', ALPHA)),
    )
    found = LoadLabels(['alpha', 'foreground'])(dict(given, label_files=dict(given['label_files'])))
    assert found['valid_mask'].all() and found['valid_foreground'][0].tolist() == [True, *[False] * 3, *[True] * 3]
    assert LoadLabels(['alpha'])(given).keys() == {'img_path', 'gt_alpha', 'valid_mask'}


def test_doubts_about_units_and_codings():
    depth = np.linspace(2, 4, 50)
    points = np.stack([depth * 0.1, depth * 0.2, depth], -1).astype(np.float32)
    assert far_points(points) == ''
    assert 'millimeters' in far_points(points * 1000) and 'unit' in far_points(points / 1000)
    assert 'background' in far_points(np.vstack([points, [[0, 0, 1000]]]))
    ramp = np.linspace(0, 1, 11, dtype=np.float32)[:, None]
    assert (
        extreme_alpha(ramp) == ''
        and 'by half' in extreme_alpha(ramp / 255)
        and 'all pixels' in extreme_alpha(ramp * 0 + 1)
    )
    linear = np.random.default_rng(0).uniform(0.05, 0.3, (100, 3)).astype(np.float32)
    assert dark_albedo(linear) == ''
    assert 'linear, and read as sRGB' in dark_albedo(decode_srgb(linear))
    assert 'sRGB-coded, and read as linear' in dark_albedo(encode_srgb(linear))


def test_a_wrong_coding_of_albedo_is_doubted(tmp_path):
    write_geometry(tmp_path)
    linear = np.float32(0.05) + np.float32(0.25) * smooth_image(*SIZE, seed=9) / 255
    for i in range(3):
        write_png(tmp_path / f'albedo/{i:06d}.png', np.rint(linear * 255).astype(np.uint8))
    for coding, words in dict(linear=None, srgb='read as sRGB').items():
        findings = Findings()
        GeometryDataset(str(tmp_path), ['albedo'], albedo_coding=coding).check(findings, True)
        assert [*findings] == [] if words is None else words in next(iter(findings))
