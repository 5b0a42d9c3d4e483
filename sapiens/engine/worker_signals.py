"""Stop signals in the main process and in the workers of its loaders."""

import atexit
import functools
import gc
import multiprocessing
import signal

import torch

from sapiens.utils.stop_signals import STOP_SIGNALS

__all__ = ['init_worker', 'kill_workers_at_exit']


@functools.cache
def kill_workers_at_exit() -> None:
    """Kill loader workers when this process exits. multiprocessing would send SIGTERM, which they ignore."""

    def kill() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # otherwise torch reports their end as a failure
        for child in multiprocessing.active_children():
            if child.daemon:
                child.kill()

    atexit.register(kill)  # runs before multiprocessing's handler, which was registered earlier


def init_worker(worker_id: int, **_) -> None:
    """Initialize a loader's worker: ignore stop signals, and collect garbage automatically.

    A terminal sends Ctrl-C, and a cluster SIGTERM or SIGUSR2, to every process of the group. If a worker died of it, the run
    would fail before its checkpoint is written. Workers still end with the main process. torch seeds them from the loader's
    generator.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    gc.enable()  # which a worker inherits from a trainer that collects at its own times
