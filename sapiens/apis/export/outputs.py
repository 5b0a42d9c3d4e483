"""The outputs of an exported graph, from the declaration of the task (:class:`sapiens.tasks.TaskSpec`)."""

import torch
from torch import Tensor, nn

from sapiens.models import MAE, BoxEstimator, DenseEstimator, PoseEstimator
from sapiens.tasks import Output, TaskSpec, members_of, task_of

__all__ = ['field_names', 'outputs_of', 'task_spec']


def task_spec(model: nn.Module) -> TaskSpec:
    """The declaration of a model's task.

    Raises:
        ValueError: a model that cannot be exported, or one of several tasks.
    """
    if not isinstance(model, MAE | PoseEstimator | DenseEstimator | BoxEstimator):
        raise ValueError(
            f'{type(model).__name__} cannot be exported: supported are MAE, PoseEstimator, BoxEstimator and DenseEstimator with '
            'any task, and several of these on one encoder'
        )
    return task_of(model)


def outputs_of(model: nn.Module, decode: bool) -> tuple[Output, ...]:
    """Outputs of a graph, in order: those that the task declares, else those of its network and of its ``decode``; of a model of
    several tasks those of each, as ``<task>.<name>``.

    Raises:
        ValueError: a model that cannot be exported, or that has nothing to decode.
    """
    if members := members_of(model):
        return tuple(
            Output(f'{task}.{output.name}', output.meaning)
            for task, part in members.items()
            for output in outputs_of(part, decode)
        )
    spec = task_spec(model)
    declared = spec.decoded_outputs if decode else spec.raw_outputs
    if isinstance(model, DenseEstimator):
        task = model.task
        if declared:
            return tuple(Output(output.name, output.meaning.format(**task.output_facts)) for output in declared)
        if not decode:
            shapes = {name: f'(B, {channels}, h, w)' for name, channels in task.maps.items()}
            shapes |= dict.fromkeys(task.scalars, '(B,)')
            return tuple(
                Output(f'raw_{name}', f'{shape} float32, output of the head') for name, shape in shapes.items()
            )
        fields = {field.name: field.about for field in spec.fields}
        shapes = {4: '(B, {}, H, W)', 3: '(B, H, W)', 1: '(B,)'}
        outputs = []
        for name, value in task.decode(_zeros(model), (4, 4)).items():
            shape, dtype = shapes[value.ndim].format(*value.shape[1:2]), str(value.dtype).removeprefix('torch.')
            outputs.append(Output(name, f'{shape} {dtype}, {fields.get(name) or name}'))
        return tuple(outputs)
    if not declared:
        raise ValueError(f'{type(model).__name__} gives features: there is nothing to decode')
    return declared


def field_names(model: DenseEstimator, decode: bool) -> dict[str, str]:
    """Name of each output of a dense graph, and what the task calls it: a map or scalar of its network, or a key of ``decode``.

    Raises:
        ValueError: the task declares another number of outputs than it has.
    """
    zeros = _zeros(model)
    keys = list(model.task.decode(zeros, (4, 4)) if decode else model.task.named(zeros))
    names = [output.name for output in outputs_of(model, decode)]
    if len(names) != len(keys):
        kind = 'decoded_outputs' if decode else 'raw_outputs'
        raise ValueError(f'task {model.task_name!r} declares {kind} {", ".join(names)}, but has {", ".join(keys)}')
    return dict(zip(names, keys, strict=True))


def _zeros(model: DenseEstimator) -> Tensor | dict[str, Tensor]:
    """An output of the network for one image, on a small grid."""
    maps = {name: torch.zeros(1, channels, 2, 2) for name, channels in model.task.maps.items()}
    outputs = maps | {name: torch.zeros(1) for name in model.task.scalars}
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))
