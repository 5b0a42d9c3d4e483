import json
import os
import signal
import sys
import time
from types import SimpleNamespace

import pytest

from sapiens.commands import run
from sapiens.utils.first_error import describe, error_file, first_failure, read_failure, report_end
from sapiens.utils.stop_signals import STOP_SIGNALS, STOPPED


@pytest.fixture
def left(tmp_path, monkeypatch):
    """left(rank, kind, message, trace='') -> file of a process that has ended, later than those before."""
    moments = iter(range(1, 10))

    def left(rank, kind, message, trace=''):
        monkeypatch.setenv('SAPIENS_ERRORS', str(tmp_path / 'job'))
        monkeypatch.setenv('SLURM_PROCID', str(rank))
        monkeypatch.delenv('TORCHELASTIC_ERROR_FILE', raising=False)
        report_end(kind, message, trace)
        file = tmp_path / f'job_{rank}.json'
        os.utime(file, ns=(next(moments), next(moments)))
        return file

    return left


def test_stop_signals_have_statuses_of_their_own():
    assert STOPPED == {143: signal.SIGTERM, 130: signal.SIGINT, 138: signal.SIGUSR1, 140: signal.SIGUSR2}
    assert set(STOPPED.values()) == set(STOP_SIGNALS)


def test_an_error_goes_where_the_launcher_looks(tmp_path, monkeypatch, left):
    file = left(3, 'failed', 'KeyError: a', 'Traceback of it\n')
    failure = read_failure(file, 3, 1)
    assert (failure.kind, failure.message, failure.trace) == ('failed', 'KeyError: a', 'Traceback of it\n')
    assert str(failure) == 'rank 3 failed first: KeyError: a' and not failure.is_consequence
    monkeypatch.setenv('TORCHELASTIC_ERROR_FILE', str(tmp_path / 'torch.json'))
    assert error_file() == tmp_path / 'torch.json', 'of a task of Slurm that is one of torchrun too'
    report_end('stopped', 'stopped by SIGUSR2')
    assert json.loads((tmp_path / 'torch.json').read_text())['message'] == 'stopped by SIGUSR2'
    monkeypatch.delenv('TORCHELASTIC_ERROR_FILE')
    monkeypatch.delenv('SAPIENS_ERRORS')
    assert error_file() is None
    report_end('failed', 'nowhere')
    monkeypatch.setenv('TORCHELASTIC_ERROR_FILE', str(tmp_path / 'no folder/torch.json'))
    report_end('failed', 'a full disk')


def test_the_first_error_is_not_that_of_a_lost_connection(left):
    lost = read_failure(
        left(0, 'failed', 'RuntimeError: [gloo/transport/tcp/pair.cc:547] Connection closed by peer'), 0
    )
    stopped = read_failure(left(1, 'stopped', 'stopped by SIGTERM'), 1)
    own = read_failure(left(2, 'failed', 'ValueError: 3'), 2)
    later = read_failure(left(3, 'failed', 'ValueError: 4'), 3)
    assert first_failure([lost, stopped, later, own]) is own
    assert first_failure([lost, stopped]) is lost, 'the earliest, if none is more likely'
    killed, aborted = (read_failure('none', 4, -number, time.time()) for number in (signal.SIGKILL, signal.SIGABRT))
    assert first_failure([lost, aborted, killed]) is killed
    killed.hung = True
    assert first_failure([lost, killed, own]) is own, 'killed since the others had failed'
    assert first_failure([lost, stopped, killed]) is killed


@pytest.mark.parametrize('verbose', [False, True])
def test_the_launcher_prints_what_all_processes_find(tmp_path, monkeypatch, capsys, verbose):
    def fail():
        raise error

    monkeypatch.setitem(sys.modules, 'sapiens.commands.stub', SimpleNamespace(main=lambda argv: fail()))
    for name in ('stop_with_launcher', '_shorten_lines', 'signal'):
        monkeypatch.setattr(f'sapiens.commands.{name}', lambda: None)
    monkeypatch.setattr('sapiens.utils.terminal.is_verbose', lambda: verbose)
    monkeypatch.setenv('RANK', '1')
    for name in ('TORCHELASTIC_ERROR_FILE', 'SAPIENS_RUN_FILE', 'SAPIENS_ERRORS'):
        monkeypatch.delenv(name, raising=False)
    launched = dict(TORCHELASTIC_ERROR_FILE=str(tmp_path / 'error.json'))
    for variables, shown in ((dict(), True), (launched, True), (dict(launched, SAPIENS_RUN_FILE='run.json'), False)):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        error = FileNotFoundError(2, 'missing', 'images')
        with pytest.raises(SystemExit) as end:
            run('stub', [])
        assert end.value.code == 2 and ('error: ' in capsys.readouterr().err) == shown
        error = RuntimeError('[gloo/pair.cc:547] Connection closed by peer')
        with pytest.raises(RuntimeError if shown or verbose else SystemExit):
            run('stub', [])
        lost = 'rank 1 lost its connection: RuntimeError: [gloo/pair.cc:547] Connection closed by peer\n'
        assert capsys.readouterr().err == ('' if shown or verbose else lost)
        error = KeyError('a bug')
        with pytest.raises(KeyError):
            run('stub', [])


def test_without_a_message_the_status_tells(tmp_path):
    kinds = {status: read_failure(tmp_path / 'none', 0, status).kind for status in (0, 1, 2, 143, 140, -9)}
    assert kinds == {0: 'failed', 1: 'failed', 2: 'refused', 143: 'stopped', 140: 'stopped', -9: 'failed'}
    for content in ('', '{"mess', '[]', '{}'):
        (tmp_path / 'damaged').write_text(content)
        assert read_failure(tmp_path / 'damaged', 0, -9).message == ''
    assert str(read_failure(tmp_path / 'damaged', 3)) == 'rank 3 failed first, and could not leave its message'


def test_a_full_disk_is_explained():
    assert describe(OSError(28, 'No space left')) == (
        'OSError: [Errno 28] No space left. The disk (or the quota) is full: free some space'
    )
    assert describe(OSError(5, 'I/O')) == 'OSError: [Errno 5] I/O'
