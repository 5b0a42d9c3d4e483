"""A process that hangs ends the run soon, and is named."""

import json
import os
import pickle
import threading
import time
from contextlib import suppress

import pytest
import torch
import torch.distributed as dist
from mmengine.hooks import Hook

from sapiens.commands.hang import main as hang
from sapiens.engine import flight_recorder
from sapiens.engine.collective_timeouts import FIRST_STEPS, CollectiveTimeouts
from sapiens.engine.hang import find_hang, read_processes
from sapiens.engine.host_group import SAVES, host_group, timeout_of

from ..ranks import on_ranks
from .toy import make_runner


def seconds_of(group):
    return timeout_of(group).total_seconds()


def timeouts_over_a_run():
    saves = dist.new_group(backend='gloo', group_desc=SAVES)
    timeouts = CollectiveTimeouts(90, 7)
    timeouts._set(90)
    found = [seconds_of(host_group())]
    for _ in range(FIRST_STEPS - 1):
        timeouts.after_step()
    found.append(seconds_of(host_group()))
    with timeouts.long():  # an evaluation within the first steps
        pass
    found.append(seconds_of(host_group()))
    timeouts.after_step()
    found.append(seconds_of(host_group()))
    with timeouts.long():
        found.append(seconds_of(host_group()))
    found.append(seconds_of(host_group()))
    timeouts.end_steps()
    found.append(seconds_of(host_group()))
    return found, seconds_of(saves)


def test_timeouts_are_short_in_steps_after_the_first_ones(tmp_path):
    expected = [90, 90, 90, 7, 90, 7, 90]
    assert on_ranks(2, timeouts_over_a_run, tmp_path) == [(expected, 1800)] * 2


class Hang(Hook):
    """The second process does not come back from its twelfth step until it has been seen."""

    def __init__(self, folder):
        self.file = folder / 'rank_1.json'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 12 and dist.get_rank() == 1:
            self.read_images()

    def read_images(self):
        while not self.file.exists():
            time.sleep(0.05)
        raise SystemExit


def train_with_a_process_that_hangs(folder):
    flight_recorder.INTERVAL = 0.1
    runner = make_runner(
        folder, hooks=[Hang(folder / 'flight_recorder')], launcher='pytorch', train_cfg=dict(type='TrainLoop', max_iters=20),
        env_cfg=dict(dist_cfg=dict(backend='auto', timeout=60, step_timeout=0.5)),
    )  # fmt: skip
    begin = time.monotonic()
    with suppress(SystemExit, RuntimeError):
        runner.train()
    return runner.iter, time.monotonic() - begin


def test_a_process_that_hangs_ends_the_run_and_is_named(tmp_path, capsys):
    (iteration, seconds), _ = on_ranks(2, train_with_a_process_that_hangs, tmp_path, tmp_path / 'run')
    assert iteration == 12 and seconds < 30
    assert {file.name for file in (tmp_path / 'run/flight_recorder').iterdir()} == {
        'processes.json', 'rank_0.json', 'rank_1.json',
    }  # fmt: skip
    hang([str(tmp_path / 'run')])
    text = capsys.readouterr().out
    host = os.uname().nodename
    assert '2 of 2 processes wrote' in text
    assert f'rank 1 ({host}, process' in text
    assert 'did not come to all_reduce of ' in text
    assert 'waiting there: rank 0\n' in text and 'in read_images' in text
    assert 'rank 0' in text and 'Timed out waiting' in text
    hang([str(tmp_path / 'run/flight_recorder'), '--stacks'])
    assert 'self.read_images()' in capsys.readouterr().out


def entry(number, sizes=((4,),), group=('0', 'default_pg'), name='nccl:all_reduce'):
    return dict(collective_seq_id=number, process_group=group, profiling_name=name, input_sizes=sizes,
                input_dtypes=['Float'] * len(sizes), is_p2p=False)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'flight_recorder'
    folder.mkdir()
    rows = [dict(rank=rank, host=f'node{rank // 2}', pid=100 + rank) for rank in range(4)]
    (folder / 'processes.json').write_text(json.dumps(rows))
    return folder


