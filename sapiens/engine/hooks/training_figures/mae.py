"""Figures of the masked autoencoder in training."""

import numpy as np

from sapiens.registry import HOOKS
from sapiens.visualization import draw_reconstructions

from .base import TrainingFigureHook

__all__ = ['ReconstructionHook']


@HOOKS.register_module()
class ReconstructionHook(TrainingFigureHook):
    """Draws rows [original | masked | reconstructed] with fixed masks; see :class:`TrainingFigureHook`.

    Masked patches are gray. With targets normalized per patch (``norm_pix``), predictions are scaled by the true mean and
    standard deviation of their patch, as in the published figures.
    """

    name = 'reconstruction'

    def figure(self, model, rows: list[dict], samples: list) -> np.ndarray:
        return draw_reconstructions(
            [row['image'].permute(1, 2, 0).numpy() for row in rows],
            [sample.mask.cpu().numpy() for sample in samples],
            [sample.pred.permute(1, 2, 0).cpu().numpy() for sample in samples],
            first='augmented crop',
        )
