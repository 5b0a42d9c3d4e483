"""Results of pointmaps, mattes and albedo: geometry, colors, files; and models that give them."""

import json
import math
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from sapiens.apis import AlbedoResult, MattingResult, Pipeline, PointmapResult, load_model
from sapiens.apis.predictors import pointmap as pointmap_predictor
from sapiens.apis.results import Saving
from sapiens.apis.user_camera import centered_intrinsics
from sapiens.datasets.transforms import BadImage
from sapiens.utils.pinhole import pixel_rays
from sapiens.utils.srgb import decode_srgb, encode_srgb
from sapiens.visualization.matting import CHROMA_GREEN

from .test_user_camera import write_photo
from .tiny import ROOT, config, lively, picture

SIZE = (40, 30)
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
TASKS = dict(
    pointmap=(
        dict(type='PointmapTask'),
        dict(predictor='conv_pointmap', scale=dict(conv_channels=(8, 4), hidden=(8,), cells=(2, 2))),
    ),
    matting=(dict(type='MattingTask'), dict(predictor='conv_matting', sigmoid=True)),
    albedo=(dict(type='AlbedoTask'), dict(predictor='conv_albedo', norm='rms')),
)


def tiny_config(task):
    """A letterboxed model of 128x96, in milliseconds."""
    cfg = Config.fromfile(str(ROOT / 'configs/normal/sapiens2_tiny_synthetic-128x96.py'))
    described, head = TASKS[task]
    cfg.model.backbone.arch = ARCH
    cfg.model.task = described
    cfg.model.head.update(upsample_channels=(8, 8), conv_channels=(8,), **head)
    cfg.model.losses = [dict(type='NormalL1Loss')]
    cfg.val_pipeline = [dict(type='LoadLetterbox', size=(96, 128))]
    return cfg


def pointmap(focal=50.0, **options):
    """A wall that leans back, seen by a camera of this focal length."""
    rays = pixel_rays(centered_intrinsics(focal, SIZE), SIZE)
    points = rays * (2 + 0.02 * np.arange(SIZE[0], dtype=np.float32))[:, None, None]
    return PointmapResult(
        picture(SIZE), 'a.jpg', points, centered_intrinsics(focal, SIZE), estimated_focal=focal, **options
    )


# ---------------------------------------------------------------------- points


