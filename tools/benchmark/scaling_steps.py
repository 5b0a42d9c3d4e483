"""Training steps of a config on several processes of this machine: their time, the bytes that each sends, and overlap."""

import copy
import json
import multiprocessing
import os
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from gpu_clock import Marks
from gpu_step import KEYS, Prepared
from mmengine.config import Config
from mmengine.hooks import Hook
from torch.utils._python_dispatch import TorchDispatchMode

from sapiens.engine import Runner
from sapiens.engine.device_time import collective_times, step_profiler
from sapiens.engine.estimate.arithmetic import PARALLEL, Cluster, Parallel
from sapiens.engine.estimate.counts import ModelCounts
from sapiens.engine.estimate.network import wire_bytes
from sapiens.engine.estimate.samples import training_batch

__all__ = ['WAYS', 'CountBytes', 'computed_bytes', 'measure', 'ways_of']

# Those that a CPU has too: DDP in float32, FSDP2, and HSDP, where there are enough processes for two nodes.
WAYS = {way.name: way for way in PARALLEL if way.type != 'DDP' or way.reduce_dtype == 'fp32'}
WARM_UP, TIMED = 3, 10
# Seconds that the processes of one way may take.
LIMIT = 600


def ways_of(processes: int) -> list[Parallel]:
    """The ways that differ. Of HSDP, half of the processes are a node."""
    names = ['DDP'] if processes == 1 else [name for name in WAYS if name != 'HSDP' or processes % 4 == 0]
    return [WAYS[name] for name in names]


class CountBytes(TorchDispatchMode):
    """Counts the bytes that rings send for the collectives of this process, by what is called, not by how it is done: gloo, for
    example, reduces everything where a scatter is asked for.

    Attributes:
        sent: bytes.
        calls: number of collectives.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sent, self.calls = 0.0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        # The largest list of tensors is what all processes have together: gathered, to be scattered, or to be reduced.
        factor = {'allreduce_': 2, '_allgather_base_': 1, '_reduce_scatter_base_': 1}
        name = function._schema.name.removeprefix('c10d::')
        if function.namespace == 'c10d' and name in factor:
            lists = [arg if isinstance(arg, list | tuple) else [arg] for arg in args]
            group = next(dist.ProcessGroup.unbox(arg) for arg in args if isinstance(arg, torch.ScriptObject))
            whole = max(sum(one.nbytes for one in some if isinstance(one, torch.Tensor)) for some in lists)
            self.sent += factor[name] * whole * (group.size() - 1) / group.size()
            self.calls += 1
        return function(*args, **(kwargs or {}))


def computed_bytes(counts: ModelCounts, way: Parallel, processes: int, half: bool) -> float:
    """Bytes that the estimate says for the processes of :func:`measure`."""
    way = replace(way, param_dtype='bf16' if half else 'fp32')
    return sum(wire_bytes(counts, way, Cluster(gpus=processes, gpus_per_node=_node(way, processes))))


def _node(way: Parallel, processes: int) -> int:
    return processes // 2 if way.shard == 'node' else processes


def measure(
    cfg: Config, way: Parallel, processes: int, batch: int, warm_up: int = WARM_UP, steps: int = TIMED
) -> dict:
    """Steps of a run with its Runner and optimizer on the same batch of random images again and again.

    Processes are forked, each on a GPU of its own (NCCL) or on one thread of the host (gloo).

    Args:
        cfg: of a training.
        batch: images of a process.
        warm_up, steps: steps before those that are timed, and these. One more is counted, and one is profiled.

    Returns:
        dict(milliseconds=those of the steps, sent=bytes of a process in a step, calls=its collectives,
        collectives=fraction of a step in which any ran, alone=fraction in which nothing else did), of the main process.

    Raises:
        RuntimeError: a process failed.
    """
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
        free.close()
        fork = multiprocessing.get_context('fork')
        options = (processes, port, cfg, way, batch, warm_up, steps, folder)
        started = [fork.Process(target=_work, args=(rank, *options)) for rank in range(processes)]
        for process in started:
            process.start()
        for process in started:
            process.join(LIMIT)
        for process in started:
            process.kill()  # has no effect on one that has ended
        if any(process.exitcode for process in started):
            states = ', '.join(str(process.exitcode) for process in started)
            raise RuntimeError(f'{way.name} on {processes} processes: they ended with {states}')
        return json.loads(Path(folder, 'found.json').read_text())


def _work(
    rank: int, processes: int, port: int, cfg: Config, way: Parallel, batch: int, warm_up: int, steps: int, folder: str
) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    node = _node(way, processes)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(processes), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    os.environ.update(LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(node))
    runner = Runner.from_cfg(_training(cfg, way, processes, batch, folder))
    runner._train_dataloader = Prepared(training_batch(runner.bare_model, batch))
    watch = _Watch(warm_up, steps)
    runner.register_hook(watch)
    runner.train()
    if rank == 0:
        Path(folder, 'found.json').write_text(json.dumps(watch.found))
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
    os._exit(0)  # without what the parent registered


def _training(cfg: Config, way: Parallel, processes: int, batch: int, folder: str) -> Config:
    """Without files, evaluation and checkpoints."""
    cfg = Config({key: copy.deepcopy(cfg[key]) for key in KEYS if key in cfg}, format_python_code=False)
    cfg.work_dir, cfg.log_level, cfg.load_from, cfg.resume = folder, 'ERROR', None, False
    cfg.experiment_name = 'scaling'
    cfg.launcher = 'none' if processes == 1 else 'pytorch'
    cfg.parallel = way.setting if processes > 1 else dict(type='DDP')
    cfg.model.backbone.init_cfg = None
    cfg.optim_wrapper.merge(dict(optimizer=dict(lr=1e-6)))
    cfg.train_cfg = dict(type='TrainLoop', max_iters=10**6)
    cfg.train_dataloader = dict(batch_size=batch, dataset=None)
    cfg.visualizer, cfg.custom_hooks, cfg.param_scheduler = dict(type='Visualizer'), [], None
    cfg.default_hooks = {k: v for k, v in cfg.default_hooks.items() if k not in ('checkpoint', 'ema')}
    cfg.default_hooks['checkpoint'] = None
    return cfg


class _Watch(Hook):
    """Times steps, counts the bytes of the next one, profiles the one after it, and ends the training."""

    priority = 'LOWEST'

    def __init__(self, warm_up: int, steps: int) -> None:
        self.first, self.last, self.found = warm_up - 1, warm_up - 1 + steps, {}
        self.marks = Marks('cuda' if torch.cuda.is_available() else 'cpu')
        self.counted, self.profiler = CountBytes(), step_profiler()

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        if runner.iter == self.last + 1:
            self.counted.__enter__()
        if runner.iter == self.last + 2:
            self.profiler.start()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        index = runner.iter
        if self.first <= index <= self.last:
            self.marks.mark()
        if index == self.last + 1:
            self.counted.__exit__(None, None, None)
        if index == self.last + 2:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.profiler.stop()
            running, alone, whole = collective_times(self.profiler)
            self.found = dict(milliseconds=self.marks.milliseconds(), sent=self.counted.sent, calls=self.counted.calls)
            self.found |= dict(collectives=running / whole, alone=alone / whole)
            runner.train_loop.stop_training = True
