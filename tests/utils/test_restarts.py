import errno
import os

from sapiens.utils import restarts
from sapiens.utils.restarts import LAST, RunFile, latest_checkpoint


def save(work_dir, name, moment):
    (work_dir / LAST).write_text(str(work_dir / name))
    os.utime(work_dir / LAST, ns=(moment, moment))


def test_a_run_is_not_started_again_after_two_failures_at_one_checkpoint(tmp_path):
    run = RunFile(tmp_path / 'run.json')
    run.work_dir = str(tmp_path)
    assert run.add_failure('first', 5) == '' and run.checkpoint_name == 'none'
    save(tmp_path, 'iter_5.pth', 1)
    again = RunFile(tmp_path / 'run.json')
    assert (
        again.add_failure('second', 5) == '' and again.first_error == 'first' and again.checkpoint_name == 'iter_5.pth'
    )
    save(tmp_path, 'iter_5.pth', 2)
    assert again.add_failure('third', 5) == '', 'written again, after a damaged one'
    reason = RunFile(tmp_path / 'run.json').add_failure('fourth', 5)
    assert reason == 'it has failed twice without a new checkpoint in between'


def test_a_run_is_started_again_so_many_times(tmp_path):
    run = RunFile(tmp_path / 'run.json')
    run.work_dir = str(tmp_path)
    for moment in (1, 2):
        save(tmp_path, f'iter_{moment}.pth', moment)
        assert run.add_failure('x', 2) == ''
    save(tmp_path, 'iter_3.pth', 3)
    assert run.add_failure('x', 2) == 'it has failed 3 times, and may be restarted 2 times'


def test_a_run_that_never_told_its_work_dir_has_no_checkpoint(tmp_path):
    run = RunFile(tmp_path / 'run.json')
    assert run.add_failure('import', 3) == ''
    assert 'twice' in run.add_failure('import', 3)


def test_a_full_disk_ends_the_run_with_its_reason(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(restarts, 'write_atomically', full)
    run = RunFile(tmp_path / 'run.json')
    reason = f'{tmp_path}/run.json cannot be written (No space left on device)'
    assert run.add_failure('first', 3) == reason and run.add_limit() == reason


def test_a_damaged_file_is_an_empty_one(tmp_path):
    (tmp_path / 'run.json').write_text('{"work_')
    assert RunFile(tmp_path / 'run.json').work_dir is None
    assert latest_checkpoint(tmp_path) is None