def test_another_camera_gives_other_meters():
    result = pointmap()
    assert result.focal == 50 and result.focal_source == 'estimated'
    longer = result.with_camera(focal=100.0)
    # Twice the focal length: the same picture from twice the distance, and as large as before in canonical units.
    np.testing.assert_allclose(longer.points, 2 * result.points)
    assert longer.focal == 100 and longer.focal_source == 'given' and longer.estimated_focal == 50
    assert result.focal == 50, 'the result itself stays'
    matrix = np.array([[100.0, 0, 12], [0, 105, 22], [0, 0, 1]])
    known = result.with_camera(intrinsics=matrix)
    # Pixels that are not square: the result was that of square ones.
    np.testing.assert_allclose(known.points, longer.points * [1, 100 / 105, 1], rtol=1e-6)
    np.testing.assert_array_equal(known.intrinsics, matrix)
    tall = result.with_camera(
        intrinsics=[[50, 0, result.intrinsics[0, 2]], [0, 60, result.intrinsics[1, 2]], [0, 0, 1]]
    )
    np.testing.assert_allclose(tall.points, tall.on_rays().points, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(tall.with_camera(focal=50).points, result.points, rtol=1e-6)
    for options, message in (
        ({}, 'one of them'),
        (dict(focal=1.0, intrinsics=matrix), 'one of them'),
        (dict(focal=0), 'focal=0: expected a focal length above 0'),
        (dict(intrinsics=matrix * 3), 'with the last row 0, 0, 1'),
        (
            dict(intrinsics=np.array([[100.0, 0, 60], [0, 100, 80], [0, 0, 1]])),
            'intrinsics of an image of another size',
        ),
    ):
        with pytest.raises(ValueError, match=message):
            result.with_camera(**options)


def test_points_on_the_rays_of_their_pixels():
    result = pointmap()
    result.points = result.points + np.float32([0.1, -0.2, 0])
    moved = result.on_rays()
    np.testing.assert_array_equal(moved.depth, result.depth)
    pixels = moved.points @ result.intrinsics.T
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    np.testing.assert_allclose(pixels[..., :2] / pixels[..., 2:], np.stack([x, y], -1), atol=1e-4)
    # They stay on the rays of another camera.
    again = moved.with_camera(intrinsics=np.array([[80.0, 0, 10], [0, 90, 25], [0, 0, 1]]))
    pixels = again.points @ again.intrinsics.T
    np.testing.assert_allclose(pixels[..., :2] / pixels[..., 2:], np.stack([x, y], -1), atol=1e-4)
    np.testing.assert_allclose(again.depth, result.depth * 1.6, rtol=1e-6)


def test_files_of_points(tmp_path):
    result = pointmap()
    result.mask = np.zeros(SIZE, bool)
    result.mask[5:35, 5:25] = True
    kinds = tuple(file.kind for file in result.files)
    written = {path.name for path in result.save(tmp_path, kinds=kinds)}
    assert written == {'a.npy', 'a.jpg', 'a.json', 'a_depth.npy', 'a_normals.png', 'a.ply'}
    assert {path.name for path in result.save(tmp_path / 'default')} == {'a.npy', 'a.jpg', 'a.json'}
    points = np.load(tmp_path / 'a.npy')
    assert points.dtype == np.float32 and np.array_equal(points, result.points)
    assert np.array_equal(np.load(tmp_path / 'a_depth.npy'), result.points[..., 2])
    camera = json.loads((tmp_path / 'a.json').read_text())
    assert camera == dict(
        focal=50.0,
        estimated_focal=50.0,
        focal_source='estimated',
        image_size=[30, 40],
        intrinsics=[[50.0, 0.0, 14.5], [0.0, 50.0, 19.5], [0.0, 0.0, 1.0]],
    )
    normals = np.asarray(Image.open(tmp_path / 'a_normals.png')).astype(int)
    assert (normals[:7] == 100).all() and (normals[10, 10] != 100).any()
    # Towards the camera is blue; the wall leans back, so it faces down.
    assert normals[20, 15, 2] > 200 and normals[20, 15, 1] < 120


def test_a_cloud_has_the_colors_of_its_pixels(tmp_path):
    result = pointmap()
    result.points[:10] = np.nan
    result.points[10:12] *= -1
    result.mask = np.ones(SIZE, bool)
    result.mask[:, :10] = False
    points, colors = result.cloud()
    assert len(points) == len(colors) == 28 * 20 and (points[:, 2] > 0).all()
    np.testing.assert_array_equal(points, result.points[12:, 10:].reshape(-1, 3))
    np.testing.assert_array_equal(colors, result.image[12:, 10:].reshape(-1, 3))
    result.save(tmp_path, kinds=('ply',))
    data = (tmp_path / 'a.ply').read_bytes()
    header, _, body = data.partition(b'end_header\n')
    assert b'format binary_little_endian' in header and b'element vertex 560' in header
    read = np.frombuffer(body, np.dtype([('xyz', '<f4', 3), ('rgb', 'u1', 3)]))
    np.testing.assert_array_equal(read['xyz'], points)
    np.testing.assert_array_equal(read['rgb'], colors)


def test_points_are_cut_out_and_drawn():
    result = pointmap()
    before = result.points.copy()
    result.mask = np.zeros(SIZE, bool)
    result.mask[10:20] = True
    drawn = result.drawing(Saving(background='white'))
    assert (drawn[~result.mask] == 255).all() and (drawn[result.mask] != 255).any()
    result.cut_out()
    np.testing.assert_array_equal(np.isfinite(result.points).all(-1), result.mask)
    np.testing.assert_array_equal(result.points[result.mask], before[result.mask])
    np.testing.assert_array_equal(result.drawing(Saving(background='white')), drawn)
    # Near is red, far is blue.
    red, _, blue = result.draw()[10, 5].astype(int)
    assert red > blue and result.draw()[19, 5, 2] > result.draw()[19, 5, 0]
    assert (result.drawing(Saving(depth_limits=(0.5, 9.0))) != result.draw()).any()
    assert result.summary() == '2.20 to 2.38 m, focal length 50 px (estimated)'


# ---------------------------------------------------------------------- mattes


def matte(alpha=0.5, color=(0.8, 0.4, 0.2)):
    alpha = np.full(SIZE, alpha, np.float32)
    alpha[:10] = 1
    alpha[-10:] = 0
    return MattingResult(picture(SIZE), 'a.jpg', alpha, alpha[..., None] * np.float32(color))


def test_cutouts_have_straight_colors(tmp_path):
    result = matte()
    cut = result.cutout()
    assert cut.shape == (*SIZE, 4) and cut[20, 3].tolist() == [204, 102, 51, 128]
    assert cut[0, 0].tolist() == [204, 102, 51, 255] and cut[-1, 0].tolist() == [0, 0, 0, 0]
    photo = result.cutout('photo')
    np.testing.assert_array_equal(photo[:10, :, :3], result.image[:10])
    expected = (0.5 * result.image[20, 3] + 0.5 * cut[20, 3, :3].astype(float)).round()
    np.testing.assert_allclose(photo[20, 3, :3], expected, atol=1)
    assert result.person.sum() == 30 * 30 and result.summary() == '50 % people'
    kinds = tuple(file.kind for file in result.files)
    written = {path.name for path in result.save(tmp_path, kinds=kinds)}
    assert written == {'a_alpha.npy', 'a.jpg', 'a_cutout.png', 'a_foreground.npy'}
    assert np.array_equal(np.load(tmp_path / 'a_alpha.npy'), result.alpha)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'a_cutout.png')), cut)
    result.save(tmp_path, map_format='png', kinds=('alpha', 'foreground'))
    assert np.asarray(Image.open(tmp_path / 'a_alpha.png'))[[0, 20, -1], 0].tolist() == [255, 128, 0]
    assert np.asarray(Image.open(tmp_path / 'a_foreground.png'))[20, 0].tolist() == [102, 51, 26]


