"""Checkpoint files of a training run: atomic writes, verified reads, and the search for the newest valid one."""

import contextlib
import errno
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from sapiens.utils.checkpoint import STATE, check_zip, diagnose, limited_memory
from sapiens.utils.files import TEMPORARY, atomic_path
from sapiens.utils.restarts import LAST

from .checkpoint_folder import is_complete, read_state
from .safe_reader import SafeReader

__all__ = ['find_resumable', 'load_training_state', 'write_checkpoint']

NAME = re.compile(r'(?:iter|epoch)_(\d+)(?:\.pth)?')
# Entries that a run needs to continue. A file of weights lacks some.
NEEDED = {'state_dict', 'optimizer', 'meta', 'data', 'rng'}


def write_checkpoint(checkpoint: dict, path: str | Path) -> None:
    """Write a checkpoint atomically and flush it to the disk.

    Raises:
        RuntimeError: the disk is full or the folder cannot be written. The temporary file is removed.
    """
    path = Path(path)
    try:
        with atomic_path(path) as temporary, open(temporary, 'wb') as file:
            torch.save(checkpoint, file)
    except (OSError, RuntimeError) as error:
        # torch reports a short write as a RuntimeError without the reason.
        free = shutil.disk_usage(path.parent).free if path.parent.exists() else 0
        needed = size_of(checkpoint)
        full = getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or free < needed
        reason = 'the disk (or the quota) is full' if full else str(error)
        raise RuntimeError(
            f'Cannot write the checkpoint {path}: {reason}. It needs about {needed / 2**20:.0f} MiB; '
            f'{free / 2**20:.0f} MiB are free. Older checkpoints are intact. Free some space '
            '(default_hooks.checkpoint.max_keep_ckpts keeps fewer checkpoints), then continue with --resume'
        ) from error


def size_of(value: Any) -> int:
    """Size in bytes of the tensors in nested dicts, lists and tuples."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(map(size_of, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(size_of, value))
    return 0


def load_training_state(path: str | Path, verify: bool = True) -> dict:
    """Read a checkpoint of this engine. Only tensors and plain values are unpickled.

    Of a folder only the state is returned; :func:`.read_tensors` reads the tensors. Tensors of a file are mapped, so the ranks of
    a machine share its pages. Copy tensors that are kept.

    Args:
        path: the file.
        verify: check the checksums of the whole file or folder, which takes as long as reading it.

    Raises:
        ValueError: the file is truncated, damaged, or lacks entries that a run needs to continue.
        FileNotFoundError
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'no checkpoint {path} to resume from')
    if path.is_dir():
        return _load_folder_state(path, verify)
    if not path.is_file():
        raise ValueError(f'{path} is not a file: a run resumes from a checkpoint, or from its work dir by --work-dir')
    try:
        check_zip(path)
        if verify:
            _check_sums(path)
        with limited_memory(path):
            checkpoint = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except Exception as error:  # zip, pickle and torch raise many types for a damaged file
        raise ValueError(f'{path} ({path.stat().st_size:,} bytes) cannot be read: {diagnose(path, error)}') from error
    missing = NEEDED - set(checkpoint) if isinstance(checkpoint, dict) else NEEDED
    if missing:
        raise ValueError(
            f'{path} holds no {", ".join(sorted(missing))}: a run cannot continue from it. To start a new run from its '
            'weights use --cfg-options load_from=PATH instead of --resume'
        )
    return checkpoint


def _load_folder_state(path: Path, verify: bool) -> dict:
    if not is_complete(path):
        raise ValueError(
            f'{path} is a folder, and not a checkpoint: a run resumes from a checkpoint, or from its work dir by --work-dir'
        )
    try:
        state = read_state(path)
        if verify:
            _check_sums(path / STATE)
    except Exception as error:
        raise ValueError(f'{path} cannot be read: {diagnose(path, error)}') from error
    reader = SafeReader(path)
    found = {part for (part, *_), _ in reader.entries().values()} | set(state)
    if missing := NEEDED - found:
        raise ValueError(f'{path} holds no {", ".join(sorted(missing))}: a run cannot continue from it')
    if verify:
        reader.verify()
    return state


