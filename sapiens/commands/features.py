"""Write features of the encoder, one file per image and block.

A file holds the feature map (C, h, w) of the last block; --out-type and --blocks choose others. Existing files are skipped.
The folder holds features of one model and one set of options. Images that cannot be used are listed at the end.

Examples:
    sapiens features sapiens2-pretrain-0.4b photos --out features
    sapiens features configs/mae/sapiens_0.3b_humans300m-1024x1024.py CHECKPOINT photos --out features
    sapiens features CONFIG CHECKPOINT photos --out features --format safetensors --blocks 5 11 17 23 --dtype bf16
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from mmengine.config import Config
from tqdm import tqdm

from sapiens.apis import extract_features, load_encoder
from sapiens.apis.batch_job import NO_SPACE, Plan
from sapiens.apis.inputs import Item, find_inputs
from sapiens.apis.loading.build import input_pipeline, read_config
from sapiens.apis.loading.load_model import is_config, weights_of
from sapiens.apis.output_dir import check_places
from sapiens.apis.results import Saving
from sapiens.apis.run_record import content_of, write_settings
from sapiens.apis.writers.files import is_complete, write_file
from sapiens.utils.cli import tool_parser
from sapiens.utils.config_options import add_options_argument
from sapiens.utils.counting import count_of
from sapiens.utils.device import DTYPES
from sapiens.utils.folder_lock import FolderLock


def main(argv: list[str] | None = None) -> int:
    parser = tool_parser(__doc__, first=('--device', '--batch-size', '--dtype', '--blocks', '--out-type'))
    add = parser.add_argument
    text = 'name of a published model, which brings its weights; or a config with a backbone and a val_pipeline'
    add('config', help=text)
    text = 'weights of the whole model or of the encoder, a file or a published name; "random" for random weights'
    add('checkpoint', nargs='?', help=text)
    add('images', type=Path, help='a folder, an image, or a .txt list of paths')
    add('--out', type=Path, required=True, help='output folder; keeps the subfolders of IMAGES')
    add('--overwrite', action='store_true', help='compute existing features again')
    add('--format', choices=['npy', 'safetensors'], default='npy', help='default: %(default)s')
    text = 'featmap (C, h, w), raw tokens (L, C), or class token (C); default: %(default)s'
    add('--out-type', choices=['featmap', 'raw', 'cls_token'], default='featmap', help=text)
    add('--blocks', type=int, nargs='+', default=[-1], help='blocks, counted from 0; default: the last')
    add('--dtype', choices=list(DTYPES), default='fp32', help='default: %(default)s')
    add('--device', default='auto', help='auto, cpu, cuda, cuda:1, mps; default: %(default)s')
    add('--batch-size', type=int, default=8, help='default: %(default)s')
    add('--num-workers', type=int, default=2, help='threads that read images; default: %(default)s')
    add_options_argument(parser)
    args = parser.parse_intermixed_args(argv)
    checkpoint = weights_of(args.config, args.checkpoint)
    if checkpoint is None:
        parser.error(f'{args.config} {args.images}: give weights between a config and the images, or "random"')
    if checkpoint == 'random' and not is_config(args.config):
        parser.error(f'{args.config} brings its weights: give a config for random ones')
    if args.format == 'npy' and args.dtype == 'bf16':
        parser.error('--dtype bf16 cannot be written as .npy: add --format safetensors, or use --dtype fp16')

    cfg = read_config(args.config, args.cfg_options)
    items = find_inputs(args.images)
    check_places(items, [str(args.images)], args.out)
    checkpoint = None if checkpoint == 'random' else checkpoint
    names = ('out_type', 'blocks', 'dtype', 'format', 'cfg_options')
    options = {name: getattr(args, name) for name in names}
    plan = Plan(dict(features=dict(model=args.config, checkpoint=checkpoint, **options)), args.out, Saving())
    plan = dataclasses.replace(plan, content=content_of(plan))
    with FolderLock(args.out, 'wait for that run, or choose another --out'):
        since = write_settings(plan, overwrite=args.overwrite)
        return write_features(args, cfg, checkpoint, items, since)


def write_features(
    args: argparse.Namespace, cfg: Config, checkpoint: str | None, items: list[Item], since: int
) -> int:
    """Write the features that are missing. Returns the exit status."""

    def targets(item: Item) -> list[Path]:
        # Keeps the suffix of the image: a.jpg and a.png of one folder are two images.
        suffix = Path(item.source).suffix
        name = item.name if item.name.endswith(suffix) else item.name + suffix
        blocks = [''] if len(args.blocks) == 1 else [f'.block{block}' for block in args.blocks]
        return [args.out / f'{name}{block}.{args.format}' for block in blocks]

    todo = [
        item for item in items if args.overwrite or not all(is_complete(target, since) for target in targets(item))
    ]
    print(f'{count_of(len(items), "image")}, {len(items) - len(todo)} of them done already')
    encoder = load_encoder(cfg, checkpoint, args.device, args.out_type, args.blocks)
    paths = [item.source for item in todo]
    results = extract_features(
        encoder, paths, input_pipeline(cfg), args.batch_size, args.num_workers, DTYPES[args.dtype]
    )
    failed = []
    for item, (_, features) in zip(todo, tqdm(results, total=len(todo), unit='img'), strict=True):
        if isinstance(features, str):
            failed.append((item.source, features))
            continue
        try:
            for target, feature in zip(targets(item), features, strict=True):
                write_file(target, feature.numpy() if args.format == 'npy' else dict(features=feature.contiguous()))
        except OSError as error:  # such as a long name
            if error.errno in NO_SPACE:
                raise
            failed.append((item.source, str(error)))
    for source, reason in failed:
        print(f'skipped {source}: {" ".join(reason.split())}', file=sys.stderr)
    print(f'wrote features of {count_of(len(todo) - len(failed), "image")} to {args.out}; {len(failed)} failed')
    return int(bool(failed))
