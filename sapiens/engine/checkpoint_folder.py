"""Checkpoints as folders, written by all processes together while training goes on.

A folder has the files of ``torch.distributed.checkpoint``, in which each process writes its part of the tensors, and ``state.pt``
with everything else: progress, random states, positions in the data, curves. It is written under a hidden name and renamed when
all is on the disk, so a folder with the name of a checkpoint is complete. It opens with any number of processes, sharded or not.
"""

import contextlib
import io
import os
import shutil
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import replace
from logging import Logger
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import _StoragePrefix
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.tensor import DTensor

from sapiens.utils.checkpoint import STATE, check_description, diagnose, load_restricted
from sapiens.utils.files import sync_path, temporary_path

from .host_group import SAVES, gather_on_hosts, timeout_of
from .safe_reader import SafeReader, TensorsOnly

__all__ = ['FolderWriter', 'is_complete', 'read_state', 'read_tensors', 'tensor_shapes']

# Entry of the state that names the save, as the names of its parts do.
SAVE = 'save'
# Entries of a checkpoint whose tensors are written by all processes.
SHARED = ('state_dict', 'ema_state_dict', 'optimizer')
# Seconds for a save after a collective has failed, and then for the process to tell its error and end.
PATIENCE = 10.0


def is_complete(folder: Path) -> bool:
    """Whether a folder is a checkpoint of this module."""
    return (folder / STATE).is_file() and (folder / '.metadata').is_file()


# ---------------------------------------------------------------------- writing


class FolderWriter:
    """Writes checkpoint folders, one at a time. Every process calls every method, in the same order.

    The tensors are copied to host memory (pinned, with a GPU) that is kept for the next checkpoint; a thread writes the copy. A
    process copies and writes its shards, and of tensors that all have a part of them.

    Args:
        logger: for failures, at once.
    """

    def __init__(self, logger: Logger) -> None:
        self.logger = logger
        has_gpu = torch.cuda.is_available()
        self._stager = DefaultStager(StagingOptions(has_gpu, False, False, has_gpu))
        self._group = None
        if dist.is_initialized():
            self._group = dist.new_group(backend='gloo', timeout=timeout_of(dist.group.WORLD), group_desc=SAVES)
        self._running: Future | None = None
        self._path: Path | None = None
        self._hidden: Path | None = None

    def start(self, checkpoint: Mapping, path: Path, on_complete: Callable[[], None]) -> None:
        """Copy a checkpoint and write it in the background. A running save is waited for first.

        Args:
            checkpoint: as :meth:`.Runner.save_checkpoint` makes it, with shards in place of whole tensors.
            path: the folder.
            on_complete: called by the main process, in the thread, when the folder is complete.

        Raises:
            RuntimeError: the save before failed, see :meth:`wait`.
        """
        self.wait()
        tensors, rest = split_tensors(checkpoint)
        self._path = path
        self._hidden = Path(gather_on_hosts(str(temporary_path(path)))[0])
        content = io.BytesIO()
        torch.save(rest | {SAVE: _save_of(self._hidden)}, content)
        writer = _Writer(self._hidden, path, content.getvalue(), on_complete)
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', message='torch.distributed is disabled')
            self._running = self._save(tensors, writer)
        self._running.add_done_callback(self._note)

    def _save(self, tensors: dict[tuple, Tensor], writer: dcp.FileSystemWriter) -> Future:
        return dcp.async_save(
            _own_part(tensors),
            storage_writer=writer,
            planner=dcp.DefaultSavePlanner(dedup_save_to_lowest_rank=False),
            process_group=self._group,
            async_stager=self._stager,
            no_dist=self._group is None,
        )

    def _note(self, done: Future) -> None:
        if done.exception() is not None and self._is_main:
            self.logger.error(self._failure(done.exception()))

    @property
    def _is_main(self) -> bool:
        return self._group is None or dist.get_rank() == 0

    @property
    def is_done(self) -> bool:
        """Whether no save is running in this process."""
        return self._running is None or self._running.done()

    def wait(self) -> float:
        """Wait until the running save is complete; returns the seconds.

        Raises:
            RuntimeError: on every process, if it failed. What it wrote is removed.
        """
        running, self._running = self._running, None
        if running is None:
            return 0.0
        begin = time.perf_counter()
        try:
            running.result()
        except BaseException as error:  # DCP's exceptions of all processes are no subclass of Exception
            if isinstance(error, KeyboardInterrupt):
                raise
            if self._is_main:
                shutil.rmtree(self._hidden, ignore_errors=True)
            raise RuntimeError(self._failure(error)) from error
        return time.perf_counter() - begin

    def give_up(self) -> None:
        """Wait for the running save for a short time, since processes that it needs may be lost. Its collectives have a long
        timeout, which nothing ends: this process ends without it, a while after its error is told."""
        if self._running is None or self._running.done():
            return
        wait([self._running], PATIENCE)
        if not self._running.done():
            self.logger.error(f'The checkpoint {self._path} cannot be completed. Older checkpoints are intact')
            self._running = None
            threading.Thread(target=_end_process, daemon=True).start()

    def close(self) -> None:
        """Wait for the running save and free the copy. A save that failed is in the log."""
        with contextlib.suppress(RuntimeError):
            self.wait()
        self._stager.close()

    def _failure(self, error: BaseException) -> str:
        parent = self._path.parent
        text = next(
            (line for line in str(error).splitlines()[::-1] if 'Error' in line), str(error).strip() or repr(error)
        )
        reason, advice = ' '.join(text.split())[:300], 'Continue with --resume when that is solved'
        if 'No space left' in str(error) or 'quota' in str(error):
            free = shutil.disk_usage(parent).free if parent.exists() else 0
            reason = f'the disk (or the quota) is full, {free / 2**20:.0f} MiB are free'
            advice = (
                'Free some space (default_hooks.checkpoint.max_keep_ckpts keeps fewer checkpoints), then continue with '
                '--resume'
            )
        return f'Cannot write the checkpoint {self._path}: {reason}. Older checkpoints are intact. {advice}'


