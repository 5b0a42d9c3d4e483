import io
import json
import tarfile
from types import SimpleNamespace

import fsspec
import pytest
import torch
from fsspec.implementations.local import LocalFileSystem
from torch.utils.data import DataLoader

from sapiens.datasets import TarShards, stack_collate
from sapiens.datasets.shard_stream import expand_shards, sample_of
from sapiens.datasets.tar_reader import next_member, read_content

from .helpers import encode, smooth_image, write_shard

PIPELINE = [dict(type='LoadRandomResizedCrop', size=8), dict(type='PackImage')]
PER_SHARD = 6


@pytest.fixture
def shards(tmp_path):
    """Eight shards of six samples each."""
    for i in range(8):
        write_shard(tmp_path / f'{i:02d}.tar', [f'{i:02d}/{j}' for j in range(PER_SHARD)])
    return str(tmp_path / '{00..07}.tar')


def dataset(shards, rank=0, world_size=1, **options):
    made = TarShards(shards, samples_per_epoch=48, pipeline=PIPELINE, **options)
    made.rank, made.world_size = rank, world_size
    return made


def take(data, batches, workers=0, batch_size=3):
    loader = DataLoader(data, batch_size=batch_size, num_workers=workers, collate_fn=stack_collate)
    iterator = iter(loader)
    taken = [next(iterator) for _ in range(batches)]
    del iterator
    return taken


def paths(batches):
    return [sample.img_path for batch in batches for sample in batch['data_samples']]


def test_braces():
    assert expand_shards('a.tar') == ['a.tar']
    assert expand_shards('a-{08..10}.tar') == ['a-08.tar', 'a-09.tar', 'a-10.tar']
    assert expand_shards('a-{8..10}.tar') == ['a-8.tar', 'a-9.tar', 'a-10.tar']
    assert expand_shards('{x,y}/{0..1}') == ['x/0', 'x/1', 'y/0', 'y/1']
    assert len(expand_shards('s3://b/shard-{000000..000999}.tar')) == 1000
    assert expand_shards('{00..100}')[::50] == ['000', '050', '100'], 'all of one width, as in bash'
    assert expand_shards('a-{x,{1..3}}.tar') == ['a-x.tar', 'a-1.tar', 'a-2.tar', 'a-3.tar'], 'nested'
    assert expand_shards('{3..1}') == ['3', '2', '1'] and expand_shards('{0..6..3}') == ['0', '3', '6']
    for wrong in ('{1..', '{a}', 'a}', '{}'):
        with pytest.raises(ValueError, match=r'\{|\}'):
            expand_shards(wrong)
    with pytest.raises(ValueError, match=r"the shard 'b\{' has unbalanced braces"):
        expand_shards('a::b{')


def test_shards_as_paths_variables_and_lists(monkeypatch, tmp_path):
    monkeypatch.setenv('SHARDS', str(tmp_path / 'a\\b'))
    monkeypatch.setenv('HOME', str(tmp_path))
    assert expand_shards(tmp_path / '{0,1}.tar') == [f'{tmp_path}/0.tar', f'{tmp_path}/1.tar']
    assert expand_shards([tmp_path / 'x.tar', 'y{1,2}.tar']) == [f'{tmp_path}/x.tar', 'y1.tar', 'y2.tar']
    assert expand_shards('$SHARDS/{1..2}.tar') == [f'{tmp_path}/a\\b/1.tar', f'{tmp_path}/a\\b/2.tar']
    assert expand_shards('${SHARDS}.tar::$NOT_SET/x.tar') == [f'{tmp_path}/a\\b.tar', '$NOT_SET/x.tar']
    assert expand_shards('a{1,2}.tar::s3://b/c.tar::~/d.tar') == [
        'a1.tar',
        'a2.tar',
        's3://b/c.tar',
        f'{tmp_path}/d.tar',
    ]
    assert expand_shards('x.tar::simplecache::s3://b/{1..2}.tar') == [
        'x.tar', 'simplecache::s3://b/1.tar', 'simplecache::s3://b/2.tar',
    ]  # fmt: skip
    write_shard(tmp_path / 'x.tar', ['a', 'b', 'c'])
    assert len(paths(take(dataset(tmp_path / 'x.tar'), 1))) == 3


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('a/0001.jpg', ('a/0001', True)),
        ('./a.b/0001.PNG', ('./a.b/0001', True)),
        ('0001.seg.png', ('0001', False)),
        ('0001.seg.color.png', ('0001', False)),
        ('clip_0.1s.jpg', ('clip_0.1s', True)),
        ('IMG.2019.05.jpeg', ('IMG.2019.05', True)),
        ('J. Smith.jpe', ('J. Smith', True)),
        ('clip_0.1s.depth.png', ('clip_0.1s', False)),
        ('clip.v2.1.heic', ('clip.v2.1', True)),
        ('0001.json', None),
        ('__meta__/preview.jpg', None),
        ('./__meta__/preview.jpg', None),
        ('__meta__', None),
        ('a/._0001.jpg', None),
        ('jpg', None),
    ],
)  # fmt: skip
def test_samples_of_names(name, expected):
    assert sample_of(name) == expected


