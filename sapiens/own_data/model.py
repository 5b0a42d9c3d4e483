"""The model that ``sapiens new`` trains: its family and size, and which shipped recipe is for it."""

from dataclasses import dataclass
from functools import cached_property

from sapiens.checkpoints.families import FAMILIES
from sapiens.checkpoints.zoo import ZOO
from sapiens.tasks import get_task, task_names
from sapiens.utils.config import config_folder, load_config

__all__ = ['SIZES', 'Model', 'choose_model']

# {family: its sizes}
SIZES = {name: tuple(family.archs) for name, family in FAMILIES.items()}
# Its recipes have the names of their tasks. Other families take them where they have none of their own.
_FIRST = next(iter(FAMILIES))
_PATCH = 16


@dataclass(frozen=True)
class Model:
    """A model of a task.

    Attributes:
        task: name of one that has ``own_data``.
        family, size: keys of :data:`SIZES`.
        shape: (h, w) of the input in pixels.
    """

    task: str
    family: str
    size: str
    shape: tuple[int, int]

    def leaf_name(self, data: str) -> str:
        """File name of its config on a data set, by the rule of this repository."""
        return f'{self.family}_{self.size}_{data}-{self.shape[0]}x{self.shape[1]}.py'

    @property
    def usual_shape(self) -> tuple[int, int]:
        """(h, w) that the recipe is for."""
        return (128, 96) if self.size == 'tiny' else (1024, 768)

    @property
    def recipe(self) -> str:
        """The recipe, below ``configs/``. The second family has none for depth: it takes the first one's."""
        pixels = '{}x{}'.format(*self.usual_shape)
        own, first = (f'{self.task}/_base_/{name}-{pixels}.py' for name in (self.family, self.task))
        return own if (config_folder() / own).is_file() else first

    @property
    def is_borrowed(self) -> bool:
        """Whether the recipe has the encoder of the first family instead of this one's."""
        return self.family != _FIRST and f'/{self.family}-' not in self.recipe

    @cached_property
    def usual(self) -> dict:
        """What the recipe says."""
        return load_config(self.recipe).to_dict()

    @property
    def published(self) -> str | None:
        """Name of the published model of this task and size."""
        name = f'{self.family}-{self.task}-{self.size}'
        return name if name in ZOO else None

    def head(self) -> dict:
        """What the published model of this size has otherwise than the recipe, so that its weights load."""
        if self.published is None or self.family == _FIRST:
            return {}
        head = load_config(ZOO[self.published].config).model.head
        return {key: value for key, value in head.items() if self.usual['model']['head'][key] != value}

    def encoder_options(self) -> dict:
        """Options of the encoder in the recipes of the family, without its type and input size."""
        others = (Model(task, self.family, self.size, self.shape) for task in task_names() if get_task(task).own_data)
        other = next(model for model in others if not model.is_borrowed).usual['model']['backbone']
        return {key: value for key, value in other.items() if key not in ('type', 'img_size')}

    def pipeline(self, split: str) -> list[dict]:
        """The recipe's pipeline with ``shape`` in place of its size."""
        height, width = self.usual_shape

        def sized(step: dict) -> dict:
            step = dict(step)
            if tuple(step.get('size') or ()) == (width, height):
                step['size'] = self.shape[::-1]
            return step | (dict(steps=[*map(sized, step['steps'])]) if 'steps' in step else {})

        return [sized(step) for step in self.usual[f'{split}_pipeline']]

    def about_start(self) -> list[str]:
        """What the training starts from, one sentence each."""
        lines = [f'Training starts from the encoder {self.family}-pretrain-{self.size}.']
        if self.size == 'tiny':
            lines = ['There are no published weights of this size: training starts from random ones.']
        elif self.published:
            lines.append(
                f"To start from a model of this task, remove init_cfg, and set load_from = '{self.published}'."
            )
        if self.is_borrowed:
            name = self.family.capitalize()
            lines.append(f"{name} has no published head for {self.task}: this one is the first family's.")
        return lines


def choose_model(
    task: str, family: str | None = None, size: str | None = None, shape: tuple[int, int] | None = None
) -> Model:
    """A model of which all but the task may be left open. A size of both families means the first one.

    Raises:
        ValueError: a size that the family does not have, or a shape that the patches do not tile.
    """
    if family is None:
        family = next((name for name, sizes in SIZES.items() if size is None or size in sizes), None)
    if family is None or (size is not None and size not in SIZES[family]):
        known = '; '.join(f'{name}: {", ".join(sizes)}' for name, sizes in SIZES.items() if family in (None, name))
        raise ValueError(f'--size {size} does not exist. Sizes of {known}')
    model = Model(task, family, size or FAMILIES[family].default_size, shape or (0, 0))
    if shape is None:
        return Model(task, family, model.size, model.usual_shape)
    near = [max(_PATCH, round(side / _PATCH) * _PATCH) for side in shape]
    if near != list(shape):
        raise ValueError(
            f'--shape {shape[0]} {shape[1]}: patches of {_PATCH} pixels do not tile it. Near: {near[0]} {near[1]}'
        )
    return model
