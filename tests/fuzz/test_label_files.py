"""Damaged label files: a map of the declared form, or BadImage."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from sapiens.datasets.transforms import BadImage
from sapiens.datasets.transforms.camera import read_camera
from sapiens.tasks import map_fields, resolve

from .mutations import damage_bytes

CAMERA = np.array([[9.0, 0, 3], [0, 9, 4], [0, 0, 1]])
INFO = dict(
    label_table=None,
    num_classes=12,
    depth_scale=0.001,
    normal_frame='published',
    albedo_coding='srgb',
    intrinsics=CAMERA,
)
COLORS = np.random.default_rng(2).integers(0, 255, (9, 7, 4), np.uint8)
IDS = np.random.default_rng(0).integers(0, 12, (9, 7)).astype(np.uint8)
FLOATS = np.random.default_rng(1).normal(size=(9, 7, 3)).astype(np.float32)


def png(array) -> bytes:
    return cv2.imencode('.png', array)[1].tobytes()


def saved(write, *arguments, **options) -> bytes:
    file = io.BytesIO()
    write(file, *arguments, **options)
    return file.getvalue()


def palette() -> bytes:
    image = Image.fromarray(IDS, 'P')
    image.putpalette(list(range(256)) * 3)
    return saved(image.save, format='PNG')


FILES = {
    ('sem_seg', '.png'): png(IDS),
    ('sem_seg', 'palette.png'): palette(),
    ('mask', '.png'): png(IDS * 20),
    ('mask', '.jpg'): cv2.imencode('.jpg', IDS * 20)[1].tobytes(),
    ('instance', '.png'): png(IDS),
    ('alpha', '.png'): png(IDS.astype(np.uint16) * 1000),
    ('depth', '.png'): png(IDS.astype(np.uint16) * 1000),
    ('depth', '.npy'): saved(np.save, np.abs(FLOATS[..., 0])),
    ('depth', '.npz'): saved(np.savez_compressed, depth=np.abs(FLOATS[..., 0])),
    ('depth', '.tiff'): cv2.imencode('.tiff', IDS.astype(np.uint16))[1].tobytes(),
    ('pointmap', '.npy'): saved(np.save, np.abs(FLOATS[..., 0])),
    ('albedo', '.png'): png(COLORS[..., :3]),
    ('albedo', '.npy'): saved(np.save, np.abs(FLOATS) / 10),
    ('alpha', '.npy'): saved(np.save, np.abs(FLOATS[..., 0]) / 10),
    ('foreground', '.png'): png(COLORS),
    ('normal', '.npy'): saved(np.save, FLOATS),
    ('normal', '.npz'): saved(np.savez, normal=FLOATS.astype(np.float16)),
    ('normal', '.png'): png((FLOATS * 50 + 128).clip(0, 255).astype(np.uint8)),
}


def check(path, field, content: bytes) -> bool:
    """Read a damaged file; returns whether it could be read."""
    path.write_bytes(content)
    try:
        values = resolve(field.reader)(str(path), dict(INFO))
    except BadImage as error:
        assert '\n' not in str(error)
        return False
    if isinstance(values, tuple):
        values, known = values
        assert known is None or (known.shape == values.shape[:2] and known.dtype == bool)
    assert values.ndim == (3 if (field.channels or 1) > 1 else 2) and values.size
    if field.interpolation == 'image':
        assert values.dtype == np.float32 and 0 <= values.min() <= values.max() <= 1
    if field.known is not None:
        known = resolve(field.known)(values)
        assert known.shape == values.shape[:2] and known.dtype == bool
        assert np.isfinite(values[known].astype(np.float64)).all()
    if field.name == 'sem_seg':
        assert ((values < 12) | (values == 255)).all()
    if field.name == 'normal':
        assert np.allclose(np.linalg.norm(values[known], axis=-1), 1, atol=2e-3)
    return True


def attempts(tmp_path, kind, numbers) -> list[bool]:
    name, suffix = kind
    path, field = tmp_path / f'a{suffix}', map_fields()[name]
    assert check(path, field, FILES[kind])
    return [check(path, field, damage_bytes(FILES[kind], np.random.default_rng(number))) for number in numbers]


@pytest.mark.filterwarnings('error::RuntimeWarning')
@pytest.mark.parametrize('kind', FILES)
def test_a_map_or_bad_image(tmp_path, kind):
    assert not all(attempts(tmp_path, kind, range(100)))


@pytest.mark.slow
@pytest.mark.filterwarnings('error::RuntimeWarning')
@pytest.mark.parametrize('kind', FILES)
def test_more_damage(tmp_path, kind):
    attempts(tmp_path, kind, range(1000, 3000))


CAMERAS = {
    '.txt': b'9.25 0 3\n0 9.5 4\n0 0 1\n',
    '.json': b'{"intrinsics": [[9.25, 0, 3], [0, 9.5, 4], [0, 0, 1]], "width": 7, "height": 9}',
}


@pytest.mark.filterwarnings('ignore:loadtxt')
@pytest.mark.parametrize('suffix', CAMERAS)
def test_a_camera_or_bad_image(tmp_path, suffix):
    path, read = tmp_path / f'a{suffix}', 0
    for number in range(200):
        path.write_bytes(damage_bytes(CAMERAS[suffix], np.random.default_rng(number)))
        try:
            matrix, size = read_camera(str(path))
        except BadImage as error:
            assert '\n' not in str(error)
            continue
        read += 1
        assert matrix.shape == (3, 3) and np.isfinite(matrix).all() and min(matrix[0, 0], matrix[1, 1]) > 0
        assert size is None or len(size) == 2
    assert 0 < read < 200
