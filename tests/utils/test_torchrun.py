"""Trainings behind torchrun: exit statuses, restarts and where machines meet."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch.distributed import DistNetworkError
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous.api import RendezvousConnectionError

from sapiens.utils import torchrun
from sapiens.utils.own_address import limit_silence, own_address, own_interface
from sapiens.utils.torchrun import meeting

# A run of the script: it tells its launcher the work dir, as a training does.
PREPARE = """
import os, signal, sys, time, traceback
from pathlib import Path
from sapiens.utils.first_error import report_end
from sapiens.utils.restarts import LAST, RunFile

rank, work_dir = int(os.environ['RANK']), Path(sys.argv[0]).with_suffix('')
run = RunFile(os.environ['SAPIENS_RUN_FILE'])
number = len(run.ends)


def save():
    if rank == 0:
        run.work_dir = str(work_dir)
        run.write()
        work_dir.mkdir(exist_ok=True)
        (work_dir / LAST).write_text(f'{work_dir}/iter_{number}.pth')
        (work_dir / f'saved_{number}').touch()
    while not (work_dir / f'saved_{number}').exists():
        time.sleep(0.01)


def fail(error):
    try:
        raise error
    except Exception:
        report_end('failed', f'{type(error).__name__}: {error}', traceback.format_exc())
        raise SystemExit(1)


"""

# A group of torch; rank 1 is killed at its first start.
GROUP = """
import torch

torch.distributed.init_process_group('gloo')
try:
    if rank == 1 and not work_dir.exists():
        work_dir.mkdir()
        os.kill(os.getpid(), 9)
    total = torch.tensor(rank)
    torch.distributed.all_reduce(total)
except RuntimeError as error:
    fail(error)
print(f'sum {total.item()} of rank {rank}', flush=True)
torch.distributed.destroy_process_group()
"""

CASES = dict(
    failed='raise ArithmeticError if rank else SystemExit(time.sleep(60))',
    signalled='signal.signal(12, lambda *_: sys.exit(140)); open(f"{work_dir}.{rank}", "w"); time.sleep(60)',
    refused='print("error: no file") if rank else time.sleep(60); sys.exit(2)',
    told='report_end("refused", "error: no key"); sys.exit(2)',
    killed="""
if number == 0:
    save()
    os.kill(os.getpid(), 9) if rank else time.sleep(60)
print("finished") if rank else None
""",
    twice="""
if number < 2:
    save()
if rank:
    fail(KeyError(number))
time.sleep(60)
""",
)


def failures(apart=1, **statuses):
    """The error of torchrun for exit codes of ranks, in the order of their ends, which are so many seconds apart."""
    found = {}
    for place, (rank, status) in enumerate(statuses.items()):
        failure = ProcessFailure(local_rank=0, pid=1, exitcode=status, error_file='')
        failure.timestamp = place * apart
        found[int(rank[1:])] = failure
    return ChildFailedError('train.py', found)


@pytest.mark.parametrize(
    ('error', 'status', 'words'),
    [
        (None, 0, ''),
        (failures(r1=143, r0=143), 143, ''),
        (failures(r1=2, r0=143), 2, ''),
        (failures(r1=1, r0=143), 1, 'error: rank 1 failed first, with status 1: its message is above\n'),
        (
            failures(r0=-9, r1=1),
            137,
            'error: rank 0 was ended by SIGKILL (the system kills with it when the memory is full)\n',
        ),
        (failures(r0=-11), 139, 'error: rank 0 was ended by SIGSEGV\n'),
        (failures(r0=1, r1=-9), 1, 'error: rank 0 failed first, with status 1'),
        (failures(r0=-6, r1=-9), 137, 'error: rank 1 was ended by SIGKILL'),
        (
            failures(30, r0=1, r1=-9),
            1,
            'error: rank 0 failed first, with status 1',
        ),
        (
            failures(30, r0=-6, r1=-9),
            137,
            'error: rank 1 hung, and was killed after the others had failed (sapiens hang',
        ),
        (failures(28, r0=-6, r1=-9), 137, 'error: rank 1 was ended by SIGKILL (the system kills'),
        (failures(r0=140, r1=143), 140, ''),
        (SignalException('', signal.SIGUSR1), 138, ''),
        (
            RendezvousConnectionError('The connection to the C10d store has failed.'),
            2,
            'error: the machines cannot meet: The connection to the C10d store has failed. All of them need the same',
        ),
        (
            DistNetworkError('port: 29500\nmore'),
            2,
            'error: the processes cannot meet: port: 29500 Choose another port',
        ),
    ],
)
def test_the_status_is_that_of_the_process_that_failed_first(monkeypatch, capsys, error, status, words):
    def run(args):
        assert args.shutdown_timeout == 77 and args.training_script == 'train.py'
        assert args.signals_to_handle == 'SIGHUP,SIGQUIT,SIGTERM,SIGINT,SIGUSR1,SIGUSR2'
        assert (args.nnodes, args.rdzv_backend, args.rdzv_endpoint) == ('1', 'c10d', 'localhost:29777')
        if error:
            raise error

    monkeypatch.setenv('SHUTDOWN_TIMEOUT', '77')
    monkeypatch.setenv('PORT', '29777')
    monkeypatch.setenv('SAPIENS_RUN_FILE', '')  # it stays in this process
    monkeypatch.setenv('LOGLEVEL', 'WARNING')  # other loggers of this process stay
    monkeypatch.setattr(torchrun, 'run', run)
    with pytest.raises(SystemExit) as ended:
        torchrun.main(['--nproc-per-node=2', 'train.py', 'config.py'])
    printed = capsys.readouterr().err
    assert ended.value.code == status and printed.startswith(words) and bool(printed) == bool(words)


class Run:
    """A run of two ranks, where code knows rank, work_dir and the number of the start. Its launcher is a fork of this process,
    which has imported torch."""

    def __init__(self, script, code, restarts, processes=2, **variables):
        script.write_text(PREPARE + code)
        self.log = script.with_suffix('.log')
        self.pid = os.fork()
        if self.pid == 0:
            os.environ.update(variables, TMPDIR=str(script.parent))
            tempfile.tempdir = None
            log = os.open(self.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            os.dup2(log, 1), os.dup2(log, 2)
            sys.stderr = os.fdopen(2, 'w', buffering=1)
            try:
                torchrun.main([f'--nproc-per-node={processes}', f'--max-restarts={restarts}', str(script)])
            except SystemExit as end:
                os._exit(end.code)
            finally:
                os._exit(99)

    def end(self):
        """Wait; returns status and output."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return status, self.log.read_text()


