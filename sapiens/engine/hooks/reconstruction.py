"""Pictures of what the masked autoencoder reconstructs, while it trains."""

import numpy as np

from sapiens.registry import HOOKS
from sapiens.visualization import draw_reconstructions

from .panel import PanelHook

__all__ = ['ReconstructionHook']


@HOOKS.register_module()
class ReconstructionHook(PanelHook):
    """Writes rows [original | masked | reconstructed], with masks that never change; see :class:`PanelHook`.

    Removed patches are shown in grey levels: where the target is normalised per patch (``norm_pix``), prediction is
    scaled by the true mean and deviation of its patch, as in the published pictures.
    """

    name = 'reconstruction'

    def picture(self, model, rows: list[dict], samples: list) -> np.ndarray:
        return draw_reconstructions(
            [row['image'].permute(1, 2, 0).numpy() for row in rows],
            [sample.mask.cpu().numpy() for sample in samples],
            [sample.pred.permute(1, 2, 0).cpu().numpy() for sample in samples],
        )
