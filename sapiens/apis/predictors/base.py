"""Base class of predictors: a model with its pre- and postprocessing."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

from sapiens.tasks import member_of, members_of, task_of

from ..loading.build import build_model, input_pipeline
from ..pipeline import Job
from ..preprocess import PersonInput, WholeInput, build_input
from ..results import ImageResults, Result
from .calls import TakesImages

__all__ = ['Predictor']


class Predictor(TakesImages):
    """A model with its pre- and postprocessing, made by :func:`sapiens.apis.load_model`.

    Subclasses implement :meth:`read` and :meth:`result`.

    Attributes:
        options: options of :func:`sapiens.apis.load_model` that only some classes have.
        any_model: whether the encoder of any model will do.

    Args:
        task: name of the task.
        network: the model, on its device.
        preprocess: makes inputs of the network from an image.
        dtype: float32, or bfloat16 / float16 for autocast.
        batch_size, compile, crop, flip_test: see :func:`sapiens.apis.load_model`.
    """

    options: ClassVar[tuple[str, ...]] = ('flip_test',)
    any_model: ClassVar[bool] = False

    def __init__(
        self,
        task: str,
        network: nn.Module,
        preprocess: PersonInput | WholeInput,
        *,
        dtype: torch.dtype = torch.float32,
        batch_size: int = 8,
        compile: bool = False,
        crop: str = 'auto',
        flip_test: bool | None = None,
    ) -> None:
        self.task, self.network, self.preprocess = task, network, preprocess
        self.dtype, self.batch_size = dtype, batch_size
        self.device = next(network.parameters()).device
        self.crop = crop if crop != 'auto' else 'host' if self.device.type == 'cpu' else 'device'
        self.predict_options = {} if flip_test is None else dict(flip_test=flip_test)
        self.fixed_batch = compile
        if compile:
            for part in self.compiled_parts():
                part.compile(dynamic=False)

    @classmethod
    def from_config(cls, task: str, cfg: Config, checkpoint: str | Path | None, device: str, **options) -> 'Predictor':
        """Build the model of a config with its preprocessing; arguments as for :func:`sapiens.apis.load_model`."""
        network, pipeline = build_model(cfg, checkpoint, device), input_pipeline(cfg, task)
        if members_of(network):
            network = member_of(network, task, 'task')
            task = task_of(network).inference_name
        return cls(task, network, build_input(pipeline), **options)

    # ------------------------------------------------------------------ for users

    def models(self) -> dict[str, 'Predictor']:
        return {self.task: self}

    def collect(self, job: Job) -> Result | ImageResults:
        if self.tasks == (self.task,):
            return job.results[self.task]
        return ImageResults({task: job.results[task] for task in self.tasks})

    def members(self) -> dict[str, 'Predictor']:
        """Return the predictor of each result, by its name.

        A model with several heads has several, and its :meth:`result` returns ``ImageResults``.
        """
        return {self.task: self}

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the results."""
        return tuple(self.members())

    # ------------------------------------------------------------------ for the pipeline

    @property
    def on_cores(self) -> bool:
        """Whether batches may be computed side by side, each on one core."""
        return self.device.type == 'cpu' and not self.fixed_batch

    def units(self, image: np.ndarray, boxes: np.ndarray | None, scores: np.ndarray | None) -> list[tuple]:
        """Return (sample, pixels (3, h, w) uint8) of each input; pixels are None where the device makes them."""
        on_host = self.preprocess.on_host if self.crop == 'host' else lambda *_: None
        return [(sample, on_host(image, sample)) for sample in self.preprocess.samples(image, boxes, scores)]

    @torch.inference_mode()
    def forward(self, units: Sequence[tuple]) -> list:
        """Return the outputs of up to ``batch_size`` (image, sample, pixels)."""
        count = len(units)
        samples = [sample for _, sample, _ in units]
        inputs = self._inputs(units)
        if self.fixed_batch and count < self.batch_size:
            missing = self.batch_size - count
            inputs = torch.cat([inputs, inputs[-1:].expand(missing, -1, -1, -1)])
            samples = samples + [samples[-1].clone() for _ in range(missing)]
        autocast = torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)
        with autocast:
            return self.predict_batch(inputs, samples)[:count]

    def _inputs(self, units: Sequence[tuple]) -> Tensor:
        if self.crop == 'host':
            return self.normalize(torch.stack([pixels for _, _, pixels in units]))
        # People of one image share its upload.
        parts = []
        for _, group in itertools.groupby(units, key=lambda unit: id(unit[0])):
            group = list(group)
            pixels = torch.from_numpy(group[0][0]).to(self.device, non_blocking=True).permute(2, 0, 1)
            parts.append(self.preprocess.on_device(pixels, [sample for _, sample, _ in group]))
        return self.normalize(torch.cat(parts))

    # ------------------------------------------------------------------ for subclasses

    def normalize(self, images: Tensor) -> Tensor:
        """Normalize images (B, 3, h, w) of 0-255 on the device."""
        return self.network.data_preprocessor.normalize(images)

    def compiled_parts(self) -> list[nn.Module]:
        """Return the modules that ``compile`` compiles."""
        return [self.network.backbone, self.network.head]

    def predict_batch(self, inputs: Tensor, samples: list) -> list:
        """Return one output per sample, in memory of the host."""
        return self.read(self.network.predict(inputs, samples, **self.predict_options))

    def read(self, samples: list) -> list:
        """Return the outputs of samples that the network has predicted, in memory of the host."""
        raise NotImplementedError

    def result(self, image: np.ndarray, path: str, outputs: list) -> Result | ImageResults:
        """Make the result of an image from the outputs of its inputs. A model of several tasks returns one for each."""
        raise NotImplementedError
