import io
import json
import pickle
import re
import tarfile
import threading
import time

import fsspec
import pytest
import torch
from fsspec.implementations.local import LocalFileSystem
from torch.utils.data import DataLoader

from sapiens.commands.index import main as index
from sapiens.datasets import Draw, ResumableSampler, ShardSampler, TarShards, stack_collate
from sapiens.datasets.checks import Findings
from sapiens.datasets.shard_index import scan_shard
from sapiens.datasets.shard_names import expand_shards, sample_of
from sapiens.datasets.shard_reader import ShardReader, _TimedCalls
from sapiens.datasets.tar_reader import next_member, read_content
from sapiens.datasets.transforms import BadImage
from sapiens.engine import Runner
from sapiens.engine.training_data import TrainingData

from .helpers import encode, smooth_image, write_shard

PIPELINE = [dict(type='LoadRandomResizedCrop', size=8), dict(type='PackImage')]
PER_SHARD = 6


@pytest.fixture
def shards(tmp_path):
    """Eight shards of six samples each."""
    for i in range(8):
        write_shard(tmp_path / f'{i:02d}.tar', [f'{i:02d}/{j}' for j in range(PER_SHARD)])
    return str(tmp_path / '{00..07}.tar')


def dataset(shards, **options):
    return TarShards(shards, pipeline=PIPELINE, **options)


def take(data, batches, workers=0, batch_size=3, start=0, shuffle=True):
    """The next batches after a number of samples."""
    sampler = ShardSampler(data, batch_size, shuffle, seed=2)
    sampler.set_start(start)
    loader = DataLoader(data, batch_size, sampler=sampler, num_workers=workers, collate_fn=stack_collate)
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
    assert len(dataset(tmp_path / 'x.tar')) == 3


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


def write_members(path, names):
    with tarfile.open(path, 'w') as tar:
        for name in names:
            data = encode(smooth_image(8, 8), 'PNG')
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def in_file_order(path):
    """Names of the images of a shard, and what was left out."""
    left_out = [(name.split('.tar/')[-1], reason) for name, reason in scan_shard(str(path)).left_out]
    data = dataset(str(path))
    return [data[i]['data_samples'].img_path.split('.tar/')[1] for i in range(len(data))], left_out


def test_names_with_dots_parts_and_repeated_names(tmp_path):
    names = ['clip_0.1s.jpg', 'clip_0.2s.jpg', '__meta__/x.jpg', 'a.depth.png', 'a.json', 'a.jpg', 'a.seg.png', 'a.jpg',
             'b.seg.png', 'b.depth.png', 'b.json', 'c.HEIC', 'c.HEIC', 'photo.final.jpg']  # fmt: skip
    write_members(tmp_path / 'a.tar', names)
    used, left_out = in_file_order(tmp_path / 'a.tar')
    assert used == ['clip_0.1s.jpg', 'clip_0.2s.jpg', 'a.jpg', 'c.HEIC']
    assert left_out == [
        ('a.jpg', 'the second member of this name'),
        ('b.seg.png', "a part of the sample 'b', which has no image: rename it to use it"),
        ('c.HEIC', 'the second member of this name'),
        ('photo.final.jpg', "a part of the sample 'photo', which has no image: rename it to use it"),
    ]


def test_other_members_and_second_images_are_passed_over(tmp_path):
    write_members(tmp_path / 'a.tar', ['a.json', 'a.jpg', 'a.png', 'b.seg.png', 'b.PNG', 'b.cls', 'c/a.jpg', 'd.txt'])
    assert in_file_order(tmp_path / 'a.tar') == (['a.jpg', 'b.PNG', 'c/a.jpg'], [])


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('done', [1, 7])
def test_resume_equals_uninterrupted(shards, workers, done):
    whole = take(dataset(shards), 32, workers)
    assert all(sorted(paths(whole[i : i + 16])) == sorted(set(paths(whole))) for i in (0, 16)), 'each once a pass'
    # With other workers, and another size of batch behind it.
    rest = take(dataset(shards), 5, 2 - workers, start=3 * done)
    for a, b in zip(rest, whole[done : done + 5], strict=True):
        assert torch.equal(a['inputs'], b['inputs']) and a['loader'] == b['loader']
        assert a['seeds'].dtype == torch.int64 and torch.equal(a['seeds'], b['seeds'])
        assert [x.metainfo for x in a['data_samples']] == [x.metainfo for x in b['data_samples']]
    both = take(dataset(shards), 2, workers, batch_size=6, start=3 * done)
    assert sorted(paths(both)) == sorted(paths(whole[done : done + 4]))
    assert len(torch.cat([batch['seeds'] for batch in whole]).unique()) == 32 * 3


