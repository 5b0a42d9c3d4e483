"""Submit a training, or the test of a checkpoint, to Slurm.

Examples:
    sapiens submit CONFIG --nodes 4 --partition P --time 24:00:00 -- --cfg-options train_dataloader.batch_size=4
    sapiens submit CONFIG CHECKPOINT --partition P -- --out metrics.json      # a test
    sapiens submit CONFIG --nodes 4 --dry-run                                 # print the file that sbatch would get
    sapiens submit CONFIG --container image.sqsh --container-mounts /data     # with pyxis
    bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR              # with the arguments of OpenMMLab's script

What follows -- are options of sapiens train or sapiens test. They are checked before the job is submitted. Logs go to
WORK_DIR/slurm, one for each task. A training continues from the newest checkpoint of its work dir, if there is one. It is queued
again after its time limit, a pre-emption or a failure: docs/launch.md.
"""

import argparse
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sapiens.utils.cli import load_runner_config, positive, tool_parser
from sapiens.utils.first_error import ERROR_PREFIX
from sapiens.utils.optional import require
from sapiens.utils.restarts import RUN_FILE
from sapiens.utils.total_batch import TOTAL, batch_of_process

OWN = {
    **{name: f'use --{name}' for name in ('nodes', 'partition', 'time', 'job-name', 'account', 'qos', 'constraint')},
    **{name: f'use --{name}' for name in ('exclude', 'cpus-per-task')},
    **{name: 'use --gpus, which is the number of tasks too' for name in ('ntasks', 'ntasks-per-node')},
    'signal': 'use --signal-seconds',
    **{name: 'use --max-restarts' for name in ('requeue', 'no-requeue')},
    **{name: 'logs go to WORK_DIR/slurm' for name in ('output', 'error', 'open-mode')},
    'array': 'a job is one run',
}
"""Options of sbatch that the batch file depends on, and what to do in their place."""


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    argv = sys.argv[1:] if argv is None else list(argv)
    place = argv.index('--') if '--' in argv else len(argv)
    parser = tool_parser(__doc__, first=('--nodes', '--gpus', '--partition', '--time', '--dry-run'))
    parser.add_argument('config', help='path or name of a config')
    add = parser.add_argument
    add('checkpoint', nargs='?', help='test these weights; without them the config is trained')
    add('--nodes', type=positive, default=1, help='default: %(default)s')
    add('--gpus', type=positive, default=8, help='GPUs of each node, and tasks on it; default: %(default)s')
    add_batch_arguments(add)
    add('--job-name', help='default: name of the config')
    add('--container', metavar='IMAGE', help='container image of the tasks (pyxis); it needs this package')
    add(
        '--container-mounts',
        metavar='LIST',
        help='folders in the container, in addition to the current one and the work dir',
    )
    text = 'how often a training that failed is queued again; default: %(default)s'
    add('--max-restarts', type=int, default=3, metavar='NUMBER', help=text)
    add('--dry-run', action='store_true', help='print the file for sbatch, and submit nothing')
    parser.others = 'options of sapiens train or sapiens test follow --'
    args = parser.parse_args(argv[:place])
    args.options = argv[place + 1 :]
    refuse_wrong_sbatch(parser, args)
    if args.max_restarts < 0:
        parser.error(f'--max-restarts {args.max_restarts}: expected a whole number, 0 or more')
    if '--launcher' in args.options or any(option.startswith('--launcher=') for option in args.options):
        parser.error('--launcher is always slurm here: leave it out')
    return args


def add_batch_arguments(add: Callable) -> None:
    """Add the options of jobs that all commands which submit some have, by the ``add_argument`` of a parser."""
    add('--cpus-per-task', type=positive, default=12, help='default: %(default)s')
    add('--partition')
    text = "as Slurm writes it, such as 30 (minutes), 24:00:00 or 7-00:00:00; default: the partition's"
    add('--time', help=text)
    for name in ('account', 'qos', 'constraint', 'exclude'):
        add(f'--{name}')
    text = 'how long before the time limit the run is told to write a checkpoint and end; default: %(default)s'
    add('--signal-seconds', type=positive, default=300, metavar='SECONDS', help=text)
    text = 'shell commands before the start, such as module load'
    add('--setup', nargs='+', default=[], metavar='COMMAND', help=text)
    text = 'further options of sbatch, such as mem=0 mail-type=END'
    add('--sbatch', nargs='+', default=[], metavar='KEY=VALUE', help=text)
    add('--srun-args', metavar='TEXT', help='further options of srun in one text: --srun-args="--mpi=none"')


