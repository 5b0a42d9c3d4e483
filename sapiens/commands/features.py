"""Write features of the encoder, one file per image and block.

A file holds the feature map (C, h, w) of the last block; --out-type and --blocks choose others. Existing files are skipped.
Unreadable images are listed at the end.

Examples:
    sapiens features configs/mae/sapiens_0.3b_humans300m-1024x1024.py CHECKPOINT photos --out features
    sapiens features CONFIG CHECKPOINT photos --out features --format safetensors --blocks 5 11 17 23 --dtype bf16
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tqdm import tqdm

from sapiens.apis import extract_features, find_images, load_encoder
from sapiens.utils.cli import tool_parser
from sapiens.utils.config import add_options_argument, load_config

DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


def save(path: Path, features: torch.Tensor) -> None:
    """Write to a temporary name first, so that an interrupted run leaves no half file that a resumed one would trust."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.tmp')
    if path.suffix == '.npy':
        with open(temporary, 'wb') as file:
            np.save(file, features.numpy())
    else:
        save_file({'features': features.contiguous()}, temporary)
    temporary.replace(path)


def main(argv: list[str] | None = None) -> int:
    parser = tool_parser(__doc__)
    parser.add_argument('config', help='a config with a backbone and a val_pipeline')
    parser.add_argument(
        'checkpoint',
        help='weights of the whole model or of the encoder, a file or a published name; "random" for none',
    )
    parser.add_argument('images', type=Path, help='folder, one image, or a .txt list of paths')
    parser.add_argument('--out', type=Path, required=True, help='folder to write to; the tree of IMAGES is kept')
    parser.add_argument('--format', choices=['npy', 'safetensors'], default='npy', help='default: %(default)s')
    parser.add_argument('--out-type', choices=['featmap', 'raw', 'cls_token'], default='featmap',
                        help='featmap (C, h, w), raw tokens (L, C), or class token (C); default: %(default)s')  # fmt: skip
    parser.add_argument(
        '--blocks', type=int, nargs='+', default=[-1], help='blocks to take, from 0; default: the last'
    )
    parser.add_argument('--dtype', choices=list(DTYPES), default='fp32', help='default: %(default)s')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1, mps; default: %(default)s')
    parser.add_argument('--batch-size', type=int, default=8, help='default: %(default)s')
    parser.add_argument('--num-workers', type=int, default=2, help='default: %(default)s')
    add_options_argument(parser)
    args = parser.parse_args(argv)
    if args.format == 'npy' and args.dtype == 'bf16':
        parser.error('--dtype bf16 has no .npy form: add --format safetensors, or use --dtype fp16')

    cfg = load_config(args.config, args.cfg_options)
    paths = find_images(args.images)
    root = args.images if args.images.is_dir() else paths[0].parent

    def targets(path: Path) -> list[Path]:
        relative = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
        # The suffix stays: a.jpg and a.png of one folder are two images.
        names = [''] if len(args.blocks) == 1 else [f'.block{block}' for block in args.blocks]
        return [args.out / f'{relative}{name}.{args.format}' for name in names]

    todo = [path for path in paths if not all(target.exists() for target in targets(path))]
    print(f'{len(paths)} images, {len(paths) - len(todo)} of them done already')
    checkpoint = None if args.checkpoint == 'random' else args.checkpoint
    encoder = load_encoder(cfg, checkpoint, args.device, args.out_type, args.blocks)
    results = extract_features(encoder, todo, cfg.val_pipeline, args.batch_size, args.num_workers, DTYPES[args.dtype])
    failed = []
    for path, features in tqdm(results, total=len(todo), unit='img'):
        if isinstance(features, str):
            failed.append((path, features))
            continue
        for target, feature in zip(targets(path), features, strict=True):
            save(target, feature)
    for path, reason in failed:
        print(f'skipped {path}: {reason}', file=sys.stderr)
    print(f'wrote features of {len(todo) - len(failed)} images to {args.out}; {len(failed)} could not be read')
    return int(bool(failed))
