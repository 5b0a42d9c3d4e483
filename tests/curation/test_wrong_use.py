"""What users do wrong with ``sapiens curate``, and files that change: one sentence, and nothing is lost."""

import itertools
import json
import os
import tarfile

import pyarrow.parquet as pq
import pytest

from sapiens.curation import run, scoring, shards
from tests.integration import status_of

from .images import encoded, textured

CONFIG = """
filters = dict(size=dict(type='MinSize', side=50), duplicates=dict(type='Duplicates', distance=2))
unit_size = 2
"""


@pytest.fixture
def curate(tmp_path, capsys, monkeypatch):
    """Run the command on the folder ``photos`` of four images; returns its status, output and errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'photos').mkdir()
    for number in range(4):
        (tmp_path / f'photos/{number}.jpg').write_bytes(encoded(textured(number, 160, 120)))
    (tmp_path / 'c.py').write_text(CONFIG)

    def call(*arguments):
        options = ['--config', 'c.py', '--workers', '0', '--examples', '0']
        return (status_of('curate', *arguments, *options), *capsys.readouterr())

    return call


def test_inputs_and_results_in_one_folder_are_refused(curate, tmp_path):
    for sources, out, message in (
        (['photos'], 'photos', '--out photos is in a folder of inputs: choose a folder outside of it'),
        (['photos'], 'photos/out', '--out photos/out is in a folder of inputs'),
        (['ph*/[01].jpg'], 'photos', '--out photos holds the input'),
        (['photos'], 'c.py', '--out c.py is a file'),
        (['x-{0..2}.tar'], 'out', 'no shard '),
    ):
        code, _, errors = curate(*sources, '--out', out)
        assert code == 2 and message in errors and errors.count('\n') == 1
    assert sorted(os.listdir(tmp_path / 'photos')) == [f'{number}.jpg' for number in range(4)]


def test_tables_that_are_not_of_the_folder_are_refused(curate, tmp_path):
    """The table and the shards of the folder stay."""
    assert curate('photos', '--out', 'out')[0] == 0
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/9.jpg').write_bytes(encoded(textured(9, 160, 120)))
    assert curate('other', '--out', 'second')[0] == 0
    table = tmp_path / 'out/table.parquet'
    whole = table.read_bytes()
    pq.write_table(pq.read_table(table), 'again.parquet')
    pq.write_table(pq.read_table(table, columns=['size_side', 'duplicates_hash', 'duplicates_content', 'unit',
                                                 'duplicates_of', 'duplicates_distance']), 'few.parquet')  # fmt: skip
    damaged = bytearray(whole)
    damaged[40:400] = bytes(360)
    (tmp_path / 'damaged.parquet').write_bytes(damaged)
    (tmp_path / 'cut.parquet').write_bytes(whole[:999])
    for name, message in (
        ('second/table.parquet', 'is of other inputs than those of --out'),
        ('again.parquet', 'its row groups are not the units'),
        ('few.parquet', "has no column 'key': it is not a table of sapiens curate"),
        ('damaged.parquet', 'damaged.parquet is damaged: '),
        ('cut.parquet', 'cut.parquet cannot be read: '),
    ):
        code, _, errors = curate('--out', 'out', '--from-table', name)
        assert code == 2 and message in errors and errors.count('\n') == 1, name
        assert table.read_bytes() == whole
    # That of the folder, and any in a folder without inputs of its own.
    assert curate('--out', 'out', '--from-table', 'out/table.parquet')[0] == 0
    assert curate('--out', 'third', '--from-table', 'second/table.parquet')[0] == 0


def test_a_file_that_was_changed_is_not_put_into_a_shard(curate, tmp_path):
    assert curate('photos', '--out', 'out', '--no-shards')[0] == 0
    data = (tmp_path / 'photos/1.jpg').read_bytes()
    (tmp_path / 'photos/0.jpg').write_bytes(b'another one')
    (tmp_path / 'photos/1.jpg').write_bytes(data[:-1] + b'\0')  # of the same size
    code, text, errors = curate('--out', 'out', '--from-table', 'out/table.parquet')
    assert code == 1 and '2 files could not be read again' in text and 'not all is there' in errors
    lines = (tmp_path / 'out/missing/part-000000.txt').read_text().splitlines()
    assert len(lines) == 2 and all('has changed since it was measured' in line for line in lines)
    with tarfile.open(tmp_path / 'out/shards/part-000001.tar') as tar:
        assert len(tar.getnames()) == 4


def test_names_that_are_not_utf8_are_told(curate, tmp_path):
    os.rename(tmp_path / 'photos/0.jpg', os.fsencode(tmp_path / 'photos') + b'/\xe9.jpg')
    assert curate('photos', '--out', 'out')[0] == 0
    rows = pq.read_table(tmp_path / 'out/table.parquet').to_pylist()
    assert [row['error'] for row in rows] == ['', '', '', 'its name is not UTF-8: rename the file']


def test_nothing_is_kept(curate, tmp_path):
    code, text, _ = curate('photos', '--out', 'out', '--cfg-options', 'filters.size.side=9999')
    assert code == 0 and 'nothing is kept, so there are no shards' in text


def test_inputs_of_which_none_can_be_read_end_the_run(curate, tmp_path):
    (tmp_path / 'gone.txt').write_text('photos/a.jpg\nphotos/b.jpg\nphotos/c.jpg\n')
    first = f'the first error is {tmp_path}/photos/a.jpg: FileNotFoundError: No such file or directory'
    for _ in range(2):  # of new inputs, then of known ones
        code, _, errors = curate('gone.txt', '--out', 'out')
        assert code == 2 and f'gone.txt: all 3 inputs cannot be read; {first}' in errors and errors.count('\n') == 1
    assert 'another --out: out keeps' in errors and not (tmp_path / 'out/shards').exists()
    code, _, errors = curate('--out', 'other', '--from-table', 'out/table.parquet')
    assert code == 2 and 'out/table.parquet: all 3 inputs cannot be read' in errors
    # A shard that is no tar file is one input.
    (tmp_path / 'x.tar').write_bytes(b'no shard')
    code, _, errors = curate('x.tar', '--out', 'shard')
    assert code == 2 and 'x.tar: the only input cannot be read; the first error is ' in errors
    for name in ('empty.txt', 'empty'):
        (tmp_path / 'empty.txt').write_text('')
        (tmp_path / 'empty').mkdir(exist_ok=True)
        code, _, errors = curate(name, '--out', 'none')
        assert code == 2 and f'{name}: no images or tar shards there' in errors and errors.count('\n') == 1
    # Some files are gone: rows of the table, and no more.
    (tmp_path / 'some.txt').write_text('photos/a.jpg\nphotos/0.jpg\n')
    code, text, _ = curate('some.txt', '--out', 'some')
    assert code == 0 and '1  kept' in text
    rows = pq.read_table(tmp_path / 'some/table.parquet').to_pylist()
    assert [row['reason'] for row in rows] == ['unreadable', ''] and 'FileNotFoundError' in rows[0]['error']


def test_members_of_one_name_in_a_shard_are_two_images(curate, tmp_path):
    with tarfile.open(tmp_path / 'x.tar', 'w') as tar:
        for name, number in (('a/x.jpg', 0), ('b.jpg', 1), ('../x.jpg', 2), ('a/x.jpg', 3)):
            tar.add(tmp_path / f'photos/{number}.jpg', name)
    assert curate('x.tar', '--out', 'out')[0] == 0
    with tarfile.open(tmp_path / 'out/shards/part-000000.tar') as tar:
        contents = [tar.extractfile(f'part-000000-{number:06d}.jpg').read() for number in range(4)]
        facts = json.load(tar.extractfile('part-000000-000003.json'))
    assert contents == [(tmp_path / f'photos/{number}.jpg').read_bytes() for number in range(4)]
    assert facts['path'] == f'{tmp_path}/x.tar/a/x.jpg'


def test_a_run_that_is_interrupted_goes_on(curate, tmp_path, monkeypatch):
    """At any of its steps: while files are measured, while shards are written, while the table is."""
    assert curate('photos', '--out', 'whole')[0] == 0

    def interrupt(patch, place, name, at):
        """Interrupt the run in the call of a number of a function."""
        function, calls = getattr(place, name), itertools.count()

        def stopped(*arguments):
            if next(calls) == at:
                raise KeyboardInterrupt
            return function(*arguments)

        patch.setattr(place, name, stopped)

    for place, name, at in (
        (scoring.ScoreWorker, 'describe', 3),
        (run, 'add_verdicts', 1),
        (shards, '_add', 5),
        (run, 'write_index', 0),
    ):
        with monkeypatch.context() as patch:
            interrupt(patch, place, name, at)
            code, _, errors = curate('photos', '--out', 'out')
            assert (code, errors) == (130, 'interrupted\n')
    assert curate('photos', '--out', 'out')[0] == 0
    found, wanted = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}
        for folder in (tmp_path / 'out', tmp_path / 'whole')
    )
    assert found.keys() == wanted.keys()
    # The order of the metadata of an index is not fixed.
    same = [name for name in wanted if name.endswith(('.tar', '.parquet')) and not name.startswith('inputs')]
    assert len(same) == 5 and all(found[name] == wanted[name] for name in same)


@pytest.mark.parametrize(
    ('option', 'text'),
    [
        ("filters.people={'type':'People','detector':'hog'}", "detector 'hog': expected auto, whole-image"),
        ("filters.text={'type':'Text'}", 'the filter Text needs the weights of a text detector'),
    ],
)
def test_what_models_lack_is_told_before_images_are_read(curate, tmp_path, monkeypatch, option, text):
    monkeypatch.setattr('sapiens.curation.filters.text.PACKAGE', 'no_such_package')
    status, _, error = curate('photos', '--out', 'out', '--cfg-options', option)
    assert status and text in error and not (tmp_path / 'out').exists()
