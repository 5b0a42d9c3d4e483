"""Clocks and set-up that the benchmarks share."""

import glob
import time
from collections.abc import Callable
from typing import Any

import cv2
import torch


def use_one_thread() -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def cpu_seconds(run: Callable, *args) -> tuple[float, Any]:
    """CPU time of a call in this process, and its result."""
    begin = time.process_time()
    result = run(*args)
    return time.process_time() - begin, result


def seconds(run: Callable, device: str | torch.device = 'cpu') -> float:
    """Wall time of a call, to the end of its work on the device."""
    begin = time.perf_counter()
    run()
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def find_photographs(folder: str) -> list[str]:
    """Paths of the .jpg files of a folder, in order. Exits if there are none."""
    paths = sorted(glob.glob(f'{folder}/*.jpg'))
    if not paths:
        raise SystemExit(f'no *.jpg in {folder}')
    return paths
