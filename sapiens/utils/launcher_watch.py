"""Ends the processes of a training when torchrun, which started them, was killed."""

import functools
import os
import signal
import threading
import time

__all__ = ['stop_with_launcher']

INTERVAL = 2.0
"""Seconds between two looks at the parent process."""
PATIENCE = 900.0
"""Seconds for the step and the checkpoint, before the process ends without them."""


@functools.cache
def stop_with_launcher() -> None:
    """Send this process SIGTERM when torchrun ends without it: training writes a checkpoint and ends.

    A killed torchrun cannot end its processes. They would train on, and hold the work dir, the port and the GPUs. Nothing
    happens in processes that torchrun did not start.
    """
    if 'TORCHELASTIC_RUN_ID' in os.environ:
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(INTERVAL)
    os.write(2, f'torchrun (process {parent}) has ended: stopping\n'.encode())
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(128 + signal.SIGTERM)  # a process that waits for others forever
