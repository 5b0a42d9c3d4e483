"""The registered tasks and their fields, by name."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

from ..metainfo.naming import near
from .fields import MapField
from .spec import TaskSpec

__all__ = ['get_field', 'get_task', 'map_fields', 'register_task', 'resolve', 'target_fields', 'task_names']

# Maps that belong to no task of their own: they come with rendered people and with datasets.
_COMMON_FIELDS = (
    MapField('instance', kind='labels', about='uint8 number of the person, 0 for background',
             suffixes=('.png',),
             reader='sapiens.datasets.transforms.label_files:load_instance'),
    MapField('mask', kind='labels', about='bool, True on people', folders=('mask', 'masks'), suffixes=('.png', '.jpg', '.jpeg'),
             reader='sapiens.datasets.transforms.label_files:read_mask'),
)  # fmt: skip
_TASKS: dict[str, TaskSpec] = {}
_KNOWN: dict[tuple[int, ...], dict[str, MapField]] = {}


def register_task(spec: TaskSpec) -> TaskSpec:
    """Make a task known to the package. Registering an equal declaration again changes nothing.

    Raises:
        ValueError: another task of this name, or a field that another task declares differently.
    """
    if _TASKS.get(spec.name, spec) != spec:
        raise ValueError(f'task {spec.name!r} is registered already, with another declaration')
    known = map_fields()
    for field in spec.fields:
        if known.get(field.name, field) != field:
            raise ValueError(f'task {spec.name!r} declares the field {field.name!r} unlike another task')
    _TASKS[spec.name] = spec
    return spec


def task_names(inference: bool = False) -> tuple[str, ...]:
    """Names of the registered tasks, or the names under which they run in inference."""
    if not inference:
        return tuple(_TASKS)
    return tuple(dict.fromkeys(spec.inference_name for spec in _TASKS.values()))


def get_task(name: str) -> TaskSpec:
    """The declaration of a task.

    Raises:
        ValueError: naming the registered tasks.
    """
    if name in _TASKS:
        return _TASKS[name]
    raise ValueError(
        f'no task {name!r}{near(name, _TASKS)} (registered: {", ".join(_TASKS)}; a task of your own is registered by a '
        'module that the config lists in custom_imports)'
    )


def map_fields() -> dict[str, MapField]:
    """All known label maps by name: those of the tasks, then those that belong to none."""
    return dict(_fields())


def _fields() -> dict[str, MapField]:
    """:func:`map_fields` without a copy: transforms ask for fields a hundred times for each sample."""
    specs = tuple(map(id, _TASKS.values()))
    if specs not in _KNOWN:
        fields = {field.name: field for spec in _TASKS.values() for field in spec.fields}
        _KNOWN.clear()
        _KNOWN[specs] = fields | {field.name: field for field in _COMMON_FIELDS if field.name not in fields}
    return _KNOWN[specs]


def target_fields(masked_by_people: bool = False) -> dict[str, MapField]:
    """The fields that tasks predict, by name: of all tasks, or of those whose results mean something on people only."""
    specs = [spec for spec in _TASKS.values() if spec.masked_by_people or not masked_by_people]
    return {field.name: field for spec in specs for field in spec.fields}


def get_field(key: str) -> MapField | None:
    """The declaration of a sample's key ``gt_<name>`` or ``pred_<name>``, of ``valid_mask`` and of ``valid_<name>``; None for
    other keys."""
    prefix, _, name = key.partition('_')
    fields = _fields()
    if prefix in ('gt', 'pred'):
        return fields.get(name)
    if prefix == 'valid' and (name == 'mask' or name in fields):
        return _validity(key)
    return None


@functools.cache
def _validity(key: str) -> MapField:
    return MapField(key, kind='labels', about='bool')


def resolve(reference: str | Callable | None) -> Any:
    """Import ``'module:attribute'``; anything else is returned unchanged."""
    if not isinstance(reference, str):
        return reference
    module, _, attribute = reference.partition(':')
    return getattr(importlib.import_module(module), attribute)