def test_an_index_is_read_in_place_of_the_shards(shards, tmp_path, capsys, monkeypatch):
    straight = take(dataset(shards), 16)
    index([shards])
    assert capsys.readouterr().out == f'48 images in 8 shards of 0.000164 GB: {tmp_path}/index.safetensors\n'
    for shard in tmp_path.glob('*.tar'):
        shard.rename(shard.with_suffix('.away'))
    data = dataset(tmp_path / 'index.safetensors')
    for shard in tmp_path.glob('*.away'):
        shard.rename(shard.with_suffix('.tar'))
    found = take(data, 16)
    assert paths(found) == paths(straight)
    assert all(torch.equal(a['inputs'], b['inputs']) for a, b in zip(found, straight, strict=True))
    (tmp_path / 'b').mkdir()
    for path in list(tmp_path.glob('*.*')):
        path.rename(tmp_path / 'b' / path.name)
    moved = dataset(tmp_path / 'b/index.safetensors')
    assert paths(take(moved, 2)) == [path.replace(str(tmp_path), f'{tmp_path}/b') for path in paths(straight[:2])]
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'd').mkdir()
    index(['b/{00..07}.tar', '--out', 'd/index.safetensors'])
    assert paths(take(dataset('d/index.safetensors'), 1)) == paths(take(moved, 1)), 'names do not depend on the folder'
    # Elsewhere than the shards; and two indexes together.
    (tmp_path / 'c').mkdir()
    index([f'{tmp_path}/b/{{00..02}}.tar', '--out', f'{tmp_path}/c/x.safetensors'])
    index([f'{tmp_path}/b/{{03..07}}.tar', '--out', f'{tmp_path}/c/y.safetensors'])
    joined = dataset(f'{tmp_path}/c/{{x,y}}.safetensors')
    assert paths(take(joined, 16)) == paths(take(moved, 16))
    assert pickle.loads(pickle.dumps(joined))[47]['data_samples'].img_path == f'{tmp_path}/b/07.tar/07/5.jpg'


def test_memory_urls(tmp_path):
    write_shard(tmp_path / 'a.tar', ['x', 'y', 'z'])
    with fsspec.open('memory://tar-test/a.tar', 'wb') as file:
        file.write((tmp_path / 'a.tar').read_bytes())
    index(['memory://tar-test/a.tar'])
    for name in ('a.tar', 'index.safetensors'):
        batch = take(dataset(f'memory://tar-test/{name}'), 1, shuffle=False)[0]
        assert paths([batch]) == [f'memory://tar-test/a.tar/{name}.jpg' for name in 'xyz']
        assert batch['inputs'].float().mean((1, 2, 3)).tolist() == [10, 11, 12]


