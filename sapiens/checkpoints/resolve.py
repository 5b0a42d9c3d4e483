"""From names of published models to files of this machine.

Checkpoints lie below ``$SAPIENS_CHECKPOINT_ROOT`` (default: ``checkpoints``) in the published layout
``<task>/checkpoints/sapiens_<size>/<file>``. ``sapiens download`` puts them there. Own weights are part of the package.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from sapiens.tasks import task_names
from sapiens.utils.checkpoint import named_start, require_checkpoint
from sapiens.utils.config import find_config

from .zoo import look_up, published_as

__all__ = ['checkpoint_root', 'require_starts', 'resolve_checkpoint', 'resolve_config', 'resolve_init_cfg']


def checkpoint_root() -> Path:
    """``$SAPIENS_CHECKPOINT_ROOT``, or ``checkpoints`` in the working directory."""
    return Path(os.environ.get('SAPIENS_CHECKPOINT_ROOT') or 'checkpoints').expanduser()


def resolve_checkpoint(text: str | Path, form: str = 'original') -> Path:
    """The file of a checkpoint that is given by its path or as a published model (see :func:`sapiens.checkpoints.look_up`).

    Args:
        text: an existing path, which is returned as it is, or a name, hub id or published file name. Another text is returned
            as a path; reading it raises the error.
        form: of a published model, unless the text names one. ``'original'`` of a model without that form is its first form.

    Raises:
        FileNotFoundError: a published model that is not on this machine, with what to do.
        ValueError: a name that is not published, or a form that is not.
    """
    path = Path(text).expanduser()
    if path.exists():
        return path
    found = look_up(str(text))
    if found is None:
        published = published_as(path)
        if published:
            entry, form = published
            raise FileNotFoundError(f'no checkpoint {path}; it is published: {entry.how_to_get(form, path)}')
        return path
    entry, named_form = found
    form = entry.default_form(named_form or form)
    places = entry.places(checkpoint_root(), form)
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f'{text} is not on this machine: {entry.how_to_get(form, places[0])}')


def require_starts(cfg: Mapping) -> None:
    """Refuse a config that starts from a checkpoint which is not on this machine: ``load_from``, or an ``init_cfg`` or
    ``pretrained`` of its model.

    Raises:
        FileNotFoundError, ValueError: see :func:`resolve_checkpoint`.
    """
    start = cfg.get('load_from')
    if start and cfg.get('resume') != 'auto':  # which continues from the work dir, if there is something
        require_checkpoint(resolve_checkpoint(start))
    parts = [cfg['model']]
    while parts:
        part = parts.pop()
        parts += [value for value in part.values() if isinstance(value, Mapping)]
        start = named_start(part)
        if start is not None and '://' not in start:
            require_checkpoint(resolve_checkpoint(start))


def resolve_config(text: str | Path) -> Path:
    """The file of a config that is given by its path or as a published model.

    Raises:
        FileNotFoundError: the config of a published model is not there.
        ValueError: a name that is not published, or a model without a config.
    """
    path = Path(text).expanduser()
    found = None if path.exists() else look_up(str(text))
    if found is None:
        return path
    if found[0].config is None:
        task = found[0].task
        reason = (
            'give the path of one'
            if task in ('pretrain', *task_names())
            else f'the task {task!r} is not in this version'
        )
        raise ValueError(f'{text} has no config in this package: {reason}')
    return find_config(found[0].config)


def resolve_init_cfg(model: nn.Module) -> None:
    """Replace published names by paths in every ``init_cfg.checkpoint`` of a model. Call it before ``model.init_weights()``.

    Raises:
        FileNotFoundError, ValueError: see :func:`resolve_checkpoint`.
    """
    for module in model.modules():
        init_cfg = getattr(module, 'init_cfg', None)
        checkpoint = init_cfg.get('checkpoint') if isinstance(init_cfg, dict) else None
        if isinstance(checkpoint, str) and '://' not in checkpoint:
            module.init_cfg = {**init_cfg, 'checkpoint': str(resolve_checkpoint(checkpoint))}
