"""A run that is refused leaves nothing behind."""

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.logging import MMLogger

from sapiens.engine.refusal import leave_no_traces

from ..integration import status_of
from ..ranks import on_ranks

CONFIG = 'configs/mae/sapiens_tiny_folder-256x256.py'
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize('arguments', [(), ('--cfg-options', 'load_from=nowhere.pth'), ('--resume', 'nowhere.pth')])
def test_a_refused_training_leaves_no_folder(arguments, tmp_path, monkeypatch):
    """Without data the run fails when its loaders are built: log and config are written by then."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'no_data'))
    assert status_of('train', str(ROOT / CONFIG), *arguments) == 2
    assert not list(tmp_path.iterdir())
    # TensorBoard's thread would write to the folder that is gone.
    assert not [one for one in threading.enumerate() if type(one).__name__ == '_AsyncWriterThread']


def refused_start(folder):
    os.chdir(folder)
    return status_of('train', str(ROOT / CONFIG), '--launcher', 'pytorch')


def test_a_refused_training_of_several_processes_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'no_data'))
    (tmp_path / 'here').mkdir()
    assert on_ranks(2, refused_start, tmp_path, tmp_path / 'here', joined=False) == [2, 2]
    assert not list((tmp_path / 'here').iterdir())


def test_a_refused_test_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'no_data'))
    (tmp_path / 'a.pth').write_bytes(b'no weights')
    assert status_of('test', str(ROOT / CONFIG), 'a.pth', '--work-dir', 'deep/work') == 2
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


def test_files_of_others_stay(tmp_path, monkeypatch):
    """The work dir of an earlier run, with a folder that another run has made meanwhile."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'no_data'))
    work = tmp_path / 'work'
    (work / '20200101_000000').mkdir(parents=True)
    (work / 'iter_5.pth').write_text('weights')
    (work / 'mine.py').write_text('1')
    assert status_of('train', str(ROOT / CONFIG), '--work-dir', 'work') == 2
    assert sorted(path.name for path in work.iterdir()) == ['20200101_000000', 'iter_5.pth', 'mine.py']


def failing(work, is_quiet, lock=False):
    """A run that fails after its log was begun. Returns the names of the files that are left."""
    with pytest.raises(ValueError, match='no'), leave_no_traces(work) as start:
        folder = work / '20260101_000000'
        folder.mkdir(parents=True)
        MMLogger.get_instance('refusal', log_file=str(folder / 'a.log'), logger_name='refusal')
        (work / 'config.py').write_text('')
        if lock:
            (work / '.lock').write_text('{}')
        start.runner = SimpleNamespace(terminal=SimpleNamespace(is_quiet=is_quiet))
        raise ValueError('no')
    MMLogger._instance_dict.pop('refusal', None)
    return sorted(path.name for path in work.iterdir()) if work.exists() else None


def test_a_run_that_has_begun_or_another_run_keeps_its_files(tmp_path):
    assert failing(tmp_path / 'a' / 'b', is_quiet=True) is None and not (tmp_path / 'a').exists()
    assert failing(tmp_path / 'c', is_quiet=False) == ['20260101_000000', 'config.py']
    assert failing(tmp_path / 'd', is_quiet=True, lock=True) == ['.lock', '20260101_000000', 'config.py']
