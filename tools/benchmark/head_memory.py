"""Memory and time of decoder heads and of the losses of heatmaps in training, compared with plain modules and formulas.

    python tools/benchmark/head_memory.py heads configs/seg/sapiens_1b_goliath-1024x768.py CONFIG ...
    python tools/benchmark/head_memory.py heads CONFIG ... --time --grid 16 12 --batch 2 --against modules channels_last
    python tools/benchmark/head_memory.py losses --batch 64 --keypoints 308
    python tools/benchmark/head_memory.py losses --batch 2 --keypoints 308 --time

"Kept" are the bytes that the backward pass keeps, but for inputs and weights. "Peak" is that of forward and backward, with the
gradients, above inputs and weights. Both are computed from shapes (fake tensors) with the parts that a GPU takes at once, so they
need no memory. --time computes with random weights instead, on one thread of the CPU, in alternating order.

Plain modules are norm and SiLU one after the other. The plain formula has targets of the size of the output in float32. Heatmaps
have a quarter of 1024x768.
"""

import contextlib
import copy
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from unittest.mock import patch

import torch
from harness import cpu_seconds, use_one_thread
from prettytable import PrettyTable
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from sapiens.models import HeatmapCrossEntropyLoss, HeatmapMSELoss, UDPHeatmap
from sapiens.models.layers import chunks, conv_stack
from sapiens.registry import MODELS
from sapiens.utils.cli import positive, tool_parser
from sapiens.utils.config import load_config

PRECISIONS = dict(fp32=torch.float32, bf16=torch.bfloat16)
SIDES = ('modules', 'channels_last', 'compiled')
LOSSES = {'squared error': HeatmapMSELoss(), 'cross entropy': HeatmapCrossEntropyLoss()}
INPUT, MAP = (768, 1024), (192, 256)  # w, h


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('part', choices=('heads', 'losses'))
    parser.add_argument('configs', nargs='*', metavar='CONFIG')
    parser.add_argument('--batch', type=positive, default=1, help='images; default: %(default)s')
    parser.add_argument('--keypoints', type=positive, default=308, help='of the losses; default: %(default)s')
    parser.add_argument('--time', action='store_true', help='measure times instead of memory')
    parser.add_argument('--grid', type=positive, nargs=2, metavar=('H', 'W'), help='patches; default: as the config')
    text = 'what heads are timed against; default: modules'
    parser.add_argument('--against', nargs='+', choices=SIDES, default=['modules'], help=text)
    parser.add_argument('--repeats', type=positive, default=5, help='measured runs of each side; default: %(default)s')
    args = parser.parse_args()
    if (args.part == 'losses') == bool(args.configs):
        parser.error(f'{args.part}: expected {"no config" if args.configs else "configs"}')
    return args


# ------------------------------------------------------------------ heads


def heads(args) -> Iterator[tuple[str, str, Callable[[], tuple[nn.Module, Tensor]]]]:
    """For each config and precision, a function that makes the head and its input."""
    for path in args.configs:
        config = load_config(path).model
        config.backbone.init_cfg = None
        with torch.device('meta'):
            model = MODELS.build(config)
        grid = args.grid or model.backbone.grid_of(*model.backbone.img_size)
        shape = args.batch, model.backbone.embed_dims, *grid
        for precision in PRECISIONS:
            yield path, precision, partial(build_head, model.head.train(), shape)


