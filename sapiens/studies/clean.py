"""Removal of what a study does not need any more: outdated results, runs of variants that are gone, checkpoints of done runs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from .child import checkpoint_of
from .plan import Plan
from .runner import state_of
from .state import OUTDATED, RECORD, owner_of
from .study import TRIAL

__all__ = ['remove', 'superfluous']


def superfluous(plan: Plan, checkpoints: bool = False) -> Iterator[Path]:
    """Paths that may be removed: results of an earlier version of the study, and, if asked for, checkpoints of done runs that no
    open stage needs. The plan must be that of the whole study.

    Only folders with a ``run.json`` count, so that other files are left alone.
    """
    used = {run.folder for run in plan.runs}
    yield from sorted(plan.folder.glob(f'*/{OUTDATED}'))
    for record in sorted(plan.folder.glob(f'*/*/{RECORD}')):
        folder = record.parent
        is_trial = plan.study.search is not None and folder.parent.name.startswith(TRIAL)
        if folder not in used and not is_trial and owner_of(folder) is None:
            yield folder
    if not checkpoints:
        return
    states = {run.hash: state_of(run).name for run in plan.runs}
    needed = {run.parent.hash for run in plan.runs if run.parent is not None and states[run.hash] != 'done'}
    for run in plan.runs:
        if states[run.hash] != 'done' or run.hash in needed or run.stage.command == 'test':
            continue
        last = checkpoint_of(run.folder, 'last')
        found = [*run.folder.glob('*.pth'), *(path for path in run.folder.glob('iter_*') if path.is_dir())]
        yield from sorted({*found, *([last] if last else [])})


def remove(path: Path) -> int:
    """Remove a file or folder, and the folders above that become empty. Returns the bytes that it had."""
    files = [path] if path.is_file() else [one for one in path.rglob('*') if one.is_file()]
    size = sum(one.stat().st_size for one in files)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
    return size