def _check_sums(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f'its part {damaged} is damaged (checksum)')


def find_resumable(work_dir: str | Path, logger) -> Path | None:
    """Find the readable checkpoint with the most iterations. Damaged ones are logged and skipped.

    Searches the work dir, and the folder of the file that ``last_checkpoint`` names (``out_dir`` of the checkpoint hook). A
    folder with a ``last_checkpoint`` of its own belongs to another run, of which this work dir is a copy; it is not searched.

    Raises:
        ValueError: there are checkpoints, but none can be read, or ``last_checkpoint`` names one that is gone.
    """
    folders, names, count = [Path(work_dir)], [], 0
    last = _last_checkpoint(folders[0], logger)
    if last is not None:
        names.append(last.name)
        if os.path.isdir(last.parent) and not os.path.exists(last.parent / LAST):
            folders.append(last.parent)
    for folder in folders:
        _restore_renamed(folder)
    for path in _newest_first(folders, names):
        count += 1
        try:
            load_training_state(path)
        except (ValueError, FileNotFoundError) as error:  # the latter for a link to nothing
            logger.warning(f'Checkpoint skipped: {error}')
            continue
        return path
    if count:
        raise ValueError(f'none of the {count} checkpoints of {work_dir} can be read; see the warnings above')
    if last is not None:
        raise ValueError(
            f'{Path(work_dir) / LAST} names {last}, and there is no checkpoint: name its place by --resume PATH, or remove '
            f'{LAST} to start from the beginning'
        )
    return None


def _restore_renamed(folder: Path) -> None:
    """Give complete checkpoint folders their names. A process may be killed just before the last rename, or between the two by
    which a folder replaces another of its name."""
    for path in folder.glob(f'.*.{TEMPORARY}'):
        name = path.name[1:].removesuffix(path.suffix).rpartition('.')[0]
        if NAME.fullmatch(name) and is_complete(path) and not (folder / name).exists():
            with contextlib.suppress(ValueError):
                load_training_state(path, verify=False)
                path.rename(folder / name)


def _last_checkpoint(work_dir: Path, logger) -> Path | None:
    """Return the path in the file ``last_checkpoint``, if there is one."""
    file = work_dir / LAST
    if not file.is_file():
        return None
    text = os.fsdecode(file.read_bytes()).strip()
    if not 0 < len(text) < 4096 or any(letter < ' ' for letter in text):
        logger.warning(f'{file} is damaged and not used: it holds no path')
        return None
    return work_dir / text


def _newest_first(folders: list[Path], names: list[str]) -> Iterator[Path]:
    """Checkpoints in descending order of iterations. Of files named by epoch, only the newest is opened for its iteration.

    Args:
        names: of files that are checkpoints whatever they are called.
    """
    folders = {folder.resolve() for folder in folders}
    paths = [
        path
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if NAME.fullmatch(path.name) and (path.suffix or is_complete(path))
    ]
    paths.sort(key=lambda path: int(NAME.fullmatch(path.name)[1]))
    stacks = [[path for path in paths if path.name.startswith(kind)] for kind in ('iter', 'epoch')]
    others = [folder / name for folder in folders for name in names if not NAME.fullmatch(name)]
    stacks += [[path] for path in others if os.path.exists(path)]
    while any(stacks):
        yield max((stack for stack in stacks if stack), key=lambda stack: _iteration_of(stack[-1])).pop()


def _iteration_of(path: Path) -> float:
    number = NAME.fullmatch(path.name)
    if number and path.name.startswith('iter'):
        return int(number[1])
    try:
        return load_training_state(path, verify=False)['meta']['iter']
    except (ValueError, FileNotFoundError):
        return float('inf')  # first, so that it is reported
