"""Training steps of a config as a run makes them, timed on a GPU: its Runner, its hooks, its optimizer, without its data."""

import copy
import itertools
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial

import torch
from batch_labels import make_sample
from gpu_cases import MODES, RECIPES, Case
from gpu_clock import Marks, begin_peak, free_memory, gigabytes, host_gigabytes, idle_fraction, largest, profiler_of
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from torch import nn
from torch.utils.data import DataLoader

from sapiens.datasets import stack_collate
from sapiens.engine import Runner
from sapiens.models.backbones.archs import SAPIENS2_ARCHS, SAPIENS_ARCHS
from sapiens.registry import MODELS
from sapiens.structures import DenseDataSample
from sapiens.utils.batch_labels import Batch
from sapiens.utils.config import load_config

__all__ = ['batch_of', 'build_model', 'config_of', 'device_of', 'measure_largest', 'measure_step']

# Steps that are not measured, measured, and profiled.
WARM_UP, MEASURED, PROFILED = 5, 20, 3
TINY = dict(warm_up=1, measured=1, profiled=1)
# Of images for tiny models, (h, w) in pixels.
SIZE = {True: (128, 128), False: (64, 48)}  # by whether the model is an MAE
# Keys of a config that training reads. Others, such as pipelines, take seconds to format.
KEYS = (
    *('default_scope', 'custom_imports', 'default_hooks', 'env_cfg', 'log_processor', 'randomness', 'model'),
    *('optim_wrapper', 'compile', 'activation_checkpointing', 'parallel'),
)
# Images of the largest batch that is tried.
LIMIT = 1024


def device_of(case: Case) -> str:
    return 'cuda' if torch.cuda.is_available() and not case.is_tiny else 'cpu'


def config_of(case: Case, work_dir: str) -> Config:
    """The config of a case: without files, evaluation, checkpoints and a learning rate that could spoil random training."""
    cfg = load_config(case.config, case.options)
    cfg = Config({key: cfg[key] for key in KEYS if key in cfg}, format_python_code=False)  # nobody reads its text
    cfg.merge_from_dict(copy.deepcopy(MODES[case.mode]))
    cfg.work_dir, cfg.log_level, cfg.load_from, cfg.resume = work_dir, 'ERROR', None, False
    cfg.experiment_name = 'gpu_suite'  # MMEngine keeps runners by name
    cfg.model.backbone.init_cfg = None
    cfg.optim_wrapper.merge(dict(precision='bf16', optimizer=dict(lr=1e-6)))
    cfg.train_cfg = dict(type='TrainLoop', max_iters=10**6)
    cfg.visualizer, cfg.custom_hooks, cfg.param_scheduler = dict(type='Visualizer'), [], None
    cfg.default_hooks = {k: v for k, v in cfg.default_hooks.items() if k not in ('checkpoint', 'ema')}
    cfg.default_hooks['checkpoint'] = None
    if case.is_tiny and cfg.get('compile'):
        cfg.compile = dict(backend='eager')  # the compiler of kernels takes longer than all other cases
    if case.is_tiny:
        archs = SAPIENS2_ARCHS if 'sapiens2' in case.config else SAPIENS_ARCHS
        cfg.model.backbone.arch = dict(archs[cfg.model.backbone.arch], num_layers=1)
        cfg.model.backbone.img_size = SIZE[cfg.model.type == 'MAE']
        if cfg.model.type == 'MAE':
            cfg.model.decoder.num_layers = 1
    return cfg


def build_model(cfg: dict, device: str) -> nn.Module:
    """Build a model on the device: random weights of a billion parameters take seconds there, and minutes on a core."""
    with DefaultScope.overwrite_default_scope('sapiens'), torch.device(device):
        return MODELS.build(cfg).to(device).train()


def batch_of(case: Case, size: tuple[int, int], device: str, collate: Callable = stack_collate) -> dict:
    """A batch of random images (h, w) and labels, stacked, in pinned memory."""
    labels = RECIPES[case.recipe].labels
    samples = []
    for _ in range(case.batch):
        sample = make_sample(labels or 'mae', size) if labels else None
        images = torch.randint(256, (3, *size), dtype=torch.uint8)
        samples.append(sample or dict(inputs=images, data_samples=DenseDataSample()))
    batch = collate(samples)
    return batch.pin_memory() if device == 'cuda' and isinstance(batch, Batch) else batch


class Prepared(DataLoader):
    """A loader whose batches are ready: the same one again and again."""

    def __init__(self, batch: dict) -> None:
        count = len(batch['inputs'])
        super().__init__(range(10**7), batch_size=count)
        self.batch = batch

    def __iter__(self):
        return (Batch(self.batch) for _ in itertools.count())


class SuiteRunner(Runner):
    """The Runner of a training, whose model is built on the device. It does not look for compilers and drivers to log them."""

    def _log_env(self, env_cfg: dict) -> None:
        pass

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        return super().build_model(build_model(model, device) if isinstance(model, dict) else model)


