"""Weights of the package on one encoder: to single models from the model of a group, and back."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sapiens import weights
from sapiens.checkpoints import ZOO, Entry, extract_task, read_weights
from sapiens.metainfo import match_keypoints
from sapiens.utils.checkpoint import as_member, names_of_tasks, read_checkpoint
from sapiens.utils.config import load_config
from sapiens.utils.files import atomic_path

__all__ = ['join_shipped', 'joint_checkpoint', 'refuse_too_much', 'single_checkpoint']

SUBSET = {'sapiens-tiny-pose17': 'sapiens-tiny-pose133'}
"""Weights whose keypoints are some of those of others: the same head with fewer outputs."""
LAST_LAYER = 'head.final_layer.'


def single_checkpoint(checkpoint: Path, entry: Entry, out: Path) -> Path:
    """Write the encoder and one head of the model of a group, as a checkpoint of the config of an entry.

    Args:
        checkpoint: of the config of a :class:`.recipes.Group`.
        entry: of own weights. Those of 17 keypoints are the first outputs of those of 133.
        out: a file that is written.

    Raises:
        ValueError: a checkpoint without the task.
    """
    content = read_checkpoint(checkpoint)
    state = content.state_dict
    if names_of_tasks(state):
        state = extract_task(state, entry.task)
    if entry.name in SUBSET:
        state = _fewer_keypoints(state, ZOO[SUBSET[entry.name]].config, entry.config)
    with atomic_path(out, keep_suffix=True) as temporary:
        torch.save(dict(state_dict=state, meta=dict(iter=content.meta.get('iter'), task=entry.task)), temporary)
    return out


def joint_checkpoint(checkpoint: Path, task: str, out: Path) -> Path:
    """Write the weights of a single model as those of a task of a model of all tasks, which lacks the other heads.

    Args:
        checkpoint: of the training of the single model. Its average (EMA) is taken, where there is one.
        task: its name in the model of all tasks.
        out: a file that is written.
    """
    state = as_member(read_checkpoint(checkpoint).state_dict, task)
    with atomic_path(out, keep_suffix=True) as temporary:
        torch.save(dict(state_dict=state, meta=dict(task='multi')), temporary)
    return out


def join_shipped(entries: Sequence[Entry], out: Path, say: Callable[[str], None] = print) -> Path:
    """Write the weights of the package as a checkpoint of a model of all tasks, in single precision.

    The encoder is that of the keypoints. Heads of weights with another one go on from it too.

    Args:
        say: takes a line for each of these.

    Raises:
        FileNotFoundError: weights that this version of the package does not have.
    """
    joined: dict[str, Tensor] = {}
    # Whole images last: the position embedding of the model is that of crops.
    first, *others = sorted(
        (entry for entry in entries if entry.name not in SUBSET), key=lambda entry: entry.task == 'person'
    )
    for entry in (first, *others):
        differ = 0
        for key, value in as_member(read_weights(entry.name).state_dict, entry.task).items():
            known = joined.setdefault(key, value)
            differ += known.shape == value.shape and not torch.equal(known, value)
        if differ:
            say(f'{entry.name} has another encoder than {first.name}, whose encoder is taken')
    state = {key: value.float() if value.is_floating_point() else value for key, value in joined.items()}
    with atomic_path(out, keep_suffix=True) as temporary:
        torch.save(dict(state_dict=state, meta=dict(task='multi')), temporary)
    return out


def _fewer_keypoints(state: dict[str, Tensor], config: str, wanted: str) -> dict[str, Tensor]:
    """Weights of a model of pose with the outputs of the keypoints of another config only."""
    ids = torch.from_numpy(match_keypoints(*(load_config(path).model.skeleton for path in (config, wanted))))
    if (ids < 0).any():
        raise ValueError(f'{config} lacks some of the keypoints of {wanted}')
    return {key: value[ids] if key.startswith(LAST_LAYER) else value for key, value in state.items()}


def refuse_too_much(folder: Path) -> None:
    """Raise ValueError where the weights of a folder are larger than those of the package may be."""
    sizes = {path.name: path.stat().st_size for path in folder.glob('*.safetensors')}
    if sum(sizes.values()) > weights.LARGEST_TOGETHER:
        raise ValueError(f'{folder} has {sum(sizes.values())} bytes of weights, more than {weights.LARGEST_TOGETHER}')
