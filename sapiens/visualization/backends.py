"""Weights & Biases and MLflow as targets of curves and figures."""

import os
import re

import numpy as np
from mmengine.config import Config
from mmengine.visualization import MLflowVisBackend as _MLflowVisBackend
from mmengine.visualization import WandbVisBackend as _WandbVisBackend
from mmengine.visualization.vis_backend import force_init_env

from sapiens.registry import VISBACKENDS
from sapiens.utils.optional import require

__all__ = ['MLflowVisBackend', 'WandbVisBackend']


@VISBACKENDS.register_module()
class WandbVisBackend(_WandbVisBackend):
    """MMEngine's backend (``init_kwargs``, ``commit``, ...) with the iteration as the axis of curves and figures.

    MMEngine's leaves the axis to Weights & Biases, which counts the calls.
    """

    AXIS = 'step'

    def _init_env(self) -> None:
        require('wandb', 'WandbVisBackend')
        super()._init_env()
        if self._define_metric_cfg is None:
            self._wandb.define_metric(self.AXIS)
            self._wandb.define_metric('*', step_metric=self.AXIS)

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Send a figure, uint8 RGB (H, W, 3)."""
        self._wandb.log({name: self._wandb.Image(image), self.AXIS: step}, commit=self._commit)

    @force_init_env
    def add_scalar(self, name: str, value, step: int = 0, **kwargs) -> None:
        self.add_scalars({name: value}, step)

    @force_init_env
    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs) -> None:
        self._wandb.log({**scalar_dict, self.AXIS: step}, commit=self._commit)

    def close(self) -> None:
        if hasattr(self, '_wandb'):
            self._wandb.finish()


@VISBACKENDS.register_module()
class MLflowVisBackend(_MLflowVisBackend):
    """MMEngine's backend (``exp_name``, ``tracking_uri``, ...) with a file for each figure and names that MLflow accepts.

    Without a ``tracking_uri`` a run writes to ``mlruns`` files in its own ``vis_data`` folder.
    """

    def _init_env(self) -> None:
        require('mlflow', 'MLflowVisBackend')
        # MLflow 3 refuses stores of files unless told otherwise.
        os.environ.setdefault('MLFLOW_ALLOW_FILE_STORE', 'true')
        super()._init_env()

    @force_init_env
    def add_config(self, config: Config, **kwargs) -> None:
        self.cfg = config
        keys = self._tracked_config_keys or list(config)
        values = self._flatten({key: config.to_dict()[key] for key in keys})
        self._mlflow.log_params({_accepted(key): value for key, value in values.items()})
        self._mlflow.log_text(config.pretty_text, 'config.py')

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Send a figure, uint8 RGB (H, W, 3), as the file ``<name>/<name>_<step>.png``."""
        self._mlflow.log_image(image, f'{name}/{name}_{step:07d}.png')

    @force_init_env
    def add_scalar(self, name: str, value, step: int = 0, **kwargs) -> None:
        super().add_scalar(_accepted(name), value, step)

    @force_init_env
    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs) -> None:
        super().add_scalars({_accepted(name): value for name, value in scalar_dict.items()}, step)


def _accepted(name: str) -> str:
    """A name in the letters that MLflow accepts: ``coco/AP (M)`` becomes ``coco/AP M``, ``seg/mIoU@0.01`` ``seg/mIoU-0.01``."""
    return re.sub(r'[^\w\-. /:]', '-', re.sub('[()]', '', name))
