"""What the runs of a study cost: time from a trial of a few steps or from an estimate, and disk for checkpoints."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from mmengine.config import Config

from sapiens.engine.estimate.arithmetic import Cluster
from sapiens.engine.estimate.plan import plan_training
from sapiens.engine.model_size import build, count
from sapiens.engine.peak_rates import peak_rates
from sapiens.registry import DATASETS
from sapiens.utils.files import write_atomically
from sapiens.visualization import read_curves

from .child import PROGRAM, error_of, read_metrics
from .plan import Plan, Run
from .resolve import hash_of, option_texts
from .runner import Local, state_of
from .share import find_equal
from .state import machine_here

__all__ = ['Cost', 'check_disk', 'checkpoint_bytes', 'cost_of_plan', 'disk_bytes', 'estimate', 'model_sizes', 'trial']

STEPS = 8
"""Steps of a trial. The first :data:`WARM_UP` do not count."""
WARM_UP = 3
LONGEST = 600.0
"""Seconds after which a trial is given up."""
# What the time and memory of a step depend on.
DECISIVE = (
    'model', 'train_dataloader', 'optim_wrapper.precision', 'optim_wrapper.accumulative_counts', 'optim_wrapper.state_dtype',
    'optim_wrapper.optimizer.type', 'compile', 'activation_checkpointing', 'lora', 'float8', 'parallel', 'env_cfg',
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """Cost of one run.

    Attributes:
        step_seconds: of an iteration, None if it is not known.
        memory: peak in bytes, None if it is not known.
        seconds: of the whole run without its evaluations, None if the number of iterations or their time is not known.
        source: ``'trial'``, ``'estimate'``, ``'runs'`` (equal ones that are done, with evaluations), ``'shared'`` (another
            study has the result), or why there is none.
    """

    step_seconds: float | None
    memory: int | None
    seconds: float | None
    source: str


def key_of(run: Run) -> str:
    """Equal for runs whose steps cost the same."""
    return hash_of({key: value for key, value in run.content.items() if key.startswith(DECISIVE)}, run.stage.command)


def iterations_of(cfg: Config) -> int | None:
    """Iterations of a training; None where the length of an epoch is not known: its data are not here."""
    if cfg.train_cfg.get('max_iters'):
        return cfg.train_cfg.max_iters
    try:
        length = len(DATASETS.build(cfg.train_dataloader.dataset))
    except (ValueError, TypeError, KeyError, OSError, ImportError):
        return None
    return cfg.train_cfg.max_epochs * max(1, length // cfg.train_dataloader.batch_size)


def trial_options(run: Run) -> dict[str, Any]:
    """Options of a training of a few steps without evaluation and checkpoints."""
    given = {
        key: value
        for key, value in run.options.items()
        if not key.lstrip('+').startswith(('train_cfg', 'param_scheduler'))
    }
    options = {
        **given,
        'train_cfg': dict(type='TrainLoop', max_iters=STEPS, val_interval=STEPS),
        'param_scheduler': [],
        'log_processor.by_epoch': False,
        'default_hooks.logger.interval': 1,
        'default_hooks.checkpoint': None,
        'load_from': None,
    }
    options |= {'custom_hooks': []} if run.cfg.get('custom_hooks') else {}
    return options | {key: None for key in ('val_dataloader', 'val_evaluator', 'val_cfg') if run.cfg.get(key)}


def trial(run: Run, cache: Path, local: Local, program: Sequence[str] = PROGRAM) -> Mapping[str, Any]:
    """Train a few steps of a run, unless a run of the same cost was tried on this machine with as many cores.

    Args:
        cache: folder of the results.

    Returns:
        ``step_seconds``, ``memory``, ``start_seconds`` (until the first step); or ``error``, which is not kept.
    """
    file = cache / f'{key_of(run)}-{hash_of(machine_here(), local.cores, local.gpus)}.json'
    try:
        return json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        pass
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='trial-', dir=cache) as name:
        folder = Path(name)
        options = ['--cfg-options', *option_texts(trial_options(run))]
        command = [*program, 'train', run.config, '--work-dir', str(folder), *options]
        begin, memory = time.monotonic(), 0
        with open(folder / 'log.txt', 'wb') as log:
            environment = {**os.environ, **local.environment(0)}
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
            try:
                while process.poll() is None:
                    if time.monotonic() > begin + LONGEST:
                        return dict(error=f'{STEPS} steps took more than {LONGEST:.0f} s')
                    memory = max(memory, _memory_of(process.pid))
                    time.sleep(0.2)
            finally:
                process.kill()
                process.wait()
        seconds = time.monotonic() - begin
        if process.returncode:
            return dict(error=error_of(folder, process.returncode))
        _, step, device_memory = read_metrics(folder, 'train')
        if step is None:
            return dict(error='the trial has logged no time')
        times = read_curves(folder)['time'][1]
        step = float(np.median(times[WARM_UP:] if len(times) > WARM_UP else times))
        found = dict(step_seconds=step, memory=device_memory or memory, start_seconds=max(0.0, seconds - STEPS * step))
    write_atomically(file, json.dumps(found) + '\n')
    return found


def _memory_of(pid: int) -> int:
    """Bytes of a process and its children."""
    try:
        process = psutil.Process(pid)
        return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])
    except psutil.Error:
        return 0


def estimate(run: Run, cache: Path, gpus: int, gpu: str) -> Mapping[str, Any]:
    """Estimate a training on GPUs as ``sapiens estimate`` does, from one step on fake tensors.

    Args:
        gpus: of the run, on one machine.
        gpu: name of the kind.

    Returns:
        ``step_seconds``, ``memory``, ``start_seconds`` (0); or ``error``.
    """
    file = cache / f'{key_of(run)}-{hash_of(gpu, gpus)}.json'
    try:
        return json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        pass
    rates = peak_rates(gpu)
    if rates is None:
        return dict(error=f'no peak rate of {gpu!r} is known')
    cluster = Cluster(
        gpus=gpus,
        gpus_per_node=gpus,
        memory=80.0,
        network=400.0,
        link=370.0,
        rate=rates.bf16,
        utilization=0.4,
        price=1.0,
    )
    try:
        own = plan_training(run.cfg, cluster).own
    except ValueError as error:
        return dict(error=str(error))
    found = dict(step_seconds=own.seconds, memory=own.peak, start_seconds=0.0)
    write_atomically(file, json.dumps(found) + '\n')
    return found


def cost_of_plan(
    plan: Plan,
    cache: Path,
    local: Local,
    gpu: str | None = None,
    try_steps: bool = True,
    program: Sequence[str] = PROGRAM,
) -> dict[str, Cost]:
    """The cost of each run that is not done, by its hash.

    Args:
        gpu: estimate for this GPU instead of trying steps here.
        try_steps: False uses only what is known already.
    """
    states = {run.hash: state_of(run) for run in plan.runs}
    measured: dict[tuple, list[float]] = {}
    for run in plan.runs:
        if states[run.hash].name == 'done' and gpu is None:
            measured.setdefault(_whole_key(run), []).append(states[run.hash].record.seconds)
    found, costs = {}, {}
    for run in plan.runs:
        if states[run.hash].name == 'done':
            continue
        if find_equal(run, plan.root):
            costs[run.hash] = Cost(None, None, 0.0, 'shared')
            continue
        if seconds := measured.get(_whole_key(run)):
            costs[run.hash] = Cost(None, None, float(np.mean(seconds)), 'runs')
            continue
        if run.stage.command == 'test':
            costs[run.hash] = Cost(None, None, None, 'a test, not tried')
            continue
        if not try_steps and gpu is None:
            costs[run.hash] = Cost(None, None, None, 'not tried')
            continue
        key = key_of(run)
        if key not in found:
            found[key] = estimate(run, cache, max(1, local.gpus), gpu) if gpu else trial(run, cache, local, program)
        costs[run.hash] = _cost(found[key], iterations_of(run.cfg), 'estimate' if gpu else 'trial')
    return costs


def _whole_key(run: Run) -> tuple:
    """Equal for runs that take equally long."""
    length = [run.content.get(f'train_cfg.{name}') for name in ('max_iters', 'max_epochs')]
    return run.stage.name, key_of(run), *length


def _cost(found: Mapping[str, Any], iterations: int | None, source: str) -> Cost:
    if 'error' in found:
        return Cost(None, None, None, f'no {source}: {found["error"]}')
    seconds = None if iterations is None else found['start_seconds'] + iterations * found['step_seconds']
    return Cost(found['step_seconds'], found['memory'], seconds, source)


def checkpoint_bytes(run: Run, parameters: int) -> int:
    """Bytes that the checkpoints of a training take at most: weights, two states of Adam and the average, 4 bytes each."""
    hooks = dict(run.cfg.get('default_hooks') or {})
    saving = hooks.get('checkpoint') or {}
    every = [*hooks.values(), *(run.cfg.get('custom_hooks') or [])]
    averaged = any((hook or {}).get('type') == 'EMAHook' for hook in every)
    kept = saving.get('max_keep_ckpts', -1)
    length = run.cfg.train_cfg.get('max_iters') or run.cfg.train_cfg.get('max_epochs') or 1
    interval = max(1, saving.get('interval', 1))
    written = max(1, length // interval) if saving.get('by_epoch', True) == ('max_epochs' in run.cfg.train_cfg) else 1
    # A new one is written before an old one is removed.
    most = written if kept < 0 else min(written, kept + 1)
    best = len(saving['save_best']) if isinstance(saving.get('save_best'), list) else bool(saving.get('save_best'))
    return parameters * 4 * (most * (3 + averaged) + best * (1 + averaged))


def model_sizes(plan: Plan, cache: Path) -> dict[str, tuple[int, int]]:
    """Parameters, and operations of an image forward, of the model of each run by its hash."""
    known: dict[str, tuple[int, int]] = {}
    sizes = {}
    for run in plan.runs:
        key = hash_of('size', {name: value for name, value in run.content.items() if name.startswith('model')})
        file = cache / f'size-{key}.json'
        if key not in known:
            try:
                known[key] = tuple(json.loads(file.read_text(encoding='utf-8')))
            except (OSError, ValueError):
                model = build(run.cfg)
                known[key] = count(model, *model.backbone.img_size)['all']
                write_atomically(file, json.dumps(known[key]) + '\n')
        sizes[run.hash] = known[key]
    return sizes


def disk_bytes(plan: Plan, sizes: Mapping[str, tuple[int, int]]) -> int:
    """Bytes that the checkpoints of the runs take that are not done."""
    return sum(
        checkpoint_bytes(run, sizes[run.hash][0])
        for run in plan.runs
        if run.stage.command == 'train' and state_of(run).name != 'done'
    )


def check_disk(plan: Plan, needed: int) -> None:
    """Check that the checkpoints fit on the disk.

    Raises:
        ValueError: they do not.
    """
    place = next(folder for folder in (plan.folder, *plan.folder.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ValueError(
            f'{plan.study.file}: checkpoints of its runs take up to {needed / 2**30:.1f} GiB, and {place} has '
            f'{free / 2**30:.1f} GiB free: keep fewer (options={{"default_hooks.checkpoint.max_keep_ckpts": 1}}), choose another '
            'disk with --root, or run a part with --only'
        )
