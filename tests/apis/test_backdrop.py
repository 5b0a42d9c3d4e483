"""Backgrounds of cut-out people: colors, pictures, videos."""

import importlib.util
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from sapiens.apis.backdrop import Backdrop, Film, cover, find_backdrop
from sapiens.apis.video.video_file import Frame, VideoWriter
from sapiens.datasets.transforms import BadImage
from sapiens.visualization.matting import CHROMA_GREEN, checkerboard

needs_av = pytest.mark.skipif(not importlib.util.find_spec('av'), reason='needs PyAV: pip install av')


@pytest.fixture
def film(tmp_path):
    """A video of ten frames in one second, each brighter than the one before."""
    path = tmp_path / 'film.mp4'
    writer = VideoWriter(path, Fraction(10))
    for number in range(10):
        pixels = np.full((32, 48, 3), 20 * number, np.uint8)
        writer.write(Frame(pixels, Fraction(number, 10), Fraction(1, 10)))
    writer.close()
    return path


def test_colors():
    for text, color in (
        ('green', CHROMA_GREEN),
        ('white', (255,) * 3),
        ('#20a0ff', (32, 160, 255)),
        ('lime', (0, 255, 0)),
    ):
        found = find_backdrop(text).at((4, 6))
        assert found.shape == (4, 6, 3) and found.dtype == np.uint8 and (found == color).all()
    assert (find_backdrop('transparent').at((30, 40)) == checkerboard((30, 40))).all()


def test_pictures_cover_the_image(tmp_path):
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 10:30] = 200
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    backdrop = find_backdrop(str(tmp_path / 'a.png'))
    # Of a square image the middle is seen, at any size.
    for size in ((20, 20), (60, 60), (10, 10)):
        assert backdrop.at(size).shape == (*size, 3) and (backdrop.at(size)[:, 2:-2] == 200).all()
    assert (backdrop.at((20, 40)) == pixels).all() and backdrop.at((20, 40)) is backdrop.at((20, 40), 3.0)
    tall = cover(np.arange(12, dtype=np.uint8).reshape(6, 2, 1).repeat(3, 2), (2, 2))
    assert tall[..., 0].tolist() == [[4, 5], [6, 7]]
    assert find_backdrop(str(tmp_path / 'a.png')) is backdrop


@needs_av
def test_videos_follow_the_time_and_start_again(film):
    backdrop = find_backdrop(str(film))
    assert isinstance(backdrop, Film)

    def number(time, size=(32, 48)):
        level = backdrop.at(size, time)
        assert level.shape == (*size, 3)
        return round(float(level.mean()) / 20)

    assert [number(time) for time in (0.0, 0.05, 0.1, 0.35, 0.9, 0.95)] == [0, 0, 1, 3, 9, 9]
    assert [number(time) for time in (1.0, 1.15, 2.55)] == [0, 1, 5]
    assert number(0.25) == 2  # another video begins
    assert number(0.25, (64, 32)) == 2
    assert number(7.35) == 3


@needs_av
def test_what_is_no_background(tmp_path):
    with pytest.raises(
        ValueError, match="background 'beech.jpg' is neither a color, such as white or #20a0ff, nor a file"
    ):
        find_backdrop('beech.jpg')
    (tmp_path / 'a.jpg').write_text('no picture')
    (tmp_path / 'a.mp4').write_text('no film')
    for name in ('a.jpg', r'a.mp4: not a readable video \(Invalid data'):
        with pytest.raises(BadImage, match=name):
            find_backdrop(str(tmp_path / name[:5]))
    assert (Backdrop(np.zeros((2, 2, 3), np.uint8)).at((3, 3)) == 0).all()
