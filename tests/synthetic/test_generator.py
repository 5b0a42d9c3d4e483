"""Labels agree with one another and with the scene, whatever is drawn."""

import cv2
import numpy as np
import pytest

pytest.importorskip('anny')

from sapiens.frames import to_published
from sapiens.metainfo import get_classes, get_skeleton
from sapiens.synthetic import HumanGenerator
from sapiens.synthetic.backgrounds import load_background
from sapiens.synthetic.camera import Camera
from sapiens.synthetic.keypoints import SKELETONS, keypoint_status, load_landmarks
from sapiens.synthetic.materials import Material
from sapiens.synthetic.photo import Photo, develop, sample_photo, to_linear
from sapiens.synthetic.render import Lighting, Plane, render
from sapiens.synthetic.rooms import box, sphere
from sapiens.synthetic.wardrobe.labels import part, split_parts
from sapiens.utils.srgb import encode_srgb

SIZE = (384, 512)
SEEDS = (1, 2, 3, 4, 5)


@pytest.fixture(scope='module')
def samples():
    generator = HumanGenerator(SIZE, people=(1, 3))
    return [generator(seed) for seed in SEEDS]


def test_shapes_and_types(samples):
    for sample in samples:
        expected = dict(image=((3,), np.uint8), depth=((), np.float32), normal=((3,), np.float32), albedo=((3,), np.float32),
                        alpha=((), np.float32), foreground=((3,), np.float32), part=((), np.uint8), part29=((), np.uint8),
                        lip=((), np.uint8), instance=((), np.uint8))  # fmt: skip
        for name, (tail, dtype) in expected.items():
            value = getattr(sample, name)
            assert value.shape == (SIZE[1], SIZE[0], *tail) and value.dtype == dtype, name
            assert np.isfinite(value).all(), name
        assert sample.alpha.min() >= 0 and sample.alpha.max() <= 1
        assert sample.albedo.min() >= 0 and sample.albedo.max() <= 1
        assert sample.foreground.min() >= 0 and (sample.foreground <= sample.alpha[..., None] + 1e-6).all()
        assert sample.people, 'an image without people'


def test_labels_are_consistent(samples):
    lip, goliath = get_classes('lip20'), get_classes('goliath28')
    for sample in samples:
        person = sample.instance > 0
        np.testing.assert_array_equal(person, sample.part > 0)
        assert not sample.lip[~person].any()
        bare = person & (sample.lip == 0)  # what people carry is background for LIP
        assert (sample.part[bare] == goliath.index('Apparel')).all()
        assert sample.part.max() < len(goliath.classes)
        more = get_classes('goliath29')
        glasses = sample.part29 == more.index('Eyeglass')
        assert (sample.part[glasses] == goliath.index('Apparel')).all()
        names, names29 = np.array(goliath.classes), np.array(more.classes)
        assert (names[sample.part[~glasses]] == names29[sample.part29[~glasses]]).all()
        assert ((sample.lip < len(lip.classes)) | (sample.lip == 255)).all()
        assert (sample.depth[person] > 0).all()
        # Half covered pixels lie on borders, as far as the lens blurs; the center decides for the mask.
        assert (sample.alpha[person] > 0).mean() > 0.995
        inner = cv2.erode(person.astype(np.uint8), np.ones((7, 7))) > 0
        assert (sample.alpha[inner] == 1).mean() > 0.98
        assert (sample.alpha[~(cv2.dilate(person.astype(np.uint8), np.ones((13, 13))) > 0)] == 0).all()
        assert sorted(np.unique(sample.instance[person])) == [p.instance for p in sample.people]
        for label in sample.people:
            mask = sample.instance == label.instance
            assert mask.sum() == label.area
            y, x = np.nonzero(mask)
            assert label.bbox.tolist() == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]


