"""Count the parameters and floating-point operations of a model for one image.

Nothing is computed and no weights are needed. A multiplication with its addition counts as two operations (FLOPs) and as one MAC.
Matrix products, convolutions and attention are counted. A masked autoencoder is counted with its mask and decoder.

Examples:
    sapiens flops sapiens_1b_coco-1024x768
    sapiens flops configs/mae/sapiens_0.3b_humans300m-1024x1024.py --cfg-options model.mask_ratio=0.75
    sapiens flops sapiens_1b_coco-1024x768 --shape 512 384
"""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from prettytable import PrettyTable
from torch.utils.flop_counter import FlopCounterMode

from sapiens.registry import MODELS
from sapiens.tasks import members_of
from sapiens.utils.cli import positive, tool_parser
from sapiens.utils.config import load_config
from sapiens.utils.config_options import add_options_argument


def main(argv: list[str] | None = None) -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('config', help='path or name of a config')
    text = 'height and width of the image in pixels (default: those of the model)'
    parser.add_argument('--shape', type=positive, nargs=2, metavar=('HEIGHT', 'WIDTH'), help=text)
    add_options_argument(parser)
    args = parser.parse_args(argv)
    cfg = load_config(args.config, args.cfg_options)
    model = build(cfg)
    height, width = args.shape or model.backbone.img_size
    rows = count(model, height, width)
    table = PrettyTable(['part', 'parameters', 'GFLOPs', 'GMACs'])
    table.align = 'r'
    table.align['part'] = 'l'
    for name, (parameters, flops) in rows.items():
        table.add_row([name, f'{parameters:,}', f'{flops / 1e9:,.2f}', f'{flops / 2e9:,.2f}'])
    print(f'{cfg.model.type}, one image of {height}x{width}\n{table}')


def build(cfg: Config) -> torch.nn.Module:
    """Build the model of a config on the meta device."""
    with DefaultScope.overwrite_default_scope('sapiens'), torch.device('meta'):
        return MODELS.build(cfg.model)


def of_config(path: Path) -> tuple[int, int]:
    """Parameters and operations of the model of a config, for one image of its size."""
    model = build(load_config(path))
    return count(model, *model.backbone.img_size)['all']


def count(model: torch.nn.Module, height: int, width: int) -> dict[str, tuple[int, int]]:
    """Parameters and operations of the parts of a model, and of the whole, for one image.

    Args:
        model: on the meta device, which computes nothing. On a CPU, torch does not count attention.

    Returns:
        {name of the part: (parameters, operations)}; the last is ``'all'``.
    """
    image = torch.empty(1, 3, height, width, device=next(model.parameters()).device)
    # With gradients heads compute layer by layer. Without, in bands of rows, some of which they compute twice to save memory.
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        model.eval()(image, mode='loss' if model.task_name == 'mae' else 'tensor')
    root = type(model).__name__
    found = counter.get_flop_counts()
    total = counter.get_total_flops()
    rows, parts = {}, dict(model.named_children())
    for name, member in members_of(model).items():
        parts.pop('tasks', None)
        parts[f'tasks.{name}.{member.head_name}'] = member.head
    for name, part in parts.items():
        parameters = sum(value.numel() for value in part.parameters())
        if parameters:
            rows[name] = parameters, sum(found.get(f'{root}.{name}', {}).values())
    # Encoders of masked images are not called as a whole: theirs is the rest.
    rest = total - sum(flops for _, flops in rows.values())
    if rest and not rows['backbone'][1]:
        rows['backbone'] = rows['backbone'][0], rest
    return rows | {'all': (sum(value.numel() for value in model.parameters()), total)}