def _end_process() -> None:
    time.sleep(PATIENCE)
    os._exit(1)


class _Writer(dcp.FileSystemWriter):
    """Completes the folder when all processes have written: the main process calls ``finish`` then."""

    def __init__(self, hidden: Path, path: Path, state: bytes, on_complete: Callable[[], None]) -> None:
        super().__init__(hidden, sync_files=True, overwrite=True)
        self.final, self.state, self.on_complete = path, state, on_complete

    def prepare_global_plan(self, plans: list[dcp.SavePlan]) -> list[dcp.SavePlan]:
        # Names of parts hold the save: parts of two saves that are mixed up do not look like one.
        name = _save_of(Path(self.path))
        return [replace(plan, storage_data=_StoragePrefix(f'{name}_{rank}_')) for rank, plan in enumerate(plans)]

    def finish(self, metadata, results) -> None:
        super().finish(metadata, results)
        hidden = Path(self.path)
        _require_parts(hidden)
        with open(hidden / STATE, 'wb') as file:
            file.write(self.state)
            file.flush()
            os.fsync(file.fileno())
        sync_path(hidden)
        if self.final.exists():  # a run that was resumed from an older checkpoint writes this one again
            outdated = temporary_path(self.final)
            self.final.rename(outdated)
            hidden.rename(
                self.final
            )  # a process that is killed before this line has lost nothing: a resume finds both
            shutil.rmtree(outdated, ignore_errors=True)
        else:
            hidden.rename(self.final)
        sync_path(self.final.parent)
        self.on_complete()


def _save_of(hidden: Path) -> str:
    """What tells a save from others: the random part of its hidden name."""
    return hidden.stem.rpartition('.')[2]


def _require_parts(folder: Path) -> None:
    """Raise an OSError if the main process does not see what the others have written."""
    try:
        check_description(folder, (folder / '.metadata').read_bytes())
    except ValueError as error:
        raise OSError(
            f'the main process does not see what the others wrote ({error}). The work dir must lie on a file system that all '
            'nodes share; where it does not, set default_hooks.checkpoint.format=file'
        ) from error