class Watch(Hook):
    """Times steps, then profiles some, then ends the training. It does not wait for the device while it times."""

    priority = 'LOWEST'

    def __init__(
        self, device: str, batch: int, warm_up: int = WARM_UP, measured: int = MEASURED, profiled: int = PROFILED
    ) -> None:
        self.device, self.batch = device, batch
        self.first, self.last = warm_up - 1, warm_up - 1 + measured
        self.end = self.last + profiled
        self.marks, self.profiler, self.values = Marks(device), profiler_of(device), {}

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        index = runner.iter
        if index == self.first:
            begin_peak(self.device)
        if self.first <= index <= self.last:
            self.marks.mark()
        if index == self.last:
            times = self.marks.milliseconds()
            step = statistics.median(times)
            self.values = dict(step_ms=step, images_per_s=1e3 * self.batch / step, range_ms=[min(times), max(times)])
            self.values |= dict(peak_gb=gigabytes(self.device), loss=float(outputs['loss']))
            self.held = live_bytes(runner) / 1e9
            self.profiler.start()
        if index == self.end:
            if self.device == 'cuda':
                torch.cuda.synchronize()
            self.profiler.stop()
            runner.train_loop.stop_training = True
            self.values['idle'] = idle_fraction(self.profiler, self.device)
            if self.device == 'cpu':
                self.values['peak_gb'] = host_gigabytes(self.profiler, self.held)


def live_bytes(runner: Runner) -> int:
    """Bytes of weights, states of the optimizer and the batch, between two steps."""
    model, batch = runner.model, runner.train_dataloader.batch
    states = [value for state in runner.optim_wrapper.optimizer.state.values() for value in state.values()]
    tensors = [*model.parameters(), *model.buffers(), *states, batch['inputs'], *batch.get('labels', {}).values()]
    return sum(value.nbytes for value in tensors if isinstance(value, torch.Tensor))


def measure_step(case: Case) -> dict:
    """Values of a training step: milliseconds, images per second, peak GB, idle fraction, loss.

    Raises:
        ModuleNotFoundError: this checkout cannot shard.
        FloatingPointError: the loss is not finite.
    """
    device = device_of(case)
    with tempfile.TemporaryDirectory() as folder:
        cfg = config_of(case, folder)
        if case.mode == 'FSDP2':
            become_one_rank()
            cfg.launcher = 'pytorch'
        batch = batch_of(case, tuple(cfg.model.backbone.img_size), device)
        cfg.train_dataloader = dict(batch_size=case.batch, dataset=None)
        runner = SuiteRunner.from_cfg(cfg)
        runner._train_dataloader = Prepared(batch)
        watch = Watch(device, case.batch, **(TINY if case.is_tiny else {}))
        runner.register_hook(watch)
        runner.train()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    loss = watch.values['loss']
    if loss != loss or abs(loss) == float('inf'):
        raise FloatingPointError(f'the loss is {loss}')
    return watch.values


def become_one_rank() -> None:
    """Set what torchrun sets for one process.

    Raises:
        ModuleNotFoundError: this checkout has no FSDP2.
    """
    import sapiens.engine.parallel  # noqa: F401

    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    os.environ.update(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0', LOCAL_WORLD_SIZE='1')
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))


def measure_largest(case: Case, seconds: float = 90) -> dict:
    """The largest batch of which two steps fit into the memory.

    Args:
        seconds: the search ends after them.
    """
    device, limit = device_of(case), 3 if case.is_tiny else LIMIT
    with tempfile.TemporaryDirectory() as folder:
        cfg = config_of(case, folder)
        cfg.train_dataloader = dict(batch_size=case.batch, dataset=None)
        runner = SuiteRunner.from_cfg(cfg)
        size = tuple(cfg.model.backbone.img_size)
        one = batch_of(case, size, 'cpu')
        runner._train_dataloader = Prepared(one)
        trial = _Trials(partial(_repeated, one), device)
        runner.register_hook(trial)
        trial.found = partial(largest, trial.fits, limit, time.monotonic() + seconds)
        runner.train()
    return dict(largest=trial.result[0], is_seen=trial.result[1])


class _Trials(Hook):
    """Tries batches after the first step of a training, which then ends."""

    priority = 'LOWEST'

    def __init__(self, make: Callable[[int], dict], device: str) -> None:
        self.make, self.device, self.found, self.result = make, device, None, (0, False)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self.runner = runner
        self.result = self.found()
        runner.train_loop.stop_training = True

    def fits(self, count: int) -> bool:
        wrapper = self.runner.optim_wrapper
        batch = self.make(count)
        try:
            for _ in range(2):
                wrapper.enter_batch(0, 1)
                float(self.runner.model.train_step(Batch(batch), optim_wrapper=wrapper)['loss'])
            return True
        except torch.OutOfMemoryError:
            return False
        finally:
            wrapper.zero_grad()
            wrapper._losses.clear()  # of a step that did not end
            free_memory(self.device)


def _repeated(one: dict, count: int) -> dict:
    """A batch of copies of one sample."""

    def repeat(value: torch.Tensor) -> torch.Tensor:
        return value[:1].expand(count, *value.shape[1:]).contiguous()

    found = dict(inputs=repeat(one['inputs']), data_samples=one['data_samples'][:1] * count)
    labels = {name: repeat(value) for name, value in one.get('labels', {}).items()}
    return found | (dict(labels=labels) if labels else {})
