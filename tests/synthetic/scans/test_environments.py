"""Environment maps: reading, the lights that are fitted to them, and what the camera sees of them."""

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from sapiens.synthetic.camera import Camera
from sapiens.synthetic.scans.environments import (
    _directions,
    _solid_angles,
    backdrop,
    find_environments,
    light_of,
    read_environment,
)


def direction(azimuth, elevation):
    a, e = np.radians([azimuth, elevation])
    return np.array([np.cos(e) * np.sin(a), np.cos(e) * np.cos(a), np.sin(e)])


def sky(azimuth=0.0, elevation=0.0, power=0.0, radius=4.0, base=1.0, size=(64, 128)):
    """A map of one color with a bright disk."""
    image = np.full((*size, 3), base, np.float32)
    near = _directions(*size, 0.0) @ direction(azimuth, elevation) > np.cos(np.radians(radius))
    image[near] += np.float32([1, 0.9, 0.7]) * power
    return image


def irradiance(image, normals, turn=0.0):
    """By summation over the map, over pi, for normals (N, 3)."""
    cosine = np.maximum(np.einsum('hwk,nk->nhw', _directions(*image.shape[:2], turn), normals), 0)
    return np.einsum('nhw,hwc,hw->nc', cosine, image, _solid_angles(*image.shape[:2])) / np.pi


def fitted(lighting, normals):
    """The same by the renderer's lights."""
    x, y, z = normals.T
    basis = np.stack(
        [0.282095 + 0 * x, 0.488603 * y, 0.488603 * z, 0.488603 * x, 1.092548 * x * y, 1.092548 * y * z,
         0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y)], -1)  # fmt: skip
    return basis @ lighting.around + np.maximum(normals @ lighting.sun, 0)[:, None] * lighting.sun_color


NORMALS = np.array([direction(a, e) for a in range(0, 360, 45) for e in (-60, -20, 20, 60)])


def test_angles_cover_the_sphere():
    assert _solid_angles(16, 32).sum() == pytest.approx(4 * np.pi, rel=1e-5)
    np.testing.assert_allclose(np.linalg.norm(_directions(16, 32, 0.3), axis=-1), 1)
    middle = _directions(64, 128, 0.0)[32, 64]
    assert middle[1] > 0.99 and middle[0] > 0  # the middle looks to +y, and right of it further to +x


def test_even_light_is_the_same_on_all_sides():
    lighting = light_of(np.full((64, 128, 3), 0.7, np.float32))
    np.testing.assert_allclose(fitted(lighting, NORMALS), 0.7, rtol=1e-2)
    assert max(lighting.sun_color) < 1e-3 and lighting.fill_color == (0, 0, 0)


@pytest.mark.parametrize('turn', [0.0, 1.3])
@pytest.mark.parametrize('place', [(60, 35), (-150, 10), (10, 80)])
def test_the_brightest_part_becomes_the_light_with_shadows(place, turn):
    image = sky(*place, power=300)
    lighting = light_of(image, turn)
    expected = direction(place[0] + np.degrees(turn), place[1])
    assert np.degrees(np.arccos(np.dot(lighting.sun, expected))) < 1.5
    assert np.degrees(lighting.spread) == pytest.approx(4 / np.sqrt(2), abs=1.2)
    np.testing.assert_allclose(fitted(lighting, NORMALS), irradiance(image, NORMALS, turn), rtol=0.08, atol=0.05)


def test_light_from_all_of_one_side_is_no_single_light():
    image = np.full((64, 128, 3), 0.1, np.float32)
    image[:, :64] = 2.0
    lighting = light_of(image)
    assert max(lighting.sun_color) < 0.2
    np.testing.assert_allclose(fitted(lighting, NORMALS), irradiance(image, NORMALS), atol=0.12)


def camera(azimuth, elevation=0.0):
    return Camera.look_at(np.zeros(3), direction(azimuth, elevation), 40, 33, 25)


