"""Ends the processes of a training when the launcher that started them was killed: torchrun, or the runner of a study."""

import functools
import os
import signal
import threading
import time

__all__ = ['STOP_WITH_PARENT', 'stop_with_launcher']

STOP_WITH_PARENT = 'SAPIENS_STOP_WITH_PARENT'
"""Variable with the number of the launcher, where that is not torchrun."""

INTERVAL = 2.0
"""Seconds between two looks at the parent process."""
PATIENCE = 900.0
"""Seconds for the step and the checkpoint, before the process ends without them."""


@functools.cache
def stop_with_launcher() -> None:
    """Send this process SIGTERM when its launcher ends without it: training writes a checkpoint and ends.

    A killed launcher cannot end its processes. They would train on, and hold the work dir, the port and the GPUs. Nothing
    happens in processes that have no launcher.
    """
    given = os.environ.pop(STOP_WITH_PARENT, '')
    if 'TORCHELASTIC_RUN_ID' in os.environ:
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    elif given:  # the launcher may have ended before this process was able to ask for its parent
        threading.Thread(target=_watch, args=(int(given),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(INTERVAL)
    os.write(2, f'the launcher (process {parent}) has ended: stopping\n'.encode())
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(128 + signal.SIGTERM)  # a process that waits for others forever