def test_keypoints_are_projections(samples):
    for sample in samples:
        for label in sample.people:
            for skeleton in SKELETONS:
                keypoints, spatial = label.keypoints[skeleton], label.keypoints_3d[skeleton]
                assert len(keypoints) == len(get_skeleton(skeleton).keypoints)
                none = [status == 'none' for status in keypoint_status(skeleton).values()]
                np.testing.assert_array_equal(np.isnan(spatial).any(1), none)
                labelled = keypoints[:, 2] > 0
                assert not labelled[none].any()
                pixels = (spatial / spatial[:, 2:]) @ sample.camera.intrinsics.T
                np.testing.assert_allclose(keypoints[labelled, :2], pixels[labelled, :2], atol=2e-3)
                assert (keypoints[labelled, :2] >= -0.5).all() and (
                    keypoints[labelled, :2] < np.array(SIZE) - 0.5
                ).all()
                assert (keypoints[~labelled] == 0).all()


def test_skeletons_agree(samples):
    """The same joint of two skeletons is the same point."""
    coco, body, goliath = (get_skeleton(s).keypoints for s in SKELETONS)
    shared = [name for name in coco if name in goliath and name in body]
    assert len(shared) == 17
    for sample in samples:
        for label in sample.people:
            for name in shared:
                a = label.keypoints['coco17'][coco.index(name)]
                np.testing.assert_array_equal(a, label.keypoints['wholebody133'][body.index(name)])
                np.testing.assert_array_equal(a, label.keypoints['goliath308'][goliath.index(name)])


def test_visible_points_lie_on_the_surface_seen_there(samples):
    seen = 0
    for sample in samples:
        points = sample.camera.unproject(sample.depth)
        for label in sample.people:
            marks = load_landmarks('goliath308')
            keypoints, spatial = label.keypoints['goliath308'], label.keypoints_3d['goliath308']
            for k in np.flatnonzero((keypoints[:, 2] == 2) & (marks.inside < 0.006)):
                x, y = np.rint(keypoints[k, :2]).astype(int)
                window = (slice(max(y - 1, 0), y + 2), slice(max(x - 1, 0), x + 2))
                own = sample.instance[window] == label.instance
                assert own.any(), marks.names[k]
                distance = np.linalg.norm(points[window] - spatial[k], axis=-1)[own].min()
                pixel = spatial[k, 2] / sample.camera.intrinsics[0, 0]
                assert distance < 0.025 + 3 * pixel, (marks.names[k], distance)
                seen += 1
    assert seen > 100


def test_points_on_the_surface_seen_there_are_visible(samples):
    """The other way round: where the surface that is seen is the point's own, the point is not called hidden."""
    found = []
    for sample in samples:
        points = sample.camera.unproject(sample.depth)
        for label in sample.people:
            keypoints, spatial = label.keypoints['goliath308'], label.keypoints_3d['goliath308']
            inside = np.flatnonzero((keypoints[:, 2] > 0) & (load_landmarks('goliath308').inside < 0.006))
            column, row = np.rint(keypoints[inside, :2]).astype(int).T
            near = np.linalg.norm(points[row, column] - spatial[inside], axis=-1) < 0.008
            found += (keypoints[inside, 2] == 2)[near & (sample.instance[row, column] == label.instance)].tolist()
    assert len(found) > 100 and np.mean(found) > 0.95