def test_real_processes(tmp_path):
    """Several runs of a machine at once: none needs a port."""
    runs = {name: Run(tmp_path / f'{name}.py', code, 0 if name == 'failed' else 3) for name, code in CASES.items()}
    for rank in '01':
        while not (tmp_path / f'signalled.{rank}').exists():
            assert os.waitpid(runs['signalled'].pid, os.WNOHANG) == (0, 0)
            time.sleep(0.1)
    os.kill(runs['signalled'].pid, signal.SIGUSR2)
    ended = {name: run.end() for name, run in runs.items()}
    assert not list(tmp_path.glob('sapiens_run_*')) and not list(tmp_path.glob('torchelastic_*')), 'nothing is left'
    assert ended['signalled'] == (140, '')
    assert ended['refused'] == (2, 'error: no file\n'), 'not started again'
    assert ended['told'] == (2, 'error: no key\n'), 'once for both'
    status, output = ended['failed']
    last = ['ArithmeticError', 'error: rank 1 failed first, with status 1: its message is above']
    assert status == 1 and output.splitlines()[-2:] == last
    told = (
        'rank 1 was ended by SIGKILL (the system kills with it when the memory is full); restart 1 of 3, checkpoint: '
    )
    assert ended['killed'] == (0, f'{told}iter_0.pth\nfinished\n')

    status, output = ended['twice']
    lines = output.splitlines()
    assert status == 1 and lines[:2] == [
        'rank 1 failed first: KeyError: 0; restart 1 of 3, checkpoint: iter_0.pth',
        'rank 1 failed first: KeyError: 1; restart 2 of 3, checkpoint: iter_1.pth',
    ]
    assert lines[2:4] == ['error: rank 1 failed first: KeyError: 0', 'Traceback (most recent call last):']
    assert lines[-3:] == [
        'KeyError: 0',
        'The run was started again, and has ended: it has failed twice without a new checkpoint in between.',
        'Last: rank 1 failed first: KeyError: 2',
    ]


