"""AdamW whose moments take 4 or 2 bytes per parameter in place of 8."""

import math
from collections.abc import Iterator
from itertools import chain

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from sapiens.registry import OPTIMIZERS
from sapiens.utils.option_values import require_number
from sapiens.utils.shards import is_shard, local, local_rows

from .state_formats import MOMENTS, decode, encode, format_of, state_format, zero_state

__all__ = ['LowBitAdamW', 'states_for']

# Parameters that are updated together: their float32 temporaries take about 6 x 4 bytes each.
CHUNK = 2**24


@OPTIMIZERS.register_module()
class LowBitAdamW(torch.optim.Optimizer):
    """The step of :class:`torch.optim.AdamW` in float32, with moments that are kept as bf16 or as codes of 8 bits.

    ``optim_wrapper.state_dtype`` in a config selects it. States follow :mod:`.state_formats`. Parameters are float32, also as
    shards by rows (``DTensor``, FSDP2). Like torch's fused optimizers it clips and skips by the device tensors ``grad_scale``
    and ``found_inf``, without reading them. Random rounding has its own seed, the number of calls of :meth:`step`, so it is
    equal on all processes, continues exactly, and leaves the random numbers of a run alone.

    States of any format are loaded; others are converted to this one.

    Args:
        params: parameters or groups.
        lr, betas, eps, weight_decay: as in torch; each group may have its own.
        state_dtype: ``'bf16'`` or ``'int8'``.

    Raises:
        ValueError: another ``state_dtype``, a number outside of its range, or parameters that are not float32.
    """

    _step_supports_amp_scaling = True

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        state_dtype: str,
    ) -> None:
        if state_dtype not in ('bf16', 'int8'):
            raise ValueError(f"state_dtype={state_dtype!r} of LowBitAdamW: expected 'bf16' or 'int8'")
        self.state_dtype = state_dtype
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, calls=0))

    def add_param_group(self, param_group: dict) -> None:
        super().add_param_group(param_group)
        _require_numbers(self.param_groups[-1])
        for parameter in self.param_groups[-1]['params']:
            if parameter.dtype != torch.float32:
                raise ValueError(f'LowBitAdamW updates float32 parameters, got {parameter.dtype}')

    @torch.no_grad()
    def step(self, closure=None):
        """Update the parameters that have gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        noise = None
        for group in self.param_groups:
            for chunk in _chunks([parameter for parameter in group['params'] if parameter.grad is not None]):
                if noise is None:
                    noise = torch.Generator(local(chunk[0]).device).manual_seed(group['calls'])
                self._update(chunk, group, noise)
            group['calls'] += 1
        return loss

    def _update(self, parameters: list[nn.Parameter], group: dict, noise: torch.Generator) -> None:
        weights = [local(parameter.detach()) for parameter in parameters]
        grads = [local(parameter.grad).float() for parameter in parameters]
        states = [self._local_state(parameter) for parameter in parameters]
        found_inf, divisor = getattr(self, 'found_inf', None), getattr(self, 'grad_scale', None)
        taken = torch.ones((), device=weights[0].device)  # 0 for a step that is skipped, which changes nothing
        if divisor is not None:
            grads = torch._foreach_div(grads, divisor.to(taken.device))
        if found_inf is not None:
            taken = 1 - found_inf.to(taken)
            grads = [torch.where(taken.bool(), grad, 0.0) for grad in grads]
        lr, (beta1, beta2) = group['lr'], group['betas']

        first = [decode(state, 'exp_avg') for state in states]
        second = [decode(state, 'exp_avg_sq') for state in states]
        _move(first, grads, taken * (1 - beta1))
        _move(second, torch._foreach_mul(grads, grads), taken * (1 - beta2))
        counts = [state['step'] for state in states]
        torch._foreach_add_(counts, [taken] * len(counts))  # of a tensor that is not in a list, torch reads the value

        # 1 - beta ** count, exact in float32 for small counts too. A count of 0 belongs to a skipped step.
        count = torch.stack(counts).clamp(min=1)
        bias1, bias2 = (
            -torch.expm1(count * math.log(beta)) if beta else torch.ones_like(count) for beta in (beta1, beta2)
        )
        divisors = torch._foreach_sqrt(second)
        torch._foreach_mul_(divisors, list(bias2.rsqrt().unbind()))
        torch._foreach_add_(divisors, group['eps'])
        updates = torch._foreach_div(first, divisors)
        torch._foreach_mul_(updates, list((taken * lr / bias1).unbind()))
        torch._foreach_mul_(weights, 1 - taken * (lr * group['weight_decay']))
        torch._foreach_sub_(weights, updates)

        for state, *moments in zip(states, first, second, strict=True):
            for name, values in zip(MOMENTS, moments, strict=True):
                kept = format_of(state, name)
                for key, value in encode(kept, name, values, noise).items() if kept != 'fp32' else ():
                    # Codes of decoded values may differ from the codes.
                    state[key].copy_(torch.where(taken.bool(), value, state[key]) if kept == 'int8' else value)

    def _local_state(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """The parts of the state that this process holds, which share its memory."""
        if parameter not in self.state or not self.state[parameter]:
            part = local(parameter.detach())
            state = zero_state(state_format(self.state_dtype, parameter.shape), part)
            count = torch.zeros((), dtype=torch.float32, device=part.device)
            self.state[parameter] = dict(step=count, **{key: _as_shard(one, parameter) for key, one in state.items()})
        return {key: local(value) for key, value in self.state[parameter].items()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Load states of this optimizer or of :class:`torch.optim.AdamW`, in any format.

        Raises:
            ValueError: states of another kind of optimizer, or of other parameters.
        """
        names = (*self.defaults, 'initial_lr', 'params')
        known = [{key: group[key] for key in names if key in group} for group in state_dict['param_groups']]
        # Torch would cast all tensors to the type of the parameter.
        super().load_state_dict(dict(state={}, param_groups=known))
        for group in self.param_groups:
            group.setdefault('calls', 0)
        numbers = chain.from_iterable(group['params'] for group in state_dict['param_groups'])
        parameters = chain.from_iterable(group['params'] for group in self.param_groups)
        found = set()
        for number, parameter in zip(numbers, parameters, strict=True):
            saved = state_dict['state'].get(number)
            if not saved:
                continue
            _require_moments(saved)
            kept = state_format(self.state_dtype, parameter.shape)
            saved = {key: _part_of(value, parameter) for key, value in saved.items() if isinstance(value, Tensor)}
            state = {}
            for name in MOMENTS:
                before = format_of(saved, name)
                if before == kept:
                    state.update({key: saved[key].clone() for key in (name, f'{name}_scale') if key in saved})
                else:
                    found.add(before)
                    state.update(encode(kept, name, decode(saved, name)))
            state = {key: _as_shard(value, parameter) for key, value in state.items()}
            self.state[parameter] = dict(step=saved['step'].float().clone(), **state)
        if found:
            before = 'int8' if 'int8' in found else found.pop()  # which has small tensors in float32 too
            print_log(f'Optimizer states converted from {before} to {self.state_dtype}', 'current')