@pytest.mark.parametrize('format', [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_reader_equals_tarfile(tmp_path, format):
    long = 'ordner/' + 'x' * 70 + '/' + 'y' * 80
    names = ['a', 'b' * 99, long, *([] if format == tarfile.USTAR_FORMAT else ['z' * 300, 'größe/写真'])]
    with tarfile.open(tmp_path / 'a.tar', 'w', format=format) as tar:
        folder = tarfile.TarInfo('folder')
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for i, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = i * 300, 1.5 * i if format == tarfile.PAX_FORMAT else i
            tar.addfile(info, io.BytesIO(bytes([i]) * info.size))
    found, offset = [], 0
    with open(tmp_path / 'a.tar', 'rb') as file:
        while (member := next_member(file, offset)) is not None:
            found.append((member.name, member.is_file, read_content(file, member)))
            offset = member.next_header
    expected = [(name, True, bytes([i]) * (300 * i)) for i, name in enumerate(names)]
    assert found == [('folder', False, b''), *expected]


@pytest.mark.parametrize('interleave', [1, 4])
def test_an_epoch_has_every_image_once(shards, interleave):
    seen = paths(take(dataset(shards, interleave=interleave), 16))
    if interleave == 1:
        assert len(set(seen)) == 48
        assert paths(take(dataset(shards, interleave=1), 32))[48:] != seen  # another order the next time round
    else:
        # The first shards of the next round may be open before the last ones of this round are done.
        assert len(set(seen)) > 36
        assert len({path.split('.tar')[0] for path in seen[:12]}) > 1


def write_members(path, names):
    with tarfile.open(path, 'w') as tar:
        for name in names:
            data = encode(smooth_image(8, 8), 'PNG')
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_names_with_dots_parts_and_repeated_names(tmp_path):
    names = ['clip_0.1s.jpg', 'clip_0.2s.jpg', '__meta__/x.jpg', 'a.depth.png', 'a.json', 'a.jpg', 'a.seg.png', 'a.jpg',
             'b.seg.png', 'b.depth.png', 'b.json', 'c.HEIC', 'c.HEIC', 'photo.final.jpg']  # fmt: skip
    write_members(tmp_path / 'a.tar', names)
    batches = take(dataset(str(tmp_path / 'a.tar')), 8, batch_size=1)
    used = [path.split('.tar/')[1] for path in paths(batches)]
    assert used == ['clip_0.1s.jpg', 'clip_0.2s.jpg', 'a.jpg', 'c.HEIC'] * 2
    bad = [(path.split('.tar/')[1], reason) for batch in batches[1:5] for path, reason in batch['loader'].bad]
    assert bad == [
        ('a.jpg', 'the second member of this name'),
        ('b.seg.png', "a part of the sample 'b', which has no image: rename it to use it"),
        ('c.HEIC', 'the second member of this name'),
        ('photo.final.jpg', "a part of the sample 'photo', which has no image: rename it to use it"),
    ]
    data = dataset(str(tmp_path / 'a.tar'))
    for expected in used:  # interrupted after every image
        (batch,) = take(data, 1, batch_size=1)
        assert paths([batch])[0].endswith(expected)
        data.load_stream_state({0: batch['loader'].state}, 1)


def test_other_members_and_second_images_are_passed_over(tmp_path):
    write_members(tmp_path / 'a.tar', ['a.json', 'a.jpg', 'a.png', 'b.seg.png', 'b.PNG', 'b.cls', 'c/a.jpg', 'd.txt'])
    seen = paths(take(dataset(str(tmp_path / 'a.tar')), 1, batch_size=6))
    assert [path.split('.tar/')[1] for path in seen] == ['a.jpg', 'b.PNG', 'c/a.jpg'] * 2
    data = dataset(str(tmp_path / 'a.tar'))
    for expected in seen:  # interrupted after every image
        (batch,) = take(data, 1, batch_size=1)
        assert paths([batch]) == [expected]
        data.load_stream_state({0: batch['loader'].state}, 1)


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('done', [1, 4, 7])
def test_resume_equals_uninterrupted(shards, workers, done):
    whole = take(dataset(shards), 40, workers)
    states = {}
    for batch in whole[:done]:
        states[batch['loader'].worker] = batch['loader'].state
    resumed = dataset(shards)
    resumed.load_stream_state(json.loads(json.dumps(states)), done)
    rest = take(resumed, 40 - done, workers)
    assert paths(rest) == paths(whole[done:])
    for a, b in zip(rest, whole[done:], strict=True):
        assert torch.equal(a['inputs'], b['inputs']) and a['loader'] == b['loader']
        assert a['seeds'].dtype == torch.int64 and torch.equal(a['seeds'], b['seeds'])
        assert [x.metainfo for x in a['data_samples']] == [x.metainfo for x in b['data_samples']]
    assert len(torch.cat([batch['seeds'] for batch in whole]).unique()) == 40 * 3
    # A second interruption counts from the beginning of training.
    for batch in rest[:5]:
        states[batch['loader'].worker] = batch['loader'].state
    resumed.load_stream_state(states, done + 5)
    assert paths(take(resumed, 10, workers)) == paths(whole[done + 5 : done + 15])


class CountingFileSystem(LocalFileSystem):
    """Local files that record which bytes were read."""

    protocol = 'counting'
    reads: list = []

    def open(self, path, mode='rb', **kwargs):
        file = super().open(path, mode, **kwargs)
        read = file.f.read

        class Counted:
            def read(self, size):
                begin = file.tell()
                data = read(size)
                CountingFileSystem.reads.append((path, begin, begin + len(data)))
                return data

            seek, tell, close = file.seek, file.tell, file.close

        return Counted()


def test_consumed_bytes_are_not_read_again(shards):
    fsspec.register_implementation('counting', CountingFileSystem, clobber=True)
    shards = 'counting://' + shards

    def counted(data, batches):
        CountingFileSystem.reads.clear()
        return take(data, batches), list(CountingFileSystem.reads)

    first, read_before = counted(dataset(shards), 4)
    resumed = dataset(shards)
    resumed.load_stream_state({0: first[-1]['loader'].state}, 4)
    _, read_after = counted(resumed, 4)
    _, read_at_once = counted(dataset(shards), 8)
    # The same reads in the same order, whether interrupted or not: nothing is read twice and nothing is left out.
    assert read_before + read_after == read_at_once
    assert len(set(read_at_once)) == len(read_at_once)


def test_ranks_and_workers_partition_the_shards(shards):
    seen = []
    for rank in range(2):
        seen += paths(take(dataset(shards, rank, 2, interleave=1), 8, workers=2))  # each stream has 2 shards
    assert len(seen) == 48 and len(set(seen)) == 48


def test_memory_urls(tmp_path):
    write_shard(tmp_path / 'a.tar', ['x', 'y', 'z'])
    with fsspec.open('memory://tar-test/a.tar', 'wb') as file:
        file.write((tmp_path / 'a.tar').read_bytes())
    batch = take(dataset('memory://tar-test/a.tar'), 1)[0]
    assert paths([batch]) == [f'memory://tar-test/a.tar/{name}.jpg' for name in 'xyz']
    assert batch['inputs'].float().mean((1, 2, 3)).tolist() == [10, 11, 12]


def test_bad_members_and_truncated_shards(tmp_path):
    write_shard(tmp_path / '0.tar', ['a', 'b', 'c'], extra=False)
    data = bytearray((tmp_path / '0.tar').read_bytes())
    start = next_member(io.BytesIO(data), 0).start
    data[start : start + 20] = bytes(20)
    (tmp_path / '0.tar').write_bytes(data)
    sizes = write_shard(tmp_path / '1.tar', ['d', 'e'], extra=False)
    whole = (tmp_path / '1.tar').read_bytes()
    second = 512 + -(-sizes[0] // 512) * 512
    (tmp_path / '1.tar').write_bytes(whole[: second + 512 + 100])
    (tmp_path / '2.tar').write_bytes(b'not a tar file' * 100)
    (tmp_path / '3.tar').write_bytes(b'')
    batches = take(dataset(str(tmp_path / '{0..3}.tar'), interleave=1), 1, batch_size=6)
    assert {path[-5:] for path in paths(batches)} == {'b.jpg', 'c.jpg', 'd.jpg'}
    reasons = dict(batches[0]['loader'].bad)
    assert 'not an image' in reasons[f'{tmp_path}/0.tar/a.jpg']
    assert f'truncated: e.jpg has 100 of {sizes[1]} bytes' in reasons[f'{tmp_path}/1.tar']
    assert 'BrokenTar' in reasons[f'{tmp_path}/2.tar']
    assert 'no member named' in reasons[f'{tmp_path}/3.tar']


def test_errors(shards, tmp_path, monkeypatch):
    def in_worker(data, worker, workers):
        info = SimpleNamespace(id=worker, num_workers=workers)
        monkeypatch.setattr('sapiens.datasets.tar_shards.get_worker_info', lambda: info)
        return next(iter(data))

    with pytest.raises(FileNotFoundError, match=r'no shard .*/none\.tar'):
        take(dataset(str(tmp_path / 'none.tar')), 1)
    with pytest.raises(ValueError, match='5 ranks x 2 workers are 10 streams, more than the 8 shards'):
        in_worker(dataset(shards, 0, 5), 0, 2)
    monkeypatch.undo()
    state = take(dataset(shards), 1)[0]['loader'].state
    for change, text in [
        (dict(rank=1, world_size=2), 'rank was 0 and is now 1'),
        (dict(seed=3), 'seed was 0 and is now 3'),
        (dict(interleave=2), 'interleave was 4 and is now 2'),
    ]:
        other = dataset(shards, **change)
        other.load_stream_state({0: state}, 1)
        with pytest.raises(ValueError, match=f'{text}.*load_from'):
            take(other, 1)
    other = dataset(shards)
    other.load_stream_state({0: state}, 1)
    with pytest.raises(ValueError, match='workers was 1 and is now 2'):
        in_worker(other, 0, 2)
    state = in_worker(dataset(shards), 1, 2)['state']
    other.load_stream_state({1: state}, 2)
    with pytest.raises(ValueError, match=r'stream 0 is missing after 2 batches; there are those of \[1\]'):
        in_worker(other, 0, 2)
    monkeypatch.undo()
    with pytest.raises(ValueError, match='compressed'):
        dataset('a.tar.gz')
    (tmp_path / 'text.tar').write_bytes(b'')
    with pytest.raises(ValueError, match='unusable files in a row'):
        take(dataset(str(tmp_path / 'text.tar')), 1)


def test_length_is_that_of_the_rank(shards):
    assert len(dataset(shards, 0, 4)) == 12
    with pytest.raises(ValueError, match='samples_per_epoch=0'):
        TarShards(shards, 0)