def test_depth_points_and_normals_agree(samples):
    """Normals are the gradient of the points, away from edges."""
    angles = []
    for sample in samples:
        points = sample.camera.unproject(sample.depth).astype(np.float64)
        np.testing.assert_allclose(points[..., 2], sample.depth, rtol=1e-6)
        across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
        gradient = np.cross(down, across)  # towards the camera: z < 0
        gradient /= np.linalg.norm(gradient, axis=-1, keepdims=True) + 1e-12
        normal = sample.normal[1:-1, 1:-1]
        depth = sample.depth
        # Edges and creases bend the depth map.
        center = depth[1:-1, 1:-1]
        bend_x = np.abs(depth[1:-1, 2:] + depth[1:-1, :-2] - 2 * center)
        bend_y = np.abs(depth[2:, 1:-1] + depth[:-2, 1:-1] - 2 * center)
        inner = (center > 0) & (np.maximum(bend_x, bend_y) < 0.001 * center)
        inner &= cv2.erode((sample.instance > 0).astype(np.uint8), np.ones((5, 5)))[1:-1, 1:-1] > 0
        cosine = np.clip((normal * gradient).sum(-1)[inner], -1, 1)
        angles.append(np.degrees(np.arccos(cosine)))
        known = depth > 0
        np.testing.assert_allclose(np.linalg.norm(sample.normal[known], axis=-1), 1, atol=1e-4)
        assert (sample.normal[~known] == 0).all()
        rays = sample.camera.unproject(np.ones_like(depth))
        assert ((sample.normal * rays).sum(-1)[known] < 1e-3).all()  # surfaces face the camera
    assert np.median(np.concatenate(angles)) < 3


def test_same_seed_same_bytes(samples):
    again = HumanGenerator(SIZE, people=(1, 3))(SEEDS[2])
    for name in ('image', 'depth', 'normal', 'albedo', 'alpha', 'foreground', 'part', 'lip', 'instance'):
        np.testing.assert_array_equal(getattr(again, name), getattr(samples[2], name), err_msg=name)
    for a, b in zip(again.people, samples[2].people, strict=True):
        for skeleton in SKELETONS:
            np.testing.assert_array_equal(a.keypoints[skeleton], b.keypoints[skeleton])
    assert (samples[0].image != samples[1].image).any()


def test_mirrored_camera_gives_flipped_labels():
    """Seen in a mirror, left hands are right hands: the mirrored scene has the flipped labels of the original."""
    red, blue = Material(color=(0.8, 0.1, 0.1)), Material(color=(0.1, 0.1, 0.8))
    left = sphere('left', (0.5, 0, 1), 0.4, red)
    left.part, left.lip, left.region = 5, 14, 1
    right = box('right', (-0.6, 0.3, 1), (0.5, 0.4, 0.9), blue, yaw=0.4)
    right.part, right.lip, right.region = 14, 15, 1
    camera = Camera.look_at((0.3, -4, 1.3), (0.3, 0, 1.0), 300, 201, 161)
    floor = Plane((-3, -3, 0), (1, 0, 0), (0, 1, 0), (6, 6), Material())
    plain = render([[left], [right]], [], [floor], camera, Lighting())

    def mirror(surface, part, lip):
        points = surface.vertices * np.float32([-1, 1, 1])
        normals = None if surface.normals is None else surface.normals * np.float32([-1, 1, 1])
        return type(surface)(surface.name, points, np.ascontiguousarray(surface.faces[:, ::-1]), surface.material,
                             surface.texture, part, lip, surface.region, normals)  # fmt: skip

    flip = get_classes('goliath28').flip_table
    flip_lip = get_classes('lip20').flip_table
    camera_mirrored = Camera.look_at((-0.3, -4, 1.3), (-0.3, 0, 1.0), 300, 201, 161)
    light = Lighting(sun=(-0.4, -0.6, 0.7), fill=(0.7, -0.5, 0.3))
    people = [[mirror(left, flip[5], flip_lip[14])], [mirror(right, flip[14], flip_lip[15])]]
    other = render(people, [], [floor], camera_mirrored, light)
    same = other.part[:, ::-1] == flip[plain.part]
    assert same.mean() > 0.999
    assert (other.lip[:, ::-1] == flip_lip[plain.lip]).mean() > 0.999
    np.testing.assert_allclose(other.depth[:, ::-1][same], plain.depth[same], atol=2e-3)
    normal = other.normal[:, ::-1] * np.float32([-1, 1, 1])
    assert (np.abs(normal - plain.normal).max(-1)[same] < 0.01).mean() > 0.995


