"""Dataset checks: problem counts by type, with examples. Datasets add their own in ``check``."""

import filecmp
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .draw import seed_everything_for
from .shard_members import MARK, file_size
from .statistics import MapStatistics
from .transforms.decoding import BadImage, EncodedImage
from .transforms.loading import read_file
from .transforms.rejection import Rejected

__all__ = ['Finding', 'Findings', 'check_images', 'check_overlap', 'check_samples', 'sampled']

_EXAMPLES = 5
_SAMPLED = 100


class Finding:
    """One type of problem or note.

    Attributes:
        count: how often it occurs.
        examples: the first five places.
        wrong: True for a problem that should be fixed, False for a note.
    """

    def __init__(self, wrong: bool):
        self.count, self.examples, self.wrong = 0, [], wrong


class Findings(dict):
    """{what: :class:`Finding`}, in the order of their first occurrence."""

    def add(self, what: str, where, wrong: bool = True) -> None:
        """Count ``what``; keep ``where`` if it is among the first examples."""
        finding = self.setdefault(what, Finding(wrong))
        finding.count += 1
        if len(finding.examples) < _EXAMPLES:
            finding.examples.append(str(where))

    @property
    def wrong(self) -> int:
        """Number of problems."""
        return sum(finding.count for finding in self.values() if finding.wrong)

    def counts(self) -> str:
        """Types with their counts, for an error message."""
        return ', '.join(f'{finding.count} with {what}' for what, finding in self.items())


def sampled(count: int) -> set[int]:
    """Numbers of a hundred samples, spread over the dataset, that checks look at if not at all of them."""
    return set(np.linspace(0, count - 1, min(count, _SAMPLED)).astype(int).tolist())


def check_images(
    findings: Findings,
    paths: Iterable[str],
    count: int,
    read: bool,
    progress: Callable = iter,
    sizes: Callable[[int], tuple] | None = None,
) -> None:
    """Find files that are missing, empty, of another size than stated, or (with ``read``) cannot be decoded.

    Args:
        paths: ``count`` of them; URLs are checked with ``read`` only.
        progress: wraps an iterable that has a length.
        sizes: maps the number of an image to (w, h) of the upright image in the annotations; compared for a hundred images, with
            ``read`` for all.
    """
    headers = sampled(count)
    for index, path in zip(progress(range(count)), paths, strict=False):
        if '://' not in path:
            size = file_size(path)
            if size is None:
                findings.add('missing image', path)
                continue
            if size == 0:
                findings.add('empty image file', path)
                continue
        if not (read or (sizes is not None and index in headers)):
            continue
        try:
            image = EncodedImage(read_file(path))
            if read:
                image.crop((0, 0, *image.size), (1, 1), exact=True)
        except BadImage as error:
            findings.add('unreadable image', f'{path}: {error}')
            continue
        if sizes is not None and tuple(image.size) != tuple(sizes(index)):
            width, height = sizes(index)
            findings.add(
                'image of another size than the annotation file states',
                f'{path}: {image.size[0]} x {image.size[1]} (upright), stated {width} x {height}',
            )


def check_overlap(findings: Findings, dataset, other, progress: Callable = iter) -> None:
    """Find images that both datasets have: the same file, or another one with the same name and content.

    Only datasets that list their images (``image_paths``) are compared; URLs by address only.
    """
    if not (hasattr(dataset, 'image_paths') and hasattr(other, 'image_paths')):
        return
    by_name = {os.path.basename(path): path for path in other.image_paths()}
    paths = [path for path in dataset.image_paths() if os.path.basename(path) in by_name]
    for path in progress(paths):
        twin = by_name[os.path.basename(path)]
        if path == twin or _same_content(path, twin):
            findings.add('image that the training and the held-out data share', f'{path} and {twin}')


def check_samples(
    findings: Findings, dataset, draws: Sequence, statistics: MapStatistics, progress: Callable = iter
) -> str:
    """Run samples through the pipeline, without replacing any, and judge their labels.

    Args:
        statistics: of the task, see :func:`sapiens.datasets.statistics.statistics_of`.

    Returns:
        A summary in words.
    """
    rows, rejections = [], Counter()
    for draw in progress(draws):
        with seed_everything_for(draw):
            try:
                results = dataset.load_drawn(draw.index, draw.seed)
                packed = dataset.pipeline(results)
            except BadImage as error:
                findings.add('unreadable image', f'{error.path or results["img_path"]}: {error}')
                continue
            except Rejected as error:
                rejections[error.name] += 1
                continue
        rows.append(statistics.measure(packed['inputs'], packed['data_samples']))
        if rows[-1]['labels'] and (lacking := statistics.empty(rows[-1])):
            annotation = f', annotation {results["id"]}' if 'id' in results else ''
            findings.add(lacking, f'sample {draw.index}, {results["img_path"]}{annotation}', wrong=False)
    text = f'{len(draws)} samples went through the pipeline'
    rejected, reasons = rejections.total(), ', '.join(f'{reason} ({n})' for reason, n in rejections.most_common())
    if rejected:
        text += f'; it rejected {rejected} of them ({reasons}), and training draws others instead'
    if rejected == len(draws):
        findings.add('training data whose samples are all rejected by the pipeline', f'{rejected} samples: {reasons}')
    if not rows:
        return text
    if dataset.test_mode and not any(row['labels'] for row in rows):
        return f'{text}; none has labels'  # such as people in detected boxes
    for doubt in statistics.judge(rows):
        findings.add(f'samples with {doubt.text}', f'{len(rows)} samples')
    summary = statistics.describe(rows)
    return f'{text}. {summary}' if summary else text


def _same_content(path: str, other: str) -> bool:
    if '://' in path or '://' in other or file_size(path) is None or file_size(other) is None:
        return False
    if MARK in path + other:
        try:
            return read_file(path) == read_file(other)
        except BadImage:
            return False
    return filecmp.cmp(path, other, shallow=False)  # compares the sizes first
