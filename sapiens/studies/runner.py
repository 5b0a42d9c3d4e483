"""The loop that works on the runs of a study, several at a time, next to other processes that do the same."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from sapiens.utils.counting import count_of
from sapiens.utils.stop_signals import STOP_SIGNALS

from .child import PROGRAM, Child, checkpoint_of, is_result, is_training, lacking, why_outdated
from .plan import Plan, Run
from .share import find_equal, take_over
from .state import CONTENT, RECORD, Record, claim, owner_of, read_record

__all__ = ['Local', 'RunState', 'Stopped', 'run_plan', 'state_of']

INTERVAL = 0.2
"""Seconds between two looks at the children."""
ELSEWHERE = 2.0
"""Seconds between two looks at runs that other processes work on."""


@dataclass(frozen=True)
class RunState:
    """Where a run stands.

    Attributes:
        name: ``'done'``, ``'running'``, ``'interrupted'``, ``'failed'``, ``'changed'``, ``'waiting'`` (for the run before it) or
            ``'ready'``.
        why: in words, or ''.
        record: of its last start, None without one.
    """

    name: str
    why: str = ''
    record: Record | None = None


def state_of(run: Run) -> RunState:
    """Find the state of a run in its work dir."""
    record = read_record(run.folder)
    owner = owner_of(run.folder)
    if owner is not None:
        return RunState(
            'running', f'by process {owner.get("pid", "?")} on {owner.get("host", "another machine")}', record
        )
    if is_training(run.folder):
        return RunState('running', 'its training goes on without its runner', record)
    state = _recorded_state(run, record)
    parent = run.parent
    if parent is None or state.name in ('done', 'failed'):
        return state
    is_ready = state_of(parent).name == 'done'
    if record is None and not is_ready:
        return RunState('waiting', f'for {parent.name}')
    if is_ready and checkpoint_of(parent.folder, parent.stage.checkpoint) is None:
        why = f'for the checkpoint of {parent.name}, which was removed: remove {parent.folder / RECORD} to run that again'
        return RunState('waiting', why, record)
    return state


def _recorded_state(run: Run, record: Record | None) -> RunState:
    if record is None:
        is_unknown = (run.folder / CONTENT).exists()
        return RunState('changed', f'its {RECORD} is missing or damaged') if is_unknown else RunState('ready')
    if why := why_outdated(run, record):
        return RunState('changed', why, record)
    if record.state == 'done' and (missing := lacking(run, record)):
        return RunState('failed', missing, record)
    if record.state in ('done', 'failed'):
        return RunState(record.state, record.error, record)
    return RunState('interrupted', record.error or 'its runner was killed', record)


class Stopped(Exception):
    """A signal has stopped the runner. Its children have written their checkpoints.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass
