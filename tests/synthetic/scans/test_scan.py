"""Scans as surfaces: axes, unit, front, head, normals, and images of several sizes."""

import numpy as np
import pytest

pytest.importorskip('trimesh')

from sapiens.synthetic.images import ImageLevels
from sapiens.synthetic.scans.landmarks import find_front, find_head, sample_surface
from sapiens.synthetic.scans.scan import UPS, load_scan, weld

from . import mannequin

MADE = mannequin.build(16, 24)


@pytest.mark.parametrize('up', UPS)
@pytest.mark.parametrize('unit', [1.0, 100.0])
def test_scans_stand_in_the_middle_and_face_the_camera(tmp_path, up, unit):
    scan = load_scan(mannequin.write(tmp_path / 'a.obj', MADE, unit=unit, up=up), 1 / unit, up)
    vertices = scan.surfaces[0].vertices
    # The mannequin stood beside the origin. The middle is that of its box, which toes and nose are not symmetric in.
    middle = (MADE.vertices.min(0) + MADE.vertices.max(0)) / 2
    low = MADE.vertices.min(0)[2]
    expected = MADE.vertices - [*middle[:2], low]
    assert vertices.dtype == np.float32 and scan.has_head and scan.has_front
    corners = vertices[scan.surfaces[0].faces]
    np.testing.assert_allclose(corners[..., 2], expected[MADE.faces][..., 2], atol=2e-6)
    np.testing.assert_allclose(corners, expected[MADE.faces], atol=0.06)  # the feet tell the front to some degrees
    np.testing.assert_allclose(scan.head, np.array([0, 0, 1.58]) - [*middle[:2], low], atol=0.035)
    assert scan.height == pytest.approx(1.71, abs=0.01)


def test_a_scan_that_faces_elsewhere_is_turned(tmp_path):
    for angle in (0.8, 2.5, -1.7):
        c, s = np.cos(angle), np.sin(angle)
        vertices = MADE.vertices @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        turned = mannequin.Mannequin(vertices, MADE.faces, MADE.uv, MADE.image)
        scan = load_scan(mannequin.write(tmp_path / 'a.obj', turned), 1.0, 'y')
        points = scan.surfaces[0].vertices
        toes = points[points[:, 2] < 0.08]
        direction = toes.mean(0)[:2] - points[(points[:, 2] > 0.3) & (points[:, 2] < 0.6)].mean(0)[:2]
        assert abs(np.degrees(np.arctan2(direction[0], -direction[1]))) < 6


def test_normals_do_not_show_the_seams_of_the_image(tmp_path):
    scan = load_scan(mannequin.write(tmp_path / 'a.obj', MADE), 1.0, 'y')
    (surface,) = scan.surfaces
    first, place = weld(surface.vertices, surface.faces)
    assert len(first) < len(surface.vertices)  # the seam of each ellipsoid has two vertices at each place
    np.testing.assert_array_equal(surface.normals, surface.normals[first][place])
    turned = scan.turned(0.5).surfaces[0]
    np.testing.assert_allclose(np.linalg.norm(turned.normals, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(turned.vertices[:, 2], surface.vertices[:, 2])
    assert turned.texture is surface.texture


def test_heads_and_fronts_that_are_not_there():
    rng = np.random.default_rng(0)
    box = rng.uniform([-0.5, -0.5, 0], [0.5, 0.5, 1.7], (50_000, 3))
    side = rng.integers(0, 2, len(box)) * 2 - 1
    axis = rng.integers(0, 2, len(box))
    box[np.arange(len(box)), axis] = 0.5 * side
    assert find_head(box) is None and find_front(box) is None


def test_a_raised_arm_is_no_head():
    arm = ((0.25, 0, 1.75), (0.045, 0.045, 0.35))
    made = mannequin.build(24, 32, [*mannequin.PARTS[:4], arm, *mannequin.PARTS[5:]])
    points = sample_surface(made.vertices, made.faces)
    assert points[:, 2].max() > 2.05
    np.testing.assert_allclose(find_head(points), [0, 0, 1.58], atol=0.035)


def test_points_are_as_dense_on_large_triangles():
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 5], [1, 0, 5], [0, 1, 5]], np.float64)
    points = sample_surface(vertices, np.array([[0, 1, 2], [3, 4, 5]]), 20_000)
    assert (points[:, 2] == 5).mean() == pytest.approx(0.1, abs=0.01)
    assert (points[:, :2].sum(1) <= np.where(points[:, 2] == 5, 1, 3) + 1e-9).all()
    np.testing.assert_allclose(points[points[:, 2] == 0].mean(0), [1, 1, 0], atol=0.05)


# ---------------------------------------------------------------------- images


def level(made, number):
    start, width, height = made.levels[number]
    codes = made.pixels[start : start + width * height].reshape(height, width)
    return np.stack([codes & 255, codes >> 8 & 255, codes >> 16 & 255], -1).astype(int)


def test_levels_halve_and_average_light():
    image = np.zeros((32, 64, 3), np.uint8)
    image[::2] = 255
    made = ImageLevels.build(image)
    assert [size[1:] for size in made.levels] == [(64, 32), (32, 16), (16, 8), (8, 4)]
    assert len(made.pixels) == sum(width * height for _, width, height in made.levels)
    np.testing.assert_array_equal(level(made, 0), image)
    for number in (1, 2, 3):
        assert (level(made, number) == 188).all()  # half of the light, not of the code


def test_colors_between_the_patches_of_an_atlas_do_not_bleed():
    image = np.full((64, 64, 3), 255, np.uint8)
    used = np.zeros((64, 64), bool)
    used[3:29, 5:30], image[3:29, 5:30] = True, (200, 10, 60)
    used[40:43, 50:51], image[40:43, 50:51] = True, (10, 220, 60)
    made = ImageLevels.build(image, used)
    for number in range(len(made.levels)):
        colors = level(made, number)
        assert (colors[..., 2] == 60).all(), 'nothing white, at no size'
        assert abs(colors[0, 0] - [200, 10, 60]).max() <= 1
        np.testing.assert_array_equal(colors.astype(np.uint8)[used], image[used]) if number == 0 else None
