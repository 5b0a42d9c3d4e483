import os

import pytest

from sapiens.utils import files
from sapiens.utils.files import (
    atomic_path,
    move_into_place,
    remove_temporaries,
    temporary_path,
    write_atomically,
)


def test_complete_file_replaces_the_old_one(tmp_path):
    path = tmp_path / 'new' / 'x.json'
    write_atomically(path, 'old')
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent and temporary.name.startswith('.x.json.')
        temporary.write_text('new')
        assert path.read_text() == 'old'
    assert path.read_text() == 'new' and os.listdir(path.parent) == ['x.json']
    write_atomically(path, b'\xff')
    assert path.read_bytes() == b'\xff'


def test_error_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / 'x.json'
    path.write_text('old')
    with pytest.raises(RuntimeError, match='stop'), atomic_path(path) as temporary:
        temporary.write_text('half')
        raise RuntimeError('stop')
    assert path.read_text() == 'old' and os.listdir(tmp_path) == ['x.json']


@pytest.mark.parametrize('keep_suffix', [False, True])
def test_two_writers_of_one_file_do_not_mix(tmp_path, keep_suffix):
    path = tmp_path / 'x.txt'
    with atomic_path(path, keep_suffix=keep_suffix) as first, open(first, 'w') as one:
        one.write('first ')
        with atomic_path(path, keep_suffix=keep_suffix) as second, open(second, 'w') as two:
            two.write('second')
        assert path.read_text() == 'second'
        one.write('first')
    assert path.read_text() == 'first first' and os.listdir(tmp_path) == ['x.txt']


def test_a_name_of_the_greatest_length_can_be_written(tmp_path):
    for name in ('n' * 251 + '.txt', '\N{EM DASH}' * 83 + '.txt'):
        write_atomically(tmp_path / name, 'content')
        assert (tmp_path / name).read_text() == 'content'
        with atomic_path(tmp_path / name, keep_suffix=True) as temporary:
            temporary.touch()


def test_suffix_is_kept_for_libraries_that_choose_the_format_by_it(tmp_path):
    with atomic_path(tmp_path / 'x.mp4', keep_suffix=True) as temporary:
        assert temporary.name.startswith('.x.') and temporary.suffix == '.mp4'
        temporary.touch()
    assert os.listdir(tmp_path) == ['x.mp4']


def test_temporary_files_of_killed_processes_can_be_removed(tmp_path):
    kept = ['.x.pth', '.x.pth.tmp', 'x.pth', '.other.json.0123456789ab.tmp']
    names = [temporary_path(tmp_path / f'x{i}.pth').name for i in range(3)]
    for name in (*kept, *names):
        (tmp_path / name).touch()
    remove_temporaries(tmp_path, '*.pth')
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
    remove_temporaries(tmp_path / 'missing')


def test_sync_flushes_the_file_before_and_the_folder_after_the_rename(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(files, 'sync_path', lambda path: calls.append((path.name, os.listdir(tmp_path))))
    with atomic_path(tmp_path / 'x') as temporary:
        temporary.touch()
    assert calls == [(temporary.name, [temporary.name]), (tmp_path.name, ['x'])]
    calls.clear()
    write_atomically(tmp_path / 'x', 'text', sync=False)
    temporary.touch()
    move_into_place(temporary, tmp_path / 'y', sync=False)
    assert not calls and sorted(os.listdir(tmp_path)) == ['x', 'y']
