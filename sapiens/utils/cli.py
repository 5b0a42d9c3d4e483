"""Arguments that the tools which start a runner have in common."""

import argparse
import os
from pathlib import Path

from mmengine.config import Config

from .config import add_options_argument, find_config, load_config

__all__ = [
    'add_dataset_arguments',
    'add_model_arguments',
    'add_runner_arguments',
    'load_runner_config',
    'positive',
    'tool_parser',
]


def tool_parser(doc: str) -> argparse.ArgumentParser:
    """A parser whose ``--help`` shows the docstring of a tool unchanged, with its examples."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def positive(text: str) -> int:
    """The ``type`` of an argument that is a whole number of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text}: expected a whole number, 1 or more')
    return int(text)


def add_dataset_arguments(parser: argparse.ArgumentParser, samples: int, what: str) -> None:
    """Add ``config``, ``--split``, ``--samples``, ``--seed`` and ``--cfg-options``, of tools that look at a dataset.

    Args:
        samples: default of ``--samples``.
        what: says in the help what is done to so many samples.
    """
    parser.add_argument('config', help='path or name of a config')
    text = 'whose dataset is taken; default: %(default)s'
    splits = ['train', 'val', 'test']
    parser.add_argument('--split', '--phase', choices=splits, default='train', help=text)
    text = f'number to {what}; default: %(default)s'
    parser.add_argument('--samples', '--num-samples', type=positive, default=samples, metavar='NUMBER', help=text)
    text = 'of the choice and augmentation of samples; default: %(default)s'
    parser.add_argument('--seed', type=int, default=0, help=text)
    add_options_argument(parser)


def add_model_arguments(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add ``--model`` and ``--checkpoint``, lists of the same length or the latter empty.

    ``default`` says in the help what the tool takes without ``--model``; None if there has to be one.
    """
    text = 'published models by name (sapiens download --list), or configs' + (
        f'; default: {default}' if default else ''
    )
    parser.add_argument('--model', nargs='+', required=not default, default=[], metavar='NAME_OR_CONFIG', help=text)
    text = 'weights, one for each config of --model; a name brings its own'
    parser.add_argument('--checkpoint', nargs='+', default=[], metavar='FILE', help=text)


def add_runner_arguments(parser: argparse.ArgumentParser, written: str) -> None:
    """Add ``--work-dir``, ``--cfg-options``, ``--launcher`` and ``--local_rank``; the tool itself adds ``config``.

    ``written`` says in the help what goes to the work dir.
    """
    parser.add_argument('--work-dir', help=f'where {written} (default: work_dirs/<name of the config>)')
    add_options_argument(parser)
    launchers = ['none', 'pytorch', 'slurm', 'mpi']
    parser.add_argument('--launcher', choices=launchers, default='none', help='who starts the processes')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def load_runner_config(args: argparse.Namespace) -> Config:
    """Read the config of parsed arguments (:func:`sapiens.utils.config.load_config`), with ``launcher`` and ``work_dir``; tell
    MMEngine the local rank."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs') / find_config(args.config).stem)
    return cfg
