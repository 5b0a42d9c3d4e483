"""Exit statuses behind torchrun."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.distributed import DistNetworkError
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from sapiens.utils import torchrun

CASES = dict(
    failed='raise ArithmeticError if rank else SystemExit(time.sleep(60))',
    signalled='signal.signal(10, lambda *_: sys.exit(138)); open(f"{sys.argv[0]}.{rank}", "w"); time.sleep(60)',
)


def failures(**statuses):
    """The error of torchrun for exit codes of ranks, in the order of their ends."""
    found = {}
    for second, (rank, status) in enumerate(statuses.items()):
        failure = ProcessFailure(local_rank=0, pid=1, exitcode=status, error_file='')
        failure.timestamp = second
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
        (SignalException('', signal.SIGUSR1), 138, ''),
        (
            DistNetworkError('port: 29500\nmore'),
            2,
            'error: the processes cannot meet: port: 29500 Choose another port',
        ),
    ],
)
def test_the_status_is_that_of_the_process_that_failed_first(monkeypatch, capsys, error, status, words):
    def run(args):
        assert (
            'SIGUSR1' in args.signals_to_handle and args.shutdown_timeout == 77 and args.training_script == 'train.py'
        )
        if error:
            raise error

    monkeypatch.setenv('SHUTDOWN_TIMEOUT', '77')
    monkeypatch.setenv('LOGLEVEL', 'WARNING')  # other loggers of this process stay
    monkeypatch.setattr(torchrun, 'run', run)
    with pytest.raises(SystemExit) as ended:
        torchrun.main(['--nproc-per-node=2', 'train.py', 'config.py'])
    printed = capsys.readouterr().err
    assert ended.value.code == status and printed.startswith(words) and bool(printed) == bool(words)


def test_real_processes(tmp_path):
    running = {}
    for name, code in CASES.items():
        script = tmp_path / f'{name}.py'
        script.write_text(f'import os, signal, sys, time\nrank = int(os.environ["RANK"])\n{code}\n')
        command = [sys.executable, '-m', 'sapiens.utils.torchrun', '--standalone', '--nproc-per-node=2', script]
        running[name] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for rank in '01':
        while not (tmp_path / f'signalled.py.{rank}').exists():
            assert running['signalled'].poll() is None
            time.sleep(0.1)
    running['signalled'].send_signal(signal.SIGUSR1)
    output = {name: process.communicate(timeout=120)[0] for name, process in running.items()}
    assert (running['signalled'].returncode, output['signalled']) == (138, '')
    last = output['failed'].strip().splitlines()[-2:]
    assert last == ['ArithmeticError', 'error: rank 1 failed first, with status 1: its message is above']
    assert running['failed'].returncode == 1


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh'])
def test_scripts_hand_the_status_on(script, tmp_path):
    """A python that prints its arguments and ends as a stopped training."""
    fake = tmp_path / 'python'
    fake.write_text('#!/bin/sh\necho "$@"\nexit 138\n')
    fake.chmod(0o755)
    environment = dict(os.environ, PATH=f'{tmp_path}:{os.environ["PATH"]}', PORT='29777')
    arguments = ['config.py', *(['weights.pth'] if 'test' in script else []), '2', '--resume']
    script = Path(__file__).parents[2] / 'tools' / script
    done = subprocess.run(['bash', script, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 138 and done.stdout.startswith('-m sapiens.utils.torchrun --nnodes=1')
    assert '--nproc_per_node=2' in done.stdout and '--master_port=29777' in done.stdout and '--resume' in done.stdout
