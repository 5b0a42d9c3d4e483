"""Whether a data set is complete: its datasets are built as the configs do, and its images looked for."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sapiens.datasets.checks import Findings
from sapiens.registry import DATASETS
from sapiens.utils.config import config_folder, load_config
from sapiens.utils.counting import count_of

from .spec import KnownData

__all__ = ['Part', 'check_parts', 'data_root', 'datasets_of']


@dataclass
class Part:
    """What was found of one split, as one config reads it.

    Attributes:
        config: file below ``configs/_base_/datasets``; '' for data that no config reads.
        split: train, val or test.
        samples: number of samples; 0 if the data cannot be read.
        problems: errors and missing parts, as sentences.
    """

    config: str
    split: str
    samples: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f'{self.split} of {self.config}' if self.config else self.split


@contextmanager
def data_root(root: Path) -> Iterator[None]:
    """Let configs look for data below ``root`` inside the ``with`` block."""
    before = os.environ.get('DATA_ROOT')
    os.environ['DATA_ROOT'] = str(root)
    try:
        yield
    finally:
        if before is None:
            del os.environ['DATA_ROOT']
        else:
            os.environ['DATA_ROOT'] = before


def datasets_of(data: KnownData, root: Path, splits: tuple[str, ...]) -> Iterator[tuple[Part, dict]]:
    """The datasets that read a data set: (what it is, its config)."""
    for name in data.configs:
        with data_root(root):
            cfg = load_config(config_folder() / '_base_' / 'datasets' / name)
        for split in splits:
            if f'{split}_dataset' in cfg:
                yield Part(name, split), cfg[f'{split}_dataset']
    for split, dataset in data.datasets.items():
        if split in splits:
            yield Part('', split), dict(dataset, data_root=str(root / dataset['data_root']))


def check_parts(
    data: KnownData, root: Path, splits: tuple[str, ...], read: bool = False, progress: Callable = iter
) -> list[Part]:
    """Build every dataset, and look for its files.

    Args:
        root: below which the folder of the data set is.
        read: decode every image and its labels.
        progress: wraps an iterable that has a length.
    """
    parts = []
    for part, cfg in datasets_of(data, root, splits):
        parts.append(part)
        try:
            with data_root(root):  # named in messages
                dataset = DATASETS.build(cfg)
        except (FileNotFoundError, ValueError) as error:
            part.problems.append(str(error) + _origin(data, root, error))
            continue
        part.samples = len(dataset)
        findings = Findings()
        dataset.check(findings, read, progress)
        for what, found in findings.items():
            if found.wrong:
                more = ', ...' if found.count > len(found.examples[:2]) else ''
                is_in_file = found.examples[0].startswith('annotation ')
                file = f'{dataset.ann_file}: ' if is_in_file and hasattr(dataset, 'ann_file') else ''
                part.problems.append(f'{file}{found.count} {what}: {", ".join(found.examples[:2])}{more}')
        expected = data.expected.get(part.split)
        if expected and part.samples != expected:
            part.problems.append(
                f'{count_of(part.samples, "sample")} of {part.split}, but the published set has {expected:,}'
            )
    return parts


def _origin(data: KnownData, root: Path, error: Exception) -> str:
    """Which download has the path that an error names, as a sentence; or ''."""
    text, folder = str(error), str(root / data.unpacked)
    start = text.find(folder)
    if start < 0:
        return ''
    path = text[start + len(folder) :].split("'")[0].split(' ')[0].strip('/.:,')
    download = data.download_of(path) if path else None
    return f'. It is in {download.name}' if download else ''
