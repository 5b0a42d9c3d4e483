"""Runs of a study as jobs of submitit: its debug and local executors, and Slurm (fake_slurm.py)."""

import os
import sys
import time
from pathlib import Path

import pytest

from sapiens.studies.cluster import Task, minutes_of, submit_plan
from sapiens.studies.results import collect
from sapiens.studies.runner import RunState, state_of
from sapiens.studies.state import read_record

from .toy import CHAIN, PROGRAM, plan_of

submitit = pytest.importorskip('submitit')
FAKE = Path(__file__).parents[1] / 'integration/fake_slurm.py'
SLURM = dict(time=60, nodes=1, ntasks_per_node=1, cpus_per_task=1, stderr_to_stdout=True, signal_delay_s=1)


def submit(plan, folder, executor, parallel=2, **options):
    lines = []
    jobs = submit_plan(plan, executor, parallel, SLURM, 1, 1, folder / 'runs', PROGRAM, report=lines.append, **options)
    return jobs, lines


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A fake Slurm on the PATH; its folder."""
    bin, state = tmp_path / 'bin', tmp_path / 'state'
    bin.mkdir(), state.mkdir()
    for name in ('sbatch', 'srun', 'scontrol'):
        (bin / name).write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} {name} "$@"\n')
        (bin / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{bin}:{os.environ["PATH"]}')
    monkeypatch.setenv('FAKE_SLURM', str(state))
    monkeypatch.setenv('PYTHONPATH', str(FAKE.parents[2]))
    return state


def statuses(slurm, count):
    end = time.monotonic() + 300  # a busy machine
    while len(list(slurm.glob('*.status'))) < count:
        assert time.monotonic() < end, [path.read_text() for path in slurm.parent.rglob('*.out')]
        time.sleep(0.05)
    return {path.stem: path.read_text() for path in slurm.glob('*.status')}


def test_debug_executor_runs_the_levels_of_the_chain(tmp_path):
    plan = plan_of(tmp_path, CHAIN)
    jobs, lines = submit(plan, tmp_path, 'debug')
    assert len(jobs) == 7 and {state_of(run).name for run in plan.runs} == {'done'}
    assert lines[0] == 'decay-1.0/pretrain-seed0: done' and lines[-1] == 'decay-0.5/test-seed0: done'
    assert len(collect(plan).values) == 6
    assert submit(plan, tmp_path, 'debug') == ([], [])


def test_local_executor(tmp_path):
    plan = plan_of(tmp_path, only='decay-1.0')
    _, lines = submit(plan, tmp_path, 'local')
    assert lines == ['decay-1.0/train-seed0: done', 'decay-1.0/train-seed1: done']


def test_a_job_that_is_lost_does_not_end_the_others(tmp_path, monkeypatch):
    class Lost:
        def result(self):
            raise submitit.core.utils.UncompletedJobError('Job 3 was killed\n')

    monkeypatch.setattr(submitit.LocalExecutor, 'submit', lambda self, task: Lost())
    jobs, lines = submit(plan_of(tmp_path, only='decay-1.0'), tmp_path, 'local', 1)
    assert lines == [f'decay-1.0/train-seed{seed}: its job has failed (Job 3 was killed)' for seed in (0, 1)]
    assert len(jobs) == 2


def test_a_task_whose_run_ended_before_its_claim_does_nothing(tmp_path, monkeypatch):
    plan = plan_of(tmp_path, only='decay-1.0')
    submit(plan, tmp_path, 'debug')
    monkeypatch.setattr('sapiens.studies.cluster.state_of', lambda run: RunState('ready'))
    task = Task(plan.study.file, [0, 1], tmp_path / 'runs', plan.runs[0].hash, 1, 1, PROGRAM)
    assert task() == 'done' and state_of(plan.runs[0]).name == 'done'
    assert len((plan.runs[0].folder / 'starts.txt').read_text().splitlines()) == 1


def test_an_array_of_slurm_that_reaches_its_time_limit_goes_on(tmp_path, slurm, monkeypatch):
    monkeypatch.setenv('STUB_SECONDS', '0.3')
    monkeypatch.setenv('STUB_STEPS', '4')
    limit = tmp_path / 'limit'
    monkeypatch.setenv('FAKE_LIMIT', str(limit))
    plan = plan_of(tmp_path, only='decay-0.5')
    jobs, lines = submit(plan, tmp_path, 'slurm')
    assert [job.job_id for job in jobs] == ['100_0', '100_1']
    assert '--array=0-1%2' in (slurm / '100.sh').read_text() and '100: 2 runs' in lines[0]
    end = time.monotonic() + 300  # a busy machine
    while not all((run.folder / 'last_checkpoint').exists() for run in plan.runs):
        assert time.monotonic() < end
        time.sleep(0.02)
    limit.touch()
    found = statuses(slurm, 2)
    assert {text.split()[0] for text in found.values()} == {'0'}
    assert {state_of(run).name for run in plan.runs} == {'done'}
    requeued = [name for name, text in found.items() if text.split()[1] == '1']
    attempts = [read_record(run.folder).attempts for run in plan.runs]
    assert requeued and sorted(map(len, attempts)).count(2) == len(requeued)


def test_levels_of_slurm_wait_for_each_other(tmp_path, slurm, monkeypatch):
    test = "    dict(name='test', command='test', after='pose'),\n"
    plan = plan_of(tmp_path, CHAIN.replace(test, '').replace('test:AP', 'pose:val_loss'), only='decay-0.5')
    submit(plan, tmp_path, 'slurm')
    assert '--dependency=afterany:100' in (slurm / '101.sh').read_text()
    statuses(slurm, 2)
    assert {state_of(run).name for run in plan.runs} == {'done'}


def test_a_task_of_another_plan_runs_nothing(tmp_path):
    plan = plan_of(tmp_path)
    task = Task(plan.study.file, [0, 1], tmp_path / 'runs', 'another', 1, 1, PROGRAM)
    assert task() == 'changed' and not list(tmp_path.rglob('starts.txt'))


def test_without_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', '')
    with pytest.raises(ValueError, match='--on slurm'):
        submit(plan_of(tmp_path), tmp_path, 'slurm')


@pytest.mark.parametrize(
    ('text', 'minutes'), [('30', 30), ('30:01', 31), ('24:00:00', 1440), ('1-2', 1560), ('7-00:30:00', 10110)]
)
def test_time_limits(text, minutes):
    assert minutes_of(text) == minutes
    with pytest.raises(ValueError, match='--time'):
        minutes_of(f'{text} h')
