"""Latency of exported forms beside the eager model, in one run, with their differences.

    python tools/benchmark/export.py configs/pose/sapiens_0.3b_coco-1024x768.py
    python tools/benchmark/export.py CONFIG --checkpoint CHECKPOINT --forms torchscript onnx onnx:int8 --image photos/*.jpg
    python tools/benchmark/export.py CONFIG --forms eager:bf16 export:bf16 --repeats 3 --batch 2

A form is a format, or format:dtype (fp32, bf16, fp16, int8). Each is exported, loaded again and compared as by tools/export.py,
then timed: eager float32 and the form by turns, so that what else the machine does meets both. Times are medians of the repeats
after --warmup runs that do not count, per batch; the ratio is the median of the ratios of neighboring runs, above 1 where the
form is faster. Without --checkpoint the weights are random, which changes no time.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from harness import seconds
from prettytable import PrettyTable
from torch import nn

from sapiens.apis import build_model
from sapiens.apis.export import ExportError, ExportOptions, export_model, load_export
from sapiens.apis.export.compare import compare, make_reference, prepare
from sapiens.apis.export.graph import ExportGraph, image_size
from sapiens.apis.export.images import load_images
from sapiens.apis.export.outputs import outputs_of
from sapiens.utils.cli import tool_parser
from sapiens.utils.config_options import add_options_argument

FORMS = ['torchscript', 'export', 'export:bf16', 'onnx', 'onnx:int8']


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('config', help='path of a config file, or name of a published model')
    parser.add_argument('--checkpoint', help='weights, a path or a name; random ones without')
    parser.add_argument('--forms', nargs='+', default=FORMS, metavar='FORM', help=f'default: {" ".join(FORMS)}')
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help="of the images (default: the config's)")
    parser.add_argument('--batch', type=int, default=1, help='images in a batch (default: %(default)s)')
    parser.add_argument('--repeats', type=int, default=5, help='timed runs of each (default: %(default)s)')
    parser.add_argument('--warmup', type=int, default=1, help='runs of each before, untimed (default: %(default)s)')
    parser.add_argument('--threads', type=int, help='of PyTorch and onnxruntime (default: as PyTorch chooses)')
    parser.add_argument('--image', nargs='+', type=Path, default=[], metavar='FILE', help='to compare and to time on')
    parser.add_argument('--with-decode', action='store_true', help='time decoded outputs, of eager and of the form')
    parser.add_argument('--device', default='cpu', help='default: %(default)s')
    parser.add_argument('--scratch', type=Path, help='folder for the files, which are removed (default: temporary)')
    add_options_argument(parser)
    args = parser.parse_args()
    if args.batch < 1 or args.repeats < 1 or args.warmup < 0:
        parser.error('--batch and --repeats: expected 1 or more, --warmup: 0 or more')
    return args


def options_of(form: str, args: argparse.Namespace) -> ExportOptions:
    """Of ``format`` or ``format:dtype``."""
    name, _, dtype = form.partition(':')
    return ExportOptions(
        format='torchscript' if name == 'eager' else name,
        dtype='fp32' if dtype in ('', 'int8') else dtype,
        size=args.size and tuple(args.size),
        dynamic_batch=args.batch > 1,
        decode=args.with_decode,
        int8=dtype == 'int8',
    )


def eager_graph(args: argparse.Namespace, options: ExportOptions) -> tuple[nn.Module, ExportGraph]:
    """The eager model, and with what surrounds it in the export."""
    model = build_model(args.config, args.checkpoint, args.device, args.cfg_options)
    if options.size and options.size != image_size(model):
        model.backbone.set_image_size(options.size)
    return model, ExportGraph(model, options).to(args.device).eval()


def measure(form: str, args: argparse.Namespace, model: nn.Module, eager: ExportGraph, folder: Path) -> list:
    """One row: file size, times, ratio, differences. ExportError where the form is too far from the eager model."""
    options = options_of(form, args)
    pictures = [picture.to(args.device) for picture in load_images(args.image, eager.size)]
    inputs = prepare(model, pictures, options.preprocess)
    if form.startswith('eager'):
        (other, run), size = eager_graph(args, options), '-'
        # The same random weights, or there would be nothing to compare.
        run.load_state_dict(eager.state_dict())
        names = [output.name for output in outputs_of(other, options.decode)]
        with torch.no_grad():
            outputs = [run(one) for one in inputs]
        outputs = [dict(zip(names, out if isinstance(out, tuple) else (out,), strict=True)) for out in outputs]
        references = [make_reference(model, picture, options.decode) for picture in pictures]
        differences = compare(model, references, outputs, options.tolerance, options.decode)
    else:
        path = folder / options.file_name('model')
        report = export_model(args.config, args.checkpoint, options, path, args.image, args.device, args.cfg_options)
        run, differences = load_export(path, args.device), report.differences
        size = f'{sum(file.stat().st_size for file in report.files) / 1e6:.0f}'
    batch = torch.cat([inputs[index % len(inputs)] for index in range(args.batch)])
    with torch.no_grad():
        pairs = [
            [seconds(model, batch, device=args.device)[0] for model in (eager, run)]
            for _ in range(args.warmup + args.repeats)
        ]
    theirs, ours = zip(*pairs[args.warmup :], strict=True)
    ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
    first = differences[0]
    times = [f'{statistics.median(side):.3g}' for side in (theirs, ours)]
    return [form, size, *times, f'{ratio:.2f}', f'{first.largest:.1e}', f'{first.mean:.1e}', first.unit]


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    for form in args.forms:
        options_of(form, args)  # a wrong form fails before an hour of others
    print(
        f'torch {torch.__version__}, {torch.get_num_threads()} threads, {args.device}, batch {args.batch}', flush=True
    )
    torch.manual_seed(0)
    model, eager = eager_graph(args, options_of('eager', args))
    table = PrettyTable(['form', 'MB', 'eager s', 'form s', 'ratio', 'largest', 'mean', 'of'])
    table.align = 'r'
    table.align['form'] = table.align['of'] = 'l'
    failed = []
    with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
        for form in args.forms:
            print(f'{form} ...', flush=True)
            try:
                row = measure(form, args, model, eager, Path(folder))
            except (ExportError, ImportError) as error:
                failed.append(form)
                print(f'{form}: {error}', file=sys.stderr)
            else:
                table.add_row(row)
                # At once: the other forms may take an hour.
                times = f'eager {row[2]} s, form {row[3]} s, ratio {row[4]}'
                print(f'{form}: {times}, largest difference {row[5]}', flush=True)
            for file in Path(folder).iterdir():  # of one form at a time: they are as large as the model
                file.unlink()
    print(table)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
