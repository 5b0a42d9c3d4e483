import numpy as np
import pytest

from sapiens.apis.relight import Light, around, relight, relight_results
from sapiens.apis.results import AlbedoResult, MattingResult, NormalResult, SegResult
from sapiens.metainfo import get_classes
from sapiens.utils.srgb import decode_srgb, encode_srgb

SIZE = (12, 16)


def wall(*normal):
    return np.broadcast_to(np.float32(normal), (*SIZE, 3)).copy()


def test_directions_are_those_of_the_camera_frame():
    for light, expected in [
        (Light(0, 0), (0, 0, -1)),  # from the camera
        (Light(90, 0), (1, 0, 0)),  # from the right
        (Light(180, 0), (0, 0, 1)),  # from behind the person
        (Light(30, 90), (0, -1, 0)),  # from above
    ]:
        np.testing.assert_allclose(light.direction, expected, atol=1e-6)
    assert np.linalg.norm(Light(33, -21).direction) == pytest.approx(1, abs=1e-6)


def test_shading_is_lambert_in_linear_light():
    albedo = np.full((*SIZE, 3), 0.5, np.float32)
    light = Light(60, 0, strength=0.8, ambient=0.1, color=(1, 0.5, 0))
    picture = relight(albedo, wall(0, 0, -1), light)
    expected = 0.5 * (0.1 + 0.8 * np.array([1, 0.5, 0]) * 0.5)
    np.testing.assert_allclose(decode_srgb(picture[3, 3] / 255), expected, atol=0.004)
    away = relight(albedo, wall(0, 0, 1), light)
    np.testing.assert_allclose(decode_srgb(away[3, 3] / 255), 0.05, atol=0.002)


def test_what_is_not_a_person_or_not_known_shows_the_background():
    albedo, normals = np.full((*SIZE, 3), 0.5, np.float32), wall(0, 0, -1)
    albedo[0], normals[1] = np.nan, np.nan
    alpha = np.ones(SIZE, np.float32)
    alpha[2], alpha[3] = 0, 0.5
    behind = np.full((*SIZE, 3), 40, np.uint8)
    picture = relight(albedo, normals, Light(0, 0, strength=1, ambient=0), alpha, behind)
    assert (picture[:3] == 40).all()
    mixed = encode_srgb((0.5 + decode_srgb(np.full(1, 40 / 255))) / 2)[0] * 255
    np.testing.assert_allclose(picture[3], mixed, atol=0.51)
    np.testing.assert_allclose(picture[4], encode_srgb(np.full(1, 0.5))[0] * 255, atol=0.51)


def test_a_matte_comes_before_parts_and_parts_before_a_mask():
    image = np.full((*SIZE, 3), 200, np.uint8)
    masks = [np.zeros(SIZE, bool) for _ in range(3)]
    for index, mask in enumerate(masks):
        mask[:, index] = True
    results = dict(
        albedo=AlbedoResult(image, '', np.full((*SIZE, 3), 0.9, np.float32), 'linear', masks[0]),
        normal=NormalResult(image, '', wall(0, 0, -1)),
    )
    light = Light(0, 0, strength=1, ambient=0)
    classes = get_classes('goliath29')
    parts = SegResult(image, '', masks[1].astype(np.uint8), classes)
    matte = MattingResult(image, '', masks[2].astype(np.float32), np.zeros((*SIZE, 3), np.float32))
    for column, extra in enumerate((dict(), dict(seg=parts), dict(seg=parts, matting=matte))):
        picture = relight_results(results | extra, light)
        assert (picture[:, column] > 235).all()
        behind = encode_srgb(0.25 * decode_srgb(np.full(1, 200 / 255)))[0] * 255
        np.testing.assert_allclose(
            np.delete(picture, column, axis=1), behind, atol=0.51, err_msg='a quarter of the light'
        )
    with pytest.raises(ValueError, match='albedo and normal, found normal'):
        relight_results(dict(normal=results['normal']), light)


def test_the_light_goes_once_around():
    lights = list(around(Light(10, 20), 4))
    assert [light.azimuth for light in lights] == [10, 100, 190, 280]
    assert {light.elevation for light in lights} == {20}


@pytest.mark.parametrize(
    'options, text',
    [
        (dict(elevation=91), 'elevation=91'),
        (dict(strength=-1), 'at least 0'),
        (dict(azimuth=float('nan')), 'finite'),
        (dict(color=(1, 1)), 'three of a color'),
    ],
)
def test_wrong_lights_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        Light(**options)


def test_maps_of_different_sizes_are_refused():
    albedo = np.zeros((*SIZE, 3), np.float32)
    with pytest.raises(ValueError, match=r'expected \(H, W, 3\) of both'):
        relight(albedo, albedo[:4], Light())
    with pytest.raises(ValueError, match='alpha'):
        relight(albedo, albedo, Light(), np.zeros((3, 3)))
