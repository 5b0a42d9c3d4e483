"""The end of a Slurm job of ``sapiens submit``, whose batch script runs ``python -m sapiens.utils.requeue STATUS`` after srun.

It prints the first error and exits with 0 if the job is to be queued again:

* after a stop by a signal (time limit, pre-emption), unless two time limits in a row have brought no new checkpoint;
* after a failure, up to ``--max-restarts`` times, unless two in a row have brought no new checkpoint;
* never after a wrong input or a success.

The batch script does so by ``scontrol requeue`` if Slurm still runs the job. It does not when the job was cancelled.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from .first_error import ERROR_PREFIX, Failure, first_failure, read_failure
from .restarts import RUN_FILE, RunFile

__all__ = ['main']


def main(argv: list[str] | None = None) -> int:
    """Decide about a job from the exit status of srun and what its tasks have left; returns 0 to queue it again, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('status', type=int)
    parser.add_argument('--max-restarts', type=int, help='without it the job is not queued again')
    args = parser.parse_args(argv)
    if args.status == 0:
        return 1
    run, failures = RunFile(os.environ[RUN_FILE]), left_failures(os.environ[ERROR_PREFIX])
    failed = [failure for failure in failures if failure.kind != 'stopped']
    if not failed and (failures or args.status == 128 + signal.SIGUSR2):
        return (
            1 if args.max_restarts is None else stopped(run, failures[0].message if failures else 'stopped by SIGUSR2')
        )
    # Of a killed task the only trace is the status, and what the others say.
    first = first_failure(failed) if failed else Failure(0, args.status, 'failed', '', '', 0)
    text = str(first) if failed else f'the tasks ended with status {args.status} and left no message'
    say(f'error: {text}' + (f'\n{first.trace.rstrip()}' if first.trace else ''))
    ended_by = {128 + number: number.name for number in signal.Signals}.get(args.status)
    if failed and first.is_consequence and ended_by:
        say(f'A task was ended by {ended_by}; the others lost their connection to it')
    # Options that argparse refuses leave no message.
    is_refused = first.kind == 'refused' if failed else args.status == 2
    if is_refused or args.max_restarts is None:
        return 1
    return decide(run, text, args.max_restarts)


def stopped(run: RunFile, message: str) -> int:
    """Decide about a run that was stopped by a signal: SIGUSR2 is the time limit, others come with a pre-emption."""
    if message.endswith('SIGUSR2') and (reason := run.add_limit()):
        say(f'error: {reason}')
        return 1
    say(f'{message} with checkpoint {run.checkpoint_name}: queued again')
    return 0


def decide(run: RunFile, text: str, most: int) -> int:
    """Decide about a run that has failed."""
    first = run.first_error
    if reason := run.add_failure(text, most):
        say(f'not queued again: {reason}' + (f'. Its first error: {first}' if first and first != text else ''))
        return 1
    say(f'restart {len(run.ends)} of {most} with checkpoint {run.checkpoint_name}: queued again')
    return 0


def left_failures(prefix: str) -> list[Failure]:
    """Read what the tasks of this start have left."""
    files = Path(prefix).parent.glob(f'{Path(prefix).name}_*.json')
    return [read_failure(file, int(file.stem.rpartition('_')[2])) for file in files]


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == '__main__':
    sys.exit(main())
