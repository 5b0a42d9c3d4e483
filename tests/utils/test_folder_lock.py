import json
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

from sapiens.utils import folder_lock
from sapiens.utils.folder_lock import FolderLock


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(FolderLock, 'heartbeat', 0.05)
    monkeypatch.setattr(FolderLock, 'silence', 0.5)


@pytest.fixture
def lines():
    return []


@pytest.fixture
def lock(tmp_path, lines):
    return lambda: FolderLock(tmp_path, 'choose another folder', lines.append)


HOLD = """
import sys, time
from sapiens.utils.folder_lock import FolderLock
FolderLock.heartbeat = 0.05
FolderLock(sys.argv[1], '').acquire()
print('held', flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, '-c', HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()
    process.wait()


def foreign(tmp_path, **changes):
    """Rewrite the lock as that of another machine."""
    owner = json.loads((tmp_path / '.lock').read_text())
    (tmp_path / '.lock').write_text(json.dumps(dict(owner, machine='elsewhere', host='node7', **changes)))


def test_one_at_a_time(tmp_path, lock):
    with lock():
        with pytest.raises(ValueError, match=rf'process {os.getpid()} on .* since .*: choose another folder'):
            lock().acquire()
        assert sorted(os.listdir(tmp_path)) == ['.lock']
    assert not os.listdir(tmp_path)
    with pytest.raises(ArithmeticError), lock():
        raise ArithmeticError
    lock().acquire()


def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path, lock, lines, other):
    with pytest.raises(ValueError, match=f'process {other.pid} on .* is in use|is in use by process {other.pid}'):
        lock().acquire()
    other.kill()  # not waited for: a zombie has ended too
    time.sleep(0.1)
    lock().acquire()
    assert len(lines) == 1 and f'process {other.pid}' in lines[0] and 'taken over' in lines[0]


def test_a_number_that_another_process_has_now_is_not_the_owner(tmp_path, lock):
    lock().acquire()
    owner = json.loads((tmp_path / '.lock').read_text())
    (tmp_path / '.lock').write_text(json.dumps(dict(owner, started=owner['started'] - 100, token='old')))
    lock().acquire()


def test_an_owner_is_known_by_its_heartbeat_after_the_clock_was_set(tmp_path, lock, lines, other):
    owner = json.loads((tmp_path / '.lock').read_text())
    (tmp_path / '.lock').write_text(json.dumps(dict(owner, started=owner['started'] - 1)))
    with pytest.raises(ValueError, match=f'in use by process {other.pid}'):
        lock().acquire()
    other.kill()
    other.wait()
    lock().acquire()


def test_an_owner_on_another_machine_is_known_by_its_heartbeat(tmp_path, lock, lines, other):
    foreign(tmp_path)  # the other process goes on touching it
    with pytest.raises(ValueError, match=f'in use by process {other.pid} on node7'):
        lock().acquire()
    assert 'waiting' in lines[0]
    other.kill()
    other.wait()
    lines.clear()
    lock().acquire()
    assert ['waiting' in lines[0], 'taken over' in lines[-1]] == [True, True]


@pytest.mark.parametrize('content', ['', 'null', '{"pid": "x"', '{"machine": 5}'])
def test_a_damaged_lock_is_taken_over_when_it_is_still(tmp_path, lock, content):
    (tmp_path / '.lock').write_text(content)
    start = time.monotonic()
    lock().acquire()
    assert time.monotonic() - start > 0.3
    os.utime(tmp_path / '.lock')


def test_an_old_lock_of_another_machine_needs_no_waiting(tmp_path, lock, lines):
    with lock():
        content = (tmp_path / '.lock').read_text()
    (tmp_path / '.lock').write_text(content)  # nobody touches it
    foreign(tmp_path)
    os.utime(tmp_path / '.lock', (1, 1))
    lock().acquire()
    assert len(lines) == 1


def test_the_lock_of_a_copied_folder_is_taken_over_when_it_is_still(tmp_path, lock):
    with lock():
        shutil.copytree(tmp_path, tmp_path / 'copy')
        with FolderLock(tmp_path / 'copy', ''):
            pass


def test_a_late_process_leaves_the_lock_of_the_one_that_took_over(tmp_path, lock):
    (tmp_path / '.lock').write_text(
        json.dumps(dict(machine=folder_lock._machine(), folder=str(tmp_path), pid=2**22 + 1))
    )
    late = lock()
    old = late._read()
    with lock() as first:
        late._remove(*old)
        assert late._read()[0]['token'] == first.token


def test_of_several_processes_that_take_over_one_succeeds(tmp_path, lock):
    owner = dict(machine=folder_lock._machine(), folder=str(tmp_path), pid=2**22 + 1, started=0)
    for _ in range(10):
        (tmp_path / '.lock').write_text(json.dumps(owner))
        held, refused = [], []

        def take(held=held, refused=refused):
            one = lock()
            try:
                one.acquire()
                held.append(one)
            except ValueError as error:
                refused.append(error)

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) == 1 and len(refused) == 7
        held[0].release()
        assert not os.listdir(tmp_path)


def test_a_process_notices_that_its_lock_is_gone(tmp_path, lock):
    first = lock()
    first.acquire()
    (tmp_path / '.lock').unlink()
    wait_for(lambda: (tmp_path / '.lock').exists())  # made again
    first.check()
    (tmp_path / '.lock').unlink()
    second = lock()
    second._create()
    wait_for(lambda: first.is_lost)
    with pytest.raises(RuntimeError, match='taken over by another process'):
        first.check()
    first.release()
    assert (tmp_path / '.lock').exists()  # that of the second


def wait_for(condition):
    for _ in range(200):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError


def test_a_new_folder_that_stays_empty_is_removed(tmp_path):
    with FolderLock(tmp_path / 'a' / 'b', ''):
        assert (tmp_path / 'a' / 'b' / '.lock').exists()
    assert not list(tmp_path.iterdir())
    with FolderLock(tmp_path / 'a' / 'b', ''):
        (tmp_path / 'a' / 'x').write_text('')
    assert [path.name for path in (tmp_path / 'a').iterdir()] == ['x']
    with FolderLock(tmp_path / 'a' / 'b', ''):
        (tmp_path / 'a' / 'b' / 'result').write_text('')
    (tmp_path / 'empty').mkdir()
    with FolderLock(tmp_path / 'empty', ''):
        pass
    assert (tmp_path / 'a' / 'b' / 'result').exists() and (tmp_path / 'empty').exists()
