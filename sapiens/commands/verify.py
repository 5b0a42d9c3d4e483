"""Compare a released checkpoint with TorchScript of the same model.

The TorchScript is the published one, or that of `sapiens export`. Compares the weights of both files, the patch padding of
archive and config, and the raw outputs for a photograph. The exit status is 0 if all agree.

Examples:
    sapiens verify sapiens-pose-0.3b --image person.jpg --download
    sapiens verify sapiens-seg-1b --image a.jpg --cfg-options model.backbone.patch_padding=2
    sapiens verify --config CONFIG --checkpoint FILE.pth --torchscript FILE.pt2 --image person.jpg

The TorchScript archive is executed, unlike everywhere else in this package. Use only files that you trust.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sapiens.apis.export import load_export
from sapiens.apis.loading.build import build_model
from sapiens.apis.loading.download import download
from sapiens.checkpoints import find, resolve_checkpoint
from sapiens.models import PoseEstimator
from sapiens.utils.checkpoint import patch_padding_of, read_checkpoint
from sapiens.utils.cli import tool_parser
from sapiens.utils.config_options import add_options_argument
from sapiens.utils.device import pick_device


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__, first=('--image', '--checkpoint', '--download', '--device', '--tolerance'))
    parser.add_argument('name', nargs='?', help='of a published model that has both forms; or give the three files')
    parser.add_argument('--config', help='default: that of the name')
    parser.add_argument('--checkpoint', help='released weights; default: the original file of the name')
    parser.add_argument('--torchscript', type=Path, help='default: the TorchScript file of the name')
    text = 'a photograph; it is resized to the size of the model'
    parser.add_argument('--image', type=Path, required=True, help=text)
    parser.add_argument('--download', action='store_true', help='fetch what is missing first')
    parser.add_argument('--device', default='cpu', help='auto, cpu, cuda, cuda:1; default: %(default)s')
    text = 'largest difference of the outputs over their largest value; default: %(default)s'
    parser.add_argument('--tolerance', type=float, default=1e-3, metavar='SHARE', help=text)
    add_options_argument(parser)
    args = parser.parse_args(argv)
    if not args.name and not (args.config and args.checkpoint and args.torchscript):
        parser.error('give the name of a published model, or --config, --checkpoint and --torchscript')
    return args


def find_files(args: argparse.Namespace) -> tuple[str, Path, Path]:
    """Config, weights and archive."""
    if not args.name:
        return args.config, resolve_checkpoint(args.checkpoint), args.torchscript
    entry = find(args.name)

    def get(form: str) -> Path:
        return download(entry, form) if args.download else resolve_checkpoint(args.name, form)

    original, script = args.checkpoint or get('original'), args.torchscript or get('torchscript')
    return args.config or args.name, Path(original), Path(script)


def compare_weights(original: dict[str, Tensor], script: dict[str, Tensor]) -> tuple[int, int, float]:
    """Tensors that both files have (prefixes aside), those of them that are equal, and the largest difference of the others."""
    ours, theirs = (
        {name.removeprefix('model.').removeprefix('backbone.'): value for name, value in file.items()}
        for file in (original, script)
    )
    common = [name for name in ours if name in theirs and ours[name].shape == theirs[name].shape]
    largest = [float((ours[name].float() - theirs[name].float()).abs().max()) for name in common if ours[name].numel()]
    return len(common), sum(value == 0 for value in largest), max(largest, default=0.0)


@torch.inference_mode()
def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    config, original, script = find_files(args)
    device = pick_device(args.device)
    model = build_model(config, original, str(device), args.cfg_options)  # logs what became of each weight
    weights = read_checkpoint(original).state_dict
    archived = read_checkpoint(script)
    if archived.form != 'TorchScript archive':
        raise ValueError(f'{script} is a {archived.form}, expected a TorchScript archive')
    recorded = patch_padding_of(script)
    problems = []

    count, equal, largest = compare_weights(weights, archived.state_dict)
    print(f'weights: {count} tensors in both files, {equal} of them equal, largest difference {largest:.3g}')
    if not count or largest > 0:
        problems.append('the two files hold different weights')

    padding = getattr(model.backbone, 'patch_padding', None)  # the first family has one
    if padding is not None:
        print(f'patch padding: {recorded} in the archive, {padding} in the config')
    if None not in (recorded, padding) and recorded != padding:
        problems.append(f'the archive was made with --cfg-options model.backbone.patch_padding={recorded}')

    height, width = model.backbone.img_size
    image = np.array(Image.open(args.image).convert('RGB').resize((width, height), Image.BILINEAR))
    inputs = model.data_preprocessor.normalize(torch.from_numpy(image).permute(2, 0, 1)[None].to(device))
    network = model
    if type(model).__name__ == 'MAE':  # published for inference is its encoder, with a map of features as output
        network = model.backbone
        network.out_type = 'featmap'
    exported = load_export(script, str(device))
    outputs = [network(inputs), list(exported(inputs).values())]
    outputs = [output[-1] if isinstance(output, tuple | list) else output for output in outputs]
    ours, theirs = (output.float().cpu() for output in outputs)
    if exported.meta and isinstance(model, PoseEstimator):  # `sapiens export` writes the maps that are decoded
        ours = model.loss_module.to_heatmaps(ours)
    if ours.shape != theirs.shape:
        problems.append(f'outputs have the shapes {tuple(ours.shape)} and {tuple(theirs.shape)}')
    else:
        difference, scale = (ours - theirs).abs(), theirs.abs().max().item()
        print(
            f'outputs {"x".join(map(str, ours.shape))}: largest difference {difference.max():.3g}, mean {difference.mean():.3g}, '
            f'largest value {scale:.3g}'
        )
        if not difference.max().item() <= args.tolerance * scale:
            problems.append(f'the outputs differ by more than {args.tolerance:g} of their largest value')
    for problem in problems:
        print(f'DIFFERENT: {problem}')
    print('the released checkpoint is not what is computed here' if problems else 'the same model')
    return int(bool(problems))