def test_files_of_nccl(folder, tmp_path):
    shards = ('7', 'shard')
    for rank, last in ((0, 9), (1, 9), (2, 8)):
        entries = [entry(number) for number in range(5, last + 1)] + [entry(3, group=shards)] * (rank < 2)
        (folder / f'nccl_rank_{rank}').write_bytes(pickle.dumps(dict(entries=entries)))
    lines = find_hang(read_processes(tmp_path))
    assert lines[0].startswith('3 of 4 processes wrote what they did, from 20')
    assert lines[1] == 'rank 3 (node1, process 103) wrote nothing: it hangs, was killed, or its host is lost'
    assert lines[2:] == [
        'rank 2 (node1, process 102) did not come to all_reduce of Float [4], call 9 of the group default_pg',
        '    waiting there: ranks 0, 1',
    ]


def test_the_first_call_of_a_group(folder):
    shards = dict(name='7', desc='shard')
    for rank in range(3):
        entries = [entry(5)] + [entry(1, group=('7', 'shard'))] * (rank < 1)
        config = {'7': shards} if rank < 2 else {}  # the third process is in another group
        (folder / f'nccl_rank_{rank}').write_bytes(pickle.dumps(dict(entries=entries, pg_config=config)))
    assert find_hang(read_processes(folder))[2:] == [
        'rank 1 (node0, process 101) did not come to all_reduce of Float [4], call 1 of the group shard',
        '    waiting there: rank 0',
    ]
    late = dict(entries=[entry(5), entry(4, group=('7', 'shard'))], pg_config={'7': shards})
    (folder / 'nccl_rank_0').write_bytes(pickle.dumps(late))
    latest = [
        f'all_reduce of Float [4], call {call}' for call in ('5 of the group default_pg', '4 of the group shard')
    ]
    same = f'ranks 0, 1, 2 made the same calls, the latest: {latest[0]} and {latest[1]}'
    assert find_hang(read_processes(folder))[2:] == [same], 'its calls may be too old'
    for rank in range(1, 3):
        (folder / f'nccl_rank_{rank}').unlink()
    assert find_hang(read_processes(folder))[-1] == same.replace('ranks 0, 1, 2 made the same', 'rank 0 made')
    for rank in range(3):
        (folder / f'nccl_rank_{rank}').write_bytes(pickle.dumps(dict(entries=[])))
    assert find_hang(read_processes(folder))[2:] == ['ranks 0, 1, 2 made the same calls']


def record_a_group():
    dist.new_group(group_desc='pair')
    return flight_recorder.recorded()


def test_processes_record_their_groups(tmp_path):
    for found in on_ranks(2, record_a_group, tmp_path):
        assert {group['desc'] for group in found['pg_config'].values()} == {'default_pg', 'pair'}


def test_calls_that_differ(folder):
    for rank in range(4):
        content = dict(entries=[entry(1), entry(2, ((8 if rank == 3 else 4,),))])
        (folder / f'nccl_rank_{rank}').write_bytes(pickle.dumps(content))
    assert find_hang(read_processes(folder))[1:] == [
        'call 2 of the group default_pg is not the same on all processes:',
        '    all_reduce of Float [4]: ranks 0, 1, 2',
        '    all_reduce of Float [8]: rank 3',
    ]


def test_a_failure_that_is_not_of_a_collective_comes_first(folder):
    errors = ['RuntimeError: [gloo/transport/tcp] Connection closed', 'ValueError: a bad file']
    for rank, error in enumerate(errors):
        content = dict(rank=rank, time=1e9, error=error, stack='', entries=[entry(2 - rank)])
        (folder / f'rank_{rank}.json').write_text(json.dumps(content))
    lines = find_hang(read_processes(folder))
    assert lines[-2] == 'rank 1 (node0, process 101) failed: ValueError: a bad file'
    assert lines[-1].startswith('rank 0 (node0, process 100) failed: RuntimeError')


def test_the_latest_failure_is_that_before_a_restart(folder, tmp_path):
    """A run that was started again has a folder without a failure."""
    for name, rank in (('20260101_120000_000000', 1), ('20260102_120000_000000', 2)):
        (tmp_path / f'flight_recorder_{name}').mkdir()
        (tmp_path / f'flight_recorder_{name}/nccl_rank_{rank}').write_bytes(pickle.dumps(dict(entries=[entry(1)])))
    assert [process.rank for process in read_processes(tmp_path)] == [2]
    (folder / 'nccl_rank_3').write_bytes(pickle.dumps(dict(entries=[entry(1)])))
    assert [process.rank for process in read_processes(tmp_path) if process.seen] == [3]


