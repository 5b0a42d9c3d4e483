"""The weights that an ``init_cfg`` names, into the part of a model that has it."""

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from .loading import LoadReport, load_state
from .reading import read_checkpoint
from .several_tasks import extract_task, names_of_tasks

__all__ = ['START_KEYS', 'load_encoder_start', 'load_head_start', 'named_start']

# Keys of a part of a model that name the weights that it starts from.
START_KEYS = ('init_cfg', 'pretrained')


def named_start(part: Mapping) -> str | None:
    """The checkpoint that the config of a part of a model starts from, if it names one."""
    init_cfg = part.get('init_cfg')
    found = init_cfg.get('checkpoint') if isinstance(init_cfg, Mapping) else part.get('pretrained')
    return found if isinstance(found, str) else None


def load_encoder_start(encoder: nn.Module, path: str | Path) -> LoadReport:
    """Load the encoder of any file into an encoder.

    Raises:
        FileNotFoundError, ValueError: see :func:`.read_checkpoint` and :func:`.load_state`.
    """
    return load_state(encoder, read_checkpoint(path).state_dict, source=str(path))


def load_head_start(part: nn.Module, path: str | Path, task: str) -> LoadReport:
    """Load the head of a file into a head.

    Args:
        part: the head under the name that it has in the model of its task.
        path: weights of a model of one task, or of several; any form that :func:`.read_checkpoint` reads.
        task: name of the task in a model of several.

    Raises:
        FileNotFoundError, ValueError: see :func:`.read_checkpoint` and :func:`.load_state`; or a file of several tasks of other
            names.
    """
    weights, where = read_checkpoint(path).state_dict, f'{path} (tasks.{task}.init_cfg)'
    if names := names_of_tasks(weights):
        if task not in names:
            raise ValueError(
                f'{where}: its tasks are {", ".join(names)}, none is called {task!r}: write one of them to a file with '
                '`sapiens convert convert FILE OUT --task NAME`'
            )
        weights = extract_task(weights, task)
    return load_state(part, {name: value for name, value in weights.items() if 'backbone.' not in name}, source=where)
