"""Runs that another study has done: their results are taken over."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from .child import checkpoint_of, is_result
from .plan import Run
from .state import CLAIM, OUTDATED, RECORD, read_record, set_aside

__all__ = ['find_equal', 'take_over']


def find_equal(run: Run, root: Path) -> Path | None:
    """The folder of an equal run of another study that is done and has its checkpoint, None if there is none.

    Args:
        root: folder of all studies.
    """
    place = f'{run.stage.name}-seed{run.seed}/{RECORD}'  # the hash has the stage and the seed
    for file in sorted([*root.glob(f'*/*/{place}'), *root.glob(f'*/*/*/{place}')]):
        folder = file.parent
        if folder == run.folder or OUTDATED in folder.relative_to(root).parts:
            continue
        if is_result(run, read_record(folder)) and _has_checkpoint(run, folder):
            return folder
    return None


def _has_checkpoint(run: Run, folder: Path) -> bool:
    return run.stage.command == 'test' or checkpoint_of(folder, run.stage.checkpoint) is not None


def take_over(run: Run, source: Path, study: str) -> bool:
    """Make the result of an equal run that of this one. The folders share files until one of them is removed.

    The claim of the run must be held.

    Returns:
        False if the result was removed, or was moved aside by another process, in the meantime: the run must be done.
    """
    found = read_record(source)
    set_aside(run.folder, None)
    try:
        shutil.copytree(
            source,
            run.folder,
            copy_function=_link,
            ignore=shutil.ignore_patterns(CLAIM, RECORD, '.lock'),
            dirs_exist_ok=True,
        )
    except (FileNotFoundError, shutil.Error):
        return False
    # What was copied is the result only if it was there until now.
    if not is_result(run, read_record(source)) or not _has_checkpoint(run, run.folder):
        return False
    replace(found, study=study, variants=list(run.variants), origin=f'{source}').write(run.folder)
    return True


def _link(source: str, target: str) -> None:
    """A hard link, or a copy where the file system has none."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