class Attack:
    def __reduce__(self):
        return os.mkdir, ('attacked',)


def test_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no files of a failed collective'):
        read_processes(tmp_path)
    (folder / 'nccl_rank_0').write_bytes(pickle.dumps(Attack()))
    with pytest.raises(ValueError, match='nccl_rank_0 is damaged .*it asks for posix.mkdir'):
        read_processes(tmp_path)
    (folder / 'nccl_rank_0').write_bytes(b'')
    with pytest.raises(ValueError, match='nccl_rank_0 is damaged'):
        read_processes(tmp_path)


@pytest.mark.parametrize(
    'content',
    [
        [1],
        None,
        dict(entries=['text']),
        dict(pg_config=[1]),
        dict(time='today'),
        dict(time=1e30),
        dict(error=3),
        dict(entries=[dict(entry(1), collective_seq_id='one')]),
        dict(entries=[dict(entry(1), process_group=['0'])]),
    ],
)
def test_a_damaged_file_is_named(folder, content):
    (folder / 'nccl_rank_7').write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match='nccl_rank_7 is damaged .*: remove it to read the others'):
        read_processes(folder)


@pytest.mark.parametrize('text', ['[{"rank": 0', '[1]', '[{"rank": 0}]', 'null'])
def test_a_damaged_list_of_processes_is_named(folder, text):
    (folder / 'nccl_rank_0').write_bytes(pickle.dumps(dict(entries=[entry(1)])))
    (folder / 'processes.json').write_text(text)
    with pytest.raises(ValueError, match='processes.json is damaged'):
        read_processes(folder)


def test_other_files_are_passed_over(folder):
    (folder / 'nccl_rank_0').write_bytes(pickle.dumps(dict(entries=[entry(1)])))
    for name in ('rank_a.json', 'rank_0.tmp', 'nccl_rank_', 'nccl_rank_0.bak'):
        (folder / name).write_text('text')
    assert [process.rank for process in read_processes(folder) if process.seen] == [0]


def report_after_another_start(work_dir):
    """A run that fails, after another start in the work dir that comes no further than ``prepare``."""
    recorder = flight_recorder.FlightRecorder(work_dir)
    dist.barrier()
    flight_recorder.prepare(work_dir)
    dist.barrier()
    recorder.report(ValueError('a bad file'))
    recorder.close()
    return os.environ['TORCH_FR_DUMP_TEMP_FILE']


def test_files_of_an_earlier_failure_are_kept(folder, tmp_path, monkeypatch):
    monkeypatch.delenv('TORCH_FR_DUMP_TEMP_FILE', raising=False)
    (folder / 'nccl_rank_3').touch()
    assert on_ranks(2, report_after_another_start, tmp_path, tmp_path) == [str(folder / 'nccl_rank_')] * 2
    (kept,) = tmp_path.glob('flight_recorder_2*')
    assert {file.name for file in kept.iterdir()} == {'processes.json', 'nccl_rank_3'}
    assert {file.name for file in folder.iterdir()} == {'processes.json', 'rank_0.json', 'rank_1.json'}
    for file in folder.glob('rank_*'):
        file.unlink()
    flight_recorder.put_away(folder)
    assert folder.exists(), 'of a run without a failure'


class Lost:
    """A store that the network has lost: no call returns."""

    def __getattr__(self, _):
        return lambda *_: threading.Event().wait()


def report_without_a_store(work_dir):
    flight_recorder.PATIENCE = flight_recorder.INTERVAL = 0.1
    recorder = flight_recorder.FlightRecorder(work_dir)
    recorder._store = Lost()
    recorder.report(RuntimeError('[gloo] Timed out'))
    return True


def test_a_host_that_is_cut_off_reports_and_ends(tmp_path):
    assert on_ranks(2, report_without_a_store, tmp_path, tmp_path / 'run') == [True, True]
    assert {file.name for file in (tmp_path / 'run/flight_recorder').glob('rank*')} == {'rank_0.json', 'rank_1.json'}


def test_one_process_has_no_timeouts(tmp_path):
    runner = make_runner(tmp_path, train_cfg=dict(type='TrainLoop', max_iters=FIRST_STEPS + 2))
    runner.train()
    assert not (tmp_path / 'flight_recorder').exists() and torch.distributed.is_initialized() is False
