"""Export a model to TorchScript, torch.export, ONNX or plain weights, and compare it.

The file is loaded again and compared with the eager model on photographs. The largest and the mean difference of each output are
printed. Above the tolerance the command fails and leaves no file. docs/export.md has inputs, outputs and tolerances, and shows
how to use the files from Python and C++.

Examples:
    sapiens export CONFIG CHECKPOINT --format torchscript                             # the published form
    sapiens export CONFIG CHECKPOINT --format export --dtype bf16 --dynamic-batch     # the published form for GPUs
    sapiens export sapiens-pose-1b sapiens-pose-1b --format onnx --with-preprocess --with-decode --image me.jpg you.jpg
    sapiens export CONFIG CHECKPOINT --format onnx --int8                             # for CPUs
    sapiens export CONFIG CHECKPOINT --format safetensors --dtype fp16                # weights alone
    sapiens export configs/pose/sapiens_tiny_coco-128x96.py --format onnx --size 256 192   # random weights
"""

import argparse
import sys
from pathlib import Path

import torch

from sapiens.apis.export import FORMATS, TOLERANCES, ExportError, ExportOptions, export_model
from sapiens.utils.cli import tool_parser
from sapiens.utils.config import add_options_argument


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('config', help='path of a config file, or name of a published model')
    parser.add_argument('checkpoint', nargs='?', help='weights, a path or a name; random ones without')
    parser.add_argument(
        '--format', required=True, choices=list(FORMATS), help='torchscript, export (torch.export) and onnx hold the graph; '
        'safetensors and clean (the published form of weights to finetune from) hold the weights',
    )  # fmt: skip
    parser.add_argument('--dtype', choices=[name for name in TOLERANCES if name != 'int8'], default='fp32',
                        help='of weights and computation; inputs and outputs stay float32 (default: %(default)s)')  # fmt: skip
    parser.add_argument('--dynamic-batch', action='store_true', help='take any number of images, not 1')
    parser.add_argument('--with-preprocess', nargs='?', const='uint8', choices=['uint8', 'float'], metavar='TYPE',
                        help='take RGB of 0-255, as uint8 (default) or float; the graph normalises it')  # fmt: skip
    parser.add_argument('--with-decode', action='store_true',
                        help='give keypoints and scores, label maps, depth, or unit normals')  # fmt: skip
    parser.add_argument('--int8', action='store_true',
                        help='quantise the linear layers (torchscript, onnx; smaller, for CPUs)')  # fmt: skip
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'),
                        help="of the images in pixels, multiples of 16 (default: the config's)")  # fmt: skip
    parser.add_argument('--out', type=Path, metavar='FILE',
                        help='default: work_dirs/exports/<checkpoint or config, options, format>')  # fmt: skip
    parser.add_argument('--image', nargs='+', type=Path, default=[], metavar='FILE',
                        help='photographs to compare on, of people (default: the portrait that scikit-image has)')  # fmt: skip
    parser.add_argument('--device', default='cpu', help='to export and to compare on (default: %(default)s)')
    parser.add_argument('--overwrite', action='store_true', help='replace FILE; it is removed first')
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
    if not args.checkpoint:
        print('no checkpoint: the weights are RANDOM, which is of use for measuring speed only', file=sys.stderr)
        torch.manual_seed(0)  # so that the differences can be had again
    options = ExportOptions(
        format=args.format,
        dtype=args.dtype,
        size=args.size and tuple(args.size),
        dynamic_batch=args.dynamic_batch,
        preprocess=args.with_preprocess,
        decode=args.with_decode,
        int8=args.int8,
    )
    out = args.out or Path('work_dirs') / 'exports' / options.file_name(name_of(args))
    try:
        report = export_model(
            args.config,
            args.checkpoint,
            options,
            out,
            images=args.image,
            device=args.device,
            cfg_options=args.cfg_options,
            overwrite=args.overwrite,
            say=lambda text: print(text, flush=True),
        )
    except ExportError as error:  # not a wrong argument: the file failed the comparison
        sys.exit(f'{out}: {error}')
    print(report)
