"""The loop over the runs of a study, with stubs as trainings: order, sharing, failures, changes, kills, several runners."""

import errno
import json
import os
import random
import shutil
import signal
import time
from dataclasses import replace

import pytest

from sapiens.studies.child import read_metrics, why_outdated
from sapiens.studies.cost import cost_of_plan
from sapiens.studies.load import load_study
from sapiens.studies.plan import plan_study
from sapiens.studies.results import collect
from sapiens.studies.runner import Stopped, run_plan, state_of
from sapiens.studies.state import Record, claim, read_record
from sapiens.studies.table import as_json

from .toy import CHAIN, PROGRAM, RATE, STUDY, places, plan_of, write_study


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr('sapiens.studies.runner.INTERVAL', 0.02)
    monkeypatch.setattr('sapiens.studies.runner.ELSEWHERE', 0.05)


def execute(plan, slots=2, **options):
    """Run a plan; returns the reported lines."""
    lines = []
    run_plan(plan, places(slots), PROGRAM, report=lines.append, **options)
    return lines


def starts(plan):
    """{run: number of its starts}."""
    return {run.name: len((run.folder / 'starts.txt').read_text().splitlines()) for run in plan.runs}


def values(plan):
    return dict(collect(plan).values)


class Runner:
    """A process that works on a plan: a fork of this one, which has imported everything."""

    def __init__(self, plan, folder, slots=1, **variables):
        self.log = folder / f'runner-{len(list(folder.glob("runner-*")))}.txt'
        self.log.touch()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.setsid()
                os.environ.update(variables)
                with open(self.log, 'a') as log:
                    os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
                status = self.work(plan, slots)
            finally:
                os._exit(status)

    def work(self, plan, slots):
        try:
            run_plan(plan, places(slots), PROGRAM, report=lambda text: os.write(1, f'{text}\n'.encode()))
        except Stopped as stop:
            return 128 + stop.number
        return 0

    def send(self, number):
        os.kill(self.pid, number)

    def wait(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_study_runs_once(tmp_path):
    plan = plan_of(tmp_path)
    lines = execute(plan)
    assert [line for line in lines if 'starts' in line] == [f'{run.name}: starts' for run in plan.runs]
    assert {state_of(run).name for run in plan.runs} == {'done'}
    record = read_record(plan.runs[1].folder)
    assert record.metrics['coco/AP'] == values(plan)['AP', 'decay-0.5', 0] and record.checkpoint == 'iter_3.pth'
    assert (record.step_seconds, record.stage, record.seed, record.options[RATE]) == (0.25, 'train', 0, 0.5)
    assert len(record.commit) == 40 and record.attempts[0].status == 0 and record.seconds > 0
    assert (plan.runs[0].folder / 'starts.txt').read_text().split()[1] == '1'  # threads
    again = plan_of(tmp_path)
    assert execute(again) == [] and set(starts(again).values()) == {1}


def test_stages_follow_each_other_and_shared_ones_run_once(tmp_path):
    plan = plan_of(tmp_path, CHAIN)
    execute(plan)
    assert set(starts(plan).values()) == {1} and len(starts(plan)) == 7
    found = values(plan)
    assert found['test:AP', 'decay-0.5', 0] == found['pose:AP', 'decay-0.5', 0] / 2
    pose = read_record(tmp_path / 'runs/toy/decay-0.5/pose-seed0')
    assert f'load_from={tmp_path}/runs/toy/decay-1.0/pretrain-seed0/iter_3.pth' in pose.program
    assert not any('load_from=/' in word for word in read_record(tmp_path / 'runs/toy/scratch/pose-seed0').program)
    # The shared run is found where it lies when another variant comes first.
    moved = CHAIN.replace('variants = [', "variants = [dict(name='new', options={'pose:train_cfg.max_iters': 7}),")
    plan = plan_of(tmp_path, moved)
    assert [line for line in execute(plan) if 'start' in line] == ['new/pose-seed0: starts', 'new/test-seed0: starts']


def test_what_another_study_has_done_is_taken_over(tmp_path):
    first = plan_of(tmp_path, CHAIN)
    execute(first)
    other = CHAIN.replace("decay-0.5', options={'pose:", "steps', options={'pose:train_cfg.max_iters': 7, 'pose:")
    plan = plan_study(load_study(write_study(tmp_path, other, 'other'), [0]), tmp_path / 'runs')
    costs = cost_of_plan(plan, tmp_path / 'costs', places(), try_steps=False)
    lines = execute(plan)
    own = [run for run in plan.runs if run.folder.parent.name == 'steps']
    assert [line for line in lines if 'starts' in line] == [f'{run.name}: starts' for run in own] and len(own) == 2
    shared = [run for run in plan.runs if run not in own]
    assert len(shared) == 5
    for run in shared:
        source = first.folder / run.name
        assert f'{run.name}: taken over from {source}' in lines and costs[run.hash].source == 'shared'
        record = read_record(run.folder)
        assert record == replace(read_record(source), study='other', variants=run.variants, origin=str(source))
        assert state_of(run).name == 'done'
    # The two folders do not depend on each other.
    shutil.rmtree(first.folder)
    assert {state_of(run).name for run in plan.runs} == {'done'}
    changed = other.replace("max_iters': 7", "max_iters': 8")
    plan = plan_study(load_study(write_study(tmp_path, changed, 'other'), [0]), tmp_path / 'runs')
    assert len([line for line in execute(plan) if 'starts' in line]) == 2
    assert (
        'load_from=' + str(plan.folder / 'decay-1.0/pretrain-seed0/iter_3.pth') in read_record(own[0].folder).program
    )


def test_a_result_whose_checkpoint_is_gone_is_not_taken_over(tmp_path):
    first = plan_of(tmp_path, CHAIN)
    execute(first)
    for run in first.runs:
        for path in run.folder.glob('*.pth'):
            path.unlink()
    plan = plan_study(load_study(write_study(tmp_path, CHAIN, 'other'), [0]), tmp_path / 'runs')
    lines = execute(plan)
    assert [line for line in lines if 'taken over' in line and 'test' not in line] == []
    assert {state_of(run).name for run in plan.runs} == {'done'}


def test_a_result_that_disappears_while_it_is_taken_over_is_computed(tmp_path, monkeypatch):
    first = plan_of(tmp_path)
    execute(first)
    plan = plan_study(load_study(write_study(tmp_path, STUDY, 'other'), [0]), tmp_path / 'runs')

    def link(source, target):
        shutil.copy2(source, target)
        (first.runs[0].folder / 'run.json').unlink(missing_ok=True)  # set aside by another process
        if 'decay-0.5' in source:
            shutil.rmtree(first.runs[1].folder)

    monkeypatch.setattr('sapiens.studies.share._link', link)
    lines = execute(plan)
    assert [line for line in lines if 'start' in line] == [f'{run.name}: starts' for run in plan.runs]
    assert {state_of(run).name for run in plan.runs} == {'done'} and not read_record(plan.runs[0].folder).origin
    assert set(starts(plan).values()) == {1}


def test_what_is_taken_over_replaces_an_interrupted_run(tmp_path):
    execute(plan_of(tmp_path, only='decay-1.0'))
    plan = plan_study(load_study(write_study(tmp_path, STUDY, 'other'), [0]), tmp_path / 'runs', only='decay-1.0')
    execute(plan)
    folder = plan.runs[0].folder
    replace(read_record(folder), state='interrupted', origin='').write(folder)
    (folder / 'iter_2000.pth').touch()
    assert 'taken over' in execute(plan)[0] and not (folder / 'iter_2000.pth').exists()
    assert len(list(plan.folder.glob('decay-1.0/outdated/*/iter_2000.pth'))) == 1


@pytest.mark.parametrize('damage', ['', 'null', {'metrics': {'AP': 'x'}}, {'seconds': None}, {'attempts': []}])
def test_a_folder_whose_record_is_damaged_is_not_resumed(tmp_path, damage):
    plan = plan_of(tmp_path, only='decay-1.0')
    run = plan.runs[0]
    execute(plan)
    if isinstance(damage, dict):
        damage = json.dumps(json.loads((run.folder / 'run.json').read_text()) | damage)
    (run.folder / 'run.json').write_text(damage)
    assert (state_of(run).name, state_of(run).why) == ('changed', 'its run.json is missing or damaged')
    as_json(collect(plan))
    (run.folder / 'last_checkpoint').unlink()  # or the stub would find the step of the old checkpoint
    assert execute(plan)[0] == f'{run.name}: starts (its run.json is missing or damaged)'
    assert starts(plan)[run.name] == 1 and state_of(run).name == 'done'
    assert len(list(plan.folder.glob('decay-1.0/outdated/train-seed0-unknown/iter_3.pth'))) == 1


def test_a_damaged_content_file_and_damaged_numbers_of_a_test_are_told(tmp_path):
    plan = plan_of(tmp_path, CHAIN, only='scratch')
    execute(plan)
    pose, test = plan.runs
    for text in ('[1]', '3', '['):
        (pose.folder / 'content.json').write_text(text)
        (test.folder / 'metrics.json').write_text(text)
        assert why_outdated(pose, replace(read_record(pose.folder), hash='other')) == 'its config has changed'
        assert read_metrics(test.folder, 'test')[0] == {}


def test_a_stage_whose_checkpoint_was_removed_is_named(tmp_path):
    execute(plan_of(tmp_path, CHAIN))
    changed = plan_of(
        tmp_path, CHAIN.replace("0.5', options={'pose:", "0.5', options={'pose:train_cfg.max_iters': 9, 'pose:")
    )
    before = changed.runs[0].folder
    for path in before.glob('*.pth'):
        path.unlink()
    states = {run.name: state_of(run) for run in changed.runs}
    assert states['decay-0.5/pose-seed0'].name == 'waiting' and states['decay-1.0/pose-seed0'].name == 'done'
    assert f'was removed: remove {before / "run.json"} to run that again' in states['decay-0.5/pose-seed0'].why
    assert execute(changed) == []
    (before / 'run.json').unlink()
    assert next(line for line in execute(changed) if 'starts' in line).startswith('decay-1.0/pretrain-seed0: starts')
    assert {state_of(run).name for run in changed.runs} == {'done'}


def test_a_failed_variant_is_a_result_and_the_others_go_on(tmp_path):
    text = STUDY.replace('(1.0, 0.5)', '(0.13, 0.14, 0.5)').replace("['decay-1.0.AP > decay-0.5.AP']", '[]')
    plan = plan_of(tmp_path, text)
    execute(plan)
    found = {run.name: (state_of(run).name, state_of(run).why) for run in plan.runs if run.seed == 0}
    assert found == {
        'decay-0.13/train-seed0': ('failed', 'RuntimeError: the loss is wrong'),
        'decay-0.14/train-seed0': ('failed', 'out of memory'),
        'decay-0.5/train-seed0': ('done', ''),
    }
    execute(plan)
    assert starts(plan)['decay-0.13/train-seed0'] == 1
    execute(plan, retry_failed=True)
    assert starts(plan)['decay-0.13/train-seed0'] == 2 and starts(plan)['decay-0.5/train-seed0'] == 1


def test_a_run_without_its_metrics_has_failed(tmp_path):
    text = STUDY.replace('(1.0, 0.5)', '(0.15, 0.5)').replace("['decay-1.0.AP > decay-0.5.AP']", '[]')
    lines = execute(plan_of(tmp_path, text))
    plan = plan_of(tmp_path, text)
    why = 'it has ended without val_loss: log.txt tells why'
    assert [state_of(run).name for run in plan.runs] == ['failed', 'done'] * 2
    assert sum(why in line for line in lines) == 2
    assert execute(plan) == []
    execute(plan, retry_failed=True)
    assert list(starts(plan).values()) == [2, 1, 2, 1]
    # A record that says "done" is a result only with the metrics of this study.
    run = plan.runs[1]
    record = read_record(run.folder)
    replace(record, metrics={'coco/AP': 0.5}).write(run.folder)
    assert (state_of(run).name, state_of(run).why) == ('failed', why)
    replace(record, metrics={'val_loss': 1.0}).write(run.folder)
    assert state_of(run).name == 'done', 'without data it is not known that the evaluator reports AP'


def test_what_follows_a_failed_stage_waits(tmp_path):
    plan = plan_of(tmp_path, CHAIN.replace('1.0})', '0.13})').replace('decay-1.0', 'decay-0.13'))
    execute(plan)
    states = {run.name: state_of(run) for run in plan.runs}
    assert states['decay-0.13/pose-seed0'].name == 'failed'
    assert states['decay-0.13/test-seed0'].why == 'for decay-0.13/pose-seed0'
    assert states['decay-0.5/test-seed0'].name == 'done'


def test_a_changed_study_runs_again_what_changed_and_says_why(tmp_path):
    execute(plan_of(tmp_path, CHAIN))
    changed = plan_of(
        tmp_path, CHAIN.replace("'pose:load_from': None", "'pose:load_from': None, 'pose:train_cfg.max_iters': 9")
    )
    states = {run.name: state_of(run) for run in changed.runs if state_of(run).name != 'done'}
    assert {name: state.why for name, state in states.items()} == {
        'scratch/pose-seed0': 'train_cfg.max_iters: 5000 -> 9',
        'scratch/test-seed0': 'the run before it has changed (scratch/pose-seed0)',
    }
    before = values(changed)
    lines = execute(changed)
    assert 'scratch/pose-seed0: starts (train_cfg.max_iters: 5000 -> 9)' in lines and len(lines) == 4
    after = values(changed)
    assert ('test:AP', 'scratch', 0) not in before and after.items() >= before.items()
    assert len(list((tmp_path / 'runs/toy/scratch/outdated').glob('pose-seed0-*/iter_3.pth'))) == 1


def test_two_runners_share_the_runs(tmp_path):
    text = STUDY.replace('[0, 1]', '[0, 1, 2, 3]')
    plan = plan_of(tmp_path, text)
    runners = [Runner(plan, tmp_path, STUB_SECONDS='0.05') for _ in range(2)]
    assert [one.wait() for one in runners] == [0, 0]
    outputs = [one.log.read_text() for one in runners]
    assert all(output.count(': starts') >= 1 for output in outputs), outputs
    assert set(starts(plan).values()) == {1} and {state_of(run).name for run in plan.runs} == {'done'}
    assert not list(tmp_path.rglob('twice'))


def test_a_runner_that_was_too_slow_for_a_claim_waits_for_what_follows(tmp_path, monkeypatch):
    plan, other = plan_of(tmp_path, CHAIN, only='decay-0.5'), plan_of(tmp_path, CHAIN, only='decay-1.0')
    others = []

    def first_by_another(folder, report):
        if not others:
            others.append(None)  # not again in the other process
            others[0] = Runner(other, tmp_path, STUB_SECONDS='0.05')
            wait_until(lambda: (folder / 'busy').exists(), 20)
        return claim(folder, report)

    monkeypatch.setattr('sapiens.studies.runner.claim', first_by_another)
    lines = execute(plan)
    assert others[0].wait() == 0 and [line for line in lines if 'starts' in line] == [
        'decay-0.5/pose-seed0: starts',
        'decay-0.5/test-seed0: starts',
    ]


def test_the_claim_is_released_where_the_end_cannot_be_written(tmp_path, monkeypatch):
    plan = plan_of(tmp_path, only='decay-1.0')

    def fail(record, folder):
        if record.state == 'done':
            raise OSError(errno.ENOSPC, 'No space left on device', str(folder / 'run.json'))
        write(record, folder)

    write = Record.write
    with monkeypatch.context() as patch, pytest.raises(OSError, match='No space'):
        patch.setattr(Record, 'write', fail)
        execute(plan)
    assert state_of(plan.runs[0]).name == 'interrupted'
    execute(plan)
    assert {state_of(run).name for run in plan.runs} == {'done'}


def table(plan):
    """The numbers of a table, without times and commits."""
    content = json.loads(as_json(collect(plan)))
    return content['variants'], content['checks']


def test_kills_at_random_times_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv('STUB_SECONDS', '0.03')
    undisturbed = tmp_path / 'undisturbed'
    undisturbed.mkdir()
    execute(plan_of(undisturbed, CHAIN))
    expected = table(plan_of(undisturbed, CHAIN))
    plan = plan_of(tmp_path, CHAIN)
    source = random.Random(0)
    for attempt in range(4):
        process = Runner(plan, tmp_path)
        time.sleep(source.uniform(0.1, 0.5))
        if attempt % 2:  # a child
            records = [(run.folder, read_record(run.folder)) for run in plan.runs if run.folder.exists()]
            for folder, record in records:
                if record and record.state == 'running' and (folder / 'busy').exists():
                    os.kill(int((folder / 'busy').read_text()), signal.SIGKILL)
        process.send(signal.SIGKILL)
        process.wait()
    wait_until(lambda: all(state_of(run).name != 'running' for run in plan.runs))
    execute(plan)
    assert table(plan) == expected and not list(tmp_path.rglob('twice'))


def test_a_child_that_is_killed_twice_has_failed(tmp_path, monkeypatch):
    monkeypatch.setenv('STUB_SECONDS', '30')
    plan = plan_of(tmp_path, only='decay-1.0')
    for end in ('interrupted', 'failed'):
        process = Runner(plan, tmp_path)
        pid = plan.runs[0].folder / 'busy'
        pid.unlink(missing_ok=True)
        wait_until(lambda file=pid: file.exists() and file.read_text())
        os.kill(int(pid.read_text()), signal.SIGKILL)
        wait_until(lambda state=end: read_record(plan.runs[0].folder).state == state)
        process.send(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM
    assert 'SIGKILL twice' in state_of(plan.runs[0]).why


def test_ctrl_c_stops_all_children_with_checkpoints(tmp_path, monkeypatch):
    plan = plan_of(tmp_path)
    process = Runner(plan, tmp_path, 2, STUB_SECONDS='0.3', STUB_STEPS='100')
    wait_until(lambda: sum((run.folder / 'last_checkpoint').exists() for run in plan.runs) == 2)
    process.send(signal.SIGINT)
    assert process.wait() == 130, process.log.read_text()
    records = [read_record(run.folder) for run in plan.runs[:2]]
    assert [(record.state, record.attempts[0].status) for record in records] == [('interrupted', 143)] * 2
    assert state_of(plan.runs[0]).why == 'ended by SIGTERM' and not (plan.runs[2].folder / 'run.json').exists()
    done = int(json.loads((plan.runs[0].folder / records[0].checkpoint).read_text())['step'])
    monkeypatch.setenv('STUB_STEPS', str(done + 3))
    lines = execute(plan)
    assert f'{plan.runs[0].name}: continues' in lines and done >= 1
    steps = [json.loads(line) for line in next(plan.runs[0].folder.glob('*/vis_data/*')).read_text().splitlines()]
    assert [row['step'] for row in steps if 'loss' in row] == list(range(1, done + 4))
    assert len(read_record(plan.runs[0].folder).attempts) == 2


def test_stopped_names_the_signal():
    assert str(Stopped(signal.SIGINT)) == 'SIGINT'


def test_a_run_elsewhere_is_left_alone(tmp_path):
    plan = plan_of(tmp_path, only='decay-1.0')
    process = Runner(plan, tmp_path, STUB_SECONDS='0.5', STUB_STEPS='100')
    wait_until(lambda: (plan.runs[0].folder / 'busy').exists())
    assert state_of(plan.runs[0]).name == 'running' and f'process {process.pid}' in state_of(plan.runs[0]).why
    process.send(signal.SIGKILL)
    process.wait()
    assert state_of(plan.runs[0]).why == 'its training goes on without its runner'  # until the end of its step
    wait_until(lambda: state_of(plan.runs[0]).name == 'interrupted')
    assert int((plan.runs[0].folder / 'last_checkpoint').read_text().rpartition('_')[2].removesuffix('.pth')) < 20
