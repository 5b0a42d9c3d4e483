"""Cameras that users know: focal lengths, intrinsics, EXIF."""

import json
import math

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from sapiens.apis.user_camera import UserCamera, centered_intrinsics, focal_of_exif, read_intrinsics
from sapiens.datasets.transforms import BadImage

MATRIX = np.array([[500.0, 0, 319.5], [0, 510, 239.5], [0, 0, 1]])
SIZE = (480, 640)


def write_photo(path, size=(64, 48), **tags):
    """A JPEG with tags of the camera."""
    image, exif = Image.new('RGB', size), Image.Exif()
    exif.get_ifd(IFD.Exif).update({Base[name].value: value for name, value in tags.items()})
    image.save(path, exif=exif)
    return path


def test_a_focal_length_looks_at_the_center():
    found, source = UserCamera(500).of_image('', SIZE)
    assert source == 'given'
    assert found.tolist() == [[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]]
    assert UserCamera().of_image('a.jpg', SIZE) is None


def test_forms_of_intrinsics(tmp_path):
    np.savetxt(tmp_path / 'a.txt', MATRIX)
    np.save(tmp_path / 'a.npy', MATRIX)
    (tmp_path / 'a.json').write_text(json.dumps(MATRIX.tolist()))
    (tmp_path / 'b.json').write_text(json.dumps(dict(intrinsics=MATRIX.tolist(), image_size=[640, 480])))
    for source in (MATRIX, MATRIX.tolist(), *(tmp_path / name for name in ('a.txt', 'a.npy', 'a.json', 'b.json'))):
        assert np.array_equal(read_intrinsics(source), MATRIX)
        found, source = UserCamera(intrinsics=source).of_image('x/a.jpg', SIZE)
        assert np.array_equal(found, MATRIX) and source == 'given'


def test_a_folder_has_the_intrinsics_of_each_image(tmp_path):
    np.savetxt(tmp_path / 'a.txt', MATRIX)
    (tmp_path / 'broken.txt').write_text('1 2 three')
    camera = UserCamera(intrinsics=str(tmp_path))
    assert np.array_equal(camera.of_image('photos/a.jpg', SIZE)[0], MATRIX)
    for name, message in (('b', r'b.txt: no such file'), ('broken', 'broken.txt cannot be read')):
        with pytest.raises(BadImage, match=message):
            camera.of_image(f'photos/{name}.jpg', SIZE)


def test_intrinsics_of_another_size_are_refused():
    for size in ((960, 1280), (240, 320), (640, 480)):
        with pytest.raises(
            BadImage, match=r'the principal point \(319.5, 239.5\) is far from the center of the image of'
        ):
            UserCamera(intrinsics=MATRIX).of_image('', size)
    # Real lenses are a bit off.
    shifted = MATRIX + np.array([[0, 0, 60.0], [0, 0, -50], [0, 0, 0]])
    assert np.array_equal(UserCamera(intrinsics=shifted).of_image('', SIZE)[0], shifted)


@pytest.mark.parametrize('focal', [0, -5, True, math.nan, math.inf, 'far', '12'])
def test_impossible_focal_lengths(focal):
    if focal == '12':
        assert UserCamera(focal).of_image('', SIZE)[0][0, 0] == 12
        return
    with pytest.raises(ValueError, match=rf'focal={focal!r}: expected a focal length above 0, in pixels of the image'):
        UserCamera(focal)


def test_impossible_intrinsics(tmp_path):
    for wrong, message in (
        (np.eye(2), r'expected \(3, 3\) finite numbers'),
        (MATRIX * np.nan, r'expected \(3, 3\) finite numbers'),
        (MATRIX.T, 'with the last row 0, 0, 1'),
        (np.diag([-500.0, 500, 1]), 'fx=-500: expected a focal length above 0'),
        (np.diag([500.0, 0, 1]), 'fy=0: expected a focal length above 0'),
        (np.diag([500.0, 1100, 1]), 'fx=500 and fy=1100 differ by more than 2'),
        ([[500, 20, 90], [0, 500, 60], [0, 0, 1]], 'skew 20, 0: expected the intrinsics of a camera without skew'),
        ([['a', 'b']], r'intrinsics: expected \(3, 3\) numbers'),
    ):
        with pytest.raises(ValueError, match=message):
            UserCamera(intrinsics=wrong)
    with pytest.raises(FileNotFoundError, match='none.txt: no such file'):
        UserCamera(intrinsics=tmp_path / 'none.txt')
    (tmp_path / 'a.json').write_text('{"K": 1}')
    with pytest.raises(ValueError, match="a.json cannot be read: no 'intrinsics' in the file"):
        UserCamera(intrinsics=str(tmp_path / 'a.json'))
    np.save(tmp_path / 'complex.npy', MATRIX + 1j)
    with pytest.raises(ValueError, match=r'complex.npy: expected \(3, 3\) numbers \(complex\)'):
        UserCamera(intrinsics=tmp_path / 'complex.npy')
    with pytest.raises(ValueError, match='give one of them'):
        UserCamera(500, MATRIX)


@pytest.mark.parametrize('suffix', ['.txt', '.npy', '.json'])
@pytest.mark.parametrize('content', ['', '\x93NUMPY'])
@pytest.mark.filterwarnings('error')
def test_broken_files_of_intrinsics(suffix, content, tmp_path):
    path = tmp_path / f'a{suffix}'
    path.write_bytes(content.encode('latin-1'))
    with pytest.raises(ValueError, match=rf'intrinsics .*a{suffix} cannot be read: {"" if content else "empty file"}'):
        UserCamera(intrinsics=path)


def test_exif(tmp_path):
    diagonal = math.hypot(64, 48)
    film = math.hypot(36, 24)
    phone = write_photo(tmp_path / 'phone.jpg', FocalLengthIn35mmFilm=26, FocalLength=4.2)
    assert focal_of_exif(phone, (48, 64)) == pytest.approx(26 / film * diagonal)
    # 50 mm, 2000 pixels per cm: 10000 pixels of a photograph of 3000 x 2000 (w x h), of which the file has a 46th.
    camera = write_photo(
        tmp_path / 'camera.jpg',
        FocalLength=50.0,
        FocalPlaneXResolution=2000.0,
        FocalPlaneResolutionUnit=3,
        ExifImageWidth=3000,
        ExifImageHeight=2000,
    )
    assert focal_of_exif(camera, (48, 64)) == pytest.approx(10000 * diagonal / math.hypot(3000, 2000))
    inches = write_photo(tmp_path / 'inches.jpg', FocalLength=25.4, FocalPlaneXResolution=100.0)
    assert focal_of_exif(inches, (48, 64)) == pytest.approx(100)
    found, source = UserCamera('exif').of_image(str(phone), (48, 64))
    assert source == 'exif' and found[0, 0] == pytest.approx(26 / film * diagonal)


def test_files_that_tell_no_focal_length(tmp_path):
    plain = write_photo(tmp_path / 'plain.jpg')
    zero = write_photo(tmp_path / 'zero.jpg', FocalLengthIn35mmFilm=0, FocalLength=0.0)
    (tmp_path / 'text.jpg').write_text('no image')
    for path in (plain, zero, tmp_path / 'text.jpg', tmp_path / 'none.jpg', 'http://somewhere/a.jpg'):
        assert focal_of_exif(path, (48, 64)) is None
        assert UserCamera('exif').of_image(str(path), (48, 64)) is None
    assert UserCamera('exif').of_image('', (48, 64)) is None
    assert centered_intrinsics(3.0, (5, 7))[:2, 2].tolist() == [3, 2]
