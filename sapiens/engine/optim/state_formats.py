"""Formats of Adam's two moments: float32, bf16, or codes of 8 bits with one scale per block of values.

8 bits are the dynamic codes of "8-bit Optimizers via Block-wise Quantization" (arXiv:2110.02861), equal to those of
``torchao.optim.AdamW8bit``. Blocks never cross rows (the first dimension), so codes and scales can be sharded by rows like the
parameter. Everything in a state is a plain tensor: checkpoints need no class of another package.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ['MOMENTS', 'STATE_DTYPES', 'decode', 'encode', 'format_of', 'state_bytes', 'state_format', 'zero_state']

STATE_DTYPES = ('fp32', 'bf16', 'int8')
# Names of the moments in a state, as in torch, and whether their values have a sign.
MOMENTS = dict(exp_avg=True, exp_avg_sq=False)
# Values per scale, and the smallest tensor with 8 bits: the sizes of bitsandbytes and torchao.
BLOCK, MIN_VALUES = 256, 4096
# A block of fewer values is not worth its scale.
MIN_BLOCK = 64
# Values of the codes, by sign and device.
_TABLES: dict[tuple[bool, torch.device], Tensor] = {}


def state_format(state_dtype: str, shape: tuple[int, ...]) -> str:
    """Format of the moments of a parameter of this shape. Small tensors, and rows without blocks, stay in float32 for int8."""
    if state_dtype != 'int8':
        return state_dtype
    return 'int8' if math.prod(shape) >= MIN_VALUES and _block(shape) >= MIN_BLOCK else 'fp32'


def _block(shape: tuple[int, ...]) -> int:
    """Number of values per scale: the largest power of two up to 256 that divides a row."""
    return math.gcd(math.prod(shape[1:]), BLOCK)


def state_bytes(optim_wrapper: dict, shapes: Iterable[tuple[int, ...]]) -> int:
    """Bytes of the optimizer states of parameters of these shapes, per process without sharding.

    Args:
        optim_wrapper: of a config: ``optimizer`` (AdamW or Adam) and perhaps ``state_dtype``.

    Raises:
        ValueError: another optimizer.
    """
    optimizer = optim_wrapper['optimizer']
    kind, state_dtype = optimizer['type'], optim_wrapper.get('state_dtype') or optimizer.get('state_dtype', 'fp32')
    if kind not in ('Adam', 'AdamW', 'LowBitAdamW') or optimizer.get('amsgrad'):
        raise ValueError(f'optim_wrapper.optimizer={dict(optimizer)}: expected AdamW or Adam, with two moments')
    total = 0
    for shape in shapes:
        numel, kept = math.prod(shape), state_format(state_dtype, shape)
        scales = 4 * numel // _block(shape) if kept == 'int8' else 0
        total += 4 + 2 * (numel * dict(fp32=4, bf16=2, int8=1)[kept] + scales)  # 4 bytes: the count of steps
    return total


def zero_state(kept: str, like: Tensor) -> dict[str, Tensor]:
    """Moments before the first step.

    Args:
        like: the part of a parameter that this process holds.
    """
    return {
        key: value
        for name in MOMENTS
        for key, value in encode(kept, name, torch.zeros_like(like, dtype=torch.float32)).items()
    }


def encode(kept: str, name: str, values: Tensor, noise: torch.Generator | None = None) -> dict[str, Tensor]:
    """Tensors of a state that hold a moment: ``{name: values}``, or with 8 bits ``{name: codes, name_scale: scales}``.

    Args:
        kept: ``'fp32'``, ``'bf16'`` or ``'int8'``.
        name: a key of :data:`MOMENTS`.
        values: float32, rows x any shape.
        noise: for the rounding of the second moment to bf16. It changes by a thousandth in a step, less than half the distance
            of bf16 numbers: rounded to the nearest one, it would never fall. None rounds to the nearest one.
    """
    if kept == 'fp32':
        return {name: values}
    if kept == 'bf16':
        if name == 'exp_avg_sq' and noise is not None:
            values = _round_randomly(values, noise)
        return {name: values.bfloat16()}
    block = _block(values.shape)
    # Written out: a process may hold no rows.
    rows = values.reshape(values.shape[0], math.prod(values.shape[1:]) // block, block)
    scales = rows.abs().amax(-1).clamp(min=torch.finfo(torch.float32).tiny)
    codes = torch.bucketize(
        rows / scales[..., None], _limits(MOMENTS[name], values.device), out_int32=True, right=True
    )
    return {name: codes.to(torch.uint8).view(values.shape), f'{name}_scale': scales}


def format_of(state: dict[str, Tensor], name: str) -> str:
    """Format in which a state holds a moment."""
    if f'{name}_scale' in state:
        return 'int8'
    return 'bf16' if state[name].dtype == torch.bfloat16 else 'fp32'


def decode(state: dict[str, Tensor], name: str) -> Tensor:
    """A moment in float32: of a state in float32 its tensor itself, otherwise a new one."""
    values, scales = state[name], state.get(f'{name}_scale')
    if scales is None:
        return values.float()
    table = _values(MOMENTS[name], values.device)
    rows = table.index_select(0, values.int().flatten()).view(*scales.shape, _block(values.shape))
    return (rows * scales[..., None]).view(values.shape)


def _round_randomly(values: Tensor, noise: torch.Generator) -> Tensor:
    """Round finite float32 values to neighbors that bf16 holds, up with the probability that makes the mean exact."""
    drawn = torch.empty(values.shape, dtype=torch.int32, device=values.device).random_(0, 1 << 16, generator=noise)
    # bf16 is the upper half of the bits. A value that bf16 holds stays.
    return ((values.contiguous().view(torch.int32) + drawn) & -(1 << 16)).view(torch.float32)


def _values(signed: bool, device: torch.device) -> Tensor:
    """The 256 values of the codes, ascending: 0, 1, and the middles of equal bins of seven decades, twice as many in each."""
    if (signed, device) in _TABLES:
        return _TABLES[signed, device]
    values = [torch.tensor([0.0, 1.0])]
    for decade in range(7):
        edges = torch.linspace(0.1, 1, (1 if signed else 2) * 2**decade + 1)
        middles = 10.0 ** (decade - 6) * (edges[1:] + edges[:-1]) / 2
        values += [middles, -middles] if signed else [middles]
    table = torch.cat(values).sort().values.to(device)
    if type(table) is Tensor:  # not one of a FakeTensorMode
        _TABLES[signed, device] = table
    return table


def _limits(signed: bool, device: torch.device) -> Tensor:
    """The 255 numbers between values of neighboring codes at which rounding changes."""
    values = _values(signed, device)
    return (values[1:] + values[:-1]) / 2