class Local:
    """Places for runs on this machine.

    Attributes:
        slots: number of runs at a time.
        gpus: of each run; 0 where there are none.
        cores: of each run.
    """

    slots: int = 1
    gpus: int = field(default_factory=lambda: int(torch.cuda.is_available()))
    cores: int = 0

    def __post_init__(self) -> None:
        self.cores = self.cores or max(1, len(_cores()) // self.slots)
        self.free = list(range(self.slots))
        there = torch.cuda.device_count()
        if self.slots * self.gpus > there:
            wanted = f'{self.slots} at a time, each on {count_of(self.gpus, "GPU")}'
            raise ValueError(
                f'{wanted}: this machine has {there}. Run fewer at a time (--on local:N), or each on fewer (--gpus)'
            )

    def environment(self, slot: int) -> dict[str, str]:
        """Variables of the run in a slot: its cores, or its GPUs of those that this process may use."""
        found = {'OMP_NUM_THREADS': str(self.cores)}
        if self.gpus:
            visible = os.environ.get('CUDA_VISIBLE_DEVICES') or ','.join(map(str, range(torch.cuda.device_count())))
            found['CUDA_VISIBLE_DEVICES'] = ','.join(visible.split(',')[slot * self.gpus : (slot + 1) * self.gpus])
        return found


def _cores() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else set(range(os.cpu_count() or 1))


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect stop signals instead of ending by them. The handlers are put back at the end."""
    received: list[int] = []
    before = {number: signal.signal(number, lambda got, frame: received.append(int(got))) for number in STOP_SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Loop:
    """Works on runs until none is left that it may start."""

    def __init__(
        self,
        plan: Plan,
        local: Local,
        program: Sequence[str],
        retry_failed: bool,
        report: Callable[[str], None],
        watch: Callable[[Child], bool],
    ) -> None:
        self.plan, self.local, self.program, self.report, self.watch = plan, local, program, report, watch
        self.children: dict[int, Child] = {}
        self.retry = {run.hash for run in plan.runs if state_of(run).name == 'failed'} if retry_failed else set()
        self.tried: set[str] = set()  # no run is started twice by one process
        self.next_look, self.has_others = 0.0, False
        self.open = list(plan.runs)  # those whose end this process has not seen

    def step(self) -> bool:
        """End and start what there is; returns whether work is left."""
        for slot, child in list(self.children.items()):
            if child.has_ended:
                self._end(slot)
            elif self.watch(child):
                child.stop()
        # Each look reads the records of all open runs, which takes time on a shared file system.
        if self.local.free and time.monotonic() >= self.next_look:
            self.has_others = self._start()
            self.next_look = time.monotonic() + ELSEWHERE
        return bool(self.children) or self.has_others

    def _end(self, slot: int) -> None:
        child = self.children.pop(slot)
        record = child.end()
        self.next_look = 0.0
        self.local.free.append(slot)
        self.local.free.sort()
        took = f'{record.seconds:.0f} s'
        self.report(f'{child.run.name}: {record.state} after {took}' + (f': {record.error}' if record.error else ''))

    def _start(self) -> bool:
        """Start runs in the free slots. Returns whether another process works on one, whose end may free others."""
        elsewhere = False
        own = {child.run.hash for child in self.children.values()}
        for run in list(self.open):
            if run.hash in own:
                continue
            state = state_of(run)
            if state.name == 'done':
                self.open.remove(run)
            elif state.name == 'running':
                elsewhere = True
            elif self.local.free and self._may_start(run, state):
                elsewhere |= not self._claim(run, state)
        return elsewhere

    def _may_start(self, run: Run, state: RunState) -> bool:
        if run.hash in self.tried or (state.name == 'failed' and run.hash not in self.retry):
            return False
        if run.parent is None:
            return True
        has_checkpoint = checkpoint_of(run.parent.folder, run.parent.stage.checkpoint) is not None
        return has_checkpoint and state_of(run.parent).name == 'done'

    def _claim(self, run: Run, state: RunState) -> bool:
        """Take over the result of a run, or start it. Returns False if another process was faster."""
        lock = claim(run.folder, self.report)
        if lock is None:
            return False
        child = None
        try:
            # Another process may have ended it between the look and the claim.
            record = read_record(run.folder)
            is_known = record is not None and record.hash == run.hash
            has_ended = is_known and record.state in ('done', 'failed') and run.hash not in self.retry
            if has_ended or is_result(run, record) or is_training(run.folder):
                return False
            self.tried.add(run.hash)
            if (source := find_equal(run, self.plan.root)) and take_over(run, source, self.plan.study.name):
                self.report(f'{run.name}: taken over from {source}')
                return True
            why = f' ({state.why})' if state.name == 'changed' else ''
            self.report(f'{run.name}: {"continues" if is_known else "starts"}{why}')
            slot = self.local.free[0]
            environment = self.local.environment(slot)
            child = Child(run, lock, self.plan.study.name, self.program, environment, self.local.gpus)
            self.children[self.local.free.pop(0)] = child
            return True
        finally:
            if child is None:
                lock.release()

    def stop(self, received: list[int]) -> None:
        """Stop all children, which write checkpoints. The second signal ends them at once."""
        name = signal.Signals(received[0]).name
        self.report(f'{name}: stopping {count_of(len(self.children), "run")}, after a checkpoint of each')
        for child in self.children.values():
            child.stop()
        while not all(child.has_ended for child in self.children.values()):
            if len(received) > 1:
                for child in self.children.values():
                    child.kill()
            time.sleep(INTERVAL)
        for slot in list(self.children):
            self._end(slot)


def run_plan(
    plan: Plan,
    local: Local | None = None,
    program: Sequence[str] = PROGRAM,
    retry_failed: bool = False,
    report: Callable[[str], None] = print,
    watch: Callable[[Child], bool] = lambda child: False,
) -> None:
    """Work on the runs of a plan until each is done, has failed, or waits for one that has.

    Several processes may do this at the same time, also on other machines that share the folder. A run is claimed by a lock.
    Interrupted runs resume.

    Args:
        plan: of a study.
        local: how many runs at a time, and what each gets; default: one, with everything.
        program: see :data:`.child.PROGRAM`.
        retry_failed: also start runs that have failed before.
        report: takes a line about each start and end.
        watch: is called for each running child, and returns whether to stop it.

    Raises:
        Stopped: by a signal, after the children have written checkpoints.
    """
    loop = _Loop(plan, local or Local(), program, retry_failed, report, watch)
    with _signals() as received:
        try:
            while loop.step():
                deadline = time.monotonic() + (INTERVAL if loop.children else ELSEWHERE)
                while time.monotonic() < deadline and not received:
                    time.sleep(0.05)
                if received:
                    break
        finally:
            if loop.children:
                loop.stop(received or [int(signal.SIGTERM)])
    if received:
        raise Stopped(received[0])
