"""Inputs are found once, of every kind of source."""

import tarfile

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sapiens.curation import sources
from sapiens.curation.reading import read_ahead, read_inputs, read_row
from sapiens.curation.sources import expand_sources, input_lists, write_new_lists
from sapiens.datasets.transforms.decoding import BadImage

from .images import encoded, textured


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / 'in'
    (root / 'sub').mkdir(parents=True)
    for name in ('b.jpg', 'a.png', 'sub/c.jpg'):
        (root / name).write_bytes(b'x')
    (root / 'notes.md').write_text('x')
    return root


def make_tar(path, members):
    with tarfile.open(path, 'w') as tar:
        for name, data in members.items():
            source = path.parent / 'member'
            source.write_bytes(data)
            tar.add(source, name)
        source.unlink()
    return path


def test_folders_patterns_lists_and_tars(folder, tmp_path):
    make_tar(folder / 's-0.tar', {'x.jpg': b'1'})
    names = [str(folder / name) for name in ('a.png', 'b.jpg', 'sub/c.jpg', 's-0.tar')]
    assert list(expand_sources([str(folder)])) == names
    assert list(expand_sources([str(folder / '*.jpg'), str(folder / 'a.png')])) == [names[1], names[0]]
    with pytest.raises(FileNotFoundError, match=r'no shard .*s-1.tar, which .*s-\{0..1\}.tar names'):
        list(expand_sources([str(folder / 's-{0..1}.tar')]))
    (tmp_path / 's-1.tar').write_bytes(b'')
    (tmp_path / 's-0.tar').write_bytes(b'')
    pair = [str(tmp_path / f's-{number}.tar') for number in range(2)]
    assert list(expand_sources([str(tmp_path / 's-{0..1}.tar')])) == pair
    (folder / 'list.txt').write_text('\ufeffb.jpg\n\n  s3://bucket/x.jpg\n' + names[0] + '\n')
    assert list(expand_sources([str(folder / 'list.txt')])) == [names[1], 's3://bucket/x.jpg', names[0]]
    pq.write_table(pa.table(dict(file=['b.jpg'])), folder / 'list.parquet')
    assert list(expand_sources([str(folder / 'list.parquet')], column='file')) == [names[1]]
    with pytest.raises(ValueError, match="no column 'path'; its columns: file"):
        list(expand_sources([str(folder / 'list.parquet')]))


def test_urls():
    memory = fsspec.filesystem('memory')
    for name in ('/curate/b.jpg', '/curate/a/c.png', '/curate/notes.txt'):
        memory.pipe_file(name, b'b.jpg')
    urls = ['memory:///curate/a/c.png', 'memory:///curate/b.jpg']
    assert list(expand_sources(['memory://curate'])) == urls
    assert list(expand_sources(['memory://curate/*.jpg'])) == urls[1:]
    assert list(expand_sources(['memory://curate/notes.txt'])) == ['memory://curate/b.jpg']
    [content] = read_inputs(urls[:1])
    assert content.data == b'b.jpg' and not content.error
    with pytest.raises(ValueError, match='nowhere://x cannot be opened'):
        list(expand_sources(['nowhere://x']))


def test_no_inputs_are_an_error(folder, tmp_path):
    (tmp_path / 'empty').mkdir()
    for source, kind, text in (
        (tmp_path / 'empty', ValueError, 'no images or tar shards'), (folder / '*.gif', ValueError, 'no images'),
        (tmp_path / 'none', FileNotFoundError, 'is not a file, folder'),
    ):  # fmt: skip
        with pytest.raises(kind, match=text):
            list(expand_sources([str(source)]))
    (folder / 'bad.parquet').write_bytes(b'x')
    with pytest.raises(ValueError, match=r'bad\.parquet cannot be read'):
        list(expand_sources([str(folder / 'bad.parquet')]))


def test_lists_grow_by_what_is_new(tmp_path):
    paths = [f'/p/{number}.jpg' for number in range(5)]
    assert write_new_lists(tmp_path, [*paths, paths[0], '/p/s.tar'], 2) == (6, 1)
    assert write_new_lists(tmp_path, ['/p/9.jpg', *paths, '/p/s.tar'], 2) == (1, 6)
    assert write_new_lists(tmp_path, paths, 2) == (0, 5)
    lists = input_lists(tmp_path)
    assert [one.unit for one in lists] == [f'part-{number:06d}' for number in range(5)]
    assert [one.generation for one in lists] == [0, 0, 0, 0, 1] and [one.count for one in lists] == [2, 2, 1, 1, 1]
    assert [one.read() for one in lists] == [paths[:2], paths[2:4], ['/p/s.tar'], paths[4:], ['/p/9.jpg']]


def test_known_inputs_are_arrays_of_8_bytes_each(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, '_AT_A_TIME', 7)
    numbers = np.random.default_rng(0).integers(0, 300, 1000)
    paths = [f'/p/{number}.jpg' for number in numbers.tolist()]
    first = list(dict.fromkeys(paths))
    assert write_new_lists(tmp_path, paths, 1000) == (len(first), 1000 - len(first))
    [one] = input_lists(tmp_path)
    assert one.read() == first
    known, values = sources._Known([]), np.arange(10_000, dtype=np.uint64)
    assert all(known.add(values[begin : begin + 50]).all() for begin in range(0, 10_000, 50))
    assert sum(part.nbytes for part in known.parts) == 8 * 10_000 and len(known.parts) < 12
    assert not known.add(values).any()


def test_members_of_a_shard_can_be_read_again(tmp_path):
    image = encoded(textured(0, 64, 64))
    path = make_tar(tmp_path / 's.tar', {'a.jpg': image, 'a.json': b'{}', 'a.seg.png': b'no', 'b.png': b'broken'})
    contents = list(read_inputs([str(path)]))
    assert [one.path for one in contents] == [f'{path}/a.jpg', f'{path}/b.png']
    row = dict(tar=contents[0].tar, path=contents[0].path, offset=contents[0].offset, bytes=len(image))
    assert read_row(row) == image
    path.write_bytes(path.read_bytes()[:1700])
    [broken] = read_inputs([str(path)])
    assert broken.path == str(path) and 'truncated' in broken.error
    with pytest.raises(BadImage, match='truncated'):
        read_row(row)
    [missing] = read_inputs([str(tmp_path / 'none.jpg')])
    assert 'No such file' in missing.error and missing.data == b''


def test_reading_ahead_keeps_order_and_is_bounded():
    begun = []
    results = read_ahead(range(100), lambda item: begun.append(item) or item, ahead=5)
    assert [next(results) for _ in range(3)] == [0, 1, 2] and len(begun) <= 9
    assert list(results) == list(range(3, 100))
