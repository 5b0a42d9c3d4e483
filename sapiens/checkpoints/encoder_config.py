"""Configs of encoders alone: those that are published without one, and those that transformers saved."""

from pathlib import Path

from mmengine.config import Config, ConfigDict

from sapiens.utils.config import load_config

from .zoo import look_up

__all__ = ['encoder_config', 'published_encoder_config']

# Gives the normalization, the decoder and the data of pretraining, which features do without.
RECIPE = 'mae/sapiens_0.3b_humans300m-1024x1024.py'


def encoder_config(backbone: dict) -> Config:
    """The config of features of an encoder.

    Args:
        backbone: its config, with ``img_size`` (h, w), to which whole images are stretched.
    """
    cfg = load_config(RECIPE)
    cfg.model = ConfigDict(dict(cfg.model, backbone=backbone))
    cfg.val_pipeline = [dict(type='LoadResize', size=tuple(backbone['img_size'][::-1])), dict(type='PackImage')]
    return cfg


def published_encoder_config(text: str | Path) -> Config | None:
    """The config of a published encoder that has none in ``configs/`` (Sapiens2); None for everything else.

    Raises:
        ValueError: see :func:`.look_up`.
    """
    found = None if Path(text).expanduser().exists() else look_up(str(text))
    if found is None or found[0].config is not None or found[0].task != 'pretrain':
        return None
    return encoder_config(found[0].encoder)