def test_depth_of_known_geometry():
    """A ball and a wall, whose depth and normals have a formula."""
    ball = sphere('ball', (0, 0, 0), 1.0, Material(), rows=200)
    wall = Plane((-9, 2, -9), (1, 0, 0), (0, 0, 1), (18, 18), Material())
    camera = Camera.look_at((0, -5, 0), (0, 0, 0), 200, 101, 101)
    out = render([[ball]], [], [wall], camera, Lighting())
    assert out.depth[50, 50] == pytest.approx(4, abs=1e-3)
    assert out.depth[0, 0] == pytest.approx(7, abs=1e-4)
    np.testing.assert_allclose(out.normal[50, 50], [0, 0, -1], atol=0.02)
    np.testing.assert_allclose(out.normal[0, 0], [0, 0, -1], atol=1e-5)
    points = camera.unproject(out.depth)[out.instance == 1] - [0, 0, 5]
    assert np.linalg.norm(points, axis=-1) == pytest.approx(1, abs=1e-3)
    radius = 200 / np.sqrt(24)  # the outline of a unit ball at distance 5
    assert out.alpha.sum() == pytest.approx(np.pi * radius**2, rel=0.005)


def test_the_wall_catches_the_shadow():
    block = box('block', (0, 0, 1), (0.6, 0.6, 0.6), Material())
    floor = Plane((-5, -5, 0), (1, 0, 0), (0, 1, 0), (10, 10), Material(color=(0.8, 0.8, 0.8)))
    camera = Camera.look_at((0, -6, 5), (0, 0, 0), 300, 160, 160)
    overhead = Lighting(sun=(0, 0, 1), spread=0.01)
    lit = render([], [], [floor], camera, overhead)
    shaded = render([], [block], [floor], camera, overhead)
    under = camera.project(np.array([[0.0, -0.05, 0]]))[0]
    away = camera.project(np.array([[1.5, -0.5, 0]]))[0]
    pixel = lambda picture, p: picture.color[round(p[1]), round(p[0])].mean()  # noqa: E731
    assert pixel(shaded, under) < 0.7 * pixel(lit, under)
    assert pixel(shaded, away) == pytest.approx(pixel(lit, away), rel=0.02)


def test_what_stands_on_a_photograph_darkens_it():
    """Next to a box, a gray photograph is darker, on the side of the light too; farther away it is as it was."""
    block = box('block', (0, 0, 0.3), (0.6, 0.6, 0.6), Material())
    floor = Plane((-5, -5, 0), (1, 0, 0), (0, 1, 0), (10, 10), Material())
    camera = Camera.look_at((0, -4, 2.5), (0, 0, 0), 300, 160, 160)
    gray = np.full((160, 160, 3), 0.5, np.float32)
    out = render([], [block], [floor], camera, Lighting(sun=(0, -0.6, 0.8), spread=0.01), background=gray)
    at = lambda y: out.color[tuple(np.rint(camera.project(np.array([0.0, y, 0]))[1::-1]).astype(int))].mean()  # noqa: E731
    assert at(-0.33) < 0.4 and at(-1.2) == pytest.approx(0.5, abs=0.01)
    assert at(-0.33) < at(-0.45) < at(-0.7) + 0.01


