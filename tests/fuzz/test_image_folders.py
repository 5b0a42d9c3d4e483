"""Folders of whatever there is: every file is an image, a named failure, or counted as left out."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from sapiens.apis.inputs import find_inputs, read_pixels
from sapiens.datasets import Draw, ImageFolder
from sapiens.datasets.transforms import BadImage
from sapiens.datasets.transforms.decoding import EncodedImage
from sapiens.utils.image_files import FORMATS, LeftOut, walk_images

from .mutations import damage_archive

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3)).astype(np.uint8)
NAMES = ['a', '0001', 'IMG_1', 'photo.final', 'clip_0.1s', 'größe', '写真', 'two words', "o'brien", 'a\nb', 'a\tb', '-x', '$HOME',
         '{1..3}', '*', '%s', '2024', 'x' * 200, '.hidden', '..x', 'CON', '\udce9', 'a\\b', '~', 'a:b', '#1', 'a?b']  # fmt: skip
SUFFIXES = ['.jpg', '.JPEG', '.jpe', '.png', '.webp', '.tif', '.gif', '.bmp', '.avif', '.HEIC', '', '.txt', '.json', '.mp4',
            '.npy', '.jpg~', '.db']  # fmt: skip


def encoded(rng: np.random.Generator) -> bytes:
    """An image of a random format and mode, turned at random."""
    known = [name for name in FORMATS if name != 'HEIF']
    name = known[rng.integers(len(known))]
    mode = rng.choice({'JPEG': ['RGB', 'L', 'CMYK'], 'BMP': ['RGB', 'L']}.get(name, ['RGB', 'L', 'RGBA']))
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = int(rng.integers(1, 9))
    options = dict(exif=exif) if name in ('JPEG', 'PNG', 'WEBP', 'TIFF') else {}
    Image.fromarray(PIXELS).convert(str(mode)).save(file, name, **options)
    return file.getvalue()


def content(rng: np.random.Generator) -> bytes:
    kind = rng.integers(6)
    if kind == 0:
        return [b'', b'text', bytes(100), b'<html>', b'PK\3\4'][rng.integers(5)]
    return damage_archive(encoded(rng), rng) if kind < 3 else encoded(rng)


def make_tree(root: str, rng: np.random.Generator, count: int) -> None:
    for _ in range(count):
        folder = os.path.join(root, *(NAMES[rng.integers(len(NAMES))] for _ in range(rng.integers(3))))
        path = os.path.join(folder, NAMES[rng.integers(len(NAMES))] + SUFFIXES[rng.integers(len(SUFFIXES))])
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError:  # a file has the name
            continue
        if os.path.lexists(path):
            continue
        kind = rng.integers(12)
        if kind == 0:
            os.symlink(['/nowhere', path, root, '/dev/zero', os.curdir][rng.integers(5)], path)
        elif kind == 1:
            os.mkfifo(path)
        elif kind == 2:
            os.makedirs(path)
        else:
            with open(path, 'wb') as file:
                file.write(content(rng))


@pytest.mark.parametrize(
    'seed', [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 300))]
)
def test_every_file_is_read_named_or_counted(seed, tmp_path, monkeypatch):
    root, rng = str(tmp_path / 'tree'), np.random.default_rng(seed)
    os.mkdir(root)
    make_tree(root, rng, 60)
    with open(os.path.join(root, 'sound.jpg'), 'wb') as file:
        Image.fromarray(PIXELS).save(file, 'JPEG')
    lines = []
    monkeypatch.setattr('sapiens.apis.inputs.print_log', lambda text, logger: lines.append(text))
    monkeypatch.setattr('sapiens.datasets.image_folder.print_log', lambda text, logger: lines.append(text))
    items = find_inputs(root)
    assert len({item.name for item in items}) == len(items), 'each has results of its own'
    good = 0
    for item in items:
        try:
            pixels = read_pixels(item.source)
        except BadImage as error:
            assert str(error) and '\n' not in str(error), (item, error)
        else:
            good += 1
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size, item
    left_out = LeftOut()
    found = [os.path.join(root, name) for name in walk_images(root, left_out)]
    assert found == [item.source for item in items] and good
    dataset = ImageFolder(root, pipeline=[dict(type='LoadRandomResizedCrop', size=8), dict(type='PackImage')])
    assert len(dataset) == len(items) and len(lines) == 2 * bool(left_out) and len(set(lines)) <= 1
    for index in range(0, len(dataset), 7):
        try:
            sample = dataset[Draw(index, seed)]
        except ValueError as error:  # ten unusable files in a row
            assert 'row' in str(error)
        else:
            assert sample['inputs'].shape == (3, 8, 8)


@pytest.mark.parametrize('count', [400, pytest.param(20000, marks=pytest.mark.slow)])
def test_a_damaged_image_is_read_or_refused(count):
    rng, read = np.random.default_rng(5), 0
    for number in range(count):
        data = damage_archive(encoded(rng), rng)
        for exact in (True, False):
            try:
                image = EncodedImage(data, max_megapixels=1)
                pixels, _ = image.crop((0, 0, *image.size), (5, 5), exact)
            except BadImage as error:
                assert str(error) and '\n' not in str(error), (number, error)
            else:
                read += 1
                assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3, number
    assert count / 5 < read < 2 * count