def test_composition_in_both_lights():
    result = matte()
    red = (255, 0, 0)
    coded = result.composite(red)
    assert coded[0, 0].tolist() == [204, 102, 51] and coded[-1, 0].tolist() == list(red)
    assert coded[20, 0].tolist() == [round(0.4 * 255 + 127.5), 51, 26]
    mixed = result.composite(red, 'linear')
    assert mixed[0, 0].tolist() == [204, 102, 51] and mixed[-1, 0].tolist() == list(red)
    expected = 0.5 * decode_srgb(np.array([204, 102, 51]) / 255) + 0.5 * np.array([1, 0, 0])
    np.testing.assert_allclose(mixed[20, 0], encode_srgb(expected) * 255, atol=0.6)
    assert (mixed[20, 0] >= coded[20, 0]).all() and mixed[20, 0, 1] > coded[20, 0, 1] + 15
    # In front of what it was taken from, the image comes back.
    behind = picture(SIZE, seed=5)
    result.image = result.composite(behind)
    np.testing.assert_allclose(
        result.foreground + (1 - result.alpha[..., None]) * behind / 255, result.image / 255, atol=0.5 / 255 + 1e-6
    )
    for arguments, message in (
        ((red, 'gamma'), "light='gamma' is not one of"),
        ((red, 'srgb', 'true'), "colors='true' is not one of"),
        ((np.zeros((4, 4, 3), np.uint8),), r'background \(4, 4, 3\): expected \(40, 30, 3\)'),
        (('white',), r"background 'white': expected \(40, 30, 3\)"),
        (((300, 0, 0),), 'background from 0 to 300: expected levels of 0 to 255'),
        (((0, -1, 0), 'linear'), 'background from -1 to 0: expected levels of 0 to 255'),
    ):
        with pytest.raises(ValueError, match=message):
            result.composite(*arguments)


def test_the_composition_is_the_published_one_for_any_prediction():
    """A network's foreground may be brighter than its alpha."""
    random, behind = np.random.default_rng(0), picture(SIZE, seed=5)
    result = matte()
    result.alpha = random.random(SIZE, np.float32) / 3
    result.foreground = random.random((*SIZE, 3), np.float32) / 2
    expected = 255 * result.foreground + (1 - result.alpha[..., None]) * behind
    np.testing.assert_allclose(result.composite(behind), np.clip(expected, 0, 255), atol=0.51)


def test_pictures_of_mattes():
    result = matte()
    assert (result.draw()[-1] == CHROMA_GREEN).all()
    np.testing.assert_array_equal(result.picture(Saving()), result.composite(CHROMA_GREEN))
    drawn = result.picture(Saving(over='white', light='linear', colors='photo'))
    np.testing.assert_array_equal(drawn, result.composite((255,) * 3, 'linear', 'photo'))
    assert (result.draw('transparent')[-1] >= 204).all()
    for name, value in dict(light='dim', colors='none').items():
        with pytest.raises(ValueError, match=f"{name}='{value}' is not one of"):
            Saving(**{name: value})


def test_alpha_that_is_out_of_range_stays_in_the_picture():
    result = matte()
    result.alpha, result.foreground = result.alpha * 1.2 - 0.1, result.foreground * 2
    for light in ('srgb', 'linear'):
        assert result.composite((10, 20, 30), light).dtype == np.uint8
    assert result.cutout()[0, 0].tolist() == [255, 185, 93, 255]


