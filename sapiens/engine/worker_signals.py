"""Signals that ask a run to stop, in the main process and in the workers of its loaders."""

import atexit
import functools
import multiprocessing
import signal

import torch

__all__ = ['STOP_SIGNALS', 'init_worker', 'kill_workers_at_exit']

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@functools.cache
def kill_workers_at_exit() -> None:
    """End loader workers for good when this process exits: multiprocessing would send SIGTERM, which they ignore."""

    def kill() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would report their end as a failure
        for child in multiprocessing.active_children():
            if child.daemon:
                child.kill()

    atexit.register(kill)  # runs before multiprocessing's own handler, which was registered earlier


def init_worker(worker_id: int, **_) -> None:
    """Start a loader's worker: it leaves stopping to the main process, which gets the same signals.

    A terminal sends Ctrl-C, and a cluster SIGTERM or SIGUSR1, to every process of the group. A worker that died of it
    would take the run down before its checkpoint is written. Workers still end when the main process is gone. Their
    random state is torch's business: it comes from the loader's generator.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
