"""Logs how much of a GPU's rate training uses, and the memory and the slowest step over all processes."""

import torch
from mmengine.dist import all_gather, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log

from sapiens.registry import HOOKS
from sapiens.tasks import members_of
from sapiens.utils.option_values import require_number

from ..device_time import collective_fraction, step_profiler
from ..estimate.checkpointing import VARIANTS, apply_variant, variants_of
from ..estimate.trace import trace_step
from ..peak_rates import PeakRates, peak_rates
from .checkpoint import CheckpointHook
from .logger import LoggerHook

__all__ = ['MFUHook']

MIB = 2**20


@HOOKS.register_module()
class MFUHook(Hook):
    """Logs ``tflops`` and ``mfu`` of a GPU, and values over all processes, in the iterations that are logged.

    - ``tflops``: operations of the model in the steps since the last line, by their time, in TFLOP/s of one process. A
      multiplication with its addition counts as two, the backward pass counts as it is (about twice the forward pass), and what
      activation checkpointing computes again does not count.
    - ``mfu`` (model FLOPs utilization): ``tflops`` as a fraction of the peak rate of the device. Devices whose rate is not known
      (:mod:`sapiens.engine.peak_rates`), and CPUs, have none.
    - ``peak_memory`` and ``reserved_memory`` (MiB, CUDA only): the highest of all processes since the start.
    - ``save_share``: fraction of the time since the last line in which checkpoints held the step.
    - with several processes ``slowest_step`` (seconds, the highest of their means since the last line), and of a profiled step
      ``collective_share``: the fraction in which only collectives ran, mean over the processes (:func:`.collective_fraction`),
      and ``slowest_rank``: the process with the lowest such fraction, which waited least for the others.

    ``time`` and ``images_per_s`` of the same line cover the last 10 steps, see :class:`.ThroughputHook`.

    The operations are those of one step on fake tensors, which is traced once for each size of images (1 to 5 s on one process,
    while the others wait). Between lines of the log the hook does nothing but count. Not a default hook, because of the time of
    the trace::

        default_hooks = dict(mfu=dict(type='MFUHook'))

    Args:
        peak_tflops: peak rate of the device in TFLOP/s, where the table does not have it.
        profile_interval: lines of the log from one profiled step to the next, which is the last before a line; 0 for none.

    Raises:
        ValueError: ``peak_tflops`` is not a number above 0, or ``profile_interval`` not a number of lines.
    """

    priority = 56  # between IterTimerHook, whose times it reads, and LoggerHook

    def __init__(self, peak_tflops: float | None = None, profile_interval: int = 10) -> None:
        require_number('MFUHook.peak_tflops', peak_tflops, above=0, none='that of the device')
        require_number('MFUHook.profile_interval', profile_interval, least=0, whole=True)
        self.peak_tflops, self.profile_interval = peak_tflops, profile_interval
        # Operations for an image of a size (h, w), by name of the task (None in a model of one).
        self.operations: dict[tuple, float] = {}
        self.steps, self.done = 0, 0.0
        self.lines, self.profiler, self.saving = 0, None, 0.0

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        if get_world_size() == 1 or not self.profile_interval or not self.is_due(runner, batch_idx):
            return
        if self.lines % self.profile_interval == 0:
            self.profiler = step_profiler()
            self.profiler.start()
        self.lines += 1

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self.steps += 1
        if is_main_process():
            self.done += self._operations_of(runner, data_batch)
        if self.is_due(runner, batch_idx):
            for name, value in self.measure(runner).items():
                runner.message_hub.update_scalar(f'train/{name}', value)
            self.steps, self.done = 0, 0.0

    @staticmethod
    def is_due(runner, batch_idx: int) -> bool:
        """Whether the current iteration is logged."""
        return any(hook.is_due(runner, batch_idx) for hook in runner.hooks if isinstance(hook, LoggerHook))

    def measure(self, runner) -> dict[str, float]:
        """Values of the steps since the last line, by name. Every process must call this."""
        hub = runner.message_hub
        if 'train/time' not in hub.log_scalars:
            return {}
        seconds = hub.get_scalar('train/time').mean(self.steps)
        found = {}
        if self.done:
            found['tflops'] = self.done / (self.steps * seconds) / 1e12
            if (peak := self._peak(runner)) is not None:
                found['mfu'] = found['tflops'] / peak
        saving = sum(hook.seconds for hook in runner.hooks if isinstance(hook, CheckpointHook))
        found['save_share'] = (saving - self.saving) / (self.steps * seconds)
        self.saving = saving
        return found | self._over_processes(seconds, self._collectives())

    def restore(self) -> None:
        """Stop a profile that a failure interrupted."""
        if self.profiler is not None:
            self.profiler.stop()
            self.profiler = None

    # ------------------------------------------------------------------ parts

    def _collectives(self) -> float | None:
        """Fraction of the step in which only collectives ran, if it was profiled."""
        profiler, self.profiler = self.profiler, None
        if profiler is None:
            return None
        profiler.stop()
        return collective_fraction(profiler)

    @staticmethod
    def _over_processes(seconds: float, collectives: float | None = None) -> dict[str, float]:
        """The longest step, the highest memory, the mean wait for collectives and who waited least, by one exchange."""
        has_gpu = torch.cuda.is_available()
        memory = [torch.cuda.max_memory_allocated() / MIB, torch.cuda.max_memory_reserved() / MIB] if has_gpu else []
        found = {}
        rows = torch.tensor([seconds, *memory, *([] if collectives is None else [collectives])])
        if get_world_size() > 1:
            rows = torch.stack(all_gather(rows.cuda() if has_gpu else rows)).cpu()
            found = dict(slowest_step=float(rows[:, 0].max()))
        if collectives is not None:
            # All processes take the same time for a step: the fast ones wait for the slowest one in collectives.
            found['slowest_rank'] = int(rows[..., -1].argmin())
            found['collective_share'] = float(rows[..., -1].mean())
        if has_gpu:
            peak, reserved = rows.reshape(-1, rows.shape[-1]).amax(0)[1:3].tolist()
            found |= dict(peak_memory=round(peak), reserved_memory=round(reserved))
        return found

    def _operations_of(self, runner, batch: dict) -> float:
        """Operations of the model for a batch."""
        images, samples = batch['inputs'], batch.get('data_samples') or [None]
        task = getattr(samples[0], 'metainfo', {}).get('task') if members_of(runner.bare_model) else None
        key = task, *images[0].shape[-2:]
        if key not in self.operations:
            self.operations[key] = self._trace(runner, task, tuple(images[0].shape[-2:]))
        return self.operations[key] * len(images)

    def _trace(self, runner, task: str | None, size: tuple[int, int]) -> float:
        try:
            # A model of one's own, or a batch without images, has no step that can be traced.
            cfg = runner.cfg
            cfg = apply_variant(cfg, VARIANTS[0]) if VARIANTS[0] in variants_of(cfg) else cfg
            precision = 'bf16' if getattr(runner.optim_wrapper, 'uses_bf16', False) else 'fp32'
            return trace_step(cfg, precision, task=task, size=size).counts.step
        except Exception as error:
            print_log(f'MFUHook: no operations of this model are counted: {error}', 'current')
            return 0.0

    def _peak(self, runner) -> float | None:
        """TFLOP/s of the device in the precision of the run."""
        if self.peak_tflops is not None or not torch.cuda.is_available():
            return self.peak_tflops
        rates: PeakRates | None = peak_rates(torch.cuda.get_device_name())
        if rates is None:
            return None
        if getattr(runner.optim_wrapper, 'uses_bf16', False):
            return rates.bf16
        return rates.fp32 if torch.get_float32_matmul_precision() == 'highest' else rates.tf32
