"""What was found in the data: the content of a data set file, and why."""

from dataclasses import dataclass, field

__all__ = ['Plan', 'Reference']


@dataclass
class Plan:
    """The data set file of a task, and what its recipe must know.

    Attributes:
        task: 'pose', 'seg', 'depth' or 'normal'.
        variables: {name: value} of the file, in order; ``train_dataset``, ``val_dataset`` and ``metric`` are among them.
        best: metric by which the best checkpoint is chosen.
        notes: what was inferred and from what, one sentence each.
        documents: {path: COCO document} to write.
        label_maps: (folder, {file name: mask in colors}, {RGB: label}) of label maps to write.
        min_visible: of pose, for the recipe.
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
