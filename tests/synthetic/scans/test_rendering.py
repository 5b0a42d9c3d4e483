"""Images of scans: depth, normals and colors where they are known, and what a seed determines."""

import cv2
import numpy as np
import pytest

pytest.importorskip('trimesh')
pytest.importorskip('warp')

from sapiens.synthetic.camera import Camera
from sapiens.synthetic.render import Lighting, render
from sapiens.synthetic.scans.generator import ScanGenerator, points_of
from sapiens.synthetic.scans.scan import load_scan

from . import mannequin

FINE = mannequin.build(64, 80)
SIZE = 96, 128


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('scans')


@pytest.fixture(scope='module')
def path(folder):
    return mannequin.write(folder / 'a.obj', FINE, unit=100)


# From the mannequin's center to its scan, which stands on the ground in the middle of its box.
SHIFT = -np.array([*((FINE.vertices.min(0) + FINE.vertices.max(0)) / 2)[:2], FINE.vertices[:, 2].min()])


@pytest.fixture(autouse=True)
def not_turned(monkeypatch):
    """The feet tell the front to a few degrees, by which a scan is turned."""
    monkeypatch.setattr('sapiens.synthetic.scans.scan.find_front', lambda points: None)


@pytest.mark.parametrize('stretch', [1.0, 1.15])
def test_depth_and_normals_are_the_analytic_ones(path, stretch):
    """Away from outlines: depth to 0.2 mm in the median and 1 mm, normals to 0.3 degrees in the median and 2 for 99 of 100."""
    scan = load_scan(path, 0.01, 'y')
    camera = Camera.look_at((0.5, -2.2, 1.5), (0, 0, 0.9), 130, *SIZE)
    camera.intrinsics[1, 1] *= stretch  # pixels that are not square
    made = render([scan.surfaces], [], [], camera, Lighting(), rays=0)
    parts = [(np.array(center) + SHIFT, radii) for center, radii in mannequin.PARTS]
    depth, normal = mannequin.trace(camera, parts)
    both = (made.depth > 0) & (depth > 0)
    assert ((made.depth > 0) != (depth > 0)).mean() < 0.004 and both.mean() > 0.1
    inner = cv2.erode(both.astype(np.uint8), np.ones((3, 3))) > 0
    jump = cv2.morphologyEx(depth.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0.05
    inner &= ~jump
    error = np.abs(made.depth - depth)[inner]
    angle = np.degrees(np.arccos(np.clip((made.normal * normal).sum(-1)[inner], -1, 1)))
    assert np.median(error) < 2e-4 and np.quantile(error, 0.99) < 1e-3, (np.median(error), np.quantile(error, 0.99))
    assert np.median(angle) < 0.3 and np.quantile(angle, 0.99) < 2, (np.median(angle), np.quantile(angle, 0.99))


def test_colors_are_those_of_the_image_and_the_right_way_up(path):
    scan = load_scan(path, 0.01, 'y')
    camera = Camera.look_at((0, -3, 0.9), (0, 0, 0.9), 170, *SIZE)
    made = render([scan.surfaces], [], [], camera, Lighting(), rays=0)
    for number in (0, 3, 4, 5, 6, 7):  # head, chest, arms, legs
        center = np.array(mannequin.PARTS[number][0]) + SHIFT + (0, 0, 0.06 * (number == 0))  # above the nose
        x, y, _ = np.rint(camera.project(center)).astype(int)
        expected = ((mannequin.COLORS[number] / 255 + 0.055) / 1.055) ** 2.4
        np.testing.assert_allclose(made.albedo[y, x], expected, atol=0.02, err_msg=str(number))


def test_colors_of_vertices(folder):
    import trimesh

    colors = np.repeat(mannequin.COLORS, 64 * 80, axis=0)
    mesh = trimesh.Trimesh(FINE.vertices[:, [0, 2, 1]] * [1, 1, -1], FINE.faces, vertex_colors=colors, process=False)
    mesh.export(folder / 'b.ply')
    scan = load_scan(folder / 'b.ply', 1.0, 'y')
    made = render([scan.surfaces], [], [], Camera.look_at((0, -3, 0.9), (0, 0, 0.9), 170, *SIZE), Lighting(), rays=0)
    expected = ((mannequin.COLORS[3] / 255 + 0.055) / 1.055) ** 2.4
    np.testing.assert_allclose(made.albedo[50, 48], expected, atol=0.01)


@pytest.fixture(scope='module')
def maps(folder):
    (folder / 'maps').mkdir()
    image = np.full((64, 128, 3), 0.5, np.float32)
    image[10:14, 20:24] = 400
    image[40:] = 0.2
    assert cv2.imwrite(str(folder / 'maps/sun.hdr'), image)
    (folder / 'photos').mkdir()
    assert cv2.imwrite(str(folder / 'photos/a.png'), np.full((90, 120, 3), (40, 90, 160), np.uint8))
    return folder


def generator(path, **options):
    return ScanGenerator([path], 0.01, size=SIZE, **options)


def test_a_seed_determines_the_image(path, maps):
    make = generator(path, environments=maps / 'maps')
    first, other = make(3, 0), make(4, 0)
    make._kept.clear()
    again = make(3, 0)
    for name in ('image', 'depth', 'normal', 'albedo', 'alpha', 'foreground', 'mask'):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.attributes == again.attributes and (first.image != other.image).any()
    assert first.image.shape == (128, 96, 3) and first.mask.mean() > 0.05


def test_what_is_behind(path, maps):
    room = generator(path)(0, 0)
    assert (
        room.attributes['light'] == room.attributes['behind'] in ('room', 'outdoors') and (room.depth > 0).mean() > 0.5
    )
    sky = generator(path, environments=maps / 'maps')(0, 0)
    assert sky.attributes['light'] == sky.attributes['behind'] == 'sun.hdr'
    photo = generator(path, environments=maps / 'maps', backgrounds=maps / 'photos', background_share=1.0)(0, 0)
    assert photo.attributes == dict(sky.attributes, behind='a.png')
    for made in (sky, photo):
        assert ((made.depth > 0) == made.mask).all() and (made.normal[~made.mask] == 0).all()
        np.testing.assert_allclose(np.linalg.norm(made.normal[made.mask], axis=-1), 1, atol=1e-4)
    plain = generator(path, backgrounds=maps / 'photos', background_share=1.0, photo=False)(0, 0)
    corner = plain.image[~plain.mask & (plain.alpha == 0)].astype(float)
    assert corner.std(0).max() < 12 and plain.attributes['behind'] == 'a.png'


def test_the_sun_of_a_map_shades_and_casts_shadows(path, maps):
    """Light from the right of the camera: the right side is brighter, and the shadow falls to the left."""
    from sapiens.synthetic.materials import Material
    from sapiens.synthetic.render import Plane
    from sapiens.synthetic.scans.environments import light_of, read_environment

    scan = load_scan(path, 0.01, 'y')
    scan.surfaces[0].material = Material('matte', (0.5, 0.5, 0.5))
    image = read_environment(maps / 'maps/sun.hdr')
    ground = Plane((-5, -5, 0), (1, 0, 0), (0, 1, 0), (10, 10), Material('matte', (0.5, 0.5, 0.5)))
    azimuth = (22 / 128 - 0.5) * 2 * np.pi  # of the sun in the map
    camera = Camera.look_at((0, -4, 1.6), (0, 0, 0.7), 110, *SIZE)
    sides, shadows = [], []
    for wanted in (np.pi / 2, -np.pi / 2):
        made = render([scan.surfaces], [], [ground], camera, light_of(image, wanted - azimuth), rays=0)
        chest = camera.project(np.array([mannequin.PARTS[3][0]]) + SHIFT)[0]
        y, x = round(chest[1]), round(chest[0])
        sides.append(made.color[y, x + 2 : x + 6].mean() - made.color[y, x - 6 : x - 2].mean())
        dark = (made.instance == 0) & (made.depth > 0)
        left, right = (made.color[dark & where].min() for where in (np.arange(96) < 40, np.arange(96) > 56))
        shadows.append(left - right)
    assert sides[0] > 0.1 and sides[1] < -0.1
    assert shadows[0] < 0 < shadows[1]


def test_framings(path):
    scan = load_scan(path, 0.01, 'y')
    face, upper, full = (points_of(scan, shot) for shot in ('face', 'upper', 'full'))
    assert np.ptp(face, axis=0).max() < 0.35 and abs(face.mean(0) - scan.head).max() < 0.1
    assert 0.6 < np.ptp(upper[:, 2]) < 1.0 and np.ptp(full[:, 2]) > 1.65
    sizes, make = {}, generator(path)
    for shot in ('face', 'upper', 'full'):
        make.shots = {shot: 1}
        made = make(5, 0)
        assert made.attributes['shot'] == shot
        sizes[shot] = np.median(made.depth[made.mask]) / made.camera.intrinsics[0, 0]  # meters of a pixel
    assert sizes['face'] < 0.6 * sizes['upper'] < 0.6 * sizes['full']


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(size=(20, 90)), 'at least 32 pixels'),
        (dict(up='x'), "up='x': expected one of y, z"),
        (dict(unit=0), '1 scans, unit=0'),
        (dict(unit=[1.0, 2.0]), '1 scans, unit='),
        (dict(shots=dict(head=1)), 'expected weights of face, upper, full'),
        (dict(shots=dict(face=0)), 'not all 0'),
        (dict(background_share=2), 'a fraction between 0 and 1'),
        (dict(rays=65), 'expected 0 to 64'),
    ],
)
def test_wrong_options(options, text):
    with pytest.raises(ValueError, match=text):
        ScanGenerator(['a.obj'], **options)
