"""A Slurm of one machine: ``sbatch``, ``srun`` and ``scontrol``, as links to this file on the PATH. Not collected.

The folder ``FAKE_SLURM`` holds its state. A job reaches the time limit of its first start when the file that the variable
``FAKE_LIMIT`` names is there. Without ``--kill-on-bad-exit=1``, tasks of srun go on when one has failed, as those of Slurm do.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ.get('FAKE_SLURM', '.'))
GRACE = 3.0  # from SIGTERM to SIGKILL (KillWait)


def sbatch(file: str) -> None:
    number = 100 + len(list(STATE.glob('*.sh')))
    (STATE / f'{number}.sh').write_text(Path(file).read_text())
    subprocess.Popen([sys.executable, __file__, 'job', str(number)], start_new_session=True, stdin=subprocess.DEVNULL)
    print(f'Submitted batch job {number}')


def options_of(text: str) -> dict:
    flags = [shlex.split(line)[1] for line in text.splitlines() if line.startswith('#SBATCH')]
    return dict(flag.removeprefix('--').partition('=')[::2] for flag in flags)


def job(number: str) -> None:
    """Run the batch script, and again for every requeue."""
    text = (STATE / f'{number}.sh').read_text()
    options = options_of(text)
    tasks = int(options['nodes']) * int(options['ntasks-per-node'])
    environment = dict(
        os.environ,
        SLURM_JOB_ID=number,
        SLURM_JOB_NODELIST='node[1-1]',
        SLURM_NTASKS=str(tasks),
        SLURM_NTASKS_PER_NODE=options['ntasks-per-node'],
        FAKE_SIGNAL=options['signal'].partition('@')[0],
    )
    requeued, restarts = STATE / f'{number}.requeue', 0
    while True:
        if restarts:
            environment['SLURM_RESTART_COUNT'] = str(restarts)
            environment.pop('FAKE_LIMIT', None)
        with open(options['output'].replace('%j', number), 'a') as log:
            done = subprocess.run(['bash', STATE / f'{number}.sh'], env=environment, stdout=log, stderr=log)
        if not requeued.exists():
            break
        requeued.unlink()
        restarts += 1
    (STATE / f'{number}.status').write_text(f'{done.returncode} {restarts}')


def srun(*arguments: str) -> int:
    arguments = list(arguments)
    found = {}
    while arguments[0].startswith('-'):
        name, equals, value = arguments.pop(0).partition('=')
        if name in ('--output', '--error') and not equals:
            value = arguments.pop(0)
        found[name] = value
    count = int(found.get('--ntasks', os.environ['SLURM_NTASKS']))
    tasks = []
    for rank in range(count):
        path = found['--output'].replace('%j', os.environ['SLURM_JOB_ID']).replace('%t', str(rank))
        environment = dict(
            os.environ,
            SLURM_PROCID=str(rank),
            SLURM_LOCALID=str(rank),
            SLURM_NODEID='0',
            SLURM_STEP_NODELIST='node[1-1]',
            SLURM_STEP_TASKS_PER_NODE=str(count),
        )
        with open(path, 'a' if found.get('--open-mode') == 'append' else 'w') as log:
            tasks.append(subprocess.Popen(arguments, env=environment, stdout=log, stderr=log))
    limit, killed = os.environ.get('FAKE_LIMIT'), None
    while any(task.poll() is None for task in tasks):
        time.sleep(0.05)
        if limit and Path(limit).exists():
            limit = None
            for task in tasks:
                task.send_signal(signal.Signals[f'SIG{os.environ["FAKE_SIGNAL"]}'])
        if killed is None and found.get('--kill-on-bad-exit') == '1' and any(task.poll() for task in tasks):
            killed = time.monotonic()
            for task in tasks:
                task.terminate()
        if killed and time.monotonic() > killed + GRACE:
            for task in tasks:
                task.kill()
    return max(task.returncode if task.returncode >= 0 else 128 - task.returncode for task in tasks)


def scontrol(*arguments: str) -> None:
    if arguments[:2] == ('show', 'hostnames'):
        assert re.fullmatch(r'node\[1-1\]', arguments[2])
        print('127.0.0.1')
    elif arguments[:2] == ('show', 'job'):
        print(f'JobId={arguments[2]} JobState={os.environ.get("FAKE_STATE", "RUNNING")} Reason=None')
    else:
        assert arguments[0] == 'requeue' and arguments[1] == os.environ['SLURM_JOB_ID']
        (STATE / f'{arguments[1]}.requeue').touch()


if __name__ == '__main__':
    name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    if name == 'fake_slurm.py':
        name, *arguments = arguments
    sys.exit(dict(sbatch=sbatch, job=job, srun=srun, scontrol=scontrol)[name](*arguments))
