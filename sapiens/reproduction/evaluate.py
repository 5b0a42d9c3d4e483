"""An evaluation in parts: it continues where it was stopped, on one or several devices.

The samples are cut into blocks. A block is a file when it is done, whatever device did it, so that a second run takes the blocks
that are missing. The score is computed from all files, as ``sapiens test`` computes it from one run.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from torch.utils.data import DataLoader

from sapiens.apis.fingerprint import fingerprint
from sapiens.apis.loading.build import build_model
from sapiens.engine.evaluators import complete_evaluators
from sapiens.engine.worker_signals import init_worker
from sapiens.known_data import data_root
from sapiens.registry import FUNCTIONS
from sapiens.utils.config import load_config
from sapiens.utils.device import pick_device
from sapiens.utils.files import remove_temporaries, write_atomically
from sapiens.version import __version__

from .evaluation_set import EvaluationSet, build_metrics, open_set
from .records import read_part, write_part

__all__ = ['Evaluation', 'Plan', 'device_name']

BLOCKS = 200  # at most about as many parts
FEWEST = 16  # samples of a part, except the last
PLAN = 'plan.json'


@dataclass(frozen=True)
class Plan:
    """What to evaluate, in plain values that can be sent to other processes.

    Attributes:
        config, options: of the evaluation, as for ``sapiens test``.
        checkpoint: file of the weights.
        root: folder of all data.
        folder: where the parts are kept.
        quick: evaluate a fixed twentieth of the images.
        batch_size: samples per step; None: of the config.
        workers: processes that load data; None: of the config, at most one per core.
    """

    config: str
    checkpoint: Path
    root: Path
    folder: Path
    options: tuple[str, ...] = ()
    quick: bool = False
    batch_size: int | None = None
    workers: int | None = None

    def load(self) -> Config:
        """Read the config.

        Raises:
            FileNotFoundError, ValueError: see :func:`sapiens.utils.config.load_config`.
        """
        with data_root(self.root):
            cfg = load_config(self.config, list(self.options))
        complete_evaluators(cfg)
        loader = cfg.test_dataloader
        if self.batch_size:
            loader.batch_size = self.batch_size
        cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
        loader.num_workers = min(loader.get('num_workers', 0), cores) if self.workers is None else self.workers
        return cfg


class Evaluation:
    """The data, metrics and parts of a plan.

    Raises:
        FileNotFoundError, ValueError: data or a config that cannot be read.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.cfg = plan, plan.load()
        with data_root(plan.root):  # named in messages
            self.metrics = build_metrics(self.cfg)
            self.data: EvaluationSet = open_set(self.cfg, self.metrics, plan.quick)

    @cached_property
    def blocks(self) -> list[range]:
        """Positions among the chosen samples, whatever the batch: another run may have a smaller one."""
        count = len(self.data.indices)
        size = max(FEWEST, -(-count // BLOCKS))
        return [range(start, min(start + size, count)) for start in range(0, count, size)]

    def part(self, block: int) -> Path:
        return self.plan.folder / f'part-{block:05d}.pt'

    def missing(self) -> list[int]:
        """Numbers of the blocks that are not done."""
        return [block for block in range(len(self.blocks)) if not self.part(block).exists()]

    def samples_done(self) -> int:
        missing = set(self.missing())
        return sum(len(samples) for block, samples in enumerate(self.blocks) if block not in missing)

    def settings(self) -> dict:
        """What decides the score."""
        cfg = self.cfg
        parts = dict(model=cfg.model, dataset=cfg.test_dataloader.dataset, evaluator=cfg.test_evaluator)
        return dict(
            version=__version__,
            config=json.loads(json.dumps(parts, default=str)),
            weights=fingerprint(self.plan.checkpoint),
            data=self.data.identity(),
            parts=[len(self.blocks), len(self.data.indices)],
            quick=self.plan.quick,
        )

    def begin(self) -> None:
        """Create the folder, or check that its parts are of the same evaluation.

        Raises:
            ValueError: parts of another evaluation.
        """
        path, now = self.plan.folder / PLAN, self.settings()
        if path.exists() and any(self.plan.folder.glob('part-*.pt')):
            try:
                before = json.loads(path.read_text())
            except ValueError:
                before = {}
            changed = [key for key in now if before.get(key) != now[key]]
            if changed:
                raise ValueError(
                    f'{self.plan.folder} holds parts of another evaluation ({", ".join(changed)} differ): remove it, or give '
                    'another --work-dir'
                )
        self.plan.folder.mkdir(parents=True, exist_ok=True)
        remove_temporaries(self.plan.folder)
        write_atomically(path, json.dumps(now, indent=1) + '\n')

    def run(self, devices: Sequence[str]) -> Iterator[int]:
        """Evaluate the missing blocks, and yield the number of samples of each when it is done.

        Args:
            devices: one process each; a single one computes in this process.

        Raises:
            ValueError, FileNotFoundError: weights that do not fit.
            ChildProcessError: a process was killed.
        """
        missing = self.missing()
        if not missing:
            return
        devices = devices[: len(missing)]
        if len(devices) == 1:
            for block in self.work(devices[0], missing):
                yield len(self.blocks[block])
            return
        yield from self._distribute(devices, missing)

    def work(self, device: str, blocks: Sequence[int]) -> Iterator[int]:
        """Evaluate blocks on a device, in order, and yield the number of each."""
        target = pick_device(device)
        model = build_model(self.cfg, self.plan.checkpoint, str(target))
        evaluator = Evaluator(self.metrics)
        evaluator.dataset_meta = self.data.dataset.metainfo
        batches = iter(self._loader(blocks))
        for block in blocks:
            start, seen = time.time(), 0
            while seen < len(self.blocks[block]):
                batch = next(batches)
                with torch.inference_mode():
                    samples = model.test_step(batch)
                evaluator.process(data_samples=samples, data_batch=batch)
                seen += len(samples)
            records = [metric.take() for metric in self.metrics]
            write_part(
                self.part(block), dict(records=records, seconds=time.time() - start, device=device_name(target))
            )
            yield block

    def _loader(self, blocks: Sequence[int]) -> DataLoader:
        """Load blocks in order. No batch has samples of two."""
        options = self.cfg.test_dataloader
        step, batches = options.batch_size, []
        for block in blocks:
            chosen = [self.data.indices[position] for position in self.blocks[block]]
            batches += [chosen[start : start + step] for start in range(0, len(chosen), step)]
        collate = dict(options.get('collate_fn') or dict(type='pseudo_collate'))
        # In a process that was spawned, as those of several devices are, the default is to spawn: each worker would import all
        # packages and hold its own copy of the dataset.
        forks = options.num_workers and sys.platform == 'linux'
        return DataLoader(
            self.data.dataset,
            batch_sampler=batches,
            num_workers=options.num_workers,
            collate_fn=partial(FUNCTIONS.get(collate.pop('type')), **collate),
            worker_init_fn=init_worker,
            multiprocessing_context='fork' if forks else None,
            pin_memory=torch.cuda.is_available(),
        )

    def _distribute(self, devices: Sequence[str], missing: list[int]) -> Iterator[int]:
        """Give each device its share of the blocks, in processes of their own."""
        context, started, done = multiprocessing.get_context('spawn'), [], set()
        try:
            for number, device in enumerate(devices):
                pipe, end = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(self.plan, device, missing[number :: len(devices)], end))
                process.start()
                end.close()
                started.append((process, pipe))
            running = [process.sentinel for process, _ in started]
            while running:
                wait(running, 1.0)
                running = [process.sentinel for process, _ in started if process.is_alive()]
                new = [block for block in missing if block not in done and self.part(block).exists()]
                done.update(new)
                yield from (len(self.blocks[block]) for block in new)
                for process, pipe in started:
                    _raise_error(process, pipe)
        finally:
            for process, _ in started:
                process.terminate()
            for process, _ in started:
                process.join()

    def collect(self) -> dict:
        """Give all parts to the metrics.

        Returns:
            ``seconds`` of all devices together, and ``devices``: names of the devices.

        Raises:
            ValueError: a damaged part.
        """
        seconds, devices = 0.0, {}
        for block in range(len(self.blocks)):
            part = read_part(self.part(block))
            for metric, records in zip(self.metrics, part['records'], strict=True):
                metric.put(records)
            seconds += part['seconds']
            devices[part['device']] = None
        return dict(seconds=seconds, devices=list(devices))

    def evaluate(self) -> dict[str, float]:
        """The metrics by full name. What was collected is used up."""
        found = {}
        for metric in self.metrics:
            found.update(metric.evaluate(len(self.data.indices)))
        return found


def _work(plan: Plan, device: str, blocks: list[int], pipe: Connection) -> None:
    """Main function of a process, which sends its error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the whole group; the command ends its processes itself
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if torch.device(device).type == 'cpu':
        torch.set_num_threads(1)
    try:
        for _ in Evaluation(plan).work(device, blocks):
            pass
    except (OSError, ValueError, ImportError) as error:
        pipe.send(error)


def _end_with_parent() -> None:
    """End this process when the command is gone: a killed one cannot end its processes."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _raise_error(process: BaseProcess, pipe: Connection) -> None:
    """Raise the error that a process has sent, or that it was killed."""
    with contextlib.suppress(EOFError):
        error = pipe.recv() if pipe.poll() else None
        if error is not None:
            raise error
    if process.exitcode:
        raise ChildProcessError(
            f'a process of the evaluation ended with exit code {process.exitcode}, perhaps for its memory. Finished parts are '
            'kept: run the command again, with a smaller --batch-size if the memory was full'
        )


def device_name(device: torch.device) -> str:
    """Name of a device for people."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return device.type.upper()
