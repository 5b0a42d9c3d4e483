"""Export a model to TorchScript, torch.export, ONNX or plain weights, and compare it.

The file is loaded again and compared with the eager model on photographs. The largest and the mean difference of each output are
printed. Above the tolerance the command fails and leaves no file. docs/export.md has inputs, outputs and tolerances, and shows
how to use the files from Python and C++.

Examples:
    sapiens export CONFIG CHECKPOINT --format torchscript                             # the published form
    sapiens export CONFIG CHECKPOINT --format export --dtype bf16 --dynamic-batch     # the published form for GPUs
    sapiens export sapiens-pose-1b --format onnx --with-preprocess --with-decode --image me.jpg you.jpg
    sapiens export CONFIG CHECKPOINT --format onnx --int8                             # for CPUs
    sapiens export CONFIG CHECKPOINT --format safetensors --dtype fp16                # weights alone
    sapiens export configs/pose/sapiens_tiny_coco-128x96.py --format onnx --size 256 192   # random weights
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from sapiens.apis.export import FORMATS, ExportError, ExportOptions, export_model
from sapiens.apis.loading.load_model import weights_of
from sapiens.utils.cli import tool_parser
from sapiens.utils.config import find_config
from sapiens.utils.config_options import add_options_argument
from sapiens.utils.device import DTYPES


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__, first=('--out', '--dtype', '--size', '--dynamic-batch', '--with-preprocess'))
    text = 'name of a published model or folder that transformers saved, which bring their weights; or path or name of a config'
    parser.add_argument('config', help=text)
    parser.add_argument(
        'checkpoint', nargs='?', help='weights, a path or a name; without, those of a config are random'
    )
    add = parser.add_argument
    text = (
        'torchscript, export (torch.export) and onnx hold the graph; safetensors and clean (the published form of weights to '
        'finetune from) hold the weights'
    )
    add('--format', required=True, choices=list(FORMATS), help=text)
    text = 'of weights and computation; inputs and outputs stay float32 (default: %(default)s)'
    add('--dtype', choices=list(DTYPES), default='fp32', help=text)
    add('--dynamic-batch', action='store_true', help='take any number of images, not 1')
    text = 'take images of any size that the patches tile, 2 patches or more on each side (format export)'
    add('--dynamic-size', action='store_true', help=text)
    text = 'take RGB of 0-255, as uint8 (default) or float; the graph normalizes it'
    kinds = ['uint8', 'float']
    add('--with-preprocess', dest='preprocess', nargs='?', const='uint8', choices=kinds, metavar='TYPE', help=text)
    text = 'give keypoints and scores, label maps, depth, or unit normals'
    add('--with-decode', dest='decode', action='store_true', help=text)
    add('--int8', action='store_true', help='quantize the linear layers (torchscript, onnx; smaller, for CPUs)')
    text = "of the images in pixels, multiples of 16 (default: the config's)"
    add('--size', type=int, nargs=2, metavar=('H', 'W'), help=text)
    text = 'default: work_dirs/exports/<checkpoint or config, options, format>'
    add('--out', type=Path, metavar='FILE', help=text)
    text = 'photographs to compare on, of people (default: the portrait that scikit-image has)'
    add('--image', nargs='+', type=Path, default=[], metavar='FILE', help=text)
    add('--device', default='cpu', help='to export and to compare on (default: %(default)s)')
    add('--overwrite', action='store_true', help='replace FILE; it is removed first')
    add_options_argument(parser)
    return parser.parse_args(argv)


def name_of(args: argparse.Namespace) -> str:
    """What the file is named after. Names of published models hold dots."""
    name = Path(args.checkpoint).name if args.checkpoint else f'{Path(args.config).name.removesuffix(".py")}_random'
    for suffix in ('.pth', '.safetensors', '.pt2', '.pt'):
        name = name.removesuffix(suffix)
    return name


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    args.checkpoint = weights_of(args.config, args.checkpoint)
    if not args.checkpoint:
        find_config(args.config)  # a wrong path ends here
        print('no checkpoint: the weights are RANDOM, which is of use for measuring speed only', file=sys.stderr)
        torch.manual_seed(0)  # so that the differences can be had again
    args.size = args.size and tuple(args.size)
    options = ExportOptions(**{field.name: getattr(args, field.name) for field in dataclasses.fields(ExportOptions)})
    out = args.out or Path('work_dirs') / 'exports' / options.file_name(name_of(args))
    try:
        report = export_model(
            args.config,
            args.checkpoint,
            options,
            out,
            args.image,
            args.device,
            args.cfg_options,
            args.overwrite,
            say=lambda text: print(text, flush=True),
        )
    except ExportError as error:  # not a wrong argument: the file failed the comparison
        sys.exit(f'{out}: {error}')
    print(report)
