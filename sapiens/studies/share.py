"""Runs that another study has done: their results are taken over."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .child import checkpoint_of
from .plan import Run
from .state import CLAIM, RECORD, read_record, set_aside

__all__ = ['find_equal', 'take_over']


def find_equal(run: Run, root: Path) -> Path | None:
    """The folder of an equal run of another study that is done and has its checkpoint, None if there is none.

    Args:
        root: folder of all studies.
    """
    place = f'{run.stage.name}-seed*/{RECORD}'
    for file in sorted([*root.glob(f'*/*/{place}'), *root.glob(f'*/*/*/{place}')]):
        folder = file.parent
        if folder == run.folder or 'outdated' in folder.relative_to(root).parts:
            continue
        record = read_record(folder)
        if record is None or record.hash != run.hash or record.state != 'done':
            continue
        if run.stage.command == 'test' or checkpoint_of(folder, run.stage.checkpoint) is not None:
            return folder
    return None


def take_over(run: Run, source: Path, study: str, variants: Sequence[str]) -> None:
    """Make the result of an equal run that of this one. The folders share files until one of them is removed.

    The claim of the run must be held.
    """
    record = read_record(run.folder)
    if record is not None and record.hash != run.hash:
        set_aside(run.folder, record.hash)
    shutil.copytree(
        source,
        run.folder,
        copy_function=_link,
        ignore=shutil.ignore_patterns(CLAIM, RECORD, '.lock'),
        dirs_exist_ok=True,
    )
    found = read_record(source)
    replace(found, study=study, variants=list(variants), origin=f'{source}').write(run.folder)


def _link(source: str, target: str) -> None:
    """A hard link, or a copy where the file system has none."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
