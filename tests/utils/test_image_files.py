import os
import shutil

import pytest
from PIL import Image

from sapiens.utils.image_files import HAS_AVIF, HAS_HEIC, SUFFIXES, LeftOut, is_image, walk_images

HEIC = b'\0\0\0\x18ftypheic\0\0\0\0mif1heic' + bytes(100)


@pytest.fixture
def folder(tmp_path):
    """JPEGs under many names, other files, and a loop of links."""
    Image.new('RGB', (20, 10), (200, 100, 50)).save(tmp_path / 'a.jpg')
    for name in ('b.JPE', 'c.jfif', 'd.HEIC', 'e.avif', 'f.heif', 'noname', 'in/g.png', 'z/h.webp'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(tmp_path / 'a.jpg', tmp_path / name)
    (tmp_path / 'real.heic').write_bytes(HEIC)
    for name in ('notes.txt', 'in/data.json', 'more.json', 'LICENSE', '.hidden.jpg', 'in/Thumbs.db'):
        (tmp_path / name).write_bytes(b'text')
    (tmp_path / 'in/loop').symlink_to(tmp_path)
    os.mkfifo(tmp_path / 'pipe')  # reading it would wait forever
    return tmp_path


def test_images_of_a_folder_by_suffix_and_by_content(folder):
    left_out = LeftOut()
    found = list(walk_images(str(folder), left_out))
    expected = ['a.jpg', 'b.JPE', 'c.jfif', 'd.HEIC', 'e.avif', 'f.heif', 'in/g.png', 'noname', 'z/h.webp']
    assert found == sorted([*expected, *['real.heic'] * HAS_HEIC])
    assert left_out == {'.txt': 1, '.json': 2, '': 2, '.db': 1, **({} if HAS_HEIC else {'.heic': 1})}


def test_files_left_out_are_one_line():
    assert str(LeftOut()) == '' and not LeftOut()
    assert str(LeftOut({'.txt': 1})) == '1 file left out: 1 .txt'
    assert (
        str(LeftOut({'.txt': 2, '.json': 1200, '': 1})) == '1203 files left out: 1200 .json, 2 .txt, 1 without suffix'
    )
    assert ('pip install pillow-heif' in str(LeftOut({'.heic': 2}))) == (not HAS_HEIC)
    many = str(LeftOut({f'.x{number}': 1 for number in range(100)}))
    assert many.startswith('100 files left out: 1 .x0, ') and many.endswith(', ...') and len(many) < 120


def test_a_dangling_link_counts_as_an_image_that_cannot_be_read(tmp_path):
    (tmp_path / 'gone.jpg').symlink_to(tmp_path / 'nowhere.jpg')
    (tmp_path / 'gone.heic').symlink_to(tmp_path / 'nowhere.jpg')
    assert is_image(str(tmp_path / 'gone.jpg')) and '.jpe' in SUFFIXES and ('.avif' in SUFFIXES) == HAS_AVIF
    assert is_image(str(tmp_path / 'gone.heic')) == HAS_HEIC
    (tmp_path / 'loop.jpg').symlink_to('loop.jpg')
    assert list(walk_images(str(tmp_path))) == ['gone.heic'] * HAS_HEIC + ['gone.jpg', 'loop.jpg']
