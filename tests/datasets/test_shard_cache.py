"""The local cache of shards."""

import contextlib
import errno
import fcntl
import multiprocessing
import os
import pickle
import shutil
import threading
import time
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from sapiens.datasets import Draw, TarShards
from sapiens.datasets import shard_cache as module
from sapiens.datasets.shard_cache import ShardCache
from sapiens.datasets.shard_reader import ShardReader

from .helpers import write_shard

PIPELINE = [dict(type='LoadRandomResizedCrop', size=8), dict(type='PackImage')]
SIZE = 10240  # of each shard


class Remote(LocalFileSystem):
    """Local files behind a URL, which counts reads of images (below a whole shard)."""

    protocol = 'remote'
    reads: list = []

    def cat_file(self, path, start=None, end=None, **kwargs):
        if end - start < SIZE:
            Remote.reads.append(path)
        return super().cat_file(path, start, end, **kwargs)


@pytest.fixture
def shards(tmp_path):
    """Six remote shards of two samples each."""
    fsspec.register_implementation('remote', Remote, clobber=True)
    Remote.reads.clear()
    for i in range(6):
        write_shard(tmp_path / f'{i}.tar', ['a', 'b'])
        assert os.path.getsize(tmp_path / f'{i}.tar') == SIZE
    return [f'remote://{tmp_path}/{i}.tar' for i in range(6)]


@pytest.fixture
def cache(tmp_path):
    """Room for three shards."""
    return ShardCache(tmp_path / 'cache', 3 * SIZE + 100)


def copies(cache):
    return sorted(path.name.split('-')[1] for path in cache.folder.glob('*.copy'))


def age(cache, shard, seconds):
    path = cache._copy_path(shard, SIZE)
    os.utime(path, (time.time() - seconds,) * 2)


