"""Count the parameters and floating-point operations of a model for one image.

Nothing is computed and no weights are needed. A multiplication with its addition counts as two operations (FLOPs) and as one MAC.
Matrix products, convolutions and attention are counted. A masked autoencoder is counted with its mask and decoder.

Examples:
    sapiens flops sapiens_1b_coco-1024x768
    sapiens flops configs/mae/sapiens_0.3b_humans300m-1024x1024.py --cfg-options model.mask_ratio=0.75
    sapiens flops sapiens_1b_coco-1024x768 --shape 512 384
"""

from pathlib import Path

from prettytable import PrettyTable

from sapiens.engine.model_size import build, count
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


def of_config(path: Path) -> tuple[int, int]:
    """Parameters and operations of the model of a config, for one image of its size."""
    model = build(load_config(path))
    return count(model, *model.backbone.img_size)['all']
