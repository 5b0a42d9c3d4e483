"""Computations that report their progress and can be canceled."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet  # of 3.10, where it is another class than the built-in one
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..batch_job import Plan
from ..demo import ALL, RELIGHT, Demo
from ..inputs import Item
from ..results import Saving
from ..video.video_file import open_frames
from ..video.video_job import VideoOptions, run_video, video_files
from .kept import Kept, Look

__all__ = ['Canceled', 'Progress', 'Step', 'image_steps', 'video_steps']

EVERY = 0.5  # seconds between two lines of progress

T = TypeVar('T')


class Canceled(Exception):
    """The user canceled."""


class Step(NamedTuple):
    """What is reported: a line for the user while computing, and the result in the last step."""

    text: str
    result: Any = None


class Progress:
    """What a computation in a thread and the page share.

    Attributes:
        text: line for the user.
        canceled: set by the page.
    """

    def __init__(self) -> None:
        self.text = ''
        self.canceled = threading.Event()

    def check(self) -> None:
        """Raise Canceled if the user canceled."""
        if self.canceled.is_set():
            raise Canceled

    def frames(self, frames: Iterable, count: int) -> Iterator:
        """Pass on the frames of a video and count them."""
        for number, frame in enumerate(frames, 1):
            self.check()
            self.text = f'Frame {number} of {count}' if count else f'Frame {number}'
            yield frame


def watch(work: Callable[[], T], progress: Progress) -> Generator[Step, None, T]:
    """Run ``work`` in a thread, and report its line with the time until it ends.

    Raises:
        Canceled: the user canceled. A computation of one image runs to its end in its thread, and its result is dropped.
        Exception: that of the work.
    """
    future: Future = Future()

    def target() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    begin = time.perf_counter()
    threading.Thread(target=target, daemon=True, name='sapiens-page').start()
    shown = None
    try:
        while True:
            try:
                return future.result(EVERY)
            except NotYet:
                if future.done():  # the work's own
                    raise
            progress.check()
            seconds = int(time.perf_counter() - begin)
            line = f'{progress.text}… {seconds} s' if seconds else f'{progress.text}…'
            if line != shown:
                shown = line
                yield Step(line)
    except GeneratorExit:
        progress.canceled.set()  # the page is gone
        raise


def _load(demo: Demo, task: str, label: str, detector: str | None, progress: Progress) -> Generator[Step, None, tuple]:
    missing = demo.missing(task, label)
    progress.text = 'Waiting for the computation before'
    if missing:
        progress.text = f'Loading the model {", ".join(missing)}, the first time only'
        yield Step(f'{progress.text}…')
    loaded = yield from watch(lambda: demo.load(task, label, detector), progress)
    progress.check()
    return loaded


def image_steps(
    demo: Demo,
    image: str,
    task: str,
    label: str,
    detector: str,
    boxes: np.ndarray | None,
    folder: Path,
    progress: Progress,
) -> Iterator[Step]:
    """Compute an image. The result of the last step is a :class:`.Kept` whose files go to ``folder``.

    Raises:
        Canceled, and those of :meth:`sapiens.apis.demo.Demo.predict`.
    """
    yield from _load(demo, task, label, detector if boxes is None else None, progress)
    progress.text = 'Computing'
    yield Step('Computing…')
    begin = time.perf_counter()
    result = yield from watch(lambda: demo.predict(image, task, label, detector, boxes), progress)
    progress.check()
    yield Step('', Kept(result, task, label, demo.kinds(task), time.perf_counter() - begin, folder))


def video_steps(
    demo: Demo,
    video: str,
    task: str,
    label: str,
    detector: str,
    look: Look,
    most: int,
    folder: Path,
    progress: Progress,
) -> Iterator[Step]:
    """Compute a video, and draw it as ``look`` says. The result of the last step is the list of its files, the drawn video first.

    Args:
        most: frames at most.

    Raises:
        BadImage: the file cannot be read.
        ValueError: a task that takes no videos.
        ImportError: PyAV is not installed.
        Canceled: the user canceled; there are no files then.
    """
    if task == RELIGHT:
        raise ValueError('this task takes a picture: choose another task for a video')
    count = open_frames(video).count  # before a model is loaded
    models, finder = yield from _load(demo, task, label, detector, progress)
    tasks = [one for model in models for one in model.tasks]
    plan = Plan({one: {} for one in tasks}, folder, Saving(**look.drawing()), len(tasks) > 1, figure=task == ALL)
    item = Item(video, Path(video).stem)
    progress.text = f'Frame 0 of {min(count, most)}' if count else 'Reading the video'

    def limited(frames: Iterable, count: int) -> Iterator:
        return progress.frames(frames, min(count, most))

    def work() -> None:
        with demo.lock:
            named = {model.tasks[0]: model for model in models}
            run_video(plan, item, named, VideoOptions(smooth=True, max_frames=most), finder, limited)

    yield from watch(work, progress)
    files = [path for paths in reversed(video_files(plan, item.name).values()) for path in paths.values()]
    shown = next(path for path in files if path.suffix == '.mp4')
    yield Step('', [shown, *(path for path in sorted(folder.rglob('*.*')) if path != shown)])
