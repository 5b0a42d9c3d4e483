"""Inspect a file of weights, or convert it to another format.

Reads MMEngine and plain PyTorch files, safetensors, TorchScript and torch.export archives, and sharded folders, with the
parameter names of Sapiens, timm, facebookresearch/mae or Hugging Face. Nothing in a file is executed.

Examples:
    sapiens convert inspect FILE                      # size, task, image size, the config that fits
    sapiens convert inspect FILE --config CONFIG      # what would be loaded, resized, left over
    sapiens convert inspect sapiens-pose-1b --tensors
    sapiens convert convert mae_pretrain_vit_large.pth encoder.pth --part encoder
    sapiens convert convert work_dirs/x/iter_900 weights.safetensors --dtype bf16
    sapiens convert convert work_dirs/x/iter_900 iter_900.pth --to training   # one file, from which a run resumes
    sapiens convert convert FILE OUT.pth --config CONFIG   # fitted: positions resized, head of this config
    sapiens convert convert FILE FOLDER --to huggingface   # Sapiens2, for transformers
    sapiens convert convert multi.pth pose.pth --task pose # one task of a model of several
    sapiens convert convert lora.pth plain.pth        # adapters (LoRA) are merged into the weights
"""

import argparse
import dataclasses
from pathlib import Path

import torch

from sapiens.checkpoints import (
    describe,
    extract_task,
    load_weights,
    published_as,
    read_weights,
    recognise,
    resolve_checkpoint,
    resolve_config,
    save_huggingface,
)
from sapiens.engine.checkpoint_folder import is_complete, read_tensors
from sapiens.engine.checkpoint_io import load_training_state, write_checkpoint
from sapiens.registry import MODELS
from sapiens.tasks import MULTI, members_of, task_of
from sapiens.utils.checkpoint import START_KEYS, Checkpoint, read_checkpoint, save_weights
from sapiens.utils.cli import tool_parser
from sapiens.utils.config import load_config
from sapiens.utils.config_options import add_options_argument
from sapiens.utils.device import DTYPES


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    commands = parser.add_subparsers(dest='command', required=True, metavar='inspect|convert')
    inspect = commands.add_parser('inspect', help='tell what a file holds')
    convert = commands.add_parser('convert', help='write the weights in another form')
    for command in (inspect, convert):
        command.add_argument('file', help='a file or folder of weights, or the name of a published model')
        command.add_argument('--config', help='a config, or the name of a published model, to load the weights into')
        text = 'of the backbone that must be loaded; default: %(default)s'
        command.add_argument('--min-share', type=float, default=0.5, metavar='SHARE', help=text)
        add_options_argument(command)
    text = '*.pth ({state_dict, meta}; with --part encoder flat) or *.safetensors'
    convert.add_argument('out', type=Path, help=text)
    inspect.add_argument('--tensors', action='store_true', help='list every tensor: name, shape, type')
    text = (
        "'weights', 'huggingface' for a folder that transformers opens, or 'training': one file with the whole state of a run's "
        'checkpoint folder; default: %(default)s'
    )
    convert.add_argument('--to', choices=['weights', 'huggingface', 'training'], default='weights', help=text)
    convert.add_argument('--part', choices=['all', 'encoder'], default='all', help='default: %(default)s')
    text = 'of a model of several tasks, the one whose model alone is written'
    convert.add_argument('--task', metavar='NAME', help=text)
    convert.add_argument('--dtype', choices=list(DTYPES), help='type of floating-point tensors; default: unchanged')
    args = parser.parse_args(argv)
    if args.cfg_options and not args.config:
        parser.error('--cfg-options changes a config: add --config')
    if args.command == 'convert' and args.to == 'huggingface':
        if args.part == 'encoder' or args.dtype:
            parser.error('--part and --dtype are for --to weights')
    elif args.command == 'convert' and args.to == 'training':
        if args.part == 'encoder' or args.dtype or args.task or args.config:
            parser.error('--part, --dtype, --task and --config are for --to weights')
        if args.out.suffix != '.pth':
            parser.error(f'{args.out}: expected a name that ends in .pth')
    elif args.command == 'convert' and args.out.suffix not in ('.pth', '.safetensors'):
        parser.error(f'{args.out}: expected a name that ends in .pth or .safetensors')
    return args


def build(args: argparse.Namespace, device: str) -> torch.nn.Module:
    cfg = load_config(resolve_config(args.config), args.cfg_options)
    for part in (cfg.model.backbone, *members_of(cfg.model).values()):
        for key in START_KEYS:
            part.pop(key, None)  # the weights come from the file
    with torch.device(device):
        return MODELS.build(cfg.model)