@pytest.mark.parametrize('spread', [0.1, 0.2, 0.3])
def test_half_shadow_has_the_width_of_the_light_and_no_noise(spread):
    """Under the edge of a plate one meter above a floor, a disc of light is covered as far as geometry says."""
    plate = box('plate', (2, 0, 1.01), (4, 8, 0.02), Material())
    # Two pieces, so that an edge, whose pixels get more rays, runs across the shadow.
    floor = [Plane((-6, y, 0), (1, 0, 0), (0, 1, 0), (12, 6), Material(color=(0.8, 0.8, 0.8))) for y in (-6, 0)]
    camera = Camera.look_at((0, -0.05, 0.9), (0, 0, 0), 240, 200, 160)
    out = render([], [plate], floor, camera, Lighting(sun=(0, 0, 1), spread=spread))
    x = (camera.unproject(out.depth) @ camera.rotation + camera.position)[..., 0]
    color = out.color.mean(-1)
    dark, lit = np.sort([color[x > 0.33].mean(), color[x < -0.33].mean()])
    u = np.clip(-x / spread, -1, 1)
    seen = 0.5 + (u * np.sqrt(1 - u * u) + np.arcsin(u)) / np.pi  # of the disc
    error = (color - dark) / (lit - dark) - seen
    assert np.abs(error.mean(0)).max() < 0.1
    assert np.abs(error).max() < 0.2


