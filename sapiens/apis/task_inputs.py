"""Inputs of a model of several tasks, made so that tasks with the same input share it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from .preprocess import PersonInput, WholeInput, build_input, make_person

__all__ = ['TaskInput', 'TaskInputs']


@dataclass
class TaskInput:
    """One input of the network.

    Attributes:
        preprocess: makes its pixels.
        place: sample of the preprocessing, with the geometry.
        samples: the sample of each task that sees this input, by name.
    """

    preprocess: PersonInput | WholeInput
    place: BaseDataElement
    samples: dict[str, BaseDataElement]

    def clone(self) -> 'TaskInput':
        samples = {name: sample.clone() for name, sample in self.samples.items()}
        return TaskInput(self.preprocess, self.place, samples)


class TaskInputs:
    """Makes the inputs of an image.

    Tasks of the whole image whose pipelines load it alike share one input. Tasks of people get a crop of each box. A single box
    that is the whole image, as without a detector, needs no crop: these tasks share the input of the first of the others.

    Args:
        pipelines: ``val_pipeline`` of each task, by name.

    Raises:
        ValueError: inputs of several sizes, which cannot be computed together.
    """

    def __init__(self, pipelines: Mapping[str, Sequence[dict]]) -> None:
        self.groups: list[tuple[PersonInput | WholeInput, list[str]]] = []
        made: list[tuple[Any, list[str]]] = []
        for name, pipeline in pipelines.items():
            preprocess = build_input(pipeline)
            key = _loading(preprocess)
            for other, names in made:
                if other == key:
                    names.append(name)
                    break
            else:
                made.append((key, [name]))
                self.groups.append((preprocess, made[-1][1]))
        sizes = {name: tuple(preprocess.size) for preprocess, names in self.groups for name in names}
        if len(set(sizes.values())) > 1:
            raise ValueError(
                f'the tasks take inputs of several sizes (w, h): {sizes}. Give their val_pipelines one size, or load one task '
                'with task=NAME'
            )
        self.size = next(iter(sizes.values()))
        self.people = [(preprocess, names) for preprocess, names in self.groups if preprocess.needs_boxes]
        self.whole = [(preprocess, names) for preprocess, names in self.groups if not preprocess.needs_boxes]

    @property
    def needs_boxes(self) -> bool:
        return bool(self.people)

    def samples(
        self, image: np.ndarray, boxes: np.ndarray | None = None, scores: np.ndarray | None = None
    ) -> list[TaskInput]:
        """Return the inputs of an image with its people."""
        made = []
        for preprocess, names in self.whole:
            (place,) = preprocess.samples(image)
            made.append(TaskInput(preprocess, place, {name: place.clone() for name in names}))
        for preprocess, names in self.people:
            if self.whole and _is_whole(boxes, image):
                made[0].samples.update((name, self._person(image, made[0].place, boxes, scores)) for name in names)
                continue
            for place in preprocess.samples(image, boxes, scores):
                made.append(TaskInput(preprocess, place, {name: place.clone() for name in names}))
        return made

    def _person(self, image: np.ndarray, whole: BaseDataElement, boxes: np.ndarray, scores: np.ndarray):
        """The sample of a person who is the whole image, in the input of the whole image."""
        matrix, last = whole.warp_matrix, np.array(self.size, np.float64) - 1
        factors = matrix[[0, 1], [0, 1]]
        # The first and the last pixel of the input, in pixels of the image, are the ends of the crop.
        scale = last / factors
        center = -matrix[:, 2] / factors + scale / 2
        (box,), (score,) = np.reshape(boxes, (1, 4)), np.reshape(scores, 1)
        return make_person(image, self.size, box, score, center, scale, matrix)

    def on_host(self, image: np.ndarray, one: TaskInput) -> Tensor:
        """Return an input (3, h, w) uint8."""
        return one.preprocess.on_host(image, one.place)

    def on_device(self, image: Tensor, inputs: Sequence[TaskInput]) -> Tensor:
        """Return inputs (B, 3, h, w) float32, rounded to integers, of an image (3, H, W) on the device."""
        return torch.cat([one.preprocess.on_device(image, [one.place]) for one in inputs])


def _loading(preprocess: PersonInput | WholeInput) -> tuple:
    """What decides the pixels of an input. Equal ones may share it."""
    options = {key: value for key, value in vars(preprocess.transform).items() if not key.startswith('_')}
    return type(preprocess), type(preprocess.transform), getattr(preprocess, 'padding', None), options


def _is_whole(boxes: np.ndarray | None, image: np.ndarray) -> bool:
    """Whether the only box is the image."""
    height, width = image.shape[:2]
    return boxes is not None and np.array_equal(np.asarray(boxes).reshape(-1, 4), [[0, 0, width, height]])
