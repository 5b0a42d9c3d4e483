"""Files of each suffix."""

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sapiens.apis.writers import files
from sapiens.apis.writers.files import write_file

from .tiny import picture

IMAGE = picture((20, 30))


def test_pictures_are_rgb(tmp_path):
    write_file(tmp_path / 'a.png', IMAGE)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'a.png')), IMAGE)
    write_file(tmp_path / 'b.png', np.dstack([IMAGE, IMAGE[..., 0]]))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'b.png')), np.dstack([IMAGE, IMAGE[..., 0]]))
    write_file(tmp_path / 'c.png', IMAGE[..., 1])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'c.png')), IMAGE[..., 1])
    write_file(tmp_path / 'deep/a.jpg', IMAGE[:, ::-1])
    assert np.abs(np.asarray(Image.open(tmp_path / 'deep/a.jpg')).astype(int) - IMAGE[:, ::-1]).mean() < 4
    with pytest.raises((ValueError, cv2.error)):
        write_file(tmp_path / 'd.jpg', np.zeros((2, 70000, 3), np.uint8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.png', 'b.png', 'c.png', 'deep']


def test_settings_of_compression(monkeypatch, tmp_path):
    calls = []
    real = cv2.imencode
    monkeypatch.setattr(
        cv2,
        'imencode',
        lambda suffix, pixels, options: calls.append((suffix, options)) or real(suffix, pixels, options),
    )
    for suffix in ('.png', '.jpg'):
        write_file(tmp_path / f'a{suffix}', IMAGE)
    assert calls == [('.png', [cv2.IMWRITE_PNG_COMPRESSION, 3]), ('.jpg', [cv2.IMWRITE_JPEG_QUALITY, 92])]
    monkeypatch.setattr(cv2, 'imencode', lambda *_: (False, None))
    with pytest.raises(ValueError, match=r'an image of 30 x 20 pixels cannot be a \.jpg file'):
        write_file(tmp_path / 'b.jpg', IMAGE)


def test_numbers_and_plain_values(tmp_path):
    write_file(tmp_path / 'a.npy', IMAGE[:, ::2])
    np.testing.assert_array_equal(np.load(tmp_path / 'a.npy'), IMAGE[:, ::2])
    write_file(tmp_path / 'a.json', dict(a=[1, None], b='x'))
    assert (tmp_path / 'a.json').read_text() == '{"a":[1,null],"b":"x"}'
    with pytest.raises(ValueError, match='Out of range'):
        write_file(tmp_path / 'b.json', dict(a=float('nan')))
    write_file(tmp_path / 'a.safetensors', dict(x=torch.arange(3)))
    assert load_file(tmp_path / 'a.safetensors')['x'].tolist() == [0, 1, 2]
    assert json.loads((tmp_path / 'a.json').read_text())['a'] == [1, None] and not (tmp_path / 'b.json').exists()


def test_thousands_of_files_are_not_flushed_one_by_one(monkeypatch, tmp_path):
    seen = []
    real = files.atomic_path
    monkeypatch.setattr(files, 'atomic_path', lambda path, **options: seen.append(options) or real(path, **options))
    write_file(tmp_path / 'a.json', {})
    assert seen == [dict(sync=False)]
