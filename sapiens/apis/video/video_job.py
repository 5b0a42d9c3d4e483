"""Inference on videos: a video of drawn frames, and a JSON file with the records of all frames.

Frames are decoded, predicted in batches, drawn and encoded one after the other, so memory does not grow with the length.
"""

import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from sapiens.datasets.transforms.decoding import BadImage
from sapiens.utils.files import move_into_place, temporary_path

from ..batch_job import FIGURE, Outcome, Plan, found_in
from ..found import Found
from ..inputs import Item
from ..masks import set_masks
from ..pipeline import Job, in_order, run
from ..predictors import Predictor
from ..results import ImageResults, Result
from ..results.by_task import get_result_class
from ..writers.files import write_file
from .filters import build_filters
from .layout import beside, reduced
from .video_file import Camera, Frame, VideoReader, VideoWriter, open_frames

__all__ = ['VideoOptions', 'partial_files', 'poster_file', 'run_video', 'run_videos', 'video_files']

# What follows the names of the files of a video at the end. None: the files are removed.
COMPLETE, PARTIAL, NOTHING = '', '.part', None


@dataclass(frozen=True)
class VideoOptions:
    """Options of videos.

    Attributes:
        track: give each person one id throughout the video.
        smooth: track people and smooth their keypoints in time, use one focal length for all pointmaps, and average mattes
            along the motion of the picture.
        min_cutoff, beta: see :class:`sapiens.apis.video.tracking.OneEuroFilter`.
        side_by_side: write the input frame beside or above the drawn one, see :func:`.beside`.
        max_frames: maximum number of frames. A camera has no end.
    """

    track: bool = False
    smooth: bool = False
    min_cutoff: float = 1.0
    beta: float = 5.0
    side_by_side: bool = False
    max_frames: int | None = None


def video_files(plan: Plan, name: str) -> dict[str, dict[str, Path]]:
    """Return the files of each task for a video, and of its figure: 'picture' is an .mp4, 'json' the records of the frames."""
    files = {}
    for task in plan.written():
        chosen, stem = get_result_class(task).chosen(plan.saving), plan.stem(task, name)
        suffixes = {'json': '.json'} if any(file.suffix == '.json' for file in chosen) else {}
        if any(file.kind == 'picture' for file in chosen):
            suffixes['picture'] = '.mp4'
        files[task] = {kind: stem.with_name(stem.name + suffix) for kind, suffix in suffixes.items()}
    if plan.figure:
        stem = plan.figure_stem(name)
        files[FIGURE] = dict(picture=stem.with_name(stem.name + '.mp4'))
    return files


def partial_files(paths: Iterable[Path]) -> list[Path]:
    """Return where the frames of a broken video are kept: ``a.mp4.part`` for ``a.mp4``."""
    return [path.with_name(path.name + PARTIAL) for path in paths]


def poster_file(path: Path) -> Path:
    """Return the still picture of a video: ``a_poster.jpg`` for ``a.mp4``."""
    return path.with_name(f'{path.stem}_poster.jpg')


def run_videos(
    plan: Plan,
    items: Iterable[Item],
    device: str,
    options: VideoOptions,
    progress: Callable = lambda frames, count: frames,
) -> Iterator[Outcome]:
    """Process videos one after the other and yield the outcome of each; see :func:`run_video`.

    Raises:
        FileNotFoundError, ValueError, ImportError: from :func:`load_model` and :func:`build_detector`.
    """
    predictors, detector = plan.load(device)
    for item in items:
        error, found = '', ()
        try:
            frames = run_video(plan, item, predictors, options, detector, progress)
            found = tuple(one for one in frames if one)
        except BadImage as reason:
            error = str(reason)
        except (OSError, ValueError) as reason:  # such as frames of two sizes or a full disk: only this video fails
            error = f'{type(reason).__name__}: {reason}'
        yield Outcome(item, error, found)


