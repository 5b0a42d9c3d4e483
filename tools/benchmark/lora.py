"""Trained parameters, memory and time of a step with adapters (LoRA), the whole encoder, and a frozen one.

    python tools/benchmark/lora.py                                            # recipes of 0.3b, 0.4b and 1b at full size
    python tools/benchmark/lora.py --time pose/sapiens_tiny_coco-128x96 --setting "dict(rank=8)"

Nothing is computed without --time: the columns are those of torch's fake tensors on a CPU, as in activation_memory.py. Trained:
parameters. State: GB (10^9 bytes) of weights, gradients and the two moments of AdamW in float32. Kept, peak: GB per image of
activations. Operations: of a step, compared with the first row. With --time, a step of forward and backward pass, clipping and
AdamW in float32 on one thread: the median and the range of CPU seconds, the three kinds in turn.
"""

import statistics

import torch
from activation_memory import BATCH, measure
from harness import cpu_seconds, use_one_thread
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from prettytable import PrettyTable
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils._pytree import tree_leaves

from sapiens.engine.lora import add_lora, reset_lora
from sapiens.models.layers import transformer
from sapiens.registry import MODELS
from sapiens.utils.cli import positive, tool_parser
from sapiens.utils.config import load_config
from sapiens.utils.config_options import parse_options

CONFIGS = ('pose/sapiens_0.3b_coco-1024x768', 'seg/sapiens2_0.4b_goliath-1024x768', 'pose/sapiens_1b_coco-1024x768')
KINDS = ('whole encoder', 'LoRA', 'frozen encoder')


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('configs', nargs='*', metavar='CONFIG', help=f'default: {", ".join(CONFIGS)}')
    text = 'value of lora, such as "dict(rank=8, targets=\'qkv\')"; default: %(default)s'
    parser.add_argument('--setting', default='True', metavar='VALUE', help=text)
    parser.add_argument('--time', action='store_true', help='compute and time steps, of small models')
    parser.add_argument('--batch', type=positive, default=8, help='of the timed steps; default: %(default)s')
    parser.add_argument('--rounds', type=positive, default=15, help='of the timed steps; default: %(default)s')
    args = parser.parse_args()
    try:
        args.loaded = {name: load_config(name) for name in args.configs or CONFIGS}
        args.setting = parse_options([f'x={args.setting}'])['x']
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    return args


def build(cfg, kind: str, setting) -> nn.Module:
    frozen = cfg.model.backbone.copy()
    frozen['frozen_stages'] = -1
    model = MODELS.build(dict(cfg.model, backbone=frozen))
    if kind == 'LoRA':
        add_lora(model, setting)
    elif kind == 'frozen encoder':
        model.backbone.requires_grad_(False)
    return model.train()


def sizes(cfg, kind: str, setting) -> list[float]:
    """Trained parameters, bytes of state, kept and peak bytes per image, operations per image."""
    with DefaultScope.overwrite_default_scope('sapiens'), torch.device('meta'):
        model = build(cfg, kind, setting)
    parameters = list(model.parameters())
    trained = sum(value.numel() for value in parameters if value.requires_grad)
    state = 4 * sum(value.numel() for value in parameters) + 12 * trained
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device='cpu')
        found = measure(model, torch.empty(BATCH, 3, *cfg.model.backbone.img_size), 'bf16')
    return [trained, state, *(value / BATCH for value in found)]


def step(model: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor) -> None:
    output = model(images, mode='loss' if model.task_name == 'mae' else 'tensor')
    sum(value.float().square().mean() for value in tree_leaves(output)).backward()
    nn.utils.clip_grad_norm_([value for value in model.parameters() if value.requires_grad], 1.0)
    optimizer.step()
    optimizer.zero_grad()


def times(cfg, setting, batch: int, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of steps by kind."""
    images = torch.randn(batch, 3, *cfg.model.backbone.img_size)
    runs = {}
    for kind in KINDS:
        with DefaultScope.overwrite_default_scope('sapiens'):
            model = build(cfg, kind, setting)
        reset_lora(model, 0)
        optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], fused=True)
        step(model, optimizer, images)  # warm-up
        runs[kind] = model, optimizer
    found = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind, (model, optimizer) in runs.items():
            found[kind].append(cpu_seconds(step, model, optimizer, images)[0])
    return found


def main() -> None:
    args = parse_args()
    MMLogger.get_current_instance().setLevel('ERROR')
    columns = ['s/step'] if args.time else ['trained', 'state GB', 'kept GB', 'peak GB', 'operations']
    table = PrettyTable(['config', 'trained part', *columns])
    table.align = 'r'
    table.align['config'] = table.align['trained part'] = 'l'
    if args.time:
        use_one_thread()
    else:
        transformer.SHORT = 0  # a workaround for CPUs, which changes types
    for name, cfg in args.loaded.items():
        if args.time:
            for kind, seconds in times(cfg, args.setting, args.batch, args.rounds).items():
                spread = f'{statistics.median(seconds):.3f} ({min(seconds):.3f}-{max(seconds):.3f})'
                table.add_row([name, kind, spread])
        else:
            first = None
            for kind in KINDS:
                trained, state, kept, peak, flops = sizes(cfg, kind, args.setting)
                first = first or flops
                row = (
                    f'{trained:,}',
                    f'{state / 1e9:.2f}',
                    f'{kept / 1e9:.2f}',
                    f'{peak / 1e9:.2f}',
                    f'{flops / first:.0%}',
                )
                table.add_row([name, kind, *row])
        table.add_divider()
    print(table)


if __name__ == '__main__':
    main()
