"""TensorBoard as a target of curves and figures."""

import numpy as np
from mmengine.visualization import TensorboardVisBackend as _TensorboardVisBackend
from mmengine.visualization.vis_backend import force_init_env

from sapiens.registry import VISBACKENDS

__all__ = ['TensorboardVisBackend']

# What says how fast a run is and how much memory it takes, not how good it is.
SPEED_AND_MEMORY = (
    'time', 'data_time', 'images_per_s', 'data_share', 'memory', 'peak_memory', 'reserved_memory', 'tflops', 'mfu',
    'slowest_step', 'slowest_rank', 'save_share', 'collective_share',
)  # fmt: skip
# The position on the axis, which is not a value.
PLACES = ('iter', 'step', 'epoch')


@VISBACKENDS.register_module()
class TensorboardVisBackend(_TensorboardVisBackend):
    """MMEngine's backend with names in groups: ``train/``, ``val/``, and ``time/`` for speed and memory.

    The learning rate is ``train/lr``, the one of the config where layers have their own. Counters are not written.
    """

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Write a figure, uint8 RGB (H, W, 3). Those of training have names of one word."""
        super().add_image(name if '/' in name else f'train/{name}', image, step, **kwargs)

    @force_init_env
    def add_scalars(
        self, scalar_dict: dict, step: int = 0, file_path: str | None = None, split: str = '', **kwargs
    ) -> None:
        """Write values of a step.

        Args:
            split: ``'train'`` or ``'val'``; other values keep their names.
        """
        super().add_scalars(name_by_group(scalar_dict, split) if split else scalar_dict, step, file_path, **kwargs)


def name_by_group(values: dict, split: str) -> dict:
    """Names with their group, and without the values that are not curves."""
    rate = dict(lr=values['base_lr']) if 'base_lr' in values else {}
    named = {}
    for name, value in (values | rate).items():
        if name in SPEED_AND_MEMORY:
            named[f'time/{name if split == "train" else f"{split}_{name}"}'] = value
        elif name not in (*PLACES, 'base_lr'):
            named[f'{split}/{name.removeprefix(f"{split}_")}'] = value
    return named
