"""Jobs of ``sapiens submit`` through a fake Slurm (fake_slurm.py), of stubs and of trainings on CPUs."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from sapiens.commands import submit
from sapiens.utils import requeue

from . import status_of

ROOT = Path(__file__).parents[2]
FAKE = Path(__file__).with_name('fake_slurm.py')
CONFIG = 'configs/mae/sapiens_tiny_folder-256x256.py'
STEPS, SAVED = 16, 4
OPTIONS = [
    '--cfg-options',
    'model.backbone.arch=dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=64)',
    'model.decoder=dict(num_layers=1, embed_dims=16, num_heads=2)',
    'train_dataloader.dataset.pipeline.0.size=(64, 64)', 'model.backbone.img_size=(64, 64)',
    'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
    f'train_cfg.max_iters={STEPS}', 'val_cfg=None', 'val_dataloader=None', 'val_evaluator=None',
    'custom_hooks=[]', f'default_hooks.checkpoint.interval={SAVED}',
    '+default_hooks.stop.seconds=0', 'default_hooks.logger.interval=1',
]  # fmt: skip


# In the place of Python in a job: a training without torch, whose end the variable STUB chooses.
STUB = """
import json, os, runpy, signal, sys, time, traceback
from pathlib import Path
from sapiens.utils.first_error import report_end
from sapiens.utils.restarts import LAST, RunFile

if 'sapiens.utils.requeue' in sys.argv:
    sys.argv = sys.argv[2:]
    runpy.run_module('sapiens.utils.requeue', run_name='__main__')
name, rank, starts = os.environ['STUB'], os.environ['SLURM_PROCID'], int(os.environ.get('SLURM_RESTART_COUNT', 0))
work_dir = Path(os.environ['SAPIENS_RUN_FILE']).parents[1]
if name == 'arguments':
    (work_dir / f'{rank}.json').write_text(json.dumps(sys.argv[1:]))
elif name == 'killed' and starts == 0:
    if rank == '0':
        run = RunFile(os.environ['SAPIENS_RUN_FILE'])
        run.work_dir = str(work_dir)
        run.write()
        (work_dir / LAST).write_text('iter_7.pth')
    while not (work_dir / LAST).exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL) if rank == '1' else time.sleep(60)
elif name in ('twice', 'cancelled'):
    if rank == '0':
        time.sleep(60)
    try:
        {}[starts]
    except KeyError as error:
        report_end('failed', f'KeyError: {error}', traceback.format_exc())
        sys.exit(1)