def split_tensors(checkpoint: Mapping) -> tuple[dict[tuple, Tensor], dict]:
    """Split a checkpoint into the tensors that all processes write, by their keys in nested dicts, and the rest."""
    tensors: dict[tuple, Tensor] = {}

    def rest_of(node: Mapping, keys: tuple) -> dict:
        rest = {}
        for key, value in node.items():
            if isinstance(value, Tensor):
                tensors[(*keys, key)] = value
            else:
                rest[key] = rest_of(value, (*keys, key)) if isinstance(value, Mapping) else value
        return rest

    rest = {key: rest_of(value, (key,)) if key in SHARED else value for key, value in checkpoint.items()}
    return tensors, rest


def insert(node: dict, keys: tuple, value: Tensor) -> None:
    """Set a value in nested dicts, which are made where they are missing."""
    for key in keys[:-1]:
        node = node.setdefault(key, {})
    node[keys[-1]] = value


def _own_part(tensors: dict[tuple, Tensor]) -> dict:
    """Nested dicts of the tensors that this process copies and writes: its shards, and some of those that all have."""
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    own, loads = {}, [0] * world
    for keys, value in sorted(tensors.items(), key=lambda item: -item[1].numel()):
        writer = rank
        if not isinstance(value, DTensor):
            writer = loads.index(min(loads))
            loads[writer] += value.numel() * value.element_size()
        if writer == rank:
            insert(own, keys, value)
    return own


# ---------------------------------------------------------------------- reading


def read_state(folder: Path) -> dict:
    """Everything but the tensors of weights and optimizer.

    Raises:
        ValueError: the folder is not a complete checkpoint of one save. Nothing in it is executed.
    """
    if not is_complete(folder):
        raise ValueError(f'{folder} is not a complete checkpoint: {STATE} or .metadata is missing')
    if not zipfile.is_zipfile(folder / STATE):
        raise ValueError(f'its {STATE} is truncated')
    state = load_restricted(folder / STATE)
    save = state.pop(SAVE, None)
    if save is not None and not all(name.startswith(f'{save}_') for name in SafeReader(folder).parts()):
        raise ValueError(f'its {STATE} and its parts are of two saves')
    return state


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights by name."""
    entries = SafeReader(folder).entries().values()
    return {keys[1]: tuple(entry.size) for keys, entry in entries if keys[0] == 'state_dict'}


def read_tensors(folder: Path, state: dict, weights: Mapping[str, Tensor], parameters: list[Tensor]) -> dict:
    """Read the tensors into a checkpoint. Each process reads its shards; every process must call this.

    Args:
        state: of :func:`read_state`; it is completed and returned.
        weights: tensors of the model by name, which say how each is sharded.
        parameters: of the optimizer, in its order.

    Raises:
        ValueError: the folder holds other weights than the model, or asks to run code.
    """
    reader, target = SafeReader(folder), {}
    entries = {keys: entry for keys, entry in reader.entries().values()}
    missing = [name for name in weights if ('state_dict', name) not in entries]
    if missing:
        raise ValueError(
            f'{folder} has no tensor {missing[0]} of the model, and {len(missing) - 1} others are missing'
        )
    for keys, entry in entries.items():
        like = None
        if keys[:2] == ('optimizer', 'state') and int(keys[2]) < len(parameters):
            like = parameters[int(keys[2])]
        elif len(keys) == 2:
            like = weights.get(keys[1].removeprefix('module.') if keys[0] == 'ema_state_dict' else keys[1])
        size, dtype = tuple(entry.size), entry.properties.dtype
        sharded = isinstance(like, DTensor) and tuple(like.shape) == size
        insert(target, keys, torch.empty_like(like, dtype=dtype) if sharded else torch.empty(size, dtype=dtype))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', message='torch.distributed is disabled')  # of one process
            dcp.load(target, storage_reader=reader, planner=TensorsOnly(), no_dist=not dist.is_initialized())
    except CheckpointException as error:  # that of all processes, which is no subclass of Exception
        first = next(iter(error.failures.values()))[0]
        raise ValueError(f'{folder} cannot be read: {diagnose(folder, first)}') from error
    for keys in entries:
        # torch makes text of all keys; parameters of the optimizer have numbers.
        known = tuple(int(key) if keys[0] == 'optimizer' and key.isdigit() else key for key in keys)
        insert(state, known, lookup(target, keys))
    return state


def lookup(node: dict, keys: tuple) -> Tensor:
    for key in keys:
        node = node[key]
    return node
