"""Files of a training run: written whole or not at all, and checked before one is trusted."""

import errno
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch

__all__ = ['find_resumable', 'iteration_of', 'load_training_state', 'write_atomically', 'write_checkpoint']

NAME = re.compile(r'(?:iter|epoch)_(\d+)\.pth')


def write_atomically(path: Path, content: str) -> None:
    """Write a small text file under a temporary name and rename it."""
    temporary = path.with_name(f'.{path.name}.tmp')
    temporary.write_text(content)
    os.replace(temporary, path)


def write_checkpoint(checkpoint: dict, path: str | Path) -> None:
    """Save under a temporary name in the same folder, flush to disk, rename. The final name never holds half a file.

    Raises:
        RuntimeError: where the disk is full or the folder cannot be written; the temporary file is removed.
    """
    path = Path(path)
    temporary = path.with_name(f'.{path.name}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, 'wb') as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the rename itself must survive a power cut
        finally:
            os.close(folder)
    except (OSError, RuntimeError) as error:
        # torch reports a short write of the archive as a RuntimeError, without the reason.
        written = temporary.stat().st_size if temporary.exists() else 0
        temporary.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free if path.parent.exists() else 0
        full = getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or free < size_of(checkpoint)
        reason = 'the disk (or the quota) is full' if full else str(error)
        raise RuntimeError(
            f'Cannot write the checkpoint {path}: {reason}. It needs about {size_of(checkpoint) / 2**20:.0f} MiB; '
            f'{written / 2**20:.0f} MiB had been written, {free / 2**20:.0f} MiB are free now that they were removed. '
            'Older checkpoints are intact. Free some space (default_hooks.checkpoint.max_keep_ckpts keeps fewer), then '
            'go on with --resume.'
        ) from error


def size_of(value: Any) -> int:
    """Bytes of the tensors in nested dicts, lists and tuples."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(map(size_of, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(size_of, value))
    return 0


def load_training_state(path: str | Path) -> dict:
    """Read a checkpoint of this engine, after checking every byte of it.

    Nothing but tensors and plain values is unpickled. Tensors are mapped from the file, so that the ranks of a machine
    share its pages.

    Raises:
        ValueError: where the file is truncated, damaged, or not a checkpoint that a run can continue from.
        FileNotFoundError
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint {path} to resume from')
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f'its part {damaged} is damaged (checksum)')
        checkpoint = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except Exception as error:  # zip, pickle and torch raise a dozen types for a damaged file
        raise ValueError(f'{path} ({path.stat().st_size} bytes) cannot be read: {error}') from error
    missing = {'state_dict', 'optimizer', 'meta', 'data', 'rng'} - set(checkpoint)
    if missing:
        raise ValueError(
            f'{path} holds no {", ".join(sorted(missing))}: a run cannot continue from it. To start a new run from its '
            'weights use --cfg-options load_from=PATH instead of --resume'
        )
    return checkpoint


def iteration_of(path: Path) -> int:
    """Number in the name; used to order checkpoints of one run."""
    return int(NAME.fullmatch(path.name)[1])


def find_resumable(work_dir: str | Path, logger) -> Path | None:
    """The newest checkpoint of a work dir that can be read; damaged ones are reported and passed over.

    Raises:
        ValueError: where there are checkpoints but none can be read.
    """
    found = [path for path in Path(work_dir).glob('*.pth') if NAME.fullmatch(path.name)]
    # Names by epoch and by iteration may both exist after a run was told to stop: the time decides, then the number.
    found.sort(key=lambda path: (path.stat().st_mtime_ns, iteration_of(path)), reverse=True)
    for path in found:
        try:
            load_training_state(path)
        except ValueError as error:
            logger.warning(f'Checkpoint passed over: {error}')
            continue
        return path
    if found:
        raise ValueError(f'none of the {len(found)} checkpoints in {work_dir} can be read; see the warnings above')
    return None
