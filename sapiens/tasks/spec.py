"""What the package has to know about a task.

Legend: B batch, K channels or keypoints, H W size of an image in pixels, h w size of the network's output.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .fields import MapField

__all__ = ['Output', 'PublishedHead', 'TaskSpec']


@dataclass(frozen=True)
class Output:
    """An output of an exported graph: its name, and what it holds."""

    name: str
    meaning: str


@dataclass(frozen=True)
class PublishedHead:
    """The head of the published models of a task, by which their files are recognized.

    Attributes:
        name: of the module in the checkpoint, ``'head'`` or ``'decode_head'``.
        deconv_channels, conv_channels: of its layers.
        last: name of the last layer.
        outputs: numbers of outputs that were published. They decide only where the layers of two tasks are equal.
    """

    name: str
    deconv_channels: tuple[int, ...]
    conv_channels: tuple[int, ...]
    last: str
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class TaskSpec:
    """What the package has to know about a task.

    Attributes:
        name: in ``configs/<name>``, on command lines, in checkpoints (``meta['task']``) and as a folder of results.
        description: in messages.
        fields: maps that are both target and prediction; the first is the main one. () for tasks without maps.
        inference: the name under which inference runs the task, if it is not ``name``.
        published: head of the published models; None where there are none.
        raw_outputs, decoded_outputs: of an export, without and with decoding. ``{...}`` in a meaning is filled in from the
            model's ``output_facts``.
        predictor, result: classes of inference. None takes those of a dense task.
        metric: registered name of the metric of a config that names no evaluator.
        statistics: class that measures samples and judges the data, see :mod:`sapiens.datasets.statistics`. The default is that
            of the fields.
        drawing: what draws labels and predictions while training and testing: for a task with maps a subclass of
            :class:`sapiens.engine.hooks.dense_drawings.DenseDrawing`, or a function of rows and ``side``, None for the default;
            for other tasks the hook of test figures.
        masked_by_people: results mean something on people only, so a mask of people may go with them.
        gives_mask: name of the result's attribute that is such a mask; None where the task gives none.
        counted: what the head has one output for each of, ``'keypoints'`` for example; their number is reported under this name.
            None where the number of outputs says nothing.
        own_data: what ``sapiens new`` does for the task, a :class:`sapiens.own_data.plan.OwnData` or its
            ``'module:attribute'``; None where it cannot.
        title: plain name for people who do not know the field, on the web page; by default the description.
    """

    name: str
    description: str
    fields: tuple[MapField, ...] = ()
    inference: str | None = None
    published: PublishedHead | None = None
    raw_outputs: tuple[Output, ...] = ()
    decoded_outputs: tuple[Output, ...] = ()
    predictor: str | Callable | None = None
    result: str | Callable | None = None
    metric: str | None = None
    statistics: str | Callable = 'sapiens.datasets.statistics:MapStatistics'
    drawing: str | Callable | None = None
    masked_by_people: bool = False
    gives_mask: str | None = None
    counted: str | None = None
    own_data: Any = None
    title: str = ''

    @cached_property
    def field(self) -> MapField:
        """The main field.

        Raises:
            ValueError: the task has no maps.
        """
        if not self.fields:
            raise ValueError(f'task {self.name!r} predicts no map')
        return self.fields[0]

    @property
    def inference_name(self) -> str:
        return self.inference or self.name
