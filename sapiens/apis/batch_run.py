"""A run of inference: what is missing in the output folder is written, with a report of the failures."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from sapiens.utils.counting import count_of
from sapiens.utils.files import remove_temporaries, write_atomically
from sapiens.utils.progress import LateBar

from .batch_job import Outcome, Plan, run_plan
from .found import describe_frames, describe_images
from .inputs import Item
from .output_dir import FAILURES, clashes, write_combined
from .run_record import RECORD, write_settings
from .video.video_job import VideoOptions, poster_file, run_videos, video_files
from .writers.files import is_complete

__all__ = ['BatchRun']


@dataclass(frozen=True)
class BatchRun:
    """Runs a plan in its folder, which the caller has locked.

    Attributes:
        plan: what to do with every image.
        devices, jobs: see :func:`sapiens.apis.batch_job.run_plan`. Videos are processed on the first device.
        overwrite: compute existing results again.
        coco, csv: see :func:`sapiens.apis.output_dir.write_combined`.
    """

    plan: Plan
    devices: Sequence[str] = ('auto',)
    jobs: int = 1
    overwrite: bool = False
    coco: bool = True
    csv: bool = False

    def write_results(self, items: list[Item], videos: list[Item], options: VideoOptions) -> int:
        """Write the results that are missing, and the files of all images. Returns the number of failures."""
        plan = self.plan
        for folder in set().union(*(plan.folders(item.name) for item in items)):
            if os.path.isdir(folder):
                remove_temporaries(folder)  # of a killed run; the lock is held
        is_new = not (plan.out / RECORD).exists()
        since = write_settings(plan, options if videos else None, self.overwrite)
        outcomes = clashes(plan, items)
        clashing = {outcome.item for outcome in outcomes}
        items = [item for item in items if item not in clashing]
        try:
            todo = items if self.overwrite else [item for item in items if not plan.is_done(item.name, since)]
            if items:
                print(f'{count_of(len(items), "image")}, {len(items) - len(todo)} of them done already')
            films = videos_to_do(plan, videos, sys.maxsize if self.overwrite else since)
            if videos:
                print(f'{count_of(len(videos), "video")}, {len(videos) - len(films)} of them done already')
            outcomes.extend(self.infer_images(todo))
            outcomes.extend(self.infer_videos(films, options))
        finally:
            written = any(not outcome.error for outcome in outcomes) or any(plan.is_done(item.name) for item in items)
            if is_new and not written:
                (plan.out / RECORD).unlink(missing_ok=True)  # there are no results of these settings
        combined, damaged = write_combined(plan, items, self.coco, self.csv, since)
        failed = [outcome for outcome in [*outcomes, *damaged] if outcome.error]
        write_failures(plan.out / FAILURES, sorted(failed, key=lambda outcome: outcome.item.source))
        done = {outcome.item for outcome in outcomes if not outcome.error}
        text = count_of(len(done & set(items)), 'image')
        text += f' and {count_of(len(done & set(videos)), "video")}' if videos else ''
        print(f'wrote results of {text} to {plan.out}; {len(failed)} failed', *combined, sep='\n')
        for line in describe(plan, outcomes, set(videos)):
            print(line)
        return len(failed)

    def infer_images(self, todo: list[Item]) -> Iterator[Outcome]:
        """Process images and yield their outcomes."""
        failed = 0
        outcomes = run_plan(self.plan, todo, self.devices, self.jobs)
        batch = max((options.get('batch_size', 1) for options in self.plan.models.values()), default=1)
        first = batch * len(self.devices) * self.jobs
        with LateBar(len(todo), unit='img', notice='the first images: loading and compiling', first=first) as bar:
            for outcome in outcomes:
                bar.update(outcome.ended)
                if outcome.error:
                    failed += 1
                    bar.set_postfix(failed=failed)
                yield outcome
        if text := bar.summary():
            print(text)

    def infer_videos(self, todo: list[Item], options: VideoOptions) -> Iterator[Outcome]:
        """Process videos on one device and yield their outcomes."""

        def progress(frames, count):
            return tqdm(frames, total=count or None, unit='frame')

        if todo:
            yield from run_videos(self.plan, todo, self.devices[0], options, progress)


def describe(plan: Plan, outcomes: list[Outcome], videos: set[Item]) -> Iterator[str]:
    """Yield lines about what images and videos show, and the files of videos."""
    done, threshold = [outcome for outcome in outcomes if not outcome.error], plan.saving.threshold
    found = [(Path(one.item.source).name, one.found[0]) for one in done if one.found and one.item not in videos]
    if found:
        yield describe_images(found, threshold)
    for outcome in [one for one in done if one.item in videos]:
        shown = f'{describe_frames(outcome.found, threshold)}; ' if outcome.found else ''
        paths = [path for files in video_files(plan, outcome.item.name).values() for path in files.values()]
        paths += [poster_file(path) for path in paths if path.suffix == '.mp4']
        names = ', '.join(str(path.relative_to(plan.out)) for path in paths)
        yield f'{Path(outcome.item.source).name}: {shown}wrote {names}'


def videos_to_do(plan: Plan, videos: list[Item], since: int) -> list[Item]:
    """Return the videos that are not done."""
    files = [[path for paths in video_files(plan, item.name).values() for path in paths.values()] for item in videos]
    if not all(files):
        raise ValueError('videos have the kinds picture, json of pose and camera of pointmap: --save has none of them')
    return [
        item for item, paths in zip(videos, files, strict=True) if not all(is_complete(path, since) for path in paths)
    ]


def write_failures(path: Path, failed: list[Outcome]) -> None:
    """Write one line per failure, or remove the file."""
    path.unlink(missing_ok=True)
    lines = [(outcome.item.source.replace('\n', r'\n'), ' '.join(outcome.error.split())) for outcome in failed]
    if failed:
        write_atomically(path, ''.join(f'{source}\t{error}\n' for source, error in lines))
    for source, error in lines:
        print(f'failed {source}: {error}', file=sys.stderr)