@pytest.mark.slow
def test_a_killed_rank_of_another_machine(tmp_path):
    """The processes of the next start must not look for the addresses of those that have ended."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        meet = dict(NNODES='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(probe.getsockname()[1]))
    runs = [Run(tmp_path / 'run.py', GROUP, 3, 1, NODE_RANK=str(node), **meet) for node in range(2)]
    ended = [run.end() for run in runs]
    assert [status for status, _ in ended] == [0, 0], ended
    log = ended[0][1]
    assert 'rank 1 was ended by SIGKILL' in log and log.count('sum 1 of rank') == 2, log


def test_a_machine_whose_run_was_ended_by_another(monkeypatch, capsys):
    monkeypatch.setattr(torchrun.Agent, 'first', None)
    for has_met, status, text in (
        (False, 2, 'the machines cannot meet: gone'),
        (True, 1, 'Another machine has ended the run'),
    ):
        monkeypatch.setattr(torchrun.Agent, 'has_met', has_met)
        assert torchrun.report_meeting(RendezvousConnectionError('gone')) == status
        assert text in capsys.readouterr().err


def raises(error):
    def function(*args, **options):
        raise error

    return function


def test_a_machine_that_was_cut_off_joins_again(monkeypatch, capsys):
    def lost(text):
        error = RendezvousConnectionError('lost')
        error.__cause__ = RuntimeError(text)
        return error

    silence = lost('wait timeout after 60000ms')
    ends, clock = [], []
    monkeypatch.setattr(torchrun.time, 'monotonic', lambda: clock.pop(0))

    def run(_):
        started, error = ends.pop(0)
        torchrun.Agent.has_started = started
        if error:
            raise error

    monkeypatch.setattr(torchrun, 'run', run)
    with socket.create_server(('127.0.0.1', 0)) as server:
        args = SimpleNamespace(rdzv_endpoint=f'127.0.0.1:{server.getsockname()[1]}')
        ends[:], clock[:] = [(True, lost('Connection reset by peer')), (True, None)], [0, 1]
        torchrun.launch(args)  # started again there
        assert capsys.readouterr().err.count(' was lost') == 1 and not ends
    with monkeypatch.context() as patch:
        patch.setattr(socket, 'create_connection', raises(OSError(113, 'No route to host')))
        ends[:], clock[:] = [(True, lost('Broken pipe')), (True, None)], [0, 1]
        torchrun.launch(args)  # a call before found out that it does not answer, and closed the connection
        assert capsys.readouterr().err.count(' was lost') == 1 and not ends
    # Lost, not there yet, joined, lost again, joined until the end.
    ends[:], clock[:] = [(True, silence), (False, silence), (True, silence), (True, None)], [0, 1, 500, 700, 800]
    torchrun.launch(args)
    assert capsys.readouterr().err.count(' was lost') == 3 and not ends
    for ends[:], clock[:] in (
        ([(True, lost('Connection reset by peer'))], [0, 1]),  # torchrun has ended there
        ([(False, silence)], []),  # was never there
        ([(True, silence), (False, silence)], [0, 1, 601]),
    ):
        with pytest.raises(RendezvousConnectionError):
            torchrun.launch(args)
        assert not ends


def test_others_reach_a_machine_by_its_address(monkeypatch):
    class Socket(socket.socket):
        def connect(self, _):
            pass

        def getsockname(self):
            return found['own'], 1

    monkeypatch.setattr(socket, 'socket', Socket)
    found = {}
    monkeypatch.setattr(
        torchrun.socket, 'getaddrinfo', lambda *_, **__: [(socket.AF_INET, socket.SOCK_DGRAM, 17, '', found['first'])]
    )
    for first, own, expected in (
        ('10.9.0.1', '10.9.0.2', '10.9.0.2'),
        ('10.9.0.1', '10.9.0.1', 'node1'),  # the first machine
        ('127.0.1.1', '127.0.0.1', 'node1'),  # the first machine, whose own name is one of its loopback
        ('10.9.0.1', '169.254.0.7', None),
    ):
        found.update(first=(first, 29500), own=own)
        assert own_address('node1:29500') == expected
    found.update(first=('127.0.0.1', 0), own='127.0.0.1')
    assert own_address('localhost:0') is None
    monkeypatch.undo()
    assert own_address('127.0.0.1:7') == '127.0.0.1' and own_address('[::1') is None
    assert own_interface('127.0.0.1:7') is None, 'the loopback'


@pytest.mark.skipif(sys.platform != 'linux', reason='an option of Linux')
def test_connections_have_a_limit():
    with socket.create_server(('127.0.0.1', 0)) as server, socket.create_connection(server.getsockname()) as one:
        limit_silence(7)
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000


def test_machines_meet_by_variables(monkeypatch):
    monkeypatch.setattr(torchrun, 'own_address', {}.get)
    assert meeting({}) | dict(rdzv_id=None) == dict(
        rdzv_backend='c10d', nnodes='1', rdzv_endpoint='localhost:0', rdzv_id=None, local_addr='127.0.0.1'
    )
    assert meeting({})['rdzv_id'] != meeting({})['rdzv_id']
    several = dict(rdzv_backend='c10d', nnodes='2:4', rdzv_endpoint='a:29500', rdzv_id='sapiens')
    assert meeting(dict(NNODES='2:4', MASTER_ADDR='a')) == several
    second = dict(several, rdzv_endpoint='a:7', rdzv_conf='is_host=0')
    assert meeting(dict(NNODES='2:4', MASTER_ADDR='a', NODE_RANK='1', MASTER_PORT='7')) == second
    assert meeting(dict(NNODES='2:4', MASTER_ADDR='a', NODE_RANK='0', PORT='7'))['rdzv_conf'] == 'is_host=1'
    assert meeting(dict(NNODES='2:4', RDZV_ENDPOINT='a:7', RDZV_ID='x'))['rdzv_id'] == 'x'
    monkeypatch.setattr(torchrun, 'own_address', {'a:29500': '10.9.0.2'}.get)
    monkeypatch.setattr(torchrun, 'has_known_name', lambda: True)
    monkeypatch.setattr(torchrun, 'own_interface', lambda _: 'eth0')
    assert meeting(dict(NNODES='2:4', MASTER_ADDR='a')) == dict(several, local_addr='10.9.0.2')
    monkeypatch.setattr(torchrun, 'has_known_name', lambda: False)
    assert meeting(dict(NNODES='2:4', MASTER_ADDR='a'))['rdzv_conf'] == 'is_host=0'
    monkeypatch.setattr(torchrun, 'own_address', {'a:29500': 'a'}.get)
    assert meeting(dict(NNODES='2:4', MASTER_ADDR='a'))['rdzv_conf'] == 'is_host=1'
    pods = dict(MASTER_ADDR='job-master-0', MASTER_PORT='7', WORLD_SIZE='3', RANK='2')
    found = meeting(pods)
    assert (found['nnodes'], found['rdzv_endpoint'], found['rdzv_conf']) == ('3', 'job-master-0:7', 'is_host=0')
    assert meeting(dict(pods, LOCAL_RANK='0'))['nnodes'] == '1', 'variables of a process of torchrun'
    elastic = dict(PET_NNODES='1:2', PET_RDZV_ENDPOINT='a:7', PET_RDZV_BACKEND='c10d', PET_RDZV_ID='j', NNODES='2')
    assert meeting(elastic) == {}, "torchrun reads its own variables, which Kubernetes' elastic jobs set"
    with pytest.raises(ValueError, match='NNODES=2: set MASTER_ADDR'):
        meeting(dict(NNODES='2'))
    with pytest.raises(ValueError, match='SHUTDOWN_TIMEOUT=15m: expected whole seconds'):
        torchrun.shutdown_seconds(dict(SHUTDOWN_TIMEOUT='15m'))


@pytest.mark.parametrize(
    ('variables', 'gpus', 'text'),
    [
        *((dict(), gpus, f'GPUS={gpus}: expected the number of GPUs') for gpus in ('0', '-1', 'abc', '', '1.5')),
        *((dict(MAX_RESTARTS=text), '1', f'MAX_RESTARTS={text}: expected a whole number') for text in ('abc', '-1', '1.5')),
        *((dict(NNODES=text), '1', f'NNODES={text}: expected a number of machines')
          for text in ('abc', '0', '-1', '2:1', '2:', ':2', '1:2:3', ' ', '1' * 5000)),
        *((dict(PORT=text), '1', f'PORT={text}: expected a whole number from 0 to 65535') for text in ('abc', '-1', '65536')),
        (dict(MASTER_PORT='x', PORT='1'), '1', 'MASTER_PORT=x: expected'),
        (dict(NNODES='2', MASTER_ADDR='a', NODE_RANK='one'), '1', 'NODE_RANK=one: expected a whole number'),
        *((dict(NNODES='2', RDZV_ENDPOINT=text), '1', f'RDZV_ENDPOINT={text}: expected host:port')
          for text in ('node1', 'node1:', ':29500', 'a:b')),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_in_a_line(monkeypatch, capsys, variables, gpus, text):
    for name, value in dict(variables, LOGLEVEL='WARNING', SAPIENS_RUN_FILE='').items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torchrun, 'run', lambda args: pytest.fail('it has started'))
    with pytest.raises(SystemExit) as ended:
        torchrun.main([f'--nproc_per_node={gpus}', f'--max_restarts={variables.get("MAX_RESTARTS", 3)}', 'train.py'])
    printed = capsys.readouterr().err
    assert ended.value.code == 2 and printed.startswith(f'error: {text}') and printed.count('\n') == 1


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh'])
def test_scripts_hand_the_status_on(script, tmp_path):
    """A python that prints its arguments and ends as a stopped training."""
    fake = tmp_path / 'python'
    fake.write_text('#!/bin/sh\necho "$@"\nexit 138\n')
    fake.chmod(0o755)
    environment = dict(os.environ, PATH=f'{tmp_path}:{os.environ["PATH"]}')
    arguments = ['config.py', *(['weights.pth'] if 'test' in script else []), '2', '--resume']
    script = Path(__file__).parents[2] / 'tools' / script
    done = subprocess.run(['bash', script, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 138 and done.stdout.startswith('-m sapiens.utils.torchrun --nproc_per_node=2')
    restarts = 0 if 'test' in script.name else 3
    assert f'--max_restarts={restarts}' in done.stdout and done.stdout.endswith('--launcher pytorch --resume\n')