elif name == 'refused':
    time.sleep(60 if rank == '1' else 0)
    report_end('refused', 'error: no file')
    sys.exit(2)
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A fake Slurm on the PATH; its folder."""
    bin, state = tmp_path / 'bin', tmp_path / 'state'
    bin.mkdir(), state.mkdir()
    for name in ('sbatch', 'srun', 'scontrol'):
        (bin / name).write_text(f'#!/bin/sh\nexec {sys.executable} -S {FAKE} {name} "$@"\n')
        (bin / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{bin}:{Path(sys.executable).parent}:{os.environ["PATH"]}')
    for name, value in dict(
        PYTHONPATH=ROOT, DATA_ROOT=tmp_path / 'images', FAKE_SLURM=state, OMP_NUM_THREADS=1
    ).items():
        monkeypatch.setenv(name, str(value))
    return state


def wait(slurm, job):
    """Status of the batch script and number of its restarts."""
    file = slurm / f'{job}.status'
    while not file.exists() or not file.read_text():
        time.sleep(0.05)
    return tuple(map(int, file.read_text().split()))


def dry_run(capsys, *arguments):
    """Text for sbatch, and the command of srun in it."""
    assert status_of('submit', *arguments[:-1], '--dry-run', '--', *arguments[-1]) is None
    text = capsys.readouterr().out
    line = next(line for line in text.splitlines() if line.startswith('srun '))
    assert subprocess.run(['bash', '-n'], input=text, text=True).returncode == 0
    return text, shlex.split(line)


def test_jobs_end_as_their_tasks_do(slurm, tmp_path, monkeypatch):
    """A killed task does not leave the others waiting, a failure is queued again, twice without a checkpoint is enough."""
    (tmp_path / 'stub.py').write_text(STUB)
    monkeypatch.setattr(submit, 'python_command', lambda args: [sys.executable, str(tmp_path / 'stub.py')])
    special = ['train_dataloader.dataset.pipeline.0.size=(256, 256)', "load_from='a $HOME b'", '*', '"', '\\', '`id`']
    options = ['--cfg-options', special[0], special[1].replace("'", '')]
    monkeypatch.setattr(submit, 'load_runner_config', lambda parsed: Config(dict(work_dir=str(parsed.work_dir))))
    names = ('arguments', 'killed', 'twice', 'refused', 'cancelled')
    for name in names:
        monkeypatch.setenv('STUB', name)
        monkeypatch.setenv('FAKE_STATE', 'COMPLETING' if name == 'cancelled' else 'RUNNING')
        given = ['--work-dir', tmp_path / name, *options, *(special if name == 'arguments' else ())]
        assert status_of('submit', CONFIG, '--gpus', 2, '--', *given) is None
    ends = {name: wait(slurm, 100 + index) for index, name in enumerate(names)}
    assert ends == dict(arguments=(0, 0), killed=(0, 1), twice=(143, 1), refused=(143, 0), cancelled=(143, 0))
    logs = {name: (tmp_path / f'{name}/slurm/{100 + index}_0_log.out').read_text() for index, name in enumerate(names)}

    tasks = [json.loads((tmp_path / f'arguments/{rank}.json').read_text()) for rank in '01']
    assert tasks[0] == tasks[1] == [
        *('-u', '-m', 'sapiens.commands', 'train', CONFIG, '--work-dir', str(tmp_path / 'arguments'), *options, *special),
        *('--launcher', 'slurm', '--resume'),
    ]  # fmt: skip
    assert 'restart 1 of 3 with checkpoint iter_7.pth: queued again' in logs['killed']
    first = 'rank 1 failed first: KeyError: 0'
    lines = logs['twice'].splitlines()
    assert lines[:2] == [f'error: {first}', 'Traceback (most recent call last):']
    assert 'restart 1 of 3 with checkpoint none: queued again' in lines
    reason = 'it has failed twice without a new checkpoint in between'
    assert lines[-1] == f'not queued again: {reason}. Its first error: {first}'
    assert logs['refused'] == 'error: rank 0 failed first: no file\n'
    refused = 'not queued again: Slurm has ended the job (cancelled, or at its time limit), or refuses it'
    assert logs['cancelled'].splitlines()[-1] == refused and refused not in logs['killed']


@pytest.mark.parametrize(
    ('limits', 'statuses', 'said'),
    [
        ((1, 2), (0, 0), 'stopped by SIGUSR2 with checkpoint iter_2.pth: queued again'),
        ((1, 1), (0, 1), 'error: the time limit came twice without a new checkpoint in between: ask for more --time'),
    ],
)
def test_time_limits_are_queued_again_while_they_help(limits, statuses, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('SAPIENS_RUN_FILE', str(tmp_path / 'run.json'))
    monkeypatch.setenv('SAPIENS_ERRORS', str(tmp_path / 'error'))
    (tmp_path / 'run.json').write_text(json.dumps(dict(work_dir=str(tmp_path))))
    for limit, status in zip(limits, statuses, strict=True):
        (tmp_path / 'last_checkpoint').write_text(f'iter_{limit}.pth')
        os.utime(tmp_path / 'last_checkpoint', ns=(limit, limit))
        assert requeue.main([str(128 + signal.SIGUSR2), '--max-restarts', '0']) == status
    assert capsys.readouterr().out.splitlines()[-1] == said
    assert requeue.main(['0', '--max-restarts', '3']) == 1, 'a success'
    assert requeue.main([str(128 + signal.SIGUSR2)]) == 1, 'a test'
    for _ in range(3):  # pre-emptions bring no new checkpoint while a run starts
        (tmp_path / 'error_0.json').write_text(json.dumps(dict(message='stopped by SIGTERM', kind='stopped')))
        assert requeue.main([str(128 + signal.SIGTERM), '--max-restarts', '0']) == 0


def test_a_task_that_fails_is_not_a_stop_of_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('SAPIENS_RUN_FILE', str(tmp_path / 'run.json'))
    monkeypatch.setenv('SAPIENS_ERRORS', str(tmp_path / 'error_0'))
    for rank, (kind, message) in enumerate([('stopped', 'stopped by SIGTERM'), ('failed', 'NCCL error')]):
        (tmp_path / f'error_0_{rank}.json').write_text(json.dumps(dict(message=message, kind=kind)))
    (tmp_path / 'error_1_0.json').write_text(json.dumps(dict(message='of another start', kind='refused')))
    assert requeue.main(['137', '--max-restarts', '1']) == 0
    assert capsys.readouterr().out.splitlines() == [
        'error: rank 1 lost its connection: NCCL error',
        'A task was ended by SIGKILL; the others lost their connection to it',
        'restart 1 of 1 with checkpoint none: queued again',
    ]
    assert requeue.main(['255', '--max-restarts', '9']) == 1, 'twice without a checkpoint'
    assert 'was ended by' not in capsys.readouterr().out, 'no signal has the number 127'
    monkeypatch.setenv('SAPIENS_RUN_FILE', str(tmp_path / 'other.json'))
    assert requeue.main(['2', '--max-restarts', '9']) == 0, 'a task with an error that is no wrong input'
    monkeypatch.setenv('SAPIENS_ERRORS', str(tmp_path / 'none'))
    assert requeue.main(['2', '--max-restarts', '9']) == 1, 'options that argparse refuses'


def test_the_file_for_sbatch(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', '/usr/bin:/bin')  # no srun
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    options = ['--work-dir', str(tmp_path / "it's"), '--cfg-options', 'model.mask_ratio=0.5']
    more = ['--account', 'me', '--qos', 'high', '--constraint', 'a100&ib', '--exclude', 'n[1-2]', '--job-name', 'a b']
    more += ['--sbatch', 'mem=0', 'mail-type=END', '--srun-args=--mpi=none', '--setup', 'module load cuda']
    text, srun = dry_run(
        capsys, CONFIG, '--nodes', 4, '--gpus', 6, '--partition', 'p', '--time', '1-00', *more, options
    )
    flags = [shlex.split(line)[1] for line in text.splitlines() if line.startswith('#SBATCH')]
    log = tmp_path / "it's/slurm/%j_0_log.out"
    assert sorted(flags) == sorted([
        *('--nodes=4', '--ntasks-per-node=6', '--gres=gpu:6', '--cpus-per-task=12', '--partition=p', '--time=1-00'),
        *('--account=me', '--qos=high', '--constraint=a100&ib', '--exclude=n[1-2]', '--job-name=a b', '--mem=0'),
        *('--mail-type=END', '--signal=USR2@300', '--requeue', '--open-mode=append', f'--output={log}'),
    ])  # fmt: skip
    assert '\nmodule load cuda\n' in text
    assert srun[2:4] == ['--output', str(log).replace('%j_0', '%j_%t')]
    assert srun[4:8] == ['--open-mode=append', '--kill-on-bad-exit=1', '--cpus-per-task=12', '--mpi=none']
    assert srun[9:] == ['-u', '-m', 'sapiens.commands', 'train', CONFIG, *options, '--launcher', 'slurm', '--resume']
    assert '29500' not in text and 'sapiens.utils.requeue --max-restarts 3 $status' in text

    given = ['--resume', 'x.pth']
    assert dry_run(capsys, CONFIG, given)[1][-4:] == [*given, '--launcher', 'slurm']
    given = ['--cfg-options', 'resume=True', 'load_from=x.pth']
    assert dry_run(capsys, CONFIG, given)[1][-5:] == [*given, '--launcher', 'slurm'], 'another --resume would win'
    text, srun = dry_run(
        capsys, CONFIG, 'w.pth', '--container', 'image', '--container-mounts', '/data:/data', ['--out', 'm']
    )
    assert srun[-6:] == [CONFIG, 'w.pth', '--out', 'm', '--launcher', 'slurm'] and 'sapiens.commands test' in text
    mounts = f'{os.getcwd()}:{os.getcwd()}'
    assert srun[7] == '--container-image=image' and srun[8].startswith(f'--container-mounts={mounts},')
    assert srun[8].endswith(',/data:/data') and srun[10] == 'python'
    assert 'sapiens.utils.requeue $status' in text and 'scontrol requeue' not in text, 'a test is not queued again'
    assert '--time' not in text, "the partition's"


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ((CONFIG, '--', '--cfg-options', 'model.mask_ration=0.5'), "did you mean 'mask_ratio'"),
        ((CONFIG, '--', '--resumee'), "did you mean '--resume'"),
        ((CONFIG, '--', '--launcher', 'pytorch'), '--launcher is always slurm here'),
        ((CONFIG, '--sbatch', 'mem', '--'), '--sbatch mem: expected KEY=VALUE'),
        ((CONFIG, '--cfg-options', 'a=1'), 'options of sapiens train or sapiens test follow --'),
        ((CONFIG, '--time', '5:00'), '--time 5:00 leaves no time to train before the signal'),
        (
            (CONFIG, '--nodes', '2', '--', '--cfg-options', '+train_dataloader.total_batch_size=20'),
            'total_batch_size=20 is not a multiple of the 16 processes: take 16 or 32',
        ),
        ((CONFIG, '--sbatch', '=mem', '--'), '--sbatch =mem: expected KEY=VALUE'),
        ((CONFIG, '--sbatch', 'requeue=0', '--'), '--sbatch requeue=0 is set by sapiens submit: use --max-restarts'),
        ((CONFIG, '--sbatch', 'ntasks-per-node=3', '--'), 'is set by sapiens submit: use --gpus'),
        ((CONFIG, '--sbatch', 'array=1-9', '--'), 'is set by sapiens submit: a job is one run'),
        ((CONFIG, '--sbatch', 'comment=a\nb', '--'), 'the batch file has one line for an option'),
        ((CONFIG, '--job-name', 'a\nb', '--'), 'the batch file has one line for an option'),
        ((CONFIG, "--srun-args=it's", '--'), 'it\'s": No closing quotation'),
        ((CONFIG, '--setup', 'if true', '--'), '--setup: bash: line 2: syntax error'),
        ((CONFIG, '--max-restarts', '-1', '--'), '--max-restarts -1: expected a whole number, 0 or more'),
        ((CONFIG, '--', '--work-dir', 'a%jb'), "a%jb': Slurm gives '%' a meaning in the names of logs"),
        ((CONFIG, '--', '--work-dir', 'a\nb'), 'Slurm gives'),
        ((CONFIG,), 'Could not detect "srun"'),
    ],
)
def test_wrong_options_are_refused_before_the_job_waits(arguments, text, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', '/usr/bin:/bin')
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    assert status_of('submit', *arguments) == 2
    assert text in capsys.readouterr().err


def test_time_limits_as_slurm_writes_them():
    texts = ('30', '5:00', '24:00:00', '7-00:00:00', '1-2', '1-2:30', 'UNLIMITED', '24h')
    seconds = [1800, 300, 86_400, 604_800, 93_600, 95_400, None, None]
    assert [submit.seconds_of_limit(text) for text in texts] == seconds


@pytest.mark.parametrize(
    ('script', 'arguments', 'variables', 'expected'),
    [
        ('train', ['work dirs/a', '--amp'], {}, [1, 8, '--', '--work-dir', 'work dirs/a', '--amp']),
        ('train', ['4', '--amp'], {}, [4, 8, '--', '--amp']),
        ('train', ['--cfg-options', 'a=(1, 2)'], dict(GPUS='16'), [2, 8, '--', '--cfg-options', 'a=(1, 2)']),
        ('train', [], dict(GPUS='2'), [1, 2, '--']),
        ('train', ['4d'], dict(GPUS='8', GPUS_PER_NODE='4'), [2, 4, '--', '--work-dir', '4d']),
        ('test', ['w.pth', '--out', 'a b'], dict(GPUS='1'), [1, 1, '--', '--out', 'a b']),
    ],
)
def test_the_scripts_take_the_arguments_of_openmmlab(script, arguments, variables, expected, tmp_path):
    (tmp_path / 'python').write_text('#!/bin/sh\nfor one; do echo "$one"; done\n')
    (tmp_path / 'python').chmod(0o755)
    environment = dict(
        PATH=f'{tmp_path}:/usr/bin:/bin', SRUN_ARGS='--mpi=none -v', SUBMIT_ARGS='--account me', **variables
    )
    command = ['bash', ROOT / f'tools/slurm_{script}.sh', 'part', 'the job', 'config.py', *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    nodes, gpus, *options = map(str, expected)
    weights, days = (['w.pth'], 1) if script == 'test' else ([], 7)
    assert done.stdout.splitlines() == [
        *(str(ROOT / 'tools/submit.py'), 'config.py', *weights, '--partition', 'part', '--job-name', 'the job'),
        *('--nodes', nodes, '--gpus', gpus, '--cpus-per-task', '12', '--time', f'{days}-00:00:00'),
        *('--srun-args=--mpi=none -v', '--account', 'me', *options),
    ]  # fmt: skip
    assert subprocess.run([*command[:4]], capture_output=True).returncode == 2
    refused = subprocess.run(
        command, env=dict(environment, GPUS='12', GPUS_PER_NODE='8'), capture_output=True, text=True
    )
    assert refused.returncode == 2 and 'GPUS=12 is not a multiple of GPUS_PER_NODE=8' in refused.stderr
    for name, text in (('GPUS', '0'), ('GPUS', '-1'), ('GPUS', 'abc'), ('GPUS', '08'), ('GPUS_PER_NODE', '0')):
        refused = subprocess.run(command, env=dict(environment, **{name: text}), capture_output=True, text=True)
        assert (
            refused.returncode == 2
            and refused.stderr == f'error: {name}={text}: expected a number of GPUs, 1 or more\n'
        )
    starred = subprocess.run(command, env=dict(environment, SUBMIT_ARGS='--exclude *'), capture_output=True, text=True)
    assert '--exclude\n*\n' in starred.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_job_that_reaches_its_time_limit_ends_equal_to_an_undisturbed_one(slurm, tmp_path):
    (tmp_path / 'images').mkdir()
    for index in range(8):
        pixels = np.random.default_rng(index).integers(0, 256, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'images/{index}.png')
    jobs = {}
    for name, variables in dict(straight={}, limited=dict(FAKE_LIMIT=tmp_path / f'limited/iter_{SAVED}.pth')).items():
        environment = dict(os.environ, GPUS='2', **{name: str(value) for name, value in variables.items()})
        command = ['bash', 'tools/slurm_train.sh', 'debug', f'the {name} job', CONFIG, tmp_path / name, *OPTIONS]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        jobs[name] = int(done.stdout.split()[1].rstrip(':'))
    logs = {}
    for name, job in jobs.items():
        status = wait(slurm, job)
        logs[name] = (tmp_path / f'{name}/slurm/{job}_0_log.out').read_text()
        assert status == (0, int(name == 'limited')), logs[name]
    assert 'SIGUSR2 received' in logs['limited'] and 'queued again' in logs['limited'], logs['limited']
    # The end of the line is cut where the path is long.
    assert f'weights     of {tmp_path}/limited/iter_' in logs['limited'] and 'SIGUSR2' not in logs['straight']
    ends = [torch.load(tmp_path / f'{name}/iter_{STEPS}.pth', weights_only=True) for name in jobs]
    one, other = (end['state_dict'] for end in ends)
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    assert all(end['meta']['world_size'] == 2 for end in ends)