def test_the_camera_sees_the_map_in_its_directions():
    for azimuth, elevation, turn in ((0, 0, 0.0), (90, 10, 0.0), (179, -20, 0.0), (-60, 0, 0.7)):
        image = sky(azimuth - np.degrees(turn), elevation, power=50, radius=3, size=(256, 512))
        seen = backdrop(image, camera(azimuth, elevation), turn)
        assert seen.shape == (25, 33, 3) and seen.dtype == np.float32
        bright = np.argwhere(seen[..., 2] > 2)
        np.testing.assert_allclose(bright.mean(0), [12, 16], atol=0.7)
        assert seen.max() == 3  # saturated
    # Not mirrored: what is further right in the map is further right in the image.
    seen = backdrop(sky(15, 0, power=50, radius=3, size=(256, 512)), camera(0), 0.0)
    assert np.argwhere(seen[..., 2] > 2).mean(0)[1] > 20


def test_files_are_read_and_scaled(tmp_path):
    image = sky(30, 20, power=20, base=0.25)
    assert cv2.imwrite(str(tmp_path / 'b.hdr'), image[..., ::-1])
    made = read_environment(tmp_path / 'b.hdr')
    level = (made @ [0.2126, 0.7152, 0.0722] * _solid_angles(64, 128)).sum() / (4 * np.pi)
    assert level == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(made / made[0, 0, 0], image / image[0, 0, 0], rtol=0.02)
    (tmp_path / 'a.EXR').touch()
    assert [path.name for path in find_environments(tmp_path)] == ['a.EXR', 'b.hdr']
    assert find_environments(tmp_path / 'b.hdr') == [tmp_path / 'b.hdr']


def test_openexr_by_its_package(tmp_path, monkeypatch):
    image = sky(base=2.0)

    class File:
        def __init__(self, path):
            assert path.endswith('a.exr')

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.open.clear()  # as the package does

        def channels(self):
            self.open = dict(found)
            return self.open

    monkeypatch.setitem(sys.modules, 'OpenEXR', SimpleNamespace(File=File))
    single = {name: SimpleNamespace(pixels=image[..., index]) for index, name in enumerate('RGB')}
    for found in (dict(RGBA=SimpleNamespace(pixels=np.dstack([image, image[..., :1]]))), single):
        assert found
        np.testing.assert_allclose(read_environment(tmp_path / 'a.exr'), 1, rtol=1e-5)
    found = dict(Y=SimpleNamespace(pixels=image[..., 0]))
    with pytest.raises(ValueError, match=r"'.*a\.exr' has the channels Y: expected R, G and B"):
        read_environment(tmp_path / 'a.exr')
    monkeypatch.setitem(sys.modules, 'OpenEXR', None)
    with pytest.raises(ImportError, match=r"the environment map '.*a\.exr' needs OpenEXR"):
        read_environment(tmp_path / 'a.exr')


def test_openexr_files(tmp_path):
    openexr = pytest.importorskip('OpenEXR')
    image = sky(30, 20, power=20, base=0.5)
    header = dict(compression=openexr.ZIP_COMPRESSION, type=openexr.scanlineimage)
    for channels in (dict(RGB=image), dict(RGBA=np.dstack([image, image[..., :1]]))):
        with openexr.File(header, channels) as file:
            file.write(str(tmp_path / 'a.exr'))
        made = read_environment(tmp_path / 'a.exr')
        np.testing.assert_allclose(made / made[0, 0, 0], image / image[0, 0, 0], rtol=1e-5)
    (tmp_path / 'a.exr').write_bytes(b'no light')
    with pytest.raises(ValueError, match=r"'.*a\.exr' is not a readable OpenEXR file"):
        read_environment(tmp_path / 'a.exr')


def test_wrong_files_are_named(tmp_path):
    for content, text in ((sky(size=(64, 64)), '64 x 64 pixels: expected a panorama'), (sky(base=0.0), 'is black')):
        assert cv2.imwrite(str(tmp_path / 'a.hdr'), content[..., ::-1])
        with pytest.raises(ValueError, match=rf"'.*a\.hdr' .*{text}"):
            read_environment(tmp_path / 'a.hdr')
    (tmp_path / 'a.hdr').write_bytes(b'no light')
    with pytest.raises(ValueError, match=r"'.*a\.hdr' is not a readable Radiance file"):
        read_environment(tmp_path / 'a.hdr')
    (tmp_path / 'a.hdr').unlink()
    with pytest.raises(ValueError, match=r'no environment maps in .*\.hdr, \.pic, \.exr'):
        find_environments(tmp_path)
    with pytest.raises(FileNotFoundError, match='no folder of environment maps'):
        find_environments(tmp_path / 'x')