def summary(checkpoint: Checkpoint) -> str:
    weights, meta = checkpoint.state_dict, checkpoint.meta
    dtypes = ', '.join(sorted({str(value.dtype).removeprefix('torch.') for value in weights.values()}))
    published = published_as(checkpoint.path)
    lines = {
        'file': checkpoint.path,
        'form': f'{checkpoint.form}, weights {f"under {checkpoint.key!r}" if checkpoint.key else "at the top"}',
        'names': checkpoint.layout,
        'tensors': f'{len(weights)}, {sum(value.numel() for value in weights.values()):,} numbers, {dtypes}',
        'what': describe(recognise(weights, meta)),
        'adapters': _adapters(meta.get('lora')),
        'published as': f'{published[0].name} ({published[1]}), by its name' if published else '',
        'beside them': ', '.join(f'{key}={meta[key]}' for key in ('epoch', 'iter', 'time') if key in meta),
    }
    return '\n'.join(f'{name:<13} {text}' for name, text in lines.items() if text)


def _adapters(options: dict | None) -> str:
    """What a training with adapters writes beside the weights; a merged file has no such options."""
    if not options:
        return ''
    values = ', '.join(f'{key} {value}' for key, value in options.items() if type(value) in (int, float))
    return f'LoRA of {values}, on {", ".join(options.get("targets", ()))} (merged when commands read it)'


def inspect(args: argparse.Namespace) -> None:
    checkpoint = read_weights(args.file)
    print(summary(checkpoint))
    if args.tensors:
        for name, value in checkpoint.state_dict.items():
            print(f'{name}  {"x".join(map(str, value.shape)) or "scalar"}  {str(value.dtype).removeprefix("torch.")}')
    if args.config:
        # Shapes are enough to tell, so the model needs no memory.
        print(load_weights(build(args, 'meta'), checkpoint, args.min_share))


def one_task(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """The weights of one task of a model of several."""
    weights = extract_task(checkpoint.state_dict, name)
    task = recognise(checkpoint.state_dict, checkpoint.meta)['tasks'][name]['task']
    meta = {key: value for key, value in checkpoint.meta.items() if key not in ('task', 'tasks', 'cfg')}
    return dataclasses.replace(checkpoint, state_dict=weights, meta=dict(meta, task=task) if task else meta)


def convert_to_huggingface(args: argparse.Namespace) -> None:
    checkpoint = read_weights(args.file)
    if args.task:
        checkpoint = one_task(checkpoint, args.task)
    found = recognise(checkpoint.state_dict, checkpoint.meta)
    if found and found['tasks']:
        raise ValueError(
            f'{args.file}: {describe(found)}; transformers has models of single tasks: choose one with --task'
        )
    if not args.config and not (found and found['config']):
        raise ValueError(f'{args.file}: {describe(found)}; give its config with --config')
    args.config = args.config or found['config']
    model = build(args, 'cpu')
    print(load_weights(model, checkpoint, min_share=1.0, required=''))
    save_huggingface(model, args.out)
    print(f'{args.out}: config.json, preprocessor_config.json, model.safetensors')


def convert_to_training(args: argparse.Namespace) -> None:
    folder = Path(resolve_checkpoint(args.file))
    if not is_complete(folder):
        raise ValueError(
            f'{folder} is not a checkpoint folder of a run (default_hooks.checkpoint.format): --to training reads these'
        )
    checkpoint = read_tensors(folder, load_training_state(folder), {}, [])
    write_checkpoint(checkpoint, args.out)
    size = args.out.stat().st_size / 1e6
    print(f'{args.out}: iteration {checkpoint["meta"]["iter"]}, {size:,.1f} MB; continue with --resume {args.out}')


def convert(args: argparse.Namespace) -> None:
    if args.out.exists() and args.out.samefile(resolve_checkpoint(args.file)):
        raise ValueError(f'{args.out} is the file to convert: choose another name')
    if args.to == 'huggingface':
        convert_to_huggingface(args)
        return
    if args.to == 'training':
        convert_to_training(args)
        return
    checkpoint = read_weights(args.file)
    if args.task:
        checkpoint = one_task(checkpoint, args.task)
    weights = checkpoint.state_dict
    if args.config:
        model = build(args, 'cpu')
        model.init_weights()  # for what is not in the file
        print(load_weights(model, checkpoint, args.min_share))
        weights = model.state_dict()
    if args.part == 'encoder' and any(name.startswith('backbone.') for name in weights):
        prefix = 'backbone.'
        weights = {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}
    if args.dtype:
        dtype = DTYPES[args.dtype]
        weights = {name: value.to(dtype) if value.is_floating_point() else value for name, value in weights.items()}
    meta = {key: value for key, value in checkpoint.meta.items() if isinstance(value, str | int | float | bool)}
    if args.config:
        meta['task'] = MULTI if members_of(model) else task_of(model).name
    save_weights(weights, args.out, meta, flat=args.part == 'encoder')
    written = read_checkpoint(args.out)
    shapes = [{name: value.shape for name, value in one.items()} for one in (written.state_dict, weights)]
    assert shapes[0] == shapes[1]
    what = describe(recognise(written.state_dict, written.meta))
    print(f'{args.out}: {len(written.state_dict)} tensors, {args.out.stat().st_size / 1e6:,.1f} MB; {what}')


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    inspect(args) if args.command == 'inspect' else convert(args)
