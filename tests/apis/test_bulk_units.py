"""Units of inputs, and the images of lists and tar shards."""

import io
import itertools
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sapiens.apis.bulk import units as units_module
from sapiens.apis.bulk.units import check_sources, find_units, rows_of
from sapiens.apis.inputs import find_inputs, read_pixels
from sapiens.bulk import Unit
from sapiens.datasets.transforms import BadImage

from .tiny import picture, write_pictures


def png(seed=0, size=(20, 16)):
    file = io.BytesIO()
    Image.fromarray(picture(size, seed)).save(file, 'PNG')
    return file.getvalue()


def write_tar(path, members):
    with tarfile.open(path, 'w') as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


def photos(folder, number):
    """A shard of three images with other members between them."""
    members = {f'a/{number}{i}.png': png(3 * number + i) for i in range(3)}
    extra = {
        f'a/{number}0.json': b'{}',
        f'a/{number}0.seg.png': png(9),
        'README': b'x',
        f'__meta__/{number}.png': png(),
    }
    return write_tar(folder / f'photos-{number}.tar', extra | members)


# ---------------------------------------------------------------------- inputs of every run


def test_images_of_shards_are_inputs(tmp_path):
    for number in range(2):
        photos(tmp_path, number)
    items = find_inputs(f'{tmp_path}/photos-{{0..1}}.tar')
    assert [item.name for item in items] == [f'a/{n}{i}' for n in range(2) for i in range(3)]
    assert items[4].source == f'{tmp_path}/photos-1.tar/a/11.png'
    for index, item in enumerate(items):
        assert np.array_equal(read_pixels(item.source), picture((20, 16), index))
    with pytest.raises(BadImage, match=r'photos-1.tar has no image of this name'):
        read_pixels(f'{tmp_path}/photos-1.tar/a/17.png')


def test_wrong_shards_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no shard .*photos-7.tar'):
        find_inputs(f'{tmp_path}/photos-7.tar')
    write_tar(tmp_path / 'empty.tar', {'a.json': b'{}'})
    with pytest.raises(ValueError, match=r'no images in the shard .*empty.tar'):
        find_inputs(f'{tmp_path}/empty.tar')
    path = photos(tmp_path, 0)
    content = (tmp_path / 'photos-0.tar').read_bytes()
    (tmp_path / 'photos-0.tar').write_bytes(content[:1024] + b'\xff' * 512 + content[1536:])
    with pytest.raises(ValueError, match=r'the shard .*photos-0.tar is damaged'):
        find_inputs(path)
    write_tar(tmp_path / 'twice.tar', {'a.png': png(), 'b.png': png(), 'a.jpg': png()})
    with pytest.raises(ValueError, match=r"twice.tar has two images of the sample 'a'"):
        find_inputs(f'{tmp_path}/twice.tar')


def test_parquet_lists_are_inputs(tmp_path):
    write_pictures(tmp_path / 'photos')
    pq.write_table(pa.table(dict(file=['photos/2.png', 'photos/0.png'], path=[1, 2])), tmp_path / 'list.parquet')
    items = find_inputs(tmp_path / 'list.parquet', 'file')
    assert [item.source for item in items] == [str(tmp_path / f'photos/{i}.png') for i in (2, 0)]
    with pytest.raises(
        ValueError, match=r"has no column 'path' of strings \(--column\); its columns: file \(string\), path"
    ):
        find_inputs(tmp_path / 'list.parquet')
    pq.write_table(pa.table(dict(path=['a.png', None])), tmp_path / 'list.parquet')
    with pytest.raises(ValueError, match="an entry of column 'path', part 0, is empty"):
        find_inputs(tmp_path / 'list.parquet')
    (tmp_path / 'list.parquet').write_bytes(b'nothing')
    with pytest.raises(ValueError, match='is not a parquet file that can be read'):
        find_inputs(tmp_path / 'list.parquet')


# ---------------------------------------------------------------------- units


def described(units):
    return [[(row.name, row.key) for row in rows_of(unit)] for unit in units]