def build_head(head: nn.Module, shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    """Give a head random weights. Returns it and random features."""
    for module in head.modules():
        for name, value in list(module.named_parameters(recurse=False)):
            module.register_parameter(name, nn.Parameter(torch.randn(value.shape) * 0.02))
    return head, torch.randn(shape, requires_grad=True)


@contextlib.contextmanager
def plain_modules() -> Iterator[None]:
    """Heads run their modules one after the other."""
    with patch.object(conv_stack.ConvStack, 'forward', nn.Sequential.forward):
        yield


def run_head(head: nn.Module, x: Tensor, precision: str) -> Tensor:
    with torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bf16'):
        output = head(x)
    return sum(value.float().sum() for value in (output.values() if isinstance(output, dict) else [output]))


def memory_of_heads(args) -> Iterator[tuple]:
    for path, precision, build in heads(args):
        sides = []
        for side in (plain_modules, contextlib.nullcontext):
            with FakeTensorMode(), side():
                head, x = build()
                inputs = [x, *head.parameters()]
                sides.append(memory_of(partial(run_head, head, x, precision), inputs, own=inputs))
        yield path, precision, *sides


def times_of_heads(args) -> Iterator[tuple]:
    for path, precision, build in heads(args):
        head, x = build()
        other, compiled = copy.deepcopy(head).to(memory_format=torch.channels_last), copy.deepcopy(head)
        compiled.compile()
        last = x.detach().to(memory_format=torch.channels_last).requires_grad_()

        def step(head: nn.Module, x: Tensor, side=contextlib.nullcontext, precision=precision) -> None:
            with side():
                run_head(head, x, precision).backward()

        runs = dict(
            modules=partial(step, head, x, plain_modules),
            channels_last=partial(step, other, last),
            compiled=partial(step, compiled, x),
        )
        yield path, precision, partial(step, head, x), {side: runs[side] for side in args.against}


# ------------------------------------------------------------------ losses


def losses(args, precision: str) -> Iterator[tuple[str, Tensor, Callable, Callable]]:
    """Each loss of random heatmaps with its target, by the plain formula and by ours."""
    shape = args.batch, args.keypoints
    heatmaps = torch.rand(*shape, *MAP[::-1], dtype=PRECISIONS[precision], requires_grad=True)
    points, weights = torch.rand(*shape, 2) * MAP[0] * 4, torch.ones(shape)

    def plain(loss: nn.Module, is_fake: bool) -> Tensor:
        dense = torch.empty(heatmaps.shape) if is_fake else UDPHeatmap().encode(points, weights, INPUT, MAP)[0]
        return loss(heatmaps, dense, weights).sum()

    def ours(loss: nn.Module, is_fake: bool) -> Tensor:
        return loss(heatmaps, *UDPHeatmap().targets(points, weights, INPUT, MAP)).sum()

    for name, loss in LOSSES.items():
        yield name, heatmaps, *(partial(side, loss, not args.time) for side in (plain, ours))


def memory_of_losses(args) -> Iterator[tuple]:
    for precision in PRECISIONS:
        with FakeTensorMode():
            # The output of the head is kept only by the loss, so it counts.
            for name, heatmaps, *sides in losses(args, precision):
                yield name, precision, *(memory_of(side, [heatmaps], own=[]) for side in sides)


def times_of_losses(args) -> Iterator[tuple]:
    for precision in PRECISIONS:
        for name, _, *sides in losses(args, precision):
            plain, ours = (lambda side=side: side().backward() for side in sides)
            yield name, precision, ours, dict(formula=plain)


# ------------------------------------------------------------------ measurements


class Live(TorchDispatchMode):
    """Bytes of the tensors that are made while it is on, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes, self.peak = WeakIdKeyDictionary(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {id(value.untyped_storage()) for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)}
        result = func(*args, **kwargs or {})
        for value in tree_leaves(result):
            if (
                isinstance(value, Tensor) and id(value.untyped_storage()) not in known
            ):  # not a view of what was there before
                self.sizes[value.untyped_storage()] = value.untyped_storage().nbytes()
        self.peak = max(self.peak, sum(self.sizes.values()))
        return result


def memory_of(run: Callable[[], Tensor], inputs: list[Tensor], own: list[Tensor]) -> tuple[float, float]:
    """Megabytes kept, and at the peak, of ``run()`` and its gradients for ``inputs``. What is kept of ``own`` does not count."""
    known, kept = {value.untyped_storage()._cdata for value in own}, {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in known:
            kept[storage._cdata] = storage.nbytes()
        return value

    with Live() as live:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            value = run()
        torch.autograd.grad(value, inputs)
    return sum(kept.values()) / 1e6, live.peak / 1e6


def table_of_memory(rows: Iterator[tuple]) -> PrettyTable:
    """Rows of title, precision, and memory of the plain side and of ours."""
    table = PrettyTable(['', 'precision', 'kept MB: plain', 'ours', 'ratio', 'peak MB: plain', 'ours ', 'ratio '])
    for title, precision, plain, ours in rows:
        numbers = ((f'{a:.0f}', f'{b:.0f}', f'{a / b:.2f}') for a, b in zip(plain, ours, strict=True))
        table.add_row([title, precision, *sum(numbers, ())])
    return table


def table_of_times(rows: Iterator[tuple], repeats: int) -> PrettyTable:
    """Rows of title, precision, our run, and other runs by name."""
    table = PrettyTable(['', 'precision', 'against', 'ours CPU s', 'against CPU s', 'against / ours: median (range)'])
    for title, precision, ours, others in rows:
        runs = {'': ours, **others}
        times = {side: [] for side in runs}
        for number in range(repeats + 1):
            for side in list(runs) if number % 2 else reversed(runs):
                time = cpu_seconds(runs[side])[0]
                times[side] += [time] * (number > 0)  # the first run warms up
        own = times.pop('')
        for side, values in times.items():
            ratios = sorted(value / time for value, time in zip(values, own, strict=True))
            medians = (f'{statistics.median(side):.3f}' for side in (own, values))
            ratio = f'{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})'
            table.add_row([title, precision, side, *medians, ratio])
    return table


def main() -> None:
    args = parse_args()
    if args.time:
        use_one_thread()
        rows = times_of_heads(args) if args.part == 'heads' else times_of_losses(args)
        print(table_of_times(rows, args.repeats))
        return
    chunks.CHUNK['cpu'] = chunks.CHUNK['cuda']
    print(table_of_memory(memory_of_heads(args) if args.part == 'heads' else memory_of_losses(args)))


if __name__ == '__main__':
    main()