# ---------------------------------------------------------------------- albedo


def test_albedo_in_both_codings(tmp_path):
    coded = np.linspace(0, 1, SIZE[0] * SIZE[1] * 3, dtype=np.float32).reshape(*SIZE, 3)
    result = AlbedoResult(picture(SIZE), 'a.jpg', coded)
    np.testing.assert_array_equal(result.srgb, coded)
    np.testing.assert_allclose(result.linear, decode_srgb(coded))
    linear = AlbedoResult(picture(SIZE), 'a.jpg', result.linear, 'linear')
    np.testing.assert_allclose(linear.srgb, coded, atol=1e-6)
    np.testing.assert_array_equal(linear.draw(), result.draw())
    assert {path.name for path in result.save(tmp_path)} == {'a.npy', 'a.jpg'}
    np.testing.assert_array_equal(np.load(tmp_path / 'a.npy'), result.linear)
    result.mask = np.zeros(SIZE, bool)
    result.mask[:, 10:] = True
    result.save(tmp_path, kinds=('srgb',), background='black')
    written = np.asarray(Image.open(tmp_path / 'a_srgb.png'))
    assert (written[:, :10] == 0).all()
    np.testing.assert_allclose(written[:, 10:], coded[:, 10:] * 255, atol=0.51)
    result.cut_out()
    assert np.isnan(result.albedo[:, :10]).all() and np.isnan(result.linear[:, :10]).all()
    assert (result.picture(Saving())[:, :10] == 100).all() and result.summary() == 'one albedo per pixel'


# ---------------------------------------------------------------------- models


@pytest.fixture(scope='module')
def models():
    made = {}

    def get(task, **options):
        key = task, repr(options)
        if key not in made:
            made[key] = load_model(tiny_config(task), device='cpu', **options)
            lively(made[key].network)
            if task == 'pointmap':  # a lively scale, above 0
                last = made[key].network.head.scale_final_layer[-1]
                last.bias.data.fill_(1.0)
                last.weight.data.mul_(0.1)
        return made[key]

    return get


def test_the_estimated_focal_length_is_that_of_the_image(models):
    """An image of 192 x 60 is letterboxed to half of its size, 96 pixels wide."""
    image, model = picture((60, 192)), models('pointmap')
    result = model(image)
    assert isinstance(result, PointmapResult) and result.points.shape == (60, 192, 3)
    (sample,) = model.preprocess.samples(image)
    output = model.network(model.normalize(model.preprocess.on_host(image, sample)[None]))
    scale = float(output['scale'])
    assert scale > 0.1 and result.focal == pytest.approx(192 / scale, rel=1e-5)
    assert result.intrinsics[:2, 2].tolist() == [95.5, 29.5]
    # Meters are canonical points divided by the scale, and the result shows the part of the input that is the image.
    resize = partial(torch.nn.functional.interpolate, mode='bilinear')
    meters = resize(resize(output['pointmap'], (128, 96))[:, :, 49:79], (60, 192))[0] / scale
    np.testing.assert_allclose(result.points, meters.permute(1, 2, 0), atol=1e-4)
    assert result.points.std() > 0.1


def test_users_who_know_the_camera(models, tmp_path):
    image = picture((60, 192))
    result = models('pointmap')(image)
    given = models('pointmap', focal=300.0)(image)
    assert given.focal == 300 and given.focal_source == 'given'
    assert given.estimated_focal == pytest.approx(result.focal)
    np.testing.assert_allclose(given.points, result.points * 300 / result.focal, rtol=1e-5, atol=1e-6)
    projected = models('pointmap', focal=300.0, rays='project')(image)
    np.testing.assert_array_equal(projected.depth, given.depth)
    pixels = projected.points @ projected.intrinsics.T
    known = np.abs(projected.depth) > 1e-3
    x = np.mgrid[:60, :192][1]
    np.testing.assert_allclose((pixels[..., 0] / pixels[..., 2])[known], x[known], atol=1e-2)
    # A photograph that tells its focal length, and one that does not.
    phone = write_photo(tmp_path / 'phone.jpg', (192, 60), FocalLengthIn35mmFilm=26)
    plain = write_photo(tmp_path / 'plain.jpg', (192, 60))
    from_exif, estimated = models('pointmap', focal='exif')([phone, plain])
    assert from_exif.focal_source == 'exif'
    assert from_exif.focal == pytest.approx(26 * math.hypot(192, 60) / math.hypot(36, 24))
    assert estimated.focal_source == 'estimated'


