"""The worker that labels the images of a unit."""

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import torch

from sapiens.bulk import Unit

from ..batch_job import Plan
from ..inputs import decode, read_bytes
from ..masks import set_masks
from ..pipeline import Job, run
from ..predictors import DensePredictor
from ..results import PoseResult
from .forms import FORMS, PARTS, Form, part_file
from .units import Row, rows_of

__all__ = ['Labeler', 'failures_of', 'with_absolute_paths']


class Labeler:
    """Loads the models of a plan once, and writes the results of units.

    Args:
        plan: of the run.
        device: of the models; a GPU that the engine gives is ``'cuda'``.
        threads: of a CPU; 0 for as many as there are.
    """

    def __init__(self, plan: Plan, device: str = 'auto', threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
            cv2.setNumThreads(1)
        self.plan = plan
        self.predictors, self.detector = plan.load(device)
        for predictor in self.predictors.values():
            if isinstance(predictor, DensePredictor) and 'output_score' in getattr(
                predictor.network, 'test_options', ()
            ):
                predictor.predict_options = dict(predictor.predict_options, output_score=True)

    def __call__(self, unit: Unit, folder: Path) -> dict[str, int]:
        """Write the results of a unit to a folder. Returns the numbers of images, of people and of failed images."""
        form = FORMS[self.plan.form](self.plan, folder, unit.name)
        counts, failed = dict(images=0, people=0, failed=0), []
        contents: dict[int, bytes] = {}

        def pixels(row: Row):
            content = read_bytes(row.source) if row.content is None else row.content
            if form.keeps_images:
                contents[row.number] = content
            return decode(content)

        jobs = run(self.predictors, rows_of(unit), detector=self.detector, workers=self.plan.workers, pixels_of=pixels)
        for job in by_number(jobs):
            error = self._add(form, job, contents.pop(job.item.number, None))
            if error:
                form.add_failure(job.item, error)
                failed.append(f'{_line(job.item.source)}\t{_line(error)}\n')
            counts['images' if not error else 'failed'] += 1
            people = [result for result in job.results.values() if isinstance(result, PoseResult)]
            counts['people'] += sum(map(len, people)) if not error else 0
        form.close()
        if failed:
            part_file(folder, f'{unit.name}.failed.tsv').write_text(''.join(failed), 'utf-8')
        return counts

    def _add(self, form: Form, job: Job, content: bytes | None) -> str:
        """Write the results of an image. Returns why it has none, or ''."""
        if job.error:
            return job.error
        try:
            set_masks(job.results, None, self.plan.masking)
            results = {task: job.results[task] for task in self.plan.written()}
            if missing := next((result.missing for result in results.values() if result.missing), ''):
                return missing
            form.add(job.item, results, content)
        except ValueError as error:  # such as a mask of another size: only this image fails
            return f'{type(error).__name__}: {error}'
        return ''


def by_number(jobs: Iterator[Job]) -> Iterator[Job]:
    """Yield the jobs of rows in the order of their numbers. Several models finish images in different orders."""
    waiting, following = {}, 0
    for job in jobs:
        waiting[job.item.number] = job
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def failures_of(folder: Path, name: str) -> list[tuple[str, str]]:
    """(source, reason) of the images of a unit that have no results."""
    path = folder / PARTS / f'{name}.failed.tsv'
    if not path.is_file():
        return []
    lines = path.read_text('utf-8').split('\n')[:-1]
    return [tuple(line.split('\t', 1)) for line in lines]


def with_absolute_paths(plan: Plan) -> Plan:
    """The plan with complete paths of existing files, for workers with another working directory."""
    models = {
        task: {key: _absolute(value) if key in ('model', 'checkpoint') else value for key, value in options.items()}
        for task, options in plan.models.items()
    }
    detector = plan.detector
    if detector:
        text = ''.join(_absolute(part) for part in re.split('([:,])', detector['text']))
        detector = dict(detector, text=text)
    return dataclasses.replace(plan, models=models, detector=detector, out=Path(os.path.abspath(plan.out)))


def _absolute(value):
    is_path = isinstance(value, str | Path) and value and os.path.exists(os.path.expanduser(value))
    return os.path.abspath(os.path.expanduser(value)) if is_path else value


def _line(text: str) -> str:
    text = ' '.join(text.split()) if '\t' in text or '\n' in text else text
    return text.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')
