"""Runs of a study as jobs of submitit: arrays of Slurm, or processes of its local and debug executors."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sapiens.utils.counting import count_of
from sapiens.utils.optional import require

from .child import PROGRAM, Child, is_result
from .load import load_study
from .plan import ROOT, Plan, Run, plan_study
from .runner import Local, state_of
from .share import find_equal, take_over
from .state import claim, read_record

__all__ = ['EXECUTORS', 'Task', 'minutes_of', 'submit_plan']

EXECUTORS = ('slurm', 'local', 'debug')
TIME_LIMITS = 100
"""How often a job is queued again after its time limit. Each time, its run goes on from its newest checkpoint."""
INTERVAL = 0.5


class Task:
    """One run as a job. submitit pickles it, calls it on a node, and calls :meth:`checkpoint` before the time limit.

    Args:
        study: file of the study, which is planned again on the node.
        seeds, root: of the plan.
        hash: of the run.
        gpus, cores: of the run.
        program: see :data:`.child.PROGRAM`.
        retry_failed: also start a run that has failed before.
    """

    def __init__(
        self,
        study: str,
        seeds: Sequence[int],
        root: str | Path,
        hash: str,
        gpus: int,
        cores: int,
        program: Sequence[str] = PROGRAM,
        retry_failed: bool = False,
    ) -> None:
        self.arguments = (study, tuple(seeds), str(root), hash, gpus, cores, tuple(program), retry_failed)
        self.child: Child | None = None

    def __call__(self) -> str:
        """Run it. Returns its state: a failed run does not fail the job, since it is a result."""
        study, seeds, root, hash, gpus, cores, program, retry_failed = self.arguments
        plan = plan_study(load_study(study, seeds), root, yes=True)
        run = next((one for one in plan.runs if one.hash == hash), None)
        if run is None:
            print(f'{study} has changed since this job was submitted: it has no run {hash} now')
            return 'changed'
        state = state_of(run)
        if state.name in ('done', 'running', 'waiting') or (state.name == 'failed' and not retry_failed):
            print(f'{run.name}: {state.name} {state.why}')
            return state.name
        lock = claim(run.folder, print)
        if lock is None:
            return 'running'
        try:
            record = read_record(run.folder)
            if is_result(run, record):
                return 'done'  # by another process, between the look and the claim
            if (source := find_equal(run, plan.root)) and take_over(run, source, plan.study.name):
                print(f'{run.name}: taken over from {source}')
                return 'done'
            environment = Local(1, gpus=0, cores=cores).environment(0)  # Slurm has chosen the GPUs
            self.child = Child(run, lock, plan.study.name, program, environment, gpus)
        finally:
            if self.child is None:
                lock.release()
        while not self.child.has_ended:
            time.sleep(INTERVAL)
        record = self.child.end()
        print(f'{run.name}: {record.state} {record.error}')
        return record.state

    def checkpoint(self) -> Any:
        """Stop the run, which writes a checkpoint, and return what goes on with it."""
        submitit = require('submitit', 'sapiens ablate --on slurm')
        if self.child is not None:
            self.child.stop()
            self.child.end()
        return submitit.helpers.DelayedSubmission(Task(*self.arguments))


def minutes_of(text: str) -> int:
    """Minutes of a time limit as Slurm writes it: 30, 30:00, 24:00:00, 7-00, 7-00:00:00.

    Raises:
        ValueError: another text.
    """
    found = re.fullmatch(r'(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?', text)
    if not found:
        raise ValueError(f'--time {text}: expected a time such as 30 (minutes), 24:00:00 or 7-00:00:00')
    days, *parts = found.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is not None:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:
        hours, (minutes, seconds) = 0, [*numbers, 0][:2]
    return int(days or 0) * 1440 + hours * 60 + minutes + (seconds > 0)


def levels_of(plan: Plan, retry_failed: bool) -> list[list[Run]]:
    """Runs that are not done, by the number of runs before them."""
    levels: dict[int, list[Run]] = {}
    for run in plan.runs:
        depth, before = 0, run.parent
        while before is not None:
            depth, before = depth + 1, before.parent
        name = state_of(run).name
        if name not in ('done', 'running') and (name != 'failed' or retry_failed):
            levels.setdefault(depth, []).append(run)
    return [levels[depth] for depth in sorted(levels)]


def _result_of(job: Any) -> str:
    """The state of the run of a job, or how the job was lost."""
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        return job.result()
    except (FailedJobError, UncompletedJobError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f'its job has failed ({lines[-1] if lines else type(error).__name__})'


def submit_plan(
    plan: Plan,
    executor: str,
    parallel: int,
    parameters: Mapping[str, Any],
    gpus: int,
    cores: int,
    root: str | Path = ROOT,
    program: Sequence[str] = PROGRAM,
    retry_failed: bool = False,
    report: Callable[[str], None] = print,
) -> list[Any]:
    """Submit the runs of a plan that are not done. Stages that follow others wait for them.

    Args:
        executor: ``'slurm'``: a job array for each level of the chain, of which this function does not wait for the end;
            ``'local'`` (processes of this machine) or ``'debug'`` (this process), for which it does.
        parallel: number of jobs at a time.
        parameters: of submitit's executor.
        gpus, cores, program, retry_failed: see :class:`Task`.
        report: takes a line about each array.

    Returns:
        submitit's jobs.

    Raises:
        ImportError: submitit is not installed.
        ValueError: no Slurm here, or it refuses the job.
    """
    submitit = require('submitit', f'--on {executor}')
    folder = plan.folder / 'jobs'
    kind = dict(slurm='SlurmExecutor', local='LocalExecutor', debug='DebugExecutor')[executor]
    options = dict(max_num_timeout=TIME_LIMITS) if executor in ('slurm', 'local') else {}
    try:
        made = getattr(submitit, kind)(folder, **options)
    except RuntimeError as error:
        raise ValueError(f'--on {executor}: {error}') from error
    jobs: list[Any] = []
    before = None
    for runs in levels_of(plan, retry_failed):
        tasks = [
            Task(plan.study.file, plan.study.seeds, root, run.hash, gpus, cores, program, retry_failed) for run in runs
        ]
        if executor == 'slurm':
            waits = dict(dependency=f'afterany:{before}') if before else {}
            made.update_parameters(**parameters, **waits, array_parallelism=parallel)
            try:
                with made.batch():
                    new = [made.submit(task) for task in tasks]
            except submitit.core.utils.FailedJobError as error:
                raise ValueError(f'sbatch has refused the jobs: {str(error).strip()}') from error
            before = new[0].job_id.partition('_')[0]
            report(f'job {before}: {count_of(len(runs), "run")}, logs in {folder}')
            jobs += new
            continue
        made.update_parameters(**({'timeout_min': 7 * 1440} if executor == 'local' else {}))
        for begin in range(0, len(tasks), parallel):
            new = [made.submit(task) for task in tasks[begin : begin + parallel]]
            for run, job in zip(runs[begin:], new, strict=False):
                report(f'{run.name}: {_result_of(job)}')
            jobs += new
    return jobs
