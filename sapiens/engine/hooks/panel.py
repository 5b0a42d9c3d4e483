"""Pictures of the same few images again and again, while a model trains."""

from abc import abstractmethod
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import is_main_process, master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.structures import BaseDataElement
from PIL import Image

from sapiens.structures import DenseDataSample

from ..random_state import get_random_state, set_random_state

__all__ = ['PanelHook']


class PanelHook(Hook):
    """Writes ``vis_data/<name>_<iteration>.png`` and the same picture to every visual backend.

    The panel is the first images of the first batch of the run, so that two pictures differ by what was learned in between.
    Checkpoints hold it (``panels``, uint8): a resumed run goes on with the same images. Drawing does not touch the random state
    of the training.

    A task adds its drawing: :attr:`name`, what to keep of the labels (:meth:`labels`), and the picture (:meth:`picture`).

    Args:
        interval: iterations between pictures; one more is written at the end.
        num_images: rows of the picture.

    Raises:
        ValueError: numbers below 1.
    """

    priority = 'LOW'
    # File name and title of the picture.
    name = 'panel'

    def __init__(self, interval: int = 100, num_images: int = 8) -> None:
        if interval < 1 or num_images < 1:
            raise ValueError(f'interval={interval} and num_images={num_images} must be 1 or more')
        self.interval, self.num_images = interval, num_images
        # One dict for each image: 'image', uint8 (3, h, w) RGB, and what labels() kept. Tensors and plain values only.
        self.panel: list[dict] | None = None
        self.last_drawn = -1

    # ------------------------------------------------------------------ what a task adds

    def labels(self, sample: BaseDataElement) -> dict:
        """What to keep of a sample beside its image: tensors and plain values, since checkpoints hold them."""
        return {}

    def sample(self, row: dict, index: int) -> BaseDataElement:
        """The data sample that the model gets with the image of a row. It needs no labels."""
        return DenseDataSample(metainfo=dict(sample_idx=index))

    @abstractmethod
    def picture(self, model, rows: list[dict], samples: list[BaseDataElement]) -> np.ndarray:
        """uint8 RGB picture of the rows and the samples that the model returned for them."""

    # ------------------------------------------------------------------ the panel

    def before_train(self, runner) -> None:
        self.last_drawn = runner.iter  # a run that is over already has its picture

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        if self.panel is not None or not is_main_process():
            return
        images, samples = data_batch['inputs'], data_batch['data_samples']
        self.panel = [
            dict(self.labels(sample), image=image.cpu().clone())
            for image, sample in zip(images[: self.num_images], samples, strict=False)
        ]

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        # Of the main process alone: what Runner collects of stateful hooks travels between all of them.
        if self.panel is not None and 'optimizer' in checkpoint:  # not into files of weights
            checkpoint.setdefault('panels', {})[self.name] = self.panel

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        panel = checkpoint.get('panels', {}).get(self.name)
        if panel and is_main_process():
            self.panel = [
                {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in row.items()}
                for row in panel[: self.num_images]  # clones, since the file is mapped into memory
            ]

    # ------------------------------------------------------------------ drawing

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if (runner.iter + 1) % self.interval == 0:
            self.draw(runner, runner.iter + 1)

    def after_train(self, runner) -> None:
        if self.panel is not None and self.last_drawn != runner.iter:
            self.draw(runner, runner.iter)

    @master_only
    def draw(self, runner, step: int) -> None:
        """Write the picture of a step."""
        self.last_drawn = step
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        state, was_training = get_random_state(), model.training
        model.eval()
        try:
            picture = self.picture(model, self.panel, self.predict(model))
        finally:
            model.train(was_training)
            set_random_state(state)
        folder = Path(runner.log_dir) / 'vis_data'
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f'{self.name}_{step:07d}.png'
        Image.fromarray(picture).save(path)
        for backend in runner.visualizer._vis_backends.values():
            # The local backend would write the same file again.
            if type(backend).__name__ != 'LocalVisBackend':
                backend.add_image(self.name, picture, step=step)
        runner.logger.info(f'{self.name.replace("_", " ").capitalize()} picture: {path}')

    @torch.no_grad()
    def predict(self, model) -> list[BaseDataElement]:
        """What the model says to each row; one by one, since a picture must not need more memory than a step."""
        samples = []
        for index, row in enumerate(self.panel):
            samples += model.test_step(dict(inputs=row['image'][None], data_samples=[self.sample(row, index)]))
        return samples