def test_shards_that_are_damaged_at_the_start(tmp_path):
    sizes = write_shard(tmp_path / '0.tar', ['d', 'e'], extra=False)
    whole = (tmp_path / '0.tar').read_bytes()
    second = 512 + -(-sizes[0] // 512) * 512
    (tmp_path / '0.tar').write_bytes(whole[: second + 512 + 100])
    (tmp_path / '1.tar').write_bytes(b'not a tar file' * 100)
    (tmp_path / '2.tar').write_bytes(b'')
    used, left_out = in_file_order(tmp_path / '0.tar')
    reason = f'truncated: e.jpg has 100 of {sizes[1]} bytes; the rest of the shard is not used'
    assert used == ['d.jpg'] and left_out == [(str(tmp_path / '0.tar'), reason)]
    assert 'invalid header at byte 0' in scan_shard(f'{tmp_path}/1.tar').left_out[0][1]
    assert scan_shard(f'{tmp_path}/2.tar').left_out == [(f'{tmp_path}/2.tar', 'no image')]
    assert len(dataset(f'{tmp_path}/{{0..2}}.tar')) == 1
    with pytest.raises(ValueError, match='no image in the shards'):
        dataset(f'{tmp_path}/{{1..2}}.tar')


def lose(tmp_path, how):
    """Damage shard 3 after the index was written."""
    shard = tmp_path / '03.tar'
    content = shard.read_bytes()
    if how == 'missing':
        shard.unlink()
    elif how == 'short':
        shard.write_bytes(content[:8000])
    else:
        shard.write_bytes(b'x' * len(content))


@pytest.mark.parametrize(
    ('how', 'lost', 'reason'),
    [
        ('missing', 6, 'the shard is missing'),
        ('short', 3, 'the shard is shorter than the 20480 bytes of the index'),
        ('another', 6, 'the shard is not the one that was indexed: index it again'),
    ],
)
def test_a_lost_shard_costs_its_samples(shards, tmp_path, how, lost, reason):
    index([shards])
    straight = take(dataset(tmp_path / 'index.safetensors'), 16)
    lose(tmp_path, how)
    batches = take(dataset(tmp_path / 'index.safetensors'), 16)
    bad = [entry for batch in batches for entry in batch['loader'].bad]
    assert bad == lost * [(f'{tmp_path}/03.tar', reason)]
    changed = [(a, b) for a, b in zip(paths(straight), paths(batches), strict=True) if a != b]
    assert len(changed) == lost and all('03.tar' in a and '03.tar' not in b for a, b in changed)
    assert len({b.split('.tar')[0] for _, b in changed}) == 1, 'from one other shard'
    again = take(dataset(tmp_path / 'index.safetensors'), 4, start=24)
    assert paths(again) == paths(batches[8:12]), 'a lost sample is always replaced alike'


def test_another_shard_takes_the_place_of_one(shards, tmp_path):
    data = dataset(shards)
    for shard in range(8):
        places = {
            number: {data.another(PER_SHARD * shard + 2, number) // PER_SHARD for _ in range(9)}
            for number in range(1, 9)
        }
        assert all(len(found) == 1 for found in places.values()) and shard not in set.union(*places.values())
        assert len(set.union(*places.values())) > 1
    assert {dataset(tmp_path / '00.tar').another(0, number) // PER_SHARD for number in range(1, 9)} == {0}


class Slow(LocalFileSystem):
    """Local files, of which one answers when it is told to."""

    protocol = 'slow'
    answer = threading.Event()

    names = ('03.tar',)

    def cat_file(self, path, start=None, end=None, **kwargs):
        if path.endswith(self.names):
            self.answer.wait()
        return super().cat_file(path, start, end, **kwargs)


def test_a_shard_that_does_not_answer_costs_its_samples_once_in_a_while(shards, tmp_path, monkeypatch):
    fsspec.register_implementation('slow', Slow, clobber=True)
    monkeypatch.setattr(Slow, 'answer', threading.Event())
    shard = f'slow://{tmp_path}/03.tar'
    data = dataset(f'slow://{shards}', timeout=1)
    now = [time.monotonic()]
    monkeypatch.setattr('sapiens.datasets.shard_reader.time.monotonic', lambda: now[0])
    waits = []
    call = _TimedCalls.__call__
    monkeypatch.setattr(_TimedCalls, '__call__', lambda self, job: (waits.append(self._jobs), call(self, job))[1])
    first = 3 * PER_SHARD
    reason = 'the shard is slow: no answer in 1 s'
    bad = [data[Draw(first + i, i)]['bad'] for i in range(PER_SHARD)]
    assert bad == PER_SHARD * [[(shard, reason)]]
    reads = len(waits)
    now[0] += 1.01  # a second try, after which the pause is twice as long
    assert data[Draw(first, 0)]['bad'] == [(shard, reason)]
    assert None in waits[reads:], 'another thread than the one that waits'
    now[0] += 1.01
    reads = len(waits)
    assert data[Draw(first, 0)]['bad'] and len(waits) == reads + 1  # the one in place of it
    Slow.answer.set()
    now[0] += 1.01
    assert data[Draw(first, 0)]['bad'] == []
    assert data[Draw(first, 0)]['data_samples'].img_path == f'{shard}/03/0.jpg'


def test_shards_of_a_server_that_is_down_hold_up_a_batch_for_three_limits(shards, monkeypatch):
    fsspec.register_implementation('slow', Slow, clobber=True)
    monkeypatch.setattr(Slow, 'answer', threading.Event())
    monkeypatch.setattr(Slow, 'names', tuple(f'{i:02}.tar' for i in range(1, 8)))
    data = dataset(f'slow://{shards}', timeout=0.4)
    reader = ShardReader(data.index, 0.4, None)
    for shard in (1, 2, 3, 4, 5, 6, 7):
        with pytest.raises(BadImage, match='the shard is slow'):
            reader.read(shard, 0)
    limits = [float(reason.split()[-2]) for _, _, reason, _ in reader._aside.values()]
    assert limits == [0.4, 0.2, 0.1, 0.05, 0.025, 0.025, 0.025]
    Slow.answer.set()


def test_bad_members(tmp_path):
    write_shard(tmp_path / '0.tar', ['a', 'b', 'c'], extra=False)
    data = bytearray((tmp_path / '0.tar').read_bytes())
    start = next_member(io.BytesIO(data), 0).start
    data[start : start + 20] = bytes(20)
    (tmp_path / '0.tar').write_bytes(data)
    ((path, reason),) = dataset(tmp_path / '0.tar')[Draw(0, 1)]['bad']
    assert path == f'{tmp_path}/0.tar/a.jpg' and 'not an image' in reason


def test_the_check_compares_shards_with_the_index(shards, tmp_path):
    index([shards])
    data = dataset(tmp_path / 'index.safetensors')
    findings = Findings()
    data.check(findings, read=True)
    assert not findings
    lose(tmp_path, 'missing')
    (tmp_path / '04.tar').write_bytes((tmp_path / '04.tar').read_bytes() + bytes(512))
    content = (tmp_path / '05.tar').read_bytes()
    write_members(tmp_path / '05.tar', ['x.jpg'])
    small = (tmp_path / '05.tar').read_bytes()
    (tmp_path / '05.tar').write_bytes(small + bytes(len(content) - len(small)))
    for read in (False, True):
        findings = Findings()
        data.check(findings, read)
        found = {what: finding.examples for what, finding in findings.items()}
        expected = {
            'missing shard': [f'{tmp_path}/03.tar'],
            'shard of another size than in the index': [f'{tmp_path}/04.tar'],
        }
        if read:
            expected['shard with other images than in the index'] = [f'{tmp_path}/05.tar']
        assert found == expected


def test_errors(shards, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no shard .*/none\.tar'):
        dataset(tmp_path / 'none.tar')
    with pytest.raises(IsADirectoryError, match=r'is a folder: give the shards in it, such as .*/shard-\{000000'):
        dataset(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'no index .*/none\.safetensors.*sapiens index SHARDS'):
        dataset(tmp_path / 'none.safetensors')
    for content in (b'', b'no index at all', bytes(100)):
        (tmp_path / 'other.safetensors').write_bytes(content)
        with pytest.raises(ValueError, match=r'other\.safetensors. is no index of shards'):
            dataset(tmp_path / 'other.safetensors')
    with pytest.raises(ValueError, match='names an index .* and a shard .*give one kind'):
        dataset([tmp_path / 'other.safetensors', tmp_path / '00.tar'])
    with pytest.raises(ValueError, match='compressed'):
        dataset('a.tar.gz')
    for options, text in [
        (dict(samples_per_epoch=0), 'samples_per_epoch=0'),
        (dict(samples_per_epoch='100'), "samples_per_epoch='100': expected a whole number"),
        (dict(samples_per_epoch=1.5), 'samples_per_epoch=1.5: expected a whole number'),
        (dict(samples_per_epoch=10**30), 'samples_per_epoch=1000.*at most 1e.15'),
        (dict(canonical_nodes=0), 'canonical_nodes=0: expected a whole number of at least 1'),
        (dict(interleave=1.5), 'interleave=1.5: expected a whole number of at least 1'),
        (dict(timeout=0), 'timeout=0'),
        (dict(timeout='30'), "timeout='30': expected"),
        (dict(timeout=float('inf')), 'timeout=inf: expected'),
        (dict(cache_dir='x'), "cache_dir='x' and cache_gb=None: give both, or none"),
        (dict(cache_dir=tmp_path, cache_gb=0), 'cache_gb=0: expected'),
        (dict(cache_dir=tmp_path, cache_gb='5'), "cache_gb='5': expected"),
        (dict(cache_dir=tmp_path, cache_gb=float('nan')), 'cache_gb=nan: expected'),
        (dict(cache_dir='', cache_gb=1), "cache_dir='': expected a folder"),
    ]:
        with pytest.raises(ValueError, match=text):
            dataset(shards, **options)
    with pytest.raises(ValueError, match='--out index.bin: expected a name that ends in .safetensors'):
        index([shards, '--out', 'index.bin'])
    for names in ('', None, 3, [None], {'a': 1}):
        with pytest.raises(ValueError, match=rf'shards={re.escape(repr(names))}: expected a path or URL'):
            dataset(names)
    for url in ('nothing://bucket/a.tar', 'nothing://bucket/a.safetensors'):
        with pytest.raises(ValueError, match=f'{url}.*cannot be opened: Protocol not known: nothing'):
            dataset(url)


def test_a_damaged_index_is_refused(shards, tmp_path):
    index([shards])
    whole = (tmp_path / 'index.safetensors').read_bytes()
    end = 8 + int.from_bytes(whole[:8], 'little')
    header = json.loads(whole[8:end])

    def refuse(header, content, text):
        head = json.dumps(header).encode()
        (tmp_path / 'x.safetensors').write_bytes(len(head).to_bytes(8, 'little') + head + content)
        with pytest.raises(ValueError, match=rf'x\.safetensors. {text}.*sapiens index SHARDS. writes'):
            dataset(tmp_path / 'x.safetensors')

    for other in (
        [1],
        None,
        {key: value for key, value in header.items() if key != 'counts'},
        dict(header, __metadata__=dict(header['__metadata__'], shards='3')),
        dict(header, __metadata__=dict(header['__metadata__'], shards='["a.tar"]')),
        dict(header, counts=dict(header['counts'], data_offsets=[0, 10**15])),
        dict(header, counts=dict(header['counts'], data_offsets='ab')),
        dict(header, places=dict(header['places'], shape=[])),
        dict(header, places=dict(header['places'], shape=[10**15, 2])),
    ):
        refuse(other, whole[end:], 'is no index')
    for length in (0, 20, len(whole) - end - 1):
        refuse(header, whole[end : end + length], 'has been cut off')
    begin = end + header['counts']['data_offsets'][0]
    for count in (-1, 10**17, 7):
        counted = whole[:begin] + count.to_bytes(8, 'little', signed=True) + whole[begin + 8 :]
        refuse(header, counted[end:], 'is damaged')


def test_the_runner_gives_shards_their_own_sampler(shards):
    config = dict(type=TarShards, shards=shards, pipeline=PIPELINE, samples_per_epoch=30)
    loader = dict(batch_size=4, dataset=config, drop_last=True, collate_fn=dict(type='stack_collate'))
    for sampler in ('ResumableSampler', ResumableSampler):
        built = Runner.build_dataloader(dict(loader, sampler=dict(type=sampler, shuffle=True)), seed=3)
        assert isinstance(built.sampler, ShardSampler) and built.sampler.batch_size == 4 and built.sampler.seed == 3
        assert len(built) == 7
    plain = Runner.build_dataloader(dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)))
    assert len(plain) == 12 and len(list(plain)) == 12


def test_positions_in_the_data_resume_or_are_refused(shards):
    def training_data(world_size=1, batch_size=4, **options):
        data = dataset(shards, **options)
        sampler = ShardSampler(data, batch_size, seed=3)
        sampler.world_size = world_size
        loader = DataLoader(data, batch_size, sampler=sampler, collate_fn=stack_collate)
        return TrainingData(loader, world_size, None)

    first = training_data()
    first.open(0, 0)
    found = [first.next()[0] for _ in range(14)]
    state = first.state_dict(ends_epoch=False)
    order = dict(samples=48, shards=8, counts=state['order']['counts'], canonical_nodes=2, interleave=4, shuffle=True)
    assert state == dict(samples=56, consumed=56, order=order)
    assert first.state_dict(ends_epoch=True)['samples'] == 0
    state = torch.load(io.BytesIO(save(state)), weights_only=True)
    second = training_data(batch_size=7)  # 56 samples are no multiple of its batch
    second.load_state_dict(state)
    second.open(1, 0)
    third = training_data()
    third.open(0, 0)
    expected = paths([third.next()[0] for _ in range(21)])
    assert paths(found) == expected[:56]
    assert sorted(paths([second.next()[0] for _ in range(4)])) == sorted(expected[56:84])
    for options, text in [
        (dict(interleave=2), 'interleave was 4 and is now 2. Resume with the shards and options of the first run, or'),
        (dict(canonical_nodes=1), 'canonical_nodes was 2 and is now 1'),
    ]:
        with pytest.raises(ValueError, match=text):
            training_data(**options).load_state_dict(state)
    for other, text in [
        (
            dict(batches=3, stream_batches=10, streams={'0': {}}),
            'positions in shards of an earlier version.*load_from=',
        ),
        (dict(samples=12), 'holds a position in a dataset, this run reads TarShards'),
        (dict(batches=3), 'holds a position in a stream, this run reads TarShards'),
    ]:
        with pytest.raises(ValueError, match=text):
            training_data().load_state_dict(other)


def save(state):
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()
