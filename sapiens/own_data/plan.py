"""What was found in the data, and what ``sapiens new`` does for each task."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sapiens.tasks import get_task, resolve

__all__ = ['OwnData', 'Plan', 'Reference', 'own_data_of']


@dataclass
class Plan:
    """The data set file of a task, and what its recipe must know.

    Attributes:
        task: name of one that has ``own_data``.
        variables: {name: value} of the file, in order; ``train_dataset``, ``val_dataset`` and ``metric`` are among them.
        best: metric by which the best checkpoint is chosen.
        notes: what was inferred and from what, one sentence each.
        documents: {path: COCO document} to write.
        label_maps: (folder, {file name: mask in colors}, {RGB: label}) of label maps to write.
        min_visible: keypoints that a crop has to show at least; 0 for tasks without keypoints.
    """

    task: str
    variables: dict = field(default_factory=dict)
    best: str = ''
    notes: list[str] = field(default_factory=list)
    documents: dict[str, dict] = field(default_factory=dict)
    label_maps: list[tuple] = field(default_factory=list)
    min_visible: int = 0


class Reference(str):
    """The name of a variable of the data set file; written without quotes."""

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class OwnData:
    """What ``sapiens new`` does for a task.

    Attributes:
        look: ``look(data, name, out, doubts) -> Plan`` of the ``data``, a file or folder. ``name`` is that of the data set,
            ``out`` the folder of what has to be written.
        figures: hook that draws while training.
        model: options of the model that are variables of the data set file.
        tiny_rate: learning rate of the tiny model, where that of its schedule is not the best.
    """

    look: Callable[..., Plan]
    figures: str
    model: dict = field(default_factory=dict)
    tiny_rate: float | None = None


def own_data_of(task: str) -> OwnData:
    """What ``sapiens new`` does for a task that has ``own_data``."""
    return resolve(get_task(task).own_data)
