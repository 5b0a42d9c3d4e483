"""Arguments that the tools which start a runner have in common."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from mmengine.config import Config

from sapiens.metainfo.naming import near
from sapiens.metainfo.palettes import PALETTES
from sapiens.tasks import task_names

from .config import config_folder, find_config, load_config
from .config_options import add_options_argument
from .help_text import HelpFormatter, format_help
from .terminal import be_verbose

__all__ = [
    'above_zero',
    'add_dataset_arguments',
    'add_foreign_arguments',
    'add_model_arguments',
    'add_palette_argument',
    'add_runner_arguments',
    'load_runner_config',
    'positive',
    'tool_parser',
    'zero_or_more',
]


class _Parser(argparse.ArgumentParser):
    """A parser that suggests the nearest flag for an unknown one, refuses empty values, and ends in one line on any error.

    Attributes:
        first: flags that ``--help`` shows at the top, see :func:`sapiens.utils.help_text.format_help`.
        others: says where other flags belong, for the message about an unknown one.
    """

    first: Sequence[str] = ()
    others = ''

    def __init__(self, *args, **options) -> None:
        options.setdefault('formatter_class', HelpFormatter)
        super().__init__(*args, **options)

    def format_help(self) -> str:
        return format_help(self, self.first)

    def parse_known_args(self, args=None, namespace=None):
        args = sys.argv[1:] if args is None else list(args)
        for before, value in zip(['', *args], args, strict=False):
            flag, equals, rest = value.partition('=')
            if not value or (flag.startswith('--') and equals and not rest):
                where = flag or (before if before.startswith('--') else 'an argument')
                self.error(f'{where} is empty. A variable of the shell that is not set?')
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        if found := re.match(r'unrecognized arguments: (--[\w-]+)', message):
            known = [
                flag for action in self._actions if action.help != argparse.SUPPRESS for flag in action.option_strings
            ]
            message += near(found[1], known) or (self.others and f'; {self.others}')
        self.exit(2, f'error: {message} ({self.prog} --help)\n')


class _Verbose(argparse.Action):
    """``--verbose``, which holds from here on, also for processes that the command starts."""

    def __init__(self, option_strings, dest, **options) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, **options)

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        be_verbose()


def tool_parser(doc: str, first: Sequence[str] = ()) -> argparse.ArgumentParser:
    """A parser whose ``--help`` shows the docstring of a tool with its examples. It has ``--verbose``.

    Args:
        first: flags of the options that most runs need, which the help shows at the top.
    """
    parser = _Parser(description=doc)
    parser.first = first
    text = 'show all of the log, and what other packages print'
    parser.add_argument('--verbose', action=_Verbose, help=text)
    return parser


def positive(text: str) -> int:
    """The ``type`` of an argument that is a whole number of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text}: expected a whole number, 1 or more')
    return int(text)


def zero_or_more(text: str) -> int:
    """The ``type`` of an argument that is a whole number of 0 or more."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f'{text}: expected a whole number, 0 or more')
    return int(text)


def above_zero(text: str) -> float:
    """The ``type`` of an argument that is a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text}: expected a number above 0')
    return value


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


class _Instead(argparse.Action):
    """A flag of another package, which ends the command with its equivalent here."""

    def __init__(self, option_strings, dest, instead: str) -> None:
        super().__init__(option_strings, dest, nargs='*', help=argparse.SUPPRESS)
        self.instead = instead

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        parser.error(f'{option_string}: {self.instead}')


def add_foreign_arguments(parser: argparse.ArgumentParser, **instead: str) -> None:
    """Answer flags of mmpose's and mmseg's tools that mean something else here: {name of the flag: what to use}."""
    for name, text in instead.items():
        parser.add_argument(f'--{name.replace("_", "-")}', action=_Instead, instead=text)


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


def add_palette_argument(add: Callable, default: str | None = PALETTES[0]) -> None:
    """Add ``--palette`` by the ``add_argument`` of a parser or group.

    ``default`` is None where drawings are an option, to see whether it was given.
    """
    text = (
        'colors of keypoints and classes: distinct, also for people with color blindness, or published, also those of own '
        f'lists; default: {PALETTES[0]}'
    )
    add('--palette', choices=PALETTES, default=default, help=text)


def add_runner_arguments(parser: argparse.ArgumentParser, written: str) -> None:
    """Add ``--work-dir``, ``--cfg-options``, ``--launcher`` and ``--local_rank``; the tool itself adds ``config``.

    ``written`` says in the help what goes to the work dir.
    """
    text = (
        'work_dirs/<name of the config>; work_dirs/<its folder>/<name> where configs of several folders have this name'
    )
    parser.add_argument('--work-dir', help=f'where {written} (default: {text})')
    add_options_argument(parser)
    launchers = ['none', 'pytorch', 'slurm', 'mpi']
    parser.add_argument('--launcher', choices=launchers, default='none', help='who starts the processes')
    parser.add_argument('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)


def load_runner_config(args: argparse.Namespace) -> Config:
    """Read the config of parsed arguments (:func:`sapiens.utils.config.load_config`), with ``launcher`` and ``work_dir``; tell
    MMEngine the local rank."""
    if args.local_rank is not None:
        os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(default_work_dir(find_config(args.config)))
    return cfg


def default_work_dir(config: Path) -> Path:
    """Return MMEngine's default, ``work_dirs/<name of the config>``, with the folder of the config where that is not unique.

    Recipes of several tasks have one name, such as ``seg/sapiens_1b_goliath-1024x768.py`` and that of pose.
    """
    config, root = config.resolve(), config_folder().resolve()
    if config.is_relative_to(root):
        twins, name = root.rglob(config.name), config.relative_to(root).with_suffix('')
    else:  # folders that are laid out in the same way
        folders = task_names() if config.parent.name in task_names() else ()
        twins = (twin for folder in folders if (twin := config.parent.parent / folder / config.name).exists())
        name = Path(config.parent.name, config.stem)
    is_unique = all(twin == config for twin in twins)
    return Path('work_dirs') / (config.stem if is_unique else name)
