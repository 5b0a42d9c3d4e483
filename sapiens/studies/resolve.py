"""Configs of runs: resolved with their options, identified by a hash, and written as a command line."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from sapiens.utils.config_keys import PRIMITIVES, flatten
from sapiens.utils.config_options import parse_options

__all__ = ['differences', 'hash_of', 'identity', 'option_texts']

# Keys that do not change what a run computes.
NEUTRAL = {'work_dir', 'launcher', 'log_level', 'visualizer', 'resume', 'custom_imports', *PRIMITIVES}
# Keys that the one command does not use.
UNUSED = dict(
    train=('test_dataloader', 'test_evaluator', 'test_cfg'),
    test=('train_', 'optim_wrapper', 'param_scheduler', 'val_', 'auto_scale_lr', 'load_from'),
)


def identity(cfg: Config, command: str) -> dict[str, Any]:
    """Flat keys and values of a config on which the result of a run depends.

    Folders below ``DATA_ROOT`` are written as ``$DATA_ROOT``: other machines may have the data elsewhere.
    """
    content = {
        key: value
        for key, value in cfg._cfg_dict.to_dict().items()
        if key not in NEUTRAL and not key.startswith(('_', *UNUSED[command]))
    }
    root = os.environ.get('DATA_ROOT', 'data').rstrip('/')
    return {key: _portable(value, root) for key, value in flatten(content).items()}


def _portable(value: Any, root: str) -> Any:
    """A value as JSON has it."""
    if isinstance(value, str):
        is_below = value == root or value.startswith(f'{root}/')
        return f'$DATA_ROOT/{value.removeprefix(root).lstrip("/")}' if is_below else value
    if isinstance(value, list | tuple):
        return [_portable(item, root) for item in value]
    if isinstance(value, dict):
        return {str(key): _portable(item, root) for key, item in value.items()}
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def hash_of(*content: Any) -> str:
    """A short hash of JSON content."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """{key: (value before, value after)} of flat configs; a key that one of them lacks has '(none)' there."""
    keys = dict.fromkeys([*before, *after])
    pairs = {key: (before.get(key, '(none)'), after.get(key, '(none)')) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def option_texts(options: Mapping[str, Any]) -> list[str]:
    """Options as texts for ``--cfg-options``.

    Raises:
        ValueError: a value that the command line would read as another one.
    """
    texts = []
    for key, value in options.items():
        for text in (str(value), repr(value)):
            option = f'{key}={text}'
            try:
                same = parse_options([option]) == {key: value}
            except ValueError:
                continue
            if same or (isinstance(value, tuple) and parse_options([option]) == {key: list(value)}):
                texts.append(option)
                break
        else:
            raise ValueError(
                f'{key}={value!r} cannot be given on a command line: write it into a config, and name that as the config of '
                'the variant'
            )
    return texts
