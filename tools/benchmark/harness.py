"""Clocks and set-up that the benchmarks share."""

import copy
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch


def use_one_thread() -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def cpu_seconds(run: Callable, *args) -> tuple[float, Any]:
    """CPU time of a call in this process, and its result."""
    begin = time.process_time()
    result = run(*args)
    return time.process_time() - begin, result


def samples_per_second(pipelines: Sequence[Callable], samples: Sequence[Sequence[dict]]) -> np.ndarray:
    """Rate of each pipeline by CPU time.

    The pipelines take turns with the same random numbers. The first sample is also run before, as a warm-up.

    Args:
        samples: for each sample the input of each pipeline; copied, since transforms change it.
    """
    times = np.zeros(len(pipelines))
    for number, inputs in enumerate([samples[0], *samples]):
        turns = range(len(pipelines))
        for which in turns if number % 2 else reversed(turns):
            np.random.seed(number)
            times[which] += cpu_seconds(pipelines[which], copy.deepcopy(inputs[which]))[0] * (number > 0)
    return len(samples) / times


def seconds(run: Callable, *args, device: str | torch.device = 'cpu') -> tuple[float, Any]:
    """Wall time of a call, to the end of its work on the device, and its result."""
    begin = time.perf_counter()
    result = run(*args)
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin, result


def find_photographs(folder: str) -> list[str]:
    """Paths of the JPEG files below a folder, in order. Exits if there are none."""
    paths = sorted(str(path) for path in Path(folder).rglob('*') if path.suffix.lower() in ('.jpg', '.jpeg'))
    if not paths:
        raise SystemExit(f'no .jpg or .jpeg below {folder}')
    return paths