def test_background_photographs(tmp_path):
    colors = np.zeros((90, 120, 3), np.uint8)
    colors[..., 0] = 200
    cv2.imwrite(str(tmp_path / 'blue.png'), colors)
    generator = HumanGenerator((128, 160), people=(1, 1), backgrounds=tmp_path, background_share=1.0, occlusion=0)
    sample = generator(4)
    behind = (sample.alpha == 0) & (sample.depth == 0)
    assert behind.mean() > 0.2
    assert (sample.image[behind].argmax(-1) == 2).mean() > 0.95
    assert (sample.normal[behind] == 0).all()


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(size=(10, 10)), 'at least 32'),
        (dict(people=(3, 1)), 'fewest <= most'),
        (dict(occlusion=2), 'fraction between 0 and 1'),
        (dict(shots=dict(ful=1)), "'ful'"),
        (dict(shots=dict(full=0)), 'not all 0'),
        (dict(rays=-1), 'rays=-1'),
        (dict(hair_rays=65), 'hair_rays=65'),
        (dict(backgrounds='/nowhere'), 'no folder of backgrounds'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        HumanGenerator(**options)


def test_empty_background_folder(tmp_path):
    with pytest.raises(ValueError, match='no images in backgrounds'):
        HumanGenerator(backgrounds=tmp_path)


def test_develop_and_linear_are_inverse_in_the_shadows():
    ramp = np.linspace(0.02, 0.5, 64, dtype=np.float32)
    color = np.repeat(np.repeat(ramp[None, :, None], 64, 0), 3, 2)
    image = develop(color, np.ones((64, 64)), Photo(), np.random.default_rng(0))
    assert (np.diff(image[0, :, 0].astype(int)) >= 0).all()
    level = to_linear(image)[0, :, 0] / ramp
    dark = image[0, :, 0] < 180
    assert level[dark] == pytest.approx(np.median(level[dark]), rel=0.1)


@pytest.mark.parametrize('white', [1.0, 1.4, 2.2])
def test_highlights_blow_out(white):
    """Light from ``white`` on is 255, without noise. Below it, the curve has no step and no bend at the shoulder."""
    light = np.linspace(0, 3, 2048, dtype=np.float32)
    color = np.repeat(np.repeat(light[None, :, None], 64, 0), 3, 2)
    photo = Photo(white=white, exposure=6.0)
    gain = np.interp(128, develop(color, np.ones(color.shape[:2]), photo, np.random.default_rng(0))[0, :, 0], light)
    gain = to_linear(np.uint8([128]))[0] / gain
    noisy = develop(
        color, np.ones(color.shape[:2]), Photo(white=white, exposure=6.0, noise=4.0), np.random.default_rng(0)
    )
    full = light * gain > 1.04 * white
    assert full.any() and (noisy[:, full] == 255).all()
    clean = develop(color, np.ones(color.shape[:2]), photo, np.random.default_rng(0))[0, :, 0]
    below = light * gain < 0.75 * white
    assert (np.diff(clean.astype(int)) >= 0).all() and (clean[below] < 255).all()
    assert np.abs(to_linear(clean) / gain - light)[light * gain < 0.6].max() < 0.02 / gain


def test_photographs_have_different_white():
    whites = [sample_photo(np.random.default_rng(seed)).white for seed in range(200)]
    assert 1 <= min(whites) < 1.1 and 1.9 < max(whites) < 2.5


def test_noise_does_not_repeat():
    """Noise of a gray wall correlates with no other place of it."""
    photo = Photo(noise=4.0)
    grain = develop(np.full((256, 512, 3), 0.2, np.float32), np.ones((256, 512)), photo, np.random.default_rng(0))
    grain = grain[..., 1] - grain[..., 1].mean()
    spectrum = np.fft.rfft2(grain)
    correlation = np.fft.irfft2(np.abs(spectrum) ** 2, grain.shape) / (grain**2).sum()
    correlation[0, 0] = 0
    assert 2 < grain.std() < 6 and np.abs(correlation).max() < 0.03


def test_background_photographs_have_the_scale_and_horizon_of_the_camera(tmp_path):
    """A photograph whose rows are numbered: its middle lies on the horizon, and a degree has as many rows as the camera's."""
    rows = np.repeat(np.repeat(np.linspace(0, 240, 600).astype(np.uint8)[:, None, None], 800, 1), 3, 2)
    cv2.imwrite(str(tmp_path / 'rows.png'), rows)
    for height, focal in ((1.2, 260.0), (1.7, 330.0)):
        camera = Camera.look_at((0, -4, height), (0, 0, 1.2), focal, 120, 160)
        for seed in range(4):
            made = load_background(tmp_path / 'rows.png', camera, np.random.default_rng(seed))
            made = encode_srgb(made[:, 60, 0]) * 255 / 240 * 600
            scale = np.polyfit(np.arange(160), made, 1)[0]
            assert 0.8 < scale / (800 * 28 / 36 / focal) < 1.2
            assert np.interp(camera.horizon(), np.arange(160), made) == pytest.approx(300, abs=6)
    level = Camera.look_at((0, -4, 1.5), (0, 0, 1.5), 200, 120, 161)
    assert level.horizon() == pytest.approx(80)
    assert level.project(np.array([30.0, 1e6, 1.5]))[1] == pytest.approx(level.horizon(), abs=0.01)


def test_published_normals_are_their_own_inverse():
    n = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(to_published(to_published(n)), n)
    assert to_published(np.array([0.0, 0, -1])).tolist() == [0, 0, 1]  # faces the camera


def test_threads_do_not_matter(samples):
    """Workers of a data loader have one thread, the main process has many: both make the same image."""
    import torch

    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            again = HumanGenerator(SIZE, people=(1, 3))(SEEDS[0])
            np.testing.assert_array_equal(again.depth, samples[0].depth)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)


def test_glasses_are_a_class_of_their_own():
    labels = np.arange(len(get_classes('goliath28')) + 1, dtype=np.uint8)
    fewer, more = split_parts(labels)
    assert part('Eyeglass') == 28 and fewer[28] == get_classes('goliath28').index('Apparel')
    assert more[28] == get_classes('goliath29').index('Eyeglass') and sorted(more) == list(range(29))
    assert (fewer[:28] == labels[:28]).all() and fewer.dtype == more.dtype == np.uint8


def test_empty_scenes_are_those_of_people_without_them():
    options = dict(size=(48, 64), people=(1, 1), occlusion=0.0, shots={'full': 1})
    empty, full = HumanGenerator(empty=True, **options), HumanGenerator(**options)
    bare, peopled = empty(3), full(3)
    assert not bare.people and not bare.instance.any() and not bare.alpha.any()
    assert peopled.people and np.array_equal(bare.camera.intrinsics, peopled.camera.intrinsics)
    assert np.array_equal(bare.camera.position, peopled.camera.position)
    with pytest.raises(ValueError, match='a sequence needs people'):
        next(empty.sequence(3, 2))
