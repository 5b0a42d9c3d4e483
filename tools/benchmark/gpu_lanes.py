"""Run cases in processes of their own, within a number of seconds, and keep what they find in a file."""

import gc
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from pathlib import Path

__all__ = ['FINAL', 'Results', 'run_cases']

# States of a case that --resume does not run again.
FINAL = ('done', 'memory', 'failed')
# A case is not started for less than these seconds.
LEAST = 8


class Results:
    """Lines of JSON, one for each case that has run. The last line of a case counts.

    Args:
        path: of the file; None keeps results in memory. A last line that was not written to its end is left out.
        keep: the lines that are there. Otherwise the file must not exist.

    Raises:
        FileExistsError: there are results, and ``keep`` is False.
    """

    def __init__(self, path: str | Path | None = None, keep: bool = False) -> None:
        self.path = Path(path) if path else None
        self.rows: dict[str, dict] = {}
        if self.path is None:
            return
        if self.path.exists() and not keep:
            raise FileExistsError(f'{path} has results: add to them with --resume, or choose another --output')
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    continue
                self.rows[row['case']] = row

    def add(self, row: dict) -> None:
        self.rows[row['case']] = row
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_cut = self.path.exists() and self.path.read_bytes()[-1:] not in (b'', b'\n')
        with open(self.path, 'a') as file:
            file.write('\n' * is_cut + json.dumps(row) + '\n')
            file.flush()
            os.fsync(file.fileno())

    def is_done(self, case) -> bool:
        return self.rows.get(case.name, {}).get('state') in FINAL


def run_cases(
    cases: Sequence,
    work: Callable,
    results: Results,
    end: float,
    context: BaseContext,
    limit: float = 240,
    log: str = os.devnull,
    least: float = LEAST,
    places: dict[str, int] | None = None,
    tell: Callable[[str], None] = print,
) -> None:
    """Run the cases that have no result yet, in their order: one at a time on the device, and one on the host meanwhile.

    A case that runs out of memory on the device is run again with half of its batch. A process that ends by itself, takes longer
    than ``limit``, or raises an error, is a result too.

    Args:
        cases: with ``name``, ``lane`` and ``batch`` (:class:`gpu_cases.Case`).
        work: ``work(case) -> dict``, a function of a module.
        end: by the monotonic clock; what still runs is ended and has no result.
        context: of ``multiprocessing``.
        limit: seconds of a case.
        log: file that gets the output of the processes.
        least: a case is not started in the last seconds before the end.
        places: number of processes by lane; by default one on the device and one on the host.
        tell: takes a line about each case.
    """
    places = places or dict(device=1, host=1)
    waiting = {lane: [case for case in cases if case.lane == lane and not results.is_done(case)] for lane in places}
    running: list[_Running] = []
    try:
        while True:
            for lane, queue in waiting.items():
                free = places[lane] - sum(one.case.lane == lane for one in running)
                while free > 0 and queue and end - time.monotonic() > least:
                    running.append(_Running(queue.pop(0), work, context, min(end, time.monotonic() + limit), log))
                    free -= 1
            if not running:
                return
            ready = min(one.end for one in running) - time.monotonic()
            wait([one.pipe for one in running], max(0.0, ready))
            for one in list(running):
                row = one.row(is_last=time.monotonic() >= end)
                if row is None:
                    continue
                running.remove(one)
                if row['state'] == 'memory' and one.case.lane == 'device' and one.case.batch > 1:
                    smaller = replace(one.case, batch=one.case.batch // 2)
                    tell(f'{one.case.name}: out of memory with {one.case.batch} images, again with {smaller.batch}')
                    waiting[one.case.lane].insert(0, smaller)
                    continue
                results.add(row)
                tell(f'{one.case.name}: {row["state"]} in {row["seconds"]:.0f} s {row.get("error", "")}'.rstrip())
    finally:
        for one in running:
            one.stop()


class _Running:
    """A case and its process."""

    def __init__(self, case, work: Callable, context: BaseContext, end: float, log: str) -> None:
        self.case, self.end, self.begin = case, end, time.monotonic()
        self.pipe, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_serve, args=(theirs, work, case, log))
        self.process.start()
        theirs.close()

    def row(self, is_last: bool) -> dict | None:
        """The result; None while the process runs. A process that runs too long is ended.

        Args:
            is_last: there is no time for any case.
        """
        row = None
        if self.pipe.poll():
            try:
                row = self.pipe.recv()
            except EOFError:
                self.process.join(10)
                row = dict(state='failed', error=f'the process ended with status {self.process.exitcode}')
        elif time.monotonic() >= self.end:
            reason = dict(state='stopped', error='no time was left') if is_last else None
            row = reason or dict(state='failed', error=f'took longer than {self.end - self.begin:.0f} s')
        if row is None:
            return None
        self.stop()
        facts = dict(case=self.case.name, batch=self.case.batch, seconds=round(time.monotonic() - self.begin, 2))
        return facts | row

    def stop(self) -> None:
        """End the process and those that it has started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # it has ended, or has no group yet
            self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(pipe, work: Callable, case, log: str) -> None:
    """The process of a case."""
    os.setsid()
    gc.freeze()  # a training collects garbage, and need not search what was imported
    with open(log, 'a', buffering=1) as file:
        print(f'==== {case.name}', file=file, flush=True)
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        pipe.send(dict(_result(work, case), cpu_seconds=round(time.process_time(), 2)))
        pipe.close()


def _result(work: Callable, case) -> dict:
    import traceback

    try:
        return dict(state='done', values=work(case))
    except ModuleNotFoundError as error:
        return dict(state='missing', error=f'{error.name} is not installed')
    except BaseException as error:
        traceback.print_exc()
        kind = type(error).__name__
        is_memory = kind == 'OutOfMemoryError' or isinstance(error, MemoryError) or 'out of memory' in str(error)
        text = (str(error).splitlines() or [''])[0][:200]
        return dict(state='memory' if is_memory else 'failed', error=f'{kind}: {text}')