def wait_for(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError('nothing has happened')


def test_samples_are_read_from_the_shard_until_its_copy_is_complete(shards, tmp_path):
    plain = TarShards(shards, pipeline=PIPELINE)
    data = TarShards(shards, cache_dir=tmp_path / 'cache', cache_gb=1, pipeline=PIPELINE)
    expected = [plain[Draw(i, i)] for i in range(12)]
    for number in range(2):
        for i in range(12):
            sample = data[Draw(i, i)]
            assert sample['inputs'].equal(expected[i]['inputs']) and sample['bad'] == []
            assert sample['data_samples'].img_path == expected[i]['data_samples'].img_path
        wait_for(lambda: len(copies(data.cache)) == 6)
        if number == 0:
            Remote.reads.clear()
    assert Remote.reads == []
    for shard in tmp_path.glob('*.tar'):
        shard.unlink()
    assert pickle.loads(pickle.dumps(data))[Draw(11, 0)]['bad'] == [], 'another process has the copies too'


def test_the_copy_that_was_used_the_longest_ago_makes_room(shards, cache):
    for i in range(3):
        assert cache.copy(shards[i], SIZE)
        age(cache, shards[i], 100 - i)
    assert not cache.copy(shards[0], SIZE), 'it is there'
    cache.open(shards[0], SIZE).close()
    assert cache.copy(shards[3], SIZE)
    assert copies(cache) == ['0.tar.copy', '2.tar.copy', '3.tar.copy']


def test_a_copy_in_use_is_never_removed(shards, cache):
    for i in range(3):
        cache.copy(shards[i], SIZE)
        age(cache, shards[i], 100 - i)
    files = [cache.open(shards[0], SIZE), cache.open(shards[1], SIZE)]
    for i in (0, 1):
        age(cache, shards[i], 1000)
    assert cache.copy(shards[3], SIZE) and copies(cache) == ['0.tar.copy', '1.tar.copy', '3.tar.copy']
    files.append(cache.open(shards[3], SIZE))
    assert not cache.copy(shards[4], SIZE) and copies(cache) == ['0.tar.copy', '1.tar.copy', '3.tar.copy']
    (note,) = cache.take_notes()
    assert note.startswith(f'{cache.folder} on ') and '1.02e-05 GB do not fit into 3.082e-05 GB beside what is' in note
    assert not cache.copy(shards[4], SIZE) and not cache.take_notes(), 'said once'
    assert not list(cache.folder.glob('*.part'))
    files[0].close()
    assert cache.copy(shards[4], SIZE) and copies(cache) == ['1.tar.copy', '3.tar.copy', '4.tar.copy']
    for file in files[1:]:
        file.close()


def test_a_reader_lets_go_of_copies_that_it_has_not_used_for_a_while(shards, tmp_path, monkeypatch):
    index = TarShards(shards, pipeline=PIPELINE).index
    cache = ShardCache(tmp_path / 'cache', 10 * SIZE)
    for shard in shards:
        cache.copy(shard, SIZE)
    reader, now = ShardReader(index, 10, cache), [0.0]
    monkeypatch.setattr('sapiens.datasets.shard_reader.time.monotonic', lambda: now[0])
    for shard in range(4):
        reader.read(shard, 0)
        now[0] += 25
    assert list(reader._files) == [1, 2, 3]
    monkeypatch.setattr('sapiens.datasets.shard_reader._OPEN_FILES', 2)
    reader.read(2, 1)
    assert list(reader._files) == [3, 2]


def test_one_process_copies_and_the_rest_of_a_killed_one_is_taken_over(shards, cache):
    part = cache._copy_path(shards[0], SIZE).with_suffix('.part')
    with open(part, 'wb') as file:
        file.write(b'x' * (3 * SIZE))
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not cache.copy(shards[0], SIZE), 'another process copies'
        assert not cache.copy(shards[1], SIZE), 'what is being copied counts'
    assert cache.copy(shards[1], SIZE) and not part.exists(), 'the part of a process that has ended makes room'
    part.write_bytes(b'x' * 5)
    assert cache.copy(shards[0], SIZE) and not part.exists()
    with cache.open(shards[0], SIZE) as file:
        assert file.read() == Path(shards[0].removeprefix('remote://')).read_bytes()


def test_room_is_counted_by_one_process_at_a_time(shards, cache):
    with cache._all_locked():
        other = threading.Thread(target=cache.copy, args=(shards[0], SIZE))
        other.start()
        other.join(0.2)
        assert other.is_alive() and not copies(cache)
    other.join()
    assert copies(cache) == ['0.tar.copy']


def copy_all(cache, shards, made, start):
    start.wait()
    for _ in range(5):
        for shard in shards:
            made.put(cache.copy(shard, SIZE))


def test_processes_share_the_cache_and_its_limit(shards, cache):
    context = multiprocessing.get_context('fork')
    made, start = context.SimpleQueue(), context.Event()
    workers = [context.Process(target=copy_all, args=(cache, shards[i:] + shards[:i], made, start)) for i in range(4)]
    for worker in workers:
        worker.start()
    start.set()
    largest, results = 0, []
    while any(worker.is_alive() for worker in workers) or not made.empty():
        while not made.empty():
            results.append(made.get())
        with cache._all_locked():
            total = 0
            for path in cache.folder.glob('*.[cp]*'):
                with contextlib.suppress(FileNotFoundError):
                    total += path.stat().st_size
            largest = max(largest, total)
    assert [worker.exitcode for worker in workers] == 4 * [0] and len(results) == 4 * 5 * 6
    assert SIZE < largest <= cache.limit
    assert len(copies(cache)) == 3 and not list(cache.folder.glob('*.part'))


def test_a_full_disk_leaves_the_reads_where_the_shards_are(shards, tmp_path, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            raise OSError(errno.ENOSPC, 'No space left on device')

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    def open_full(path, mode='r', **kwargs):
        return Full(open(path, mode, **kwargs)) if mode == 'r+b' else open(path, mode, **kwargs)

    monkeypatch.setattr(module, 'open', open_full, raising=False)
    data = TarShards(shards, cache_dir=tmp_path / 'cache', cache_gb=1, pipeline=PIPELINE)
    notes = []
    for i in range(12):
        sample = data[Draw(i, i)]
        assert sample['bad'] == []
        notes += sample.get('notes', [])
    wait_for(lambda: data.cache._notes or notes)
    notes += data[Draw(0, 0)].get('notes', [])
    (note,) = notes
    assert 'takes no more copies of shards (No space left on device): they are read where they are' in note
    assert not list(data.cache.folder.glob('*.[cp]*'))
    monkeypatch.undo()
    data[Draw(0, 0)]
    assert data.cache._orders.empty() and not copies(data.cache), 'none are ordered for a while'
    data.cache._paused = 0.0
    data[Draw(0, 0)]
    wait_for(lambda: copies(data.cache) == ['0.tar.copy'])


def test_a_folder_that_is_removed_is_made_again(shards, tmp_path):
    data = TarShards(shards, cache_dir=tmp_path / 'cache', cache_gb=1, pipeline=PIPELINE)
    data[Draw(0, 0)]
    wait_for(lambda: copies(data.cache) == ['0.tar.copy'])
    shutil.rmtree(tmp_path / 'cache')
    assert data[Draw(0, 0)]['bad'] == [] and data[Draw(2, 0)]['bad'] == []
    wait_for(lambda: '1.tar.copy' in copies(data.cache))


def test_a_folder_that_cannot_be_written_leaves_the_reads_where_the_shards_are(shards, tmp_path):
    data = TarShards(shards, cache_dir=tmp_path / 'cache', cache_gb=1, pipeline=PIPELINE)
    shutil.rmtree(tmp_path / 'cache')
    (tmp_path / 'cache').write_text('a file')
    notes = data[Draw(0, 0)].get('notes', [])
    wait_for(lambda: data.cache._notes or notes)
    (note,) = notes + data[Draw(2, 0)].get('notes', [])
    assert 'takes no more copies of shards (File exists): they are read where they are' in note
    data.cache._paused = 0.0
    assert 'notes' not in data[Draw(4, 0)]
    wait_for(lambda: data.cache._paused > 0)
    assert data.cache.take_notes() == [], 'one note in ten minutes'
    (tmp_path / 'cache').unlink()
    data.cache._paused = 0.0
    data[Draw(0, 0)]
    wait_for(lambda: copies(data.cache) == ['0.tar.copy'])


def test_a_damaged_copy_is_replaced(shards, tmp_path):
    data = TarShards(shards, cache_dir=tmp_path / 'cache', cache_gb=1, pipeline=PIPELINE)
    data.cache.copy(shards[0], SIZE)
    path = data.cache._copy_path(shards[0], SIZE)
    path.write_bytes(bytes(SIZE))  # as after a power cut
    assert data[Draw(0, 0)]['bad'] == [] and len(Remote.reads) == 1
    data[Draw(1, 1)]
    wait_for(path.exists)
    assert path.read_bytes()[:4] == b'a.jp'


def test_a_shard_that_does_not_answer_holds_up_nobody(shards, cache, monkeypatch):
    answer = threading.Event()
    real = module.read_range
    monkeypatch.setattr(module, 'read_range', lambda *args: (answer.wait(), real(*args))[1])
    for i in (0, 0, 1):
        assert cache.open(shards[i], SIZE) is None
    assert not copies(cache)
    answer.set()
    wait_for(lambda: copies(cache) == ['0.tar.copy', '1.tar.copy'])


def test_a_short_shard_is_not_copied(shards, cache, tmp_path):
    (tmp_path / '0.tar').write_bytes(bytes(SIZE - 1))
    with pytest.raises(EOFError, match=f'ends after {SIZE - 1} of {SIZE} bytes'):
        cache.copy(shards[0], SIZE)
    assert not list(cache.folder.glob('*.[cp]*'))


def test_a_shard_that_cannot_be_copied_is_left_alone_for_a_while(shards, cache, tmp_path, monkeypatch):
    whole = (tmp_path / '0.tar').read_bytes()
    (tmp_path / '0.tar').write_bytes(whole[:-1])
    tried, real = [], module.read_range
    monkeypatch.setattr(module, 'read_range', lambda *args: (tried.append(args[0]), real(*args))[1])
    for _ in range(3):
        assert cache.open(shards[0], SIZE) is None
        wait_for(lambda: not cache._ordered)
    assert cache.open(shards[1], SIZE) is None
    wait_for(lambda: copies(cache) == ['1.tar.copy'])
    assert tried == [shards[0]] * 2 + [shards[1]], 'up to its end, and once'
    (tmp_path / '0.tar').write_bytes(whole)
    later = time.monotonic() + module._RETRY + 1
    monkeypatch.setattr(module.time, 'monotonic', lambda: later)
    cache.open(shards[0], SIZE)
    monkeypatch.undo()
    wait_for(lambda: copies(cache) == ['0.tar.copy', '1.tar.copy'])
