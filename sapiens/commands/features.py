"""Write features of the encoder, one file per image and block.

A file holds the feature map (C, h, w) of the last block; --out-type and --blocks choose others. Existing files are skipped.
Unreadable images are listed at the end.

Examples:
    sapiens features configs/mae/sapiens_0.3b_humans300m-1024x1024.py CHECKPOINT photos --out features
    sapiens features CONFIG CHECKPOINT photos --out features --format safetensors --blocks 5 11 17 23 --dtype bf16
"""

import sys
from pathlib import Path

from tqdm import tqdm

from sapiens.apis import extract_features, find_images, load_encoder
from sapiens.apis.writers.files import is_complete, write_file
from sapiens.utils.cli import tool_parser
from sapiens.utils.config import add_options_argument, load_config
from sapiens.utils.device import DTYPES


def main(argv: list[str] | None = None) -> int:
    parser = tool_parser(__doc__)
    add = parser.add_argument
    add('config', help='a config with a backbone and a val_pipeline')
    text = 'weights of the whole model or of the encoder, a file or a published name; "random" for random weights'
    add('checkpoint', help=text)
    add('images', type=Path, help='a folder, an image, or a .txt list of paths')
    add('--out', type=Path, required=True, help='output folder; keeps the subfolders of IMAGES')
    add('--format', choices=['npy', 'safetensors'], default='npy', help='default: %(default)s')
    text = 'featmap (C, h, w), raw tokens (L, C), or class token (C); default: %(default)s'
    add('--out-type', choices=['featmap', 'raw', 'cls_token'], default='featmap', help=text)
    add('--blocks', type=int, nargs='+', default=[-1], help='blocks, counted from 0; default: the last')
    add('--dtype', choices=list(DTYPES), default='fp32', help='default: %(default)s')
    add('--device', default='auto', help='auto, cpu, cuda, cuda:1, mps; default: %(default)s')
    add('--batch-size', type=int, default=8, help='default: %(default)s')
    add('--num-workers', type=int, default=2, help='threads that read images; default: %(default)s')
    add_options_argument(parser)
    args = parser.parse_args(argv)
    if args.format == 'npy' and args.dtype == 'bf16':
        parser.error('--dtype bf16 cannot be written as .npy: add --format safetensors, or use --dtype fp16')

    cfg = load_config(args.config, args.cfg_options)
    paths = find_images(args.images)
    root = args.images if args.images.is_dir() else paths[0].parent

    def targets(path: Path) -> list[Path]:
        relative = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
        # Keeps the suffix of the image: a.jpg and a.png of one folder are two images.
        names = [''] if len(args.blocks) == 1 else [f'.block{block}' for block in args.blocks]
        return [args.out / f'{relative}{name}.{args.format}' for name in names]

    todo = [path for path in paths if not all(map(is_complete, targets(path)))]
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
            write_file(target, feature.numpy() if args.format == 'npy' else dict(features=feature.contiguous()))
    for path, reason in failed:
        print(f'skipped {path}: {reason}', file=sys.stderr)
    print(f'wrote features of {len(todo) - len(failed)} images to {args.out}; {len(failed)} could not be read')
    return int(bool(failed))
