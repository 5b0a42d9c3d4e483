"""Predictor of a model of several tasks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config
from torch import Tensor, nn

from sapiens.tasks import task_of

from ..loading.build import build_model, input_pipeline
from ..masks import set_masks
from ..pipeline import Job
from ..results import ImageResults
from ..task_inputs import TaskInput, TaskInputs
from .base import Predictor
from .by_task import get_predictor_class

__all__ = ['MultiTaskPredictor']


class MultiTaskPredictor(Predictor):
    """Predicts all tasks of a model. Each input is encoded once, whatever the number of tasks that see it.

    Results are :class:`~sapiens.apis.ImageResults` by the names of the tasks in the model. Parts mask the drawings of depth and
    normals, as in :class:`~sapiens.apis.Pipeline`. Options of single tasks go to those that have them.

    Args:
        task: name of the model.
        network: a :class:`sapiens.models.MultiTaskEstimator`.
        preprocess: makes its inputs.
        parts: predictors of the single tasks, by name, for their options and results.
    """

    def __init__(
        self,
        task: str,
        network: nn.Module,
        preprocess: TaskInputs,
        parts: dict[str, Predictor],
        **options,
    ) -> None:
        self.parts = parts
        super().__init__(task, network, preprocess, **options)
        self.detector = next((part.detector for part in parts.values() if part.detector is not None), None)

    @classmethod
    def from_config(
        cls,
        task: str,
        cfg: Config,
        checkpoint: str | Path | None,
        device: str,
        *,
        names: Sequence[str],
        own: Mapping[str, Mapping] | None = None,
        **options,
    ) -> 'MultiTaskPredictor':
        """Build the model of a config for some of its tasks, by name. ``own``: options of single tasks."""
        network = build_model(cfg, checkpoint, device)
        preprocess = TaskInputs({name: input_pipeline(cfg, name) for name in names})
        kinds = {name: get_predictor_class(task_of(network.tasks[name]).inference_name) for name in names}
        parts = {}
        for name, kind in kinds.items():
            given = {key: value for key, value in options.items() if key in kind.options} | dict(
                (own or {}).get(name, {})
            )
            model = network.tasks[name]
            parts[name] = kind(task_of(model).inference_name, model, preprocess, **given)
        of_parts = {key for kind in kinds.values() for key in kind.options}
        common = {key: value for key, value in options.items() if key not in of_parts}
        return cls(task, network, preprocess, parts, **common)

    def members(self) -> dict[str, Predictor]:
        return self.parts

    def collect(self, job: Job) -> ImageResults:
        results = super().collect(job)
        set_masks(results)
        return results

    def compiled_parts(self) -> list[nn.Module]:
        return [self.network.backbone, *(model.head for model in self.network.tasks.values())]

    def predict_batch(self, inputs: Tensor, samples: list[TaskInput]) -> list[dict]:
        outputs: list[dict] = [{} for _ in samples]
        groups: dict[tuple[str, ...], list[int]] = {}
        for row, one in enumerate(samples):
            groups.setdefault(tuple(one.samples), []).append(row)
        for names, rows in groups.items():
            # A compiled model is compiled again for each number of images.
            filled = rows + rows[-1:] * (len(samples) - len(rows)) if self.fixed_batch else rows
            images = inputs if len(rows) == len(samples) else inputs[filled]
            wanted = {name: [samples[row].samples[name] for row in filled] for name in names}
            options = {name: self.parts[name].predict_options for name in names}
            for name, found in self.network.predict_tasks(images, wanted, options).items():
                for row, output in zip(rows, self.parts[name].read(found[: len(rows)]), strict=True):
                    outputs[row][name] = output
        return outputs

    def result(self, image: np.ndarray, path: str, outputs: list[dict]) -> ImageResults:
        return ImageResults(
            {
                name: part.result(image, path, [output[name] for output in outputs if name in output])
                for name, part in self.parts.items()
            }
        )
