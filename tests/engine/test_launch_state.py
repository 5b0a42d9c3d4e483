"""Which starts of a run continue an earlier one of the same launch."""

import json
import os

import pytest
import torch

from sapiens.engine.launch_state import resumes_by_itself

from ..ranks import on_ranks


def save(work_dir, name):
    work_dir.mkdir(exist_ok=True)
    (work_dir / 'last_checkpoint').write_text(name)


@pytest.fixture
def run_file(tmp_path, monkeypatch):
    monkeypatch.setenv('SAPIENS_RUN_FILE', str(tmp_path / 'run.json'))
    monkeypatch.setenv('LOCAL_RANK', '0')
    return tmp_path / 'run.json'


def test_a_restart_resumes_what_this_launch_has_written(tmp_path, run_file, monkeypatch):
    work_dir = tmp_path / 'run'
    save(work_dir, 'iter_100.pth')
    assert not resumes_by_itself(str(work_dir)), 'the first start'
    assert json.loads(run_file.read_text())['work_dir'] == str(work_dir)
    assert not resumes_by_itself(str(work_dir)), 'the checkpoint is that of an earlier run'
    save(work_dir, 'iter_5.pth')
    assert resumes_by_itself(str(work_dir)) and resumes_by_itself(str(work_dir))
    monkeypatch.delenv('SAPIENS_RUN_FILE')
    assert not resumes_by_itself(str(work_dir)), 'no launcher that starts it again'


def test_a_run_that_began_without_a_checkpoint(tmp_path, run_file):
    assert not resumes_by_itself(str(tmp_path))
    save(tmp_path, 'iter_5.pth')
    assert resumes_by_itself(str(tmp_path))


def two_machines(folder):
    """A restart where only the second machine was there before; then another one."""
    rank = torch.distributed.get_rank()
    os.environ.update(SAPIENS_RUN_FILE=f'{folder}/{rank}.json', LOCAL_RANK='0')
    return [resumes_by_itself(f'{folder}/run') for _ in range(2)]


def test_a_machine_that_joins_later_resumes_as_the_others_do(tmp_path):
    save(tmp_path / 'run', 'iter_5.pth')
    (tmp_path / '1.json').write_text(json.dumps(dict(work_dir='x', at_start='iter_1.pth 1')))
    assert on_ranks(2, two_machines, tmp_path, tmp_path) == [[True, True]] * 2
    assert json.loads((tmp_path / '0.json').read_text())['at_start'] == 'iter_1.pth 1'
