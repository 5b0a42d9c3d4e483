"""Pictures of what the masked autoencoder reconstructs, while it trains."""

from pathlib import Path

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from PIL import Image

from sapiens.registry import HOOKS
from sapiens.structures import DenseDataSample
from sapiens.visualization import draw_reconstructions

__all__ = ['ReconstructionHook']


@HOOKS.register_module()
class ReconstructionHook(Hook):
    """Writes ``vis_data/reconstruction_<iteration>.png`` and the same picture to every visual backend.

    The panel is the first images of the first batch of the run, with masks that never change, so that two pictures
    differ by what was learned in between. Drawing does not touch the random state of the training.

    Removed patches are shown in grey levels: where the target is normalised per patch (``norm_pix``), prediction is
    scaled by the true mean and deviation of its patch, as in the published pictures.

    Args:
        interval: iterations between pictures; one more is written at the end.
        num_images: rows of the picture.
    """

    priority = 'LOW'

    def __init__(self, interval: int = 100, num_images: int = 8) -> None:
        if interval < 1 or num_images < 1:
            raise ValueError(f'interval={interval} and num_images={num_images} must be 1 or more')
        self.interval, self.num_images = interval, num_images
        self.panel: torch.Tensor | None = None
        self.last_drawn = -1

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        if self.panel is None:
            self.panel = torch.stack(list(data_batch['inputs'][: self.num_images])).cpu()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if (runner.iter + 1) % self.interval == 0:
            self.draw(runner, runner.iter + 1)

    def after_train(self, runner) -> None:
        if self.panel is not None and self.last_drawn != runner.iter:
            self.draw(runner, runner.iter)

    @master_only
    @torch.no_grad()
    def draw(self, runner, step: int) -> None:
        self.last_drawn = step
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        was_training = model.training
        model.eval()
        samples = []
        for index, image in enumerate(self.panel):  # one by one: a picture must not need more memory than a step
            data = dict(inputs=image[None], data_samples=[DenseDataSample(metainfo=dict(sample_idx=index))])
            samples += model.test_step(data)
        model.train(was_training)
        picture = draw_reconstructions(
            [image.permute(1, 2, 0).numpy() for image in self.panel],
            [sample.mask.cpu().numpy() for sample in samples],
            [sample.pred.permute(1, 2, 0).cpu().numpy() for sample in samples],
        )
        folder = Path(runner.log_dir) / 'vis_data'
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f'reconstruction_{step:07d}.png'
        Image.fromarray(picture).save(path)
        for backend in runner.visualizer._vis_backends.values():
            # The local backend would write the same file again.
            if type(backend).__name__ != 'LocalVisBackend':
                backend.add_image('reconstruction', picture, step=step)
        runner.logger.info(f'Reconstruction picture: {path}')
