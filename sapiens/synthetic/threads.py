"""Sums that do not depend on the number of threads of a process."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import torch
from threadpoolctl import threadpool_limits

__all__ = ['one_thread']


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread, so that sums do not depend on the number of threads of the process."""
    threads, cv_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):  # the BLAS of numpy and scipy
            yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv_threads)
