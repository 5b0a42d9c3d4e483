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
    text = Path(file).read_text()
    (STATE / f'{number}.sh').write_text(text)
    for index in indices(text):
        job = [sys.executable, __file__, 'job', str(number), *index]
        silent = dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.DEVNULL)  # sbatch returns at once
        subprocess.Popen(job, start_new_session=True, **silent)
    print(f'Submitted batch job {number}')


def indices(text: str) -> list[list[str]]:
    """Indices of the tasks of an array, one empty list for a job that is none. The number of tasks at a time has no effect."""
    found = re.search(r'--array=0-(\d+)', text)
    return [[str(index)] for index in range(int(found[1]) + 1)] if found else [[]]


def wait_for(dependency: str) -> None:
    number = dependency.removeprefix('afterany:')
    for index in indices((STATE / f'{number}.sh').read_text()):
        while not (STATE / f'{"_".join([number, *index])}.status').exists():
            time.sleep(0.05)


def options_of(text: str) -> dict:
    flags = [shlex.split(line)[1] for line in text.splitlines() if line.startswith('#SBATCH')]
    return dict(flag.removeprefix('--').partition('=')[::2] for flag in flags)


def job(number: str, index: str = '') -> None:
    """Run the batch script, or a task of its array, and again for every requeue."""
    name = f'{number}_{index}' if index else number
    text = (STATE / f'{number}.sh').read_text()
    options = options_of(text)
    if 'dependency' in options:
        wait_for(options['dependency'])
    tasks = int(options['nodes']) * int(options['ntasks-per-node'])
    environment = dict(
        os.environ,
        SLURM_JOB_ID=number,
        SLURM_JOB_NODELIST='node[1-1]',
        SLURM_NTASKS=str(tasks),
        SLURM_NTASKS_PER_NODE=options['ntasks-per-node'],
        FAKE_SIGNAL=options['signal'].partition('@')[0],
    )
    if index:
        environment.update(SLURM_ARRAY_JOB_ID=number, SLURM_ARRAY_TASK_ID=index)
    requeued, restarts = STATE / f'{name}.requeue', 0
    while True:
        if restarts:
            environment['SLURM_RESTART_COUNT'] = str(restarts)
            environment.pop('FAKE_LIMIT', None)
        with open(options['output'].replace('%j', number).replace('%A_%a', name), 'a') as log:
            done = subprocess.run(['bash', STATE / f'{number}.sh'], env=environment, stdout=log, stderr=log)
        if not requeued.exists():
            break
        requeued.unlink()
        restarts += 1
    (STATE / f'{name}.status').write_text(f'{done.returncode} {restarts}')


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
        path = path.replace('%A_%a', job_name())
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
        assert arguments[0] == 'requeue' and arguments[1] == job_name()
        (STATE / f'{arguments[1]}.requeue').touch()


def job_name() -> str:
    """The number of this job, with that of the task of an array."""
    number, index = os.environ['SLURM_JOB_ID'], os.environ.get('SLURM_ARRAY_TASK_ID')
    return number if index is None else f'{number}_{index}'


if __name__ == '__main__':
    name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    if name == 'fake_slurm.py':
        name, *arguments = arguments
    sys.exit(dict(sbatch=sbatch, job=job, srun=srun, scontrol=scontrol)[name](*arguments))
