import os

import pytest

from sapiens.utils import files
from sapiens.utils.files import atomic_path, temporary_path, write_atomically


def test_complete_file_replaces_the_old_one(tmp_path):
    path = tmp_path / 'new' / 'x.json'
    write_atomically(path, 'old')
    with atomic_path(path) as temporary:
        assert temporary == path.parent / '.x.json.tmp' == temporary_path(path)
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


def test_suffix_is_kept_for_libraries_that_choose_the_format_by_it(tmp_path):
    with atomic_path(tmp_path / 'x.mp4', keep_suffix=True) as temporary:
        assert temporary.name == '.x.tmp.mp4'
        temporary.touch()
    assert os.listdir(tmp_path) == ['x.mp4']


def test_sync_flushes_the_file_before_and_the_folder_after_the_rename(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(files, 'sync_path', lambda path: calls.append((path.name, os.listdir(tmp_path))))
    with atomic_path(tmp_path / 'x', sync=True) as temporary:
        temporary.touch()
    assert calls == [('.x.tmp', ['.x.tmp']), (tmp_path.name, ['x'])]