def test_files_without_a_focal_length_are_told_once(models, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(pointmap_predictor, 'print_log', lambda text, *_: said.append(text))
    model = load_model(tiny_config('pointmap'), device='cpu', focal='exif')
    paths = [write_photo(tmp_path / f'{index}.jpg') for index in range(3)]
    model(paths)
    assert len(said) == 1 and '0.jpg has no focal length in its EXIF data: the estimate is used' in said[0]


def test_intrinsics_that_do_not_fit_fail_their_image_only(models):
    matrix = centered_intrinsics(100.0, (60, 192))
    model = models('pointmap', intrinsics=matrix)
    good, wrong = picture((60, 192)), picture((300, 200))
    assert model(good).focal == 100
    with pytest.raises(BadImage, match='intrinsics of an image of another size'):
        model(wrong)
    kinds = [type(result).__name__ for _, result in model.stream([good, wrong, good])]
    assert kinds == ['PointmapResult', 'BadImage', 'PointmapResult']


def test_a_scale_that_is_not_above_zero_is_no_focal_length(tmp_path):
    model = load_model(tiny_config('pointmap'), device='cpu')
    lively(model.network)
    model.network.head.scale_final_layer[-1].bias.data.fill_(-50.0)
    image = picture((60, 192))
    result = model(image)
    assert math.isnan(result.focal) and math.isnan(result.estimated_focal) and np.isnan(result.points).all()
    assert (result.draw() == 100).all() and result.summary() == 'no points: the predicted scale is not above 0'
    assert result.frame_record(Saving())['focal'] is None
    with pytest.raises(ValueError, match='the predicted scale is not above 0.*give the focal length'):
        result.save(tmp_path, 'a')
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match='the points are lost: give the camera to load_model'):
        result.with_camera(focal=200.0)
    # A known camera needs no scale.
    known = load_model(tiny_config('pointmap'), device='cpu', focal=200.0)
    known.network.load_state_dict(model.network.state_dict())
    assert np.isfinite(known(image).points).all() and known(image).focal == 200


def test_mattes_and_albedo_of_models(models):
    image = picture((60, 192))
    found = models('matting')(image)
    assert (
        isinstance(found, MattingResult) and found.alpha.shape == (60, 192) and found.foreground.shape == (60, 192, 3)
    )
    assert found.alpha.min() >= 0 and found.alpha.max() <= 1 and found.alpha.std() > 0
    colors = models('albedo')(image)
    assert isinstance(colors, AlbedoResult) and colors.encoding == 'srgb' and colors.albedo.shape == (60, 192, 3)
    cfg = tiny_config('albedo')
    cfg.model.task.encoding = 'linear'
    assert load_model(cfg, device='cpu')(image).encoding == 'linear'


def test_one_result_masks_the_others(models):
    """Parts or a matte cut normals, points and albedo in one call."""
    parts = load_model(config('seg'), device='cpu')
    lively(parts.network)
    normals = load_model(config('normal'), device='cpu')
    image = picture((60, 90))
    members = [parts, models('matting'), normals, models('pointmap'), models('albedo')]
    for name in ('seg', 'matting'):
        results = Pipeline(members, mask_by=name)(image)
        mask = results['seg'].foreground if name == 'seg' else results['matting'].person
        assert 0 < mask.sum() < mask.size
        for task, values in (('normal', 'normals'), ('pointmap', 'points'), ('albedo', 'albedo')):
            known = np.isfinite(getattr(results[task], values)).all(-1)
            np.testing.assert_array_equal(known, mask, err_msg=task)
    # Classes are those of the parts, also where a matte comes first.
    name = parts.network.task.classes.classes[1]
    results = Pipeline([models('matting'), parts, normals], mask_classes=[name])(image)
    np.testing.assert_array_equal(results['normal'].mask, results['seg'].labels == 1)
    with pytest.raises(ValueError, match='no model gives masks of classes'):
        Pipeline([models('matting'), normals], mask_classes=[name])


@pytest.mark.parametrize(
    ('task', 'options', 'message'),
    [
        ('pointmap', dict(focal=-1.0), 'focal=-1.0: expected a focal length above 0'),
        ('pointmap', dict(focal=5.0, intrinsics=np.eye(3)), 'give one of them'),
        ('pointmap', dict(rays='straight'), "rays='straight' is not one of"),
        ('albedo', dict(focal=5.0), 'focal: for pointmap only'),
        ('matting', dict(rays='project'), 'rays: for pointmap only'),
    ],
)
def test_options_that_do_not_fit_are_refused(task, options, message):
    with pytest.raises(ValueError, match=message):
        load_model(tiny_config(task), device='cpu', **options)