def refuse_wrong_sbatch(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options of jobs that would break the batch file, or leave no time to train."""
    for option in args.sbatch:
        key, equals, _ = option.partition('=')
        if not equals or not re.fullmatch(r'[A-Za-z][\w-]*', key):
            parser.error(f'--sbatch {option}: expected KEY=VALUE')
        if instead := OWN.get(key.replace('_', '-')):
            parser.error(f'--sbatch {option} is set by sapiens submit: {instead}')
    lines = (
        args.partition,
        args.time,
        getattr(args, 'job_name', None),
        args.account,
        args.qos,
        args.constraint,
        args.exclude,
    )
    if wrong := [text for text in (*lines, *args.sbatch) if text and '\n' in text]:
        parser.error(f'{wrong[0]!r}: the batch file has one line for an option, and this text has several')
    try:
        shlex.split(args.srun_args or '')
    except ValueError as error:
        parser.error(f'--srun-args {args.srun_args!r}: {error}')
    setup = subprocess.run(['bash', '-n'], input='\n'.join(args.setup), text=True, capture_output=True)
    if setup.returncode:
        parser.error(f'--setup: {" ".join(setup.stderr.split())}')
    seconds = seconds_of_limit(args.time) if args.time else None
    if seconds is not None and seconds <= args.signal_seconds:
        parser.error(
            f'--time {args.time} leaves no time to train before the signal, which comes --signal-seconds {args.signal_seconds} '
            'before the limit: give more time, or fewer --signal-seconds'
        )


def shared_parameters(args: argparse.Namespace) -> dict:
    """Parameters of submitit's executor that follow from :func:`add_batch_arguments`, except ``setup`` and ``srun_args``."""
    return dict(
        {name: getattr(args, name) for name in ('partition', 'time', 'account', 'qos', 'constraint', 'exclude')},
        cpus_per_task=args.cpus_per_task,
        signal_delay_s=args.signal_seconds,
        wckey=None,
        stderr_to_stdout=True,
        additional_parameters=dict(requeue=True, **dict(map(_keyword, args.sbatch))),
    )


def seconds_of_limit(text: str) -> int | None:
    """Seconds of a time limit as Slurm writes it; None for another text (``UNLIMITED``), which sbatch takes or refuses.

    Forms: minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes, days-hours:minutes:seconds.
    """
    if not re.fullmatch(r'(\d+-)?\d+(:\d+){0,2}', text):
        return None
    days, dash, rest = text.rpartition('-')
    parts = [int(part) for part in rest.split(':')]
    # The first number is hours behind days and with two colons, else minutes.
    hours = parts if dash or len(parts) == 3 else [0, *parts]
    return sum(part * unit for part, unit in zip([int(days or 0), *hours], (86400, 3600, 60, 1), strict=False))


def run_arguments(args: argparse.Namespace) -> tuple[list[str], Path]:
    """Arguments of ``sapiens`` for the run, and its work dir. Wrong options and configs are refused as the run would."""
    name = 'test' if args.checkpoint else 'train'
    options = [args.config, *([args.checkpoint] if args.checkpoint else []), *args.options, '--launcher', 'slurm']
    parsed = importlib.import_module(f'sapiens.commands.{name}').parse_args(options)
    cfg = load_runner_config(parsed)
    if name == 'train' and TOTAL in cfg.get('train_dataloader', {}):
        batch_of_process(cfg.train_dataloader, args.nodes * args.gpus)
    if name == 'train' and not (parsed.resume or cfg.get('resume')):
        options.append('--resume')
    work_dir = Path(cfg.work_dir).absolute()
    if wrong := re.search(r'[%\\\n]', str(work_dir)):
        raise ValueError(
            f'work dir {str(work_dir)!r}: Slurm gives {wrong[0]!r} a meaning in the names of logs: set another --work-dir'
        )
    return [name, *options], work_dir


def batch_parameters(args: argparse.Namespace, folder: Path, is_training: bool) -> dict:
    """Parameters of submitit's executor."""
    container = []
    if args.container:
        here = os.getcwd()
        mounts = ','.join(f'{path}:{path}' for path in dict.fromkeys([here, str(folder.parent)]))
        if args.container_mounts:
            mounts += f',{args.container_mounts}'
        container = [
            f'--container-image={args.container}',
            f'--container-mounts={mounts}',
            f'--container-workdir={here}',
        ]
    python = python_command(args)
    restarts = ['--max-restarts', str(args.max_restarts)] if is_training else []
    end = [*python, '-m', 'sapiens.utils.requeue', *restarts]
    if container:
        end = ['srun', '--nodes=1', '--ntasks=1', '--ntasks-per-node=1', *container, *end]
    requeue = (
        'scontrol show job "$SLURM_JOB_ID" | grep -q JobState=RUNNING && scontrol requeue "$SLURM_JOB_ID" || '
        'echo "not queued again: Slurm has ended the job (cancelled, or at its time limit), or refuses it"'
    )
    files = shlex.quote(str(folder))
    return dict(
        shared_parameters(args),
        job_name=args.job_name or Path(args.config).stem,
        nodes=args.nodes,
        ntasks_per_node=args.gpus,
        gres=f'gpu:{args.gpus}',
        setup=[
            *args.setup,
            'trap : TERM  # a pre-emption ends the tasks, and this script goes on',
            'export MASTER_ADDR="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"',
            f'export {RUN_FILE}={files}/"$SLURM_JOB_ID"_run.json',
            f'export {ERROR_PREFIX}={files}/"$SLURM_JOB_ID"_error_"${{SLURM_RESTART_COUNT:-0}}"',
        ],
        srun_args=[
            '--open-mode=append',
            '--kill-on-bad-exit=1',
            f'--cpus-per-task={args.cpus_per_task}',  # which srun does not take from the job since Slurm 22.05
            *container,
            *shlex.split(args.srun_args or ''),
        ],
        teardown=[
            'status=$?',
            f'if {shlex.join(end)} $status; then' if is_training else f'{shlex.join(end)} $status',
            *([f'    {requeue}', 'fi'] if is_training else []),
            'exit $status',
        ],
    )


def _keyword(option: str) -> tuple[str, str]:
    """``a-key=value`` as submitit names it, so that it takes the place of submitit's own."""
    key, _, value = option.partition('=')
    return key.replace('-', '_'), value


def python_command(args: argparse.Namespace) -> list[str]:
    return ['python' if args.container else sys.executable]


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    submitit = require('submitit', 'sapiens submit')
    arguments, work_dir = run_arguments(args)
    folder = work_dir / 'slurm'

    class Executor(submitit.SlurmExecutor):
        """submitit's executor, whose text can also be printed where there is no Slurm."""

        @classmethod
        def affinity(cls) -> int:
            return 2 if args.dry_run else super().affinity()

    try:
        executor = Executor(folder)
    except RuntimeError as error:
        raise ValueError(f'{error} --dry-run prints the file for sbatch') from error
    executor.update_parameters(**batch_parameters(args, folder, arguments[0] == 'train'))
    # The command itself, where submitit would pickle a function: the printed file is complete, and a container needs no submitit.
    command = shlex.join([*python_command(args), '-u', '-m', 'sapiens.commands', *arguments])
    if args.dry_run:
        print(executor._make_submission_file_text(command, ''))
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        job = executor._submit_command(command)
    except submitit.core.utils.FailedJobError as error:
        raise ValueError(f'sbatch has refused the job: {str(error).strip()}') from error
    print(f'job {job.job_id}: {folder}/{job.job_id}_*_log.out, its batch file {job.job_id}_submission.sh')