def states_for(optimizer: torch.optim.Optimizer, state_dict: dict) -> dict:
    """A state dict as ``optimizer.load_state_dict`` takes it: moments of :class:`LowBitAdamW` in float32 for other optimizers."""
    low = {
        format_of(state, name)
        for state in state_dict['state'].values()
        for name in MOMENTS
        if isinstance(state.get(name), Tensor)
    } - {'fp32'}
    if isinstance(optimizer, LowBitAdamW) or not low:
        return state_dict
    parameters = list(chain.from_iterable(group['params'] for group in optimizer.param_groups))
    numbers = chain.from_iterable(group['params'] for group in state_dict['param_groups'])
    states = {}
    for number, parameter in zip(numbers, parameters, strict=False):
        if saved := state_dict['state'].get(number):
            parts = {key: _part_of(value, parameter) for key, value in saved.items() if isinstance(value, Tensor)}
            moments = {name: _as_shard(decode(parts, name), parameter) for name in MOMENTS}
            states[number] = dict(step=parts['step'], **moments)
    # What only the present optimizer has, such as "fused".
    groups = [
        {**{key: value for key, value in group.items() if key != 'params'}, **saved}
        for group, saved in zip(optimizer.param_groups, state_dict['param_groups'], strict=False)
    ]
    for group in groups:
        group.pop('calls', None)
    print_log(f'Optimizer states converted from {", ".join(sorted(low))} to fp32', 'current')
    return dict(state_dict, state=states, param_groups=groups)


def _require_numbers(group: dict) -> None:
    for name in ('lr', 'eps', 'weight_decay'):
        require_number(f'LowBitAdamW: {name}', group[name], least=0)
    betas = group['betas']
    if not isinstance(betas, list | tuple) or len(betas) != 2:
        raise ValueError(f'LowBitAdamW: betas={betas!r}: expected two numbers')
    for beta in betas:
        require_number('LowBitAdamW: each of betas', beta, least=0)
        if beta >= 1:
            raise ValueError(f'LowBitAdamW: betas={betas!r} must lie in [0, 1)')
    group['betas'] = tuple(betas)


def _require_moments(state: dict) -> None:
    missing = [name for name in ('step', *MOMENTS) if name not in state]
    if missing:
        raise ValueError(
            f'the optimizer states of the checkpoint have {", ".join(state)} and no {", ".join(missing)}: they are not those of '
            'AdamW. Resume with the optimizer of the first run, or start a new run from its weights with load_from'
        )


def _move(values: list[Tensor], targets: list[Tensor], rate: Tensor) -> None:
    """Move values towards targets, in place, by a fraction of the distance."""
    steps = torch._foreach_sub(targets, values)
    torch._foreach_mul_(steps, rate)
    torch._foreach_add_(values, steps)


def _chunks(parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Lists of parameters of at most :data:`CHUNK` values in this process, or of one larger parameter."""
    chunk, size = [], 0
    for parameter in parameters:
        numel = local(parameter).numel()
        if chunk and size + numel > CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(parameter)
        size += numel
    if chunk:
        yield chunk


# ---------------------------------------------------------------------- shards


def _as_shard(part: Tensor, like: Tensor) -> Tensor:
    """The shard of which this process holds a part of rows, placed like a parameter; the part of a whole parameter itself."""
    if not is_shard(like):
        return part
    shape = torch.Size((like.shape[0], *part.shape[1:]))
    stride = torch.empty(shape, device='meta').stride()
    return DTensor.from_local(part, like.device_mesh, like.placements, run_check=False, shape=shape, stride=stride)


def _part_of(saved: Tensor, like: Tensor) -> Tensor:
    """The part of a saved tensor that this process holds, on the device of the parameter. Counts are whole everywhere."""
    if saved.ndim and not is_shard(saved):
        saved = local_rows(saved, like)
    return local(saved).to(local(like).device)