@pytest.mark.parametrize('kind', ['folder', 'text', 'parquet', 'pattern'])
def test_lists_are_cut_into_units(tmp_path, monkeypatch, kind):
    write_pictures(tmp_path / 'photos', [(8, 8)] * 5)
    names = [f'{i}.png' for i in range(5)]
    (tmp_path / 'photos/list.txt').write_text('\n'.join(names) + '\n\n')
    pq.write_table(pa.table(dict(path=names)), tmp_path / 'photos/list.parquet')
    source = dict(folder='photos', text='photos/list.txt', parquet='photos/list.parquet', pattern='photos/*.png')[kind]
    monkeypatch.chdir(tmp_path)
    units = list(find_units([source], 2))
    assert [unit.name for unit in units] == ['000000', '000001', '000002']
    rows = [row for unit in units for row in rows_of(unit)]
    assert [row.number for row in rows] == [0, 1, 0, 1, 0]
    assert [row.source for row in rows] == [str(tmp_path / 'photos' / name) for name in names]
    given = [f'photos/{name}' for name in names] if kind == 'pattern' else names
    assert [row.name for row in rows] == given
    assert [row.key for row in rows] == [name.removesuffix('.png') for name in given]
    both = [row.name for unit in find_units([source, source], 100) for row in rows_of(unit)]
    assert both == 2 * [f'photos/{name}' for name in names]


def test_a_shard_is_a_unit_with_the_content_of_its_images(tmp_path):
    for number in range(2):
        photos(tmp_path, number)
    write_pictures(tmp_path / 'more', [(8, 8)])
    units = list(find_units([f'{tmp_path}/photos-{{0..1}}.tar', str(tmp_path / 'more')], 2))
    assert [unit.name for unit in units] == ['000000', '000001', '000002']
    rows = list(rows_of(units[1]))
    assert [(row.name, row.key, row.number) for row in rows] == [(f'a/1{i}.png', f'a/1{i}', i) for i in range(3)]
    assert [row.content for row in rows] == [png(3 + i) for i in range(3)]
    before = units[1].digest('')
    with tarfile.open(tmp_path / 'photos-1.tar', 'a') as tar:
        tar.addfile(tarfile.TarInfo('more' + 'x' * 30))
    changed = list(find_units([f'{tmp_path}/photos-{{0..1}}.tar'], 2))
    assert changed[0].digest('') == units[0].digest('') and changed[1].digest('') != before


def test_keys_are_unique_and_without_dots():
    names = [
        'a.b.jpg',
        'a_b.png',
        'x/a_b.jpg',
        'a_b-000001.jpg',
        'a_b.jpg',
        'http://h/c.d.jpg?x=1',
        '/abs/e.jpg',
        '../f.jpg',
    ]
    unit = Unit('000000', dict(images=[[name, name] for name in names]))
    keys = [row.key for row in rows_of(unit)]
    assert keys == ['a_b', 'a_b-000001', 'x/a_b', 'a_b-000001-000003', 'a_b-000004', 'c_d', 'e', 'f']


def test_units_are_drawn_one_by_one(tmp_path, monkeypatch):
    drawn = []

    def entries(path, column):
        for number in itertools.count():
            drawn.append(number)
            yield f'{number}.jpg', f'{number}.jpg'

    (tmp_path / 'list.txt').touch()
    monkeypatch.setattr(units_module, 'list_entries', entries)
    units = find_units([str(tmp_path / 'list.txt')], 3)
    assert [next(units).name for _ in range(2)] == ['000000', '000001'] and len(drawn) == 6


def test_refused_inputs(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere is not a file'):
        list(find_units([str(tmp_path / 'nowhere')], 2))
    (tmp_path / 'list.txt').write_text('\n\n')
    with pytest.raises(ValueError, match=r'no images in .*list.txt'):
        list(find_units([str(tmp_path / 'list.txt')], 2))
    (tmp_path / 'list.txt').write_text('a.jpg\nb.mp4\n')
    with pytest.raises(ValueError, match=r'b.mp4 is a video: --out-format is for images'):
        list(find_units([str(tmp_path / 'list.txt')], 2))
    with pytest.raises(FileNotFoundError, match=r'no shard .*x.tar'):
        list(find_units([str(tmp_path / 'x.tar')], 2))


def test_every_source_is_looked_up_first(tmp_path):
    write_pictures(tmp_path / 'photos', [(8, 8)])
    (tmp_path / 'list.txt').write_text('gone.jpg')
    photos(tmp_path, 0)
    good = ['photos', 'list.txt', 'photos-0.tar', 'photos/*.png', 'photos/0.png']
    good = [str(tmp_path / name) for name in good]
    check_sources([*good, 'http://host/a.jpg', 's3://bucket/a-{0..9}.tar'])
    for name, error, message in (
        ('nowhere', FileNotFoundError, 'nowhere is not a file'),
        ('photos-{0..1}.tar', FileNotFoundError, r'no shard .*photos-1.tar'),
        ('photos/*.jpg', ValueError, 'no file matches'),
        ('a.mp4', ValueError, 'a.mp4 is a video'),
    ):
        with pytest.raises(error, match=message):
            check_sources([*good, str(tmp_path / name)])
