"""Loading of an encoder alone."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from torch import nn

from sapiens.checkpoints import load_weights
from sapiens.registry import MODELS
from sapiens.utils.device import pick_device

__all__ = ['load_encoder']


def load_encoder(
    cfg: Config,
    checkpoint: str | Path | None = None,
    device: str = 'auto',
    out_type: str = 'featmap',
    out_indices: int | Sequence[int] = -1,
) -> nn.Module:
    """Load the encoder of a config, with its data preprocessor as ``encoder.normalizer``, in evaluation mode.

    Args:
        cfg: a config whose ``model`` has a ``backbone``.
        checkpoint: weights of the whole model or of the encoder, a file or the name of a published model; random weights
            by default.
        device: ``'auto'``, ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ``'mps'``.
        out_type: ``'featmap'`` (C, h, w), ``'raw'`` (tokens, C), or ``'cls_token'`` (C).
        out_indices: blocks whose outputs are returned; negative ones count from the end.
    """
    options = {key: value for key, value in cfg.model.backbone.items() if key != 'init_cfg'}
    encoder = MODELS.build(dict(options, out_type=out_type, out_indices=out_indices))
    if checkpoint:
        load_weights(encoder, checkpoint)
    else:
        encoder.init_weights()
    encoder.normalizer = MODELS.build(cfg.model.get('data_preprocessor') or dict(type='ImageNormalizer'))
    return encoder.to(pick_device(device)).eval().requires_grad_(False)
