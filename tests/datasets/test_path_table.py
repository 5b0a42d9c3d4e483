import pickle
import tracemalloc

import pyarrow as pa
import pytest
import torch

from sapiens.datasets.path_table import PathTable

NAMES = ['a.jpg', 'ordner/größe.jpg', '写真/人.png', b'latin-\xe9.jpg'.decode('utf-8', 'surrogateescape'), 'b']


def test_round_trip():
    table = PathTable.from_strings(NAMES)
    assert [table[i] for i in range(len(table))] == NAMES
    with pytest.raises(IndexError, match='entry 5 of a table of 5'):
        table[5]
    assert len(PathTable.from_strings([])) == 0


@pytest.mark.parametrize('kind', [pa.string(), pa.large_string()])
def test_arrow_round_trip(kind):
    chunks = [pa.array(NAMES[:2], kind), pa.array([], kind), pa.array(['skipped', *NAMES[2:3], 'x'], kind)[1:]]
    table = PathTable.from_arrow(pa.chunked_array(chunks))
    assert [table[i] for i in range(len(table))] == [*NAMES[:3], 'x']
    with pytest.raises(ValueError, match='1 of 2 entries are null'):
        PathTable.from_arrow(pa.chunked_array([pa.array(['a', None])]))


def test_memory_is_bounded_by_the_bytes():
    tracemalloc.start()
    table = PathTable.from_strings(f'folder/{i:020d}.jpg' for i in range(100_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert table[99_999] == 'folder/00000000000000099999.jpg'
    assert table.nbytes == 100_000 * (31 + 8) + 8
    assert peak < 3 * table.nbytes  # a list of strings would take 100_000 * (80 + 8) bytes


def send(table, queue):
    table.blob[:1] = ord('Z')
    queue.put(table[1])


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_workers_share_the_memory(method):
    context = torch.multiprocessing.get_context(method)
    table = PathTable.from_strings(NAMES)
    table.blob.share_memory_()  # only so that the write below can be seen; a fork shares pages until they are written
    queue = context.Queue()
    process = context.Process(target=send, args=(table, queue))
    process.start()
    assert queue.get(timeout=60) == NAMES[1]
    process.join()
    assert table[0] == 'Z.jpg'
    assert len(pickle.dumps(table)) < table.nbytes + 2000
