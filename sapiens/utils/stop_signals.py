"""Signals that stop a training after a checkpoint, and the exit statuses of stopped runs."""

import signal

__all__ = ['STOPPED', 'STOP_SIGNALS']

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ('SIGTERM', 'SIGINT', 'SIGUSR1', 'SIGUSR2') if hasattr(signal, name)
)
"""SIGUSR2 announces the time limit of a Slurm job that ``sapiens submit`` has made. NCCL may use SIGUSR1 itself."""

STOPPED = {128 + number: number for number in STOP_SIGNALS}
"""Exit status of a stopped run -> signal."""
