"""A video through models, frame by frame: a video of pictures, and the people of every frame.

Memory does not grow with the length: frames are decoded, predicted in batches, drawn and encoded one after the other, and JSON is
written line by line.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sapiens.datasets.transforms.decoding import BadImage

from ..batch_job import Outcome, Plan
from ..detectors import build_detector
from ..inputs import Item
from ..loading.load_model import load_model
from ..pipeline import Job, run
from ..predictors import Predictor
from ..writers.pose_formats import meta_info, pose_document
from .tracking import Tracker
from .video_file import Camera, VideoReader, VideoWriter, open_frames

__all__ = ['VideoOptions', 'partial_files', 'run_video', 'run_videos', 'video_files']

# What becomes of the files of a video: under their names, under those of a part of it, or nothing.
COMPLETE, PARTIAL, NOTHING = 'complete', 'partial', 'nothing'


@dataclass(frozen=True)
class VideoOptions:
    """What is done with the frames of a video.

    Attributes:
        track: number people through the video.
        smooth: smooth their keypoints in time; tracks them too.
        min_cutoff, beta: see :class:`sapiens.apis.video.tracking.OneEuroFilter`.
        side_by_side: the frame beside its picture.
        max_frames: end after so many; for cameras, which never end by themselves.
    """

    track: bool = False
    smooth: bool = False
    min_cutoff: float = 1.0
    beta: float = 5.0
    side_by_side: bool = False
    max_frames: int | None = None


def video_files(plan: Plan, name: str) -> dict[str, dict[str, Path]]:
    """The files of each task for a video: ``picture`` an .mp4, and of pose ``json``."""
    files = {}
    for task in plan.written():
        kinds, stem = plan.saving.of(task), plan.stem(task, name)
        files[task] = {}
        if task == 'pose' and 'json' in kinds:
            files[task]['json'] = stem.with_name(stem.name + '.json')
        if 'picture' in kinds:
            files[task]['picture'] = stem.with_name(stem.name + '.mp4')
    return files


def partial_files(paths: Iterable[Path]) -> list[Path]:
    """Where the frames of a broken video are kept: ``a.mp4.part`` for ``a.mp4``."""
    return [path.with_name(f'{path.name}.part') for path in paths]


def run_videos(
    plan: Plan,
    items: Iterable[Item],
    device: str,
    options: VideoOptions,
    progress: Callable = lambda frames, count: frames,
) -> Iterator[Outcome]:
    """Work on videos one after the other, and yield what became of each; see :func:`run_video`.

    Raises:
        FileNotFoundError, ValueError, ImportError: what :func:`load_model` and :func:`build_detector` refuse.
    """
    predictors = {task: load_model(device=device, **values) for task, values in plan.models.items()}
    detector = build_detector(**plan.detector, device=device) if plan.detector else None
    for item in items:
        try:
            run_video(plan, item, predictors, options, detector, progress)
        except (BadImage, OSError, ValueError) as error:  # this video's alone: frames of two sizes, a full disk
            yield Outcome(item, str(error) if isinstance(error, BadImage) else f'{type(error).__name__}: {error}')
        else:
            yield Outcome(item)


def run_video(
    plan: Plan,
    item: Item,
    predictors: dict[str, Predictor],
    options: VideoOptions,
    detector: Callable | None = None,
    progress: Callable = lambda frames, count: frames,
) -> int:
    """Work on one video, or on a camera, and return the number of frames.

    The JSON file of pose has the people of all frames: ``{meta_info, frames: [{frame, time, instance_info}, ...]}``. Of a video
    that breaks off the frames before are kept under other names (``partial_files``), so it does not count as done. A camera ends
    with Ctrl-C, its files are complete then.

    Args:
        progress: wraps the iteration over the frames, of which there are ``count``, 0 if that is not known.

    Raises:
        BadImage: a file that is no video, has no frames, or breaks off.
        ImportError: without PyAV.
    """
    source = open_frames(item.source)
    frames = _Frames(source, options.max_frames)
    outputs: dict[str, Output] = {}
    tracker = None
    if options.track or options.smooth:
        tracker = Tracker(options.smooth, min_cutoff=options.min_cutoff, beta=options.beta)
    count, keep = 0, NOTHING
    pending: deque[Future] = deque()
    try:
        for task, paths in video_files(plan, item.name).items():
            outputs[task] = Output(plan, task, paths, source.rate, source.path, options)
        with ThreadPoolExecutor(1, 'sapiens-video') as pool:
            jobs = run(predictors, frames, detector=detector, workers=plan.workers, pixels_of=frames.take)
            for job in progress(_in_order(jobs), source.count):
                if tracker and 'pose' in job.results:
                    tracker.update(job.results['pose'], float(count / source.rate))
                pending.append(pool.submit(_write, outputs, plan, job, count))
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
        for output in outputs.values():
            output.close(keep)
    if frames.error and count:
        kept = ', '.join(path.name for output in outputs.values() for path in output.partial)
        raise BadImage(f'{frames.error}; {count} frames are in {kept}')
    if frames.error or not count:
        raise BadImage(str(frames.error or f'{source.path or item.name} has no frames'))
    return count


class _Frames:
    """Items of the frames of a video, whose pixels are taken once; ends at the first frame that is broken, and says why."""

    def __init__(self, source: VideoReader | Camera, max_frames: int | None) -> None:
        self.source, self.max_frames = source, max_frames
        self.pixels: dict[str, np.ndarray] = {}
        self.error: BadImage | None = None

    def __iter__(self) -> Iterator[Item]:
        try:
            for number, pixels in enumerate(self.source):
                self.pixels[str(number)] = pixels
                yield Item('', str(number))
                if number + 1 == self.max_frames:
                    return
        except BadImage as error:
            self.error = error

    def take(self, item: Item) -> np.ndarray:
        return self.pixels.pop(item.name)


def _in_order(jobs: Iterator[Job]) -> Iterator[Job]:
    """Models that see people and models that see images do not finish frames in one order."""
    waiting, following = {}, 0
    for job in jobs:
        waiting[int(job.item.name)] = job
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _write(outputs: dict, plan: Plan, job: Job, number: int) -> None:
    mask = job.results['seg'].foreground if 'seg' in job.results else None
    for task, output in outputs.items():
        result = job.results[task]
        if task in ('depth', 'normal'):
            result.mask = mask
        output.add(result, number)


class Output:
    """The files of one task."""

    def __init__(self, plan: Plan, task: str, files: dict[str, Path], rate, sound: str, options: VideoOptions) -> None:
        self.task, self.saving, self.rate, self.options = task, plan.saving, rate, options
        self.video = self.json = None
        self.partial = partial_files(files.values())
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        if 'picture' in files:
            self.video = VideoWriter(files['picture'], rate, sound)
        if 'json' in files:
            self.path = files['json']
            self.temporary = self.path.with_name(f'.{self.path.name}.tmp')
            self.json = open(self.temporary, 'w')  # noqa: SIM115  (closed by close)

    def add(self, result, number: int) -> None:
        if self.json:
            if number == 0:
                self.json.write(f'{{"meta_info":{json.dumps(meta_info(result.skeleton))},"frames":[\n')
            people = pose_document(result, self.saving.json_layout)['instance_info']
            row = dict(frame=number, time=round(float(number / self.rate), 4), instance_info=people)
            self.json.write((',\n' if number else '') + json.dumps(row, allow_nan=False))
        if self.video:
            picture = self._draw(result)
            if self.options.side_by_side:
                picture = np.concatenate([result.image, picture], axis=1)
            self.video.write(picture)

    def _draw(self, result) -> np.ndarray:
        if self.task == 'pose':
            names = ('style', 'threshold', 'radius', 'thickness', 'show_boxes', 'show_indices')
            return result.draw(**{name: getattr(self.saving, name) for name in names})
        if self.task == 'seg':
            return result.draw(self.saving.opacity)
        if self.task == 'depth':
            # One range for all frames: pictures that are stretched one by one flicker.
            return result.draw(self.saving.depth_limits or ((0.0, 1.0) if result.relative else None))
        return result.draw()

    def close(self, keep: str) -> None:
        """Finish the files, COMPLETE or PARTIAL, of at least one frame; or leave NOTHING."""
        for path in self.partial:
            path.unlink(missing_ok=True)  # of a run before
        if self.video:
            if keep == NOTHING:
                self.video.abort()
            else:
                self.video.close(_kept(self.video.path, keep))
        if self.json:
            if keep != NOTHING:
                self.json.write('\n]}\n')
            self.json.close()
            if keep == NOTHING:
                self.temporary.unlink()
            else:
                self.temporary.replace(_kept(self.path, keep))


def _kept(path: Path, keep: str) -> Path:
    return path if keep == COMPLETE else partial_files([path])[0]
