"""One declaration per task. Every list of tasks, label fields and outputs in the package is derived from these.

A declaration names parts of higher floors (result classes, drawings, metrics) by a registered name or by ``'module:attribute'``.
:func:`resolve` imports such a part where it is used, so this package imports none of them.

A task outside the package calls :func:`register_task` in a module that its config lists in ``custom_imports``
(docs/add_a_task.md).
"""

from . import declarations  # noqa: F401  (registers the tasks of the package)
from .fields import MapField
from .lookup import get_field, get_task, map_fields, register_task, resolve, target_fields, task_names
from .of_model import JOINT, MULTI, member_of, members_of, task_of
from .spec import Output, PublishedHead, TaskSpec

__all__ = [
    'JOINT',
    'MULTI',
    'MapField',
    'Output',
    'PublishedHead',
    'TaskSpec',
    'get_field',
    'get_task',
    'map_fields',
    'member_of',
    'members_of',
    'register_task',
    'resolve',
    'target_fields',
    'task_names',
    'task_of',
]
