"""What an evaluation needs on this machine: weights and data."""

import shlex
from pathlib import Path

from sapiens.checkpoints import resolve_checkpoint
from sapiens.known_data import KnownData, check_parts, data_root, find_data
from sapiens.known_data.check import datasets_of
from sapiens.registry import DATASETS
from sapiens.utils.config import load_config

from .protocols import Target

__all__ = ['find_needs', 'has_data', 'weights_of']

EVALUATION = ('val', 'test')


def find_needs(target: Target, root: Path, checkpoint: Path | None = None) -> list[str]:
    """What a score needs and is not there, each with what to do, as sentences.

    Args:
        root: folder of all data.
        checkpoint: weights of the user in the place of the published ones.

    Raises:
        ValueError: nobody else can measure the score.
    """
    entry, protocol = target.entry, target.protocol
    if protocol.blocked:
        raise ValueError(
            f'{target.name} cannot be reproduced: {protocol.blocked}. Evaluate the model on your own images: '
            f'`sapiens test configs/{target.config} {entry.name}`'
        )
    missing, place = [], shlex.quote(str(root))
    try:
        weights_of(target, checkpoint)
    except FileNotFoundError as error:
        missing.append(f'weights: {error}')
    for name in protocol.data:
        data = find_data(name)
        parts = [part for part in check_parts(data, root, EVALUATION) if _is_read(part.config, data, entry.task)]
        for problem in dict.fromkeys(problem for part in parts for problem in part.problems):
            missing.append(f'data: {problem}\n    `sapiens prepare {name} --root {place} --only val` says what to do')
    if not protocol.data:
        missing += _own_data(target, root)
    return missing


def _is_read(config: str, data: KnownData, task: str) -> bool:
    """Whether the evaluation of a task reads the datasets of a config, of data with a config for each task."""
    return len(data.configs) == 1 or Path(config).stem.endswith(f'_{task}')


def _own_data(target: Target, root: Path) -> list[str]:
    """Try to read data that only some people have."""
    try:
        with data_root(root):
            DATASETS.build(load_config(target.config).test_dataloader.dataset)
    except (FileNotFoundError, ValueError) as error:
        return [f'data: {error}\n    {target.protocol.notes} Images of your own with these labels serve to try it']
    return []


def weights_of(target: Target, checkpoint: Path | None = None) -> Path:
    """The file of the weights.

    Raises:
        FileNotFoundError: it is not there, with what to do.
    """
    path = checkpoint or resolve_checkpoint(target.entry.name)
    if not path.exists():
        raise FileNotFoundError(f'no file {path}')
    return path


def has_data(target: Target, root: Path) -> bool:
    """Whether the folders of the data are there, without looking into them."""
    for name in target.protocol.data:
        data = find_data(name)
        roots = {Path(dataset['data_root']) for _, dataset in datasets_of(data, root, EVALUATION)}
        if not all(path.is_dir() for path in roots):
            return False
    return bool(target.protocol.data)