def run_video(
    plan: Plan,
    item: Item,
    predictors: dict[str, Predictor],
    options: VideoOptions,
    detector: Callable | None = None,
    progress: Callable = lambda frames, count: frames,
) -> list[Found | None]:
    """Process one video, or a camera, and return what each frame shows; None for tasks that report nothing.

    The JSON file of pose is ``{meta_info, frames: [{frame, time, instance_info}, ...]}``. The frames of a truncated video are
    kept under other names (:func:`partial_files`), so the video does not count as done. Ctrl-C ends a camera, and its files are
    complete.

    Args:
        progress: wraps the iteration over the ``count`` frames; 0 if the number is unknown.

    Raises:
        BadImage: the file is not a video, has no frames, or is truncated; no frame has a result of some task, such as points.
        ImportError: PyAV is not installed.
    """
    source = open_frames(item.source)
    frames = _Frames(source, options.max_frames)
    outputs: dict[str, Output] = {}
    kinds = {task: get_result_class(task) for task in plan.written()}
    filters = build_filters(kinds, options.track, options.smooth, min_cutoff=options.min_cutoff, beta=options.beta)
    count, keep, found = 0, NOTHING, []
    missing: dict[str, list[str]] = {task: [] for task in plan.written()}  # why frames have no result
    pending: deque[Future] = deque()
    try:
        for task, paths in video_files(plan, item.name).items():
            outputs[task] = Output(plan, paths, source.rate, source.path, options)
        with ThreadPoolExecutor(1, 'sapiens-video') as pool:
            jobs = run(predictors, frames, detector=detector, workers=plan.workers, pixels_of=frames.take)
            for job in progress(in_order(jobs), source.count):
                frame = frames.shown.pop(count)
                if job.error:
                    raise BadImage(f'frame {count}: {job.error}')
                for task, result in list(job.results.items()):
                    if task in filters:
                        job.results[task] = result = filters[task](result, float(frame.time))
                    result.time = float(frame.time)
                for task, reasons in missing.items():
                    reasons += filter(None, [job.results[task].missing])
                found.append(found_in({task: job.results[task] for task in plan.written()}, plan.saving))
                pending.append(pool.submit(_write, plan, outputs, job, count, frame))
                count += 1
                while len(pending) > 4:
                    pending.popleft().result()
            for future in pending:
                future.result()
        keep = NOTHING if not count else PARTIAL if frames.error else COMPLETE
    except KeyboardInterrupt:
        if not isinstance(source, Camera):
            raise
        keep = COMPLETE if count else NOTHING
    finally:
        empty = {task: reasons[0] for task, reasons in missing.items() if count and len(reasons) == count}
        for task, output in outputs.items():
            output.close(NOTHING if task in empty else keep)
    if frames.error and count:
        kept = ', '.join(path.name for output in outputs.values() for path in output.partial)
        raise BadImage(f'{frames.error}; {count} frames are in {kept}')
    if frames.error or not count:
        raise BadImage(str(frames.error or f'{source.path or item.name} has no frames'))
    for task, reasons in missing.items():
        if task in empty:
            raise BadImage(f'no frame has a {task}: {empty[task]}')
        if reasons:
            text = f'{item.name}: {len(reasons)} of {count} frames have no {task}: {reasons[0]}'
            print_log(text, 'current', logging.WARNING)
    return found


class _Frames:
    """Items of the frames of a video. Ends at the first broken frame, with the reason in ``error``."""

    def __init__(self, source: VideoReader | Camera, max_frames: int | None) -> None:
        self.source, self.max_frames = source, max_frames
        self.shown: dict[int, Frame] = {}  # until they are written
        self.error: BadImage | None = None

    def __iter__(self) -> Iterator[Item]:
        try:
            for number, frame in enumerate(self.source):
                self.shown[number] = frame
                yield Item('', str(number))
                if number + 1 == self.max_frames:
                    return
        except BadImage as error:
            self.error = error

    def take(self, item: Item) -> np.ndarray:
        return self.shown[int(item.name)].pixels


def _write(plan: Plan, outputs: dict[str, 'Output'], job: Job, number: int, frame: Frame) -> None:
    set_masks(job.results, masking=plan.masking)
    results = ImageResults({task: job.results[task] for task in plan.written()})
    drawn = [task for task in results if plan.figure or outputs[task].video]
    pictures = {task: results[task].frame_picture(results[task].choose(plan.saving)) for task in drawn}
    if plan.figure:
        pictures[FIGURE] = results.figure(list(pictures.values()))
    for task, output in outputs.items():
        output.add(results.get(task), pictures.get(task), number, frame)


class Output:
    """Writes the files of one task."""

    def __init__(self, plan: Plan, files: dict[str, Path], rate, sound: str, options: VideoOptions) -> None:
        self.saving, self.options = plan.saving, options
        self.video = self.json = self.poster = None
        self.most = 0  # people of the poster
        self.partial = partial_files(files.values())
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        if 'picture' in files:
            self.video = VideoWriter(files['picture'], rate, sound)
        if 'json' in files:
            self.path, self.temporary = files['json'], temporary_path(files['json'])
            self.json = open(self.temporary, 'w')  # noqa: SIM115  (closed by close)

    def add(self, result: Result | None, picture: np.ndarray | None, number: int, frame: Frame) -> None:
        """Add a frame.

        Args:
            result: None for the figure of all tasks, which shows the input already.
            picture: for the video, if there is one.
        """
        if self.json:
            if number == 0:
                header = ''.join(f'"{key}":{json.dumps(value)},' for key, value in result.frame_header().items())
                self.json.write(f'{{{header}"frames":[\n')
            row = dict(frame=number, time=round(float(frame.time), 4), **result.frame_record(self.saving))
            self.json.write((',\n' if number else '') + json.dumps(row, allow_nan=False))
        if self.video:
            if result is None:
                picture = reduced(picture)
            elif self.options.side_by_side:
                picture = beside(result.image, picture)
            self.video.write(frame._replace(pixels=picture))
            self._keep_poster(result, picture)

    def _keep_poster(self, result: Result | None, picture: np.ndarray) -> None:
        """Keep the first picture with the most people as the poster."""
        found = result.found(self.saving) if result is not None else None
        people = found.people if found else 0
        if self.poster is None or people > self.most:
            self.poster, self.most = picture, people

    def close(self, keep: str | None) -> None:
        """Finish the files, which have at least one frame if they are COMPLETE or PARTIAL; or leave NOTHING."""
        for path in self.partial:
            path.unlink(missing_ok=True)  # of an earlier run
        if keep is NOTHING:
            if self.video:
                self.video.abort()
            if self.json:
                self.json.close()
                self.temporary.unlink()
            return
        if self.video:
            if keep == COMPLETE:
                write_file(poster_file(self.video.path), self.poster)
            self.video.close(keep)
        if self.json:
            self.json.write('\n]}\n')
            self.json.close()
            move_into_place(self.temporary, self.path.with_name(self.path.name + keep))
