"""Visualizes a fixed batch at regular intervals of training."""

from abc import abstractmethod
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import is_main_process, master_only
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement
from PIL import Image

from sapiens.structures import DenseDataSample
from sapiens.tasks import member_of
from sapiens.utils.terminal import log_brief, near_path

from ...random_state import get_random_state, set_random_state

__all__ = ['TrainingFigureHook']


class TrainingFigureHook(Hook):
    """Writes ``vis_data/<name>_<iteration>.png`` and sends the same figure to every visual backend.

    The figure shows the first images of the first batch of the run. Checkpoints hold these images (``panels``, uint8), so a
    resumed run shows the same ones. Drawing does not change the random state of training.

    A subclass sets :attr:`name`, selects what to keep of the labels (:meth:`labels`) and draws (:meth:`figure`).

    Args:
        interval: iterations between figures. The run also writes one at its end.
        num_images: rows of the figure.
        task: of a model of several tasks, the one that is shown; it gives the figure its name.

    Raises:
        ValueError: numbers below 1; at the start of the run, a task that the model does not have.
    """

    priority = 'LOW'
    # File name and title of the figure.
    name = 'figure'

    def __init__(self, interval: int = 100, num_images: int = 8, task: str | None = None) -> None:
        if interval < 1 or num_images < 1:
            raise ValueError(f'interval={interval} and num_images={num_images} must be 1 or more')
        self.interval, self.num_images, self.task = interval, num_images, task
        self.name = task or self.name
        # One dict per image: 'image', (3, h, w) uint8 RGB, and the output of labels(). None before the first batch.
        self.rows: list[dict] | None = None
        self.last_drawn = -1

    # ------------------------------------------------------------------ what a task adds

    def labels(self, sample: BaseDataElement) -> dict:
        """Select what to keep of a sample beside its image: tensors and plain values, because checkpoints hold them."""
        return {}

    def sample(self, row: dict, index: int) -> BaseDataElement:
        """Make the data sample, without labels, that the model gets with the image of a row."""
        return DenseDataSample(metainfo=dict(sample_idx=index))

    @abstractmethod
    def figure(self, model, rows: list[dict], samples: list[BaseDataElement]) -> np.ndarray:
        """Draw the rows and the samples that the model returned for them. Returns uint8 RGB (H, W, 3)."""

    def captioned(self, row: dict) -> dict:
        """A row whose captions say that the image is augmented."""
        return {key: f'augmented: {value}' if key.split('.')[-1] == 'name' else value for key, value in row.items()}

    # ------------------------------------------------------------------ the images

    def model_of(self, runner):
        """The model whose predictions are drawn: that of the task."""
        return member_of(runner.bare_model, self.task, f'{type(self).__name__}.task')

    def before_train(self, runner) -> None:
        self.model_of(runner)
        self.last_drawn = runner.iter  # a finished run that is resumed has its figure

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        if self.rows is not None or not is_main_process():
            return
        images, samples = data_batch['inputs'], data_batch['data_samples']
        if self.task is not None and samples[0].metainfo.get('task') != self.task:
            return
        self.rows = [
            dict(self.labels(sample), image=image.cpu().clone())
            for image, sample in zip(images[: self.num_images], samples, strict=False)
        ]

    def state_dict(self) -> list[dict] | None:
        return self.rows

    def load_state_dict(self, state: list[dict]) -> None:
        self.rows = [
            {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in row.items()}
            for row in state[: self.num_images]
        ]

    # ------------------------------------------------------------------ drawing

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if (runner.iter + 1) % self.interval == 0:
            self.draw(runner, runner.iter + 1)

    def after_train(self, runner) -> None:
        if self.last_drawn != runner.iter:
            self.draw(runner, runner.iter)

    def draw(self, runner, step: int) -> None:
        """Write the figure of a step. All ranks must call this, the main process predicts and writes."""
        self.last_drawn = step
        with runner.parallel.gathered(runner.model):
            if self.rows is not None:  # else there was no batch of the task so far
                self._draw(runner, step)

    @master_only
    def _draw(self, runner, step: int) -> None:
        whole, model = runner.bare_model, self.model_of(runner)
        state, was_training = get_random_state(), whole.training
        whole.eval()
        try:
            figure = self.figure(model, self.rows, self.predict(model))
        finally:
            whole.train(was_training)
            set_random_state(state)
        folder = Path(runner.log_dir) / 'vis_data'
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f'{self.name}_{step:07d}.png'
        Image.fromarray(figure).save(path, compress_level=1)  # training waits
        for backend in runner.visualizer._vis_backends.values():
            # The local backend would write the same file again.
            if type(backend).__name__ != 'LocalVisBackend':
                backend.add_image(self.name, figure, step=step)
        text = f'{self.name.replace("_", " ").capitalize()} figure: '
        log_brief(f'{text}{path}', f'{text}{near_path(path)}', runner.logger)

    @torch.no_grad()
    def predict(self, model) -> list[BaseDataElement]:
        """Predict row by row, so that a figure never needs more memory than a training step."""
        samples = []
        for index, row in enumerate(self.rows):
            samples += model.test_step(dict(inputs=row['image'][None], data_samples=[self.sample(row, index)]))
        return samples
