"""Optimizer steps: autocast, gradient accumulation and clipping, and skipping of non-finite steps."""

from collections.abc import Mapping
from contextlib import contextmanager

import torch
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper as _OptimWrapper
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.utils import get_total_norm

from sapiens.models.losses.weights import mean_over_processes
from sapiens.registry import OPTIM_WRAPPERS
from sapiens.utils.option_values import require_number
from sapiens.utils.shards import is_shard, local, whole

from .low_bit import states_for
from .skipped_steps import SkippedSteps

__all__ = ['OptimWrapper', 'autocasts_to_bf16']


# Options of an optimizer that choose its kernels.
KERNELS = ('fused', 'foreach', 'capturable')


def autocasts_to_bf16(precision: str, device: torch.device | str) -> bool:
    """Whether training steps use bf16 autocast by the option ``precision`` of :class:`OptimWrapper`."""
    if precision == 'auto':
        return torch.device(device).type == 'cuda' and torch.cuda.is_bf16_supported()
    return precision == 'bf16'


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(_OptimWrapper):
    """MMEngine's wrapper with bf16 autocast on any device, a logged gradient norm, and skipping of non-finite steps.

    A step whose loss or gradient norm is not finite is skipped on all ranks together, counted and logged. Its accumulated
    gradients are dropped.

    With a fused optimizer a step reads nothing back from the device: the optimizer itself clips and skips. :meth:`report` logs
    skipped steps; the runner calls it with each line of the log and each checkpoint. Other optimizers wait once per step for the
    decision.

    Args:
        optimizer: the optimizer.
        precision: ``'bf16'`` autocast, ``'fp32'``, or ``'auto'``: bf16 on GPUs that support it, fp32 elsewhere. There is no
            fp16, which overflows with thousands of tokens.
        accumulative_counts: number of iterations averaged into one step, by the weights of their samples where these have some.
            The last step of an epoch averages the remaining ones, so gradients never cross the end of an epoch or a checkpoint.
            The first step of a resumed run begins where the run resumes.
        clip_grad: ``dict(max_norm=...)`` with a number above 0, or None.
        nonfinite: ``'skip'``, or ``'zero'`` to set non-finite gradient elements to 0, as the published system did. A step with
            a non-finite loss is always skipped.
        max_skipped_in_a_row: number of consecutive skipped steps that stops the run, at the next :meth:`report`.

    Attributes:
        grad_norm: gradient norm of the latest step before clipping, a float32 scalar on the device; None before the first step.

    Raises:
        ValueError: an unknown option, or a value outside of its range.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        precision: str = 'auto',
        accumulative_counts: int = 1,
        clip_grad: dict | None = None,
        nonfinite: str = 'skip',
        max_skipped_in_a_row: int = 10,
    ) -> None:
        for key, value in dict(
            accumulative_counts=accumulative_counts, max_skipped_in_a_row=max_skipped_in_a_row
        ).items():
            require_number(f'optim_wrapper.{key}', value, least=1, whole=True)
        super().__init__(optimizer, accumulative_counts)
        if precision not in ('auto', 'bf16', 'fp32'):
            raise ValueError(f"precision={precision!r} is not one of 'auto', 'bf16', 'fp32'")
        if nonfinite not in ('skip', 'zero'):
            raise ValueError(f"nonfinite={nonfinite!r} is not one of 'skip', 'zero'")
        if clip_grad is not None and (not isinstance(clip_grad, Mapping) or set(clip_grad) != {'max_norm'}):
            raise ValueError(f'optim_wrapper.clip_grad={clip_grad!r}: expected dict(max_norm=NUMBER) or None')
        self.precision, self.nonfinite = precision, nonfinite
        self.max_norm = clip_grad['max_norm'] if clip_grad else None
        require_number('optim_wrapper.clip_grad.max_norm', self.max_norm, above=0, none='no clipping')
        self.skips = SkippedSteps(max_skipped_in_a_row)
        self.grad_norm: Tensor | None = None
        self._losses: list[Tensor] = []
        # Of the step that the current batch belongs to: index of its first batch, and number of batches.
        self._first, self._step_batches = 0, accumulative_counts
        self._completes_step: bool | None = None
        # Mean weights of the samples of the batches of a step; None for batches without weights.
        self._weights: list[Tensor | None] = []

    # ------------------------------------------------------------------ accumulation

    def enter_batch(self, index: int, end: int, weights: Tensor | None = None) -> None:
        """Set the index of the next batch and the number of batches of the epoch, or of its part in this run.

        Without this call, MMEngine's count continues across epochs.

        Args:
            index: of the batch in its epoch.
            end: number of batches.
            weights: (B,) of its samples, see :mod:`sapiens.models.losses.weights`; None without. Its loss is a weighted mean, and
                counts in the mean over the batches of a step by the sum of the weights.
        """
        if self._completes_step is not False:  # also for the first batch of a resumed run, wherever it is in the epoch
            self._first = index
        self._step_batches = min(self._accumulative_counts, end - self._first)
        self._completes_step = index + 1 == self._first + self._step_batches
        if index == self._first:
            self._weights.clear()
        if self._step_batches > 1:
            self._weights.append(None if weights is None else mean_over_processes(weights.to(self.device)))

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        # Sets the counts only. MMEngine's method warns of gradients lost in a resume, which enter_batch prevents.
        self._inner_count, self._max_counts = init_counts, max_counts
        self._remainder_counts = max_counts % self._accumulative_counts

    def should_sync(self) -> bool:
        return super().should_sync() if self._completes_step is None else self._completes_step

    def should_update(self) -> bool:
        """Whether the current batch completes a step. No gradient is pending after it."""
        return super().should_update() if self._completes_step is None else self._completes_step

    def scale_loss(self, loss: Tensor) -> Tensor:
        if self._completes_step is None:
            return super().scale_loss(loss)
        weight = self._weights[-1] if self._weights else None
        return loss / self._step_batches if weight is None else loss * weight / self._step_batches

    def _divide_by_weights(self, grads: list[Tensor]) -> None:
        """Divide gradients by the mean weight of the batches of the step."""
        if all(weight is None for weight in self._weights):
            return
        weights = torch.stack([self._weight_or_one(weight) for weight in self._weights])
        mean = weights.mean().clamp(min=torch.finfo(torch.float32).tiny)  # all may be 0
        for grad in map(local, grads):
            grad.div_(mean.to(grad.device))

    def _weight_or_one(self, weight: Tensor | None) -> Tensor:
        return torch.ones((), device=self.device) if weight is None else weight

    # ------------------------------------------------------------------ precision

    @property
    def device(self) -> torch.device:
        parameter = self.optimizer.param_groups[0]['params'][0]
        # Parts of weights may lie on the host.
        return torch.device(parameter.device_mesh.device_type) if is_shard(parameter) else parameter.device

    @property
    def uses_bf16(self) -> bool:
        return autocasts_to_bf16(self.precision, self.device)

    @contextmanager
    def optim_context(self, model: nn.Module):
        if isinstance(
            model, FSDPModule
        ):  # has no no_sync(); gradients that are not reduced take the memory of the model
            model.set_requires_gradient_sync(self.should_sync())
        with super().optim_context(model), torch.autocast(self.device.type, torch.bfloat16, enabled=self.uses_bf16):
            yield

    # ------------------------------------------------------------------ the step

    def update_params(self, loss: Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None) -> None:
        """Run backward, and the step at the end of an accumulation. ``loss`` is a scalar tensor."""
        self._losses.append(loss.detach())
        super().update_params(loss, step_kwargs, zero_kwargs)

    def step(self, **kwargs) -> None:
        trained = [p for group in self.optimizer.param_groups for p in group['params'] if p.grad is not None]
        grads = [parameter.grad for parameter in trained]
        self._divide_by_weights(grads)
        if self.nonfinite == 'zero':
            for grad in grads:
                grad.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
        loss = torch.stack([loss.float() for loss in self._losses]).mean()
        self._losses.clear()
        # Offloaded gradients lie on the host. Otherwise no copy is made here and below.
        norm = whole(get_total_norm(grads)).float().to(loss.device)
        # Gradients are equal on all ranks, losses are not: all must decide alike.
        nonfinite = 1 - (norm.isfinite() & loss.isfinite()).float()
        all_reduce(nonfinite, op='max')
        self.grad_norm = norm
        self.skips.add(nonfinite.bool(), loss, norm, self.message_hub.get_info('iter', 0) + 1)
        # Gradients are divided by this number, which is 1 up to the limit.
        divisor = ((norm + 1e-6) / self.max_norm).clamp(min=1) if self.max_norm is not None else None
        device = self.optimizer.param_groups[0]['params'][0].device
        divisor, nonfinite = None if divisor is None else divisor.to(device), nonfinite.to(device)
        if getattr(self.optimizer, '_step_supports_amp_scaling', False):
            self.optimizer.grad_scale, self.optimizer.found_inf = divisor, nonfinite
            self.optimizer.step(**kwargs)
        elif not nonfinite:
            if divisor is not None:
                torch._foreach_div_(grads, divisor)
            self.optimizer.step(**kwargs)

    def report(self) -> None:
        """Log the steps that were skipped since the last call. Every rank must call this at the same iteration.

        Raises:
            RuntimeError: too many steps in a row, see ``max_skipped_in_a_row``.
        """
        self.skips.report()
        if self.skips.total:
            self.message_hub.update_scalar('train/skipped_steps', self.skips.total)

    # ------------------------------------------------------------------ checkpoints

    def state_dict(self) -> dict:
        return dict(super().state_dict(), skipped=self.skips.state_dict())

    def load_state_dict(self, state_dict: dict) -> None:
        state_dict = dict(state_dict)
        self.skips.load_state_dict(state_dict.pop('skipped', [0, 0]))
        state_dict = states_for(self.optimizer, state_dict)
        # How kernels run is a matter of this run: the one before may have been on another device.
        groups = zip(state_dict['param_groups'], self.optimizer.param_groups, strict=False)
        kept = [{**group, **{key: now[key] for key in KERNELS if key in now}} for group, now in groups]
        if len(kept) == len(state_dict['param_groups']):
            state_dict = dict(state_dict, param_groups=kept)
        super().load_state_dict(state_dict)
        # Tensors loaded on the CPU are views of the mapped file. Any view keeps the blocks of a removed file on the disk.
        for state in [*self.optimizer.state.values(), self.base_param_settings or {}]:
            for key, value in state.items():
                if isinstance(value, Tensor) and value.device.type == 'cpu':
                    state[key] = value.clone()
