"""Files of a training run: written whole or not at all, and checked before one is trusted."""

import errno
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

__all__ = ['find_resumable', 'load_training_state', 'write_atomically', 'write_checkpoint']

NAME = re.compile(r'(?:iter|epoch)_(\d+)\.pth')
# What a run needs to continue; a file of weights alone has less.
NEEDED = {'state_dict', 'optimizer', 'meta', 'data', 'rng'}


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
        needed = size_of(checkpoint)
        full = getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or free < needed
        reason = 'the disk (or the quota) is full' if full else str(error)
        raise RuntimeError(
            f'Cannot write the checkpoint {path}: {reason}. It needs about {needed / 2**20:.0f} MiB; '
            f'{written / 2**20:.0f} MiB had been written, {free / 2**20:.0f} MiB are free now that they were removed. '
            'Older checkpoints are intact. Make room (default_hooks.checkpoint.max_keep_ckpts keeps fewer), then go on with '
            '--resume'
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


def load_training_state(path: str | Path, verify: bool = True) -> dict:
    """Read a checkpoint of this engine. Nothing but tensors and plain values is unpickled.

    Tensors are mapped from the file, so that the ranks of a machine share its pages; copy what outlives the load.

    Args:
        path: the file.
        verify: check every byte of it, which takes as long as reading it.

    Raises:
        ValueError: where the file is truncated, damaged, or not a checkpoint that a run can continue from.
        FileNotFoundError
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint {path} to resume from')
    try:
        if verify:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged:
                raise ValueError(f'its part {damaged} is damaged (checksum)')
        checkpoint = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except Exception as error:  # zip, pickle and torch raise a dozen types for a damaged file
        raise ValueError(f'{path} ({path.stat().st_size:,} bytes) cannot be read: {error}') from error
    missing = NEEDED - set(checkpoint) if isinstance(checkpoint, dict) else NEEDED
    if missing:
        raise ValueError(
            f'{path} holds no {", ".join(sorted(missing))}: a run cannot continue from it. To start a new run from its '
            'weights use --cfg-options load_from=PATH instead of --resume'
        )
    return checkpoint


def find_resumable(work_dir: str | Path, logger) -> Path | None:
    """The checkpoint with the most iterations that can be read; damaged ones are reported and passed over.

    It may lie in the work dir or, with ``out_dir`` of the checkpoint hook, beside the one that ``last_checkpoint`` names.

    Raises:
        ValueError: where there are checkpoints but none can be read.
    """
    count = 0
    for path in _newest_first(_folders(Path(work_dir))):
        count += 1
        try:
            load_training_state(path)
        except ValueError as error:
            logger.warning(f'Checkpoint passed over: {error}')
            continue
        return path
    if count:
        raise ValueError(f'none of the {count} checkpoints of {work_dir} can be read; see the warnings above')
    return None


def _folders(work_dir: Path) -> list[Path]:
    folders = [work_dir]
    hint = work_dir / 'last_checkpoint'
    if hint.is_file():
        folders.append(Path(hint.read_text().strip()).parent)
    return folders


def _newest_first(folders: list[Path]) -> Iterator[Path]:
    """Checkpoints by their iterations. Only the newest one named by epoch needs to be opened to know its iteration."""
    paths = {path.resolve() for folder in folders for path in folder.glob('*.pth') if NAME.fullmatch(path.name)}
    stacks = [
        sorted(
            (path for path in paths if path.name.startswith(kind)), key=lambda path: int(NAME.fullmatch(path.name)[1])
        )
        for kind in ('iter', 'epoch')
    ]
    while any(stacks):
        yield max((stack for stack in stacks if stack), key=lambda stack: _iteration_of(stack[-1])).pop()


def _iteration_of(path: Path) -> float:
    if path.name.startswith('iter'):
        return int(NAME.fullmatch(path.name)[1])
    try:
        return load_training_state(path, verify=False)['meta']['iter']
    except ValueError:
        return float('inf')  # looked at first, and reported
