"""Evaluate a checkpoint on the test set of its config.

Examples:
    sapiens test configs/mae/sapiens_0.3b_humans300m-1024x1024.py work_dirs/x/epoch_100.pth
    sapiens test configs/pose/sapiens_1b_goliath-1024x768.py sapiens-pose-1b  # a published name: docs/checkpoints.md
    sapiens test CONFIG CHECKPOINT --cfg-options test_dataloader.dataset.data_root=my/held/out/images
    sapiens test CONFIG CHECKPOINT --show-dir results --show-limit 50     # labels next to predictions, per image
    sapiens test CONFIG CHECKPOINT --dump predictions.json                # what the metric saw, for other tools
    sapiens test CONFIG me.onnx --graph                                   # what an export costs in accuracy
    bash tools/dist_test.sh CONFIG CHECKPOINT 8
"""

import argparse
import inspect
import json
from pathlib import Path

from mmengine.device import get_device
from mmengine.dist import is_main_process

from sapiens.checkpoints import resolve_checkpoint
from sapiens.engine import Runner, show_hook_for
from sapiens.engine.evaluators import complete_evaluators
from sapiens.engine.refusal import leave_no_traces
from sapiens.registry import METRICS
from sapiens.tasks import members_of
from sapiens.utils.cli import (
    add_foreign_arguments,
    add_palette_argument,
    add_runner_arguments,
    load_runner_config,
    positive,
    tool_parser,
)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__, first=('--out', '--show-dir', '--dump', '--work-dir', '--cfg-options'))
    parser.add_argument('config', help='path or name of a config')
    add = parser.add_argument
    add('checkpoint', help='weights to evaluate: a file of any form, or a published name (sapiens-pose-1b)')
    text = (
        'CHECKPOINT is a file of `sapiens export` (torchscript, export, onnx; undecoded): run its graph in the place of the '
        "model's network. A graph is a program: only what you trust"
    )
    add('--graph', action='store_true', help=text)
    add('--out', type=Path, help='also write the metrics to this JSON file')
    add('--dump', metavar='FILE', help="write the predictions to this file (the metric's argument dump)")
    add('--show-dir', type=Path, metavar='DIR', help='write a visualization of each image to this folder')
    add('--show-limit', type=positive, metavar='N', help='of the first N images only (default: all)')
    add('--show-heatmaps', action='store_true', help='add the heatmaps to each visualization')
    add_palette_argument(add, default=None)
    add_runner_arguments(parser, 'the log goes')
    show = 'use --show-dir DIR, which writes a visualization of each image to a folder'
    add_foreign_arguments(
        parser,
        show=show,
        wait_time=show,
        interval='use --show-limit N with --show-dir DIR, for the first N images',
        tta='the model averages mirrored images with --cfg-options model.test_cfg.flip_test=True',
        eval='metrics are those of test_evaluator in the config',
    )
    args = parser.parse_args(argv)
    if args.show_dir is None and (args.show_limit is not None or args.show_heatmaps or args.palette):
        parser.error('--show-limit, --show-heatmaps and --palette say how to draw: add --show-dir DIR')
    return args


def set_dump(cfg, file: str) -> None:
    """Set ``dump`` of the test metric that can write predictions. ValueError where none can, or several could."""
    by_task = list(cfg.test_evaluator.values()) if members_of(cfg.model) else [cfg.test_evaluator]
    metrics = [metric for one in by_task for metric in (one if isinstance(one, list | tuple) else [one])]
    able = [metric for metric in metrics if 'dump' in inspect.signature(METRICS.get(metric['type'])).parameters]
    if len(able) != 1:
        raise ValueError(
            f'--dump {file}: {len(able)} of the metrics of test_evaluator ({", ".join(m["type"] for m in metrics)}) write '
            'predictions, expected one; set its argument dump with --cfg-options'
        )
    able[0]['dump'] = file


def show_hooks(cfg, args: argparse.Namespace) -> list[dict]:
    """Configs of the hooks that draw; each of several tasks has a folder. ValueError where a model has no drawing, or none of
    heatmaps."""
    parts, hooks = members_of(cfg.model) or {None: cfg.model}, []
    for task, model in parts.items():
        hook = show_hook_for(model)
        options = dict(out_dir=str(args.show_dir), limit=args.show_limit)
        if task is not None:
            options.update(out_dir=str(args.show_dir / task), task=task)
        if args.show_heatmaps and 'heatmaps' in inspect.signature(hook).parameters:
            options['heatmaps'] = True
        if args.palette:
            options['palette'] = args.palette
        hooks.append(dict(type=hook.__name__, **options))
    if args.show_heatmaps and not any('heatmaps' in hook for hook in hooks):
        raise ValueError(f'--show-heatmaps: {cfg.model.type} predicts no heatmaps')
    return hooks


def without_average(cfg) -> None:
    """Take out the hook that keeps an average of the weights: a graph has its own, and cannot be copied."""
    hooks = cfg.get('default_hooks', {})
    for name in [name for name, hook in hooks.items() if hook is not None and hook['type'] == 'EMAHook']:
        del hooks[name]
    cfg.custom_hooks = [hook for hook in cfg.get('custom_hooks') or [] if hook['type'] != 'EMAHook']


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    cfg = load_runner_config(args)
    complete_evaluators(cfg)
    cfg.pop('float8', None)  # of training: predictions are those of inference
    cfg.load_from, cfg.resume = None if args.graph else str(resolve_checkpoint(args.checkpoint)), False
    if args.dump:
        set_dump(cfg, args.dump)
    if args.show_dir:
        cfg.custom_hooks = [*cfg.get('custom_hooks', ()), *show_hooks(cfg, args)]
    if args.graph:
        without_average(cfg)
    with leave_no_traces(cfg.work_dir) as start:
        start.runner = runner = Runner.from_cfg(cfg)
        if args.graph:
            from sapiens.apis.export import load_export, run_graph_in

            run_graph_in(runner.bare_model, load_export(args.checkpoint, get_device()))
        metrics = runner.test()
    if args.out and is_main_process():
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(metrics, indent=2) + '\n')
