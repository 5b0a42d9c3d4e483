"""A model or an encoder ready for inference, from a config and weights."""

import copy
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger, print_log
from torch import nn

from sapiens.checkpoints import (
    is_huggingface_folder,
    load_weights,
    published_encoder_config,
    read_huggingface_config,
    read_weights,
    resolve_config,
)
from sapiens.models import MAE
from sapiens.models.data_preprocessor import build_normalizer
from sapiens.registry import MODELS
from sapiens.tasks import members_of
from sapiens.utils.checkpoint import START_KEYS
from sapiens.utils.config import load_config
from sapiens.utils.config_options import parse_options, set_option
from sapiens.utils.device import pick_device
from sapiens.utils.loggers import quiet_loggers
from sapiens.utils.terminal import log_brief

__all__ = ['build_model', 'input_pipeline', 'load_encoder', 'read_config']


def read_config(config: str | Path | Config, cfg_options: list[str] | dict[str, Any] | None = None) -> Config:
    """The config of a path, of the name of a published model, of a folder that transformers saved, or the one given, with options
    applied to a copy of it.

    Raises:
        FileNotFoundError, ValueError: see :func:`sapiens.utils.config.load_config`; a name that is neither a file nor known.
    """
    label = 'the given config' if isinstance(config, Config) else str(config)
    if isinstance(config, Config):
        cfg = copy.deepcopy(config)
    elif is_huggingface_folder(config):
        cfg = read_huggingface_config(config)
    else:
        cfg = published_encoder_config(config)
    if cfg is None:
        return load_config(resolve_config(config), cfg_options)
    for key, value in parse_options(cfg_options).items():
        set_option(cfg, key, value, label)
    return cfg


def input_pipeline(cfg: Config, task: str | None = None) -> list[dict]:
    """The pipeline of a config that makes inputs for inference: ``val_pipeline``; of several tasks that of the validation data.

    Args:
        task: name of a task of a model of several; by default the first.
    """
    if not members_of(cfg.model):
        return cfg.get('val_pipeline', [])
    datasets = (cfg.get('val_dataloader') or {}).get('dataset', {}).get('datasets', {})
    name = task or next(iter(members_of(cfg.model)))
    if name not in datasets:
        raise ValueError(f'the config has no val_dataloader.dataset.datasets.{name}, whose pipeline makes the inputs')
    return datasets[name].pipeline


def build_model(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    device: str = 'auto',
    cfg_options: list[str] | dict[str, Any] | None = None,
    partial: bool = False,
) -> nn.Module:
    """The model of a config in evaluation mode, without gradients.

    Args:
        config: path of a config file, name of a published model (:mod:`sapiens.checkpoints`), a folder that transformers saved
            (its weights too are read if no checkpoint is given), or a config.
        checkpoint: path or name of the weights of the whole model, or of the encoder of an autoencoder, which is all that
            inference uses; random weights without, and the log says so. What a config names as the start of a training
            (``init_cfg``, ``pretrained``) is not read.
        device: ``'auto'``, ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ``'mps'``.
        cfg_options: changes of the config, as on a command line (``'model.backbone.arch=tiny'``) or by flat key.
        partial: accept weights without some tensors of the model, such as those of an encoder or of another task; these tensors
            stay random.

    Returns:
        The model; ``model.cfg`` is its config with the options applied. What became of each weight is logged, as a warning
        where a weight of the model was not in the file.

    Raises:
        FileNotFoundError, ValueError: a config or file that does not exist, or weights that do not fit.
    """
    target = pick_device(device)
    cfg = read_config(config, cfg_options)
    if checkpoint is None and not isinstance(config, Config) and is_huggingface_folder(config):
        checkpoint = config
    options = copy.deepcopy(cfg.model)
    for part in (options, options.get('backbone', {}), *members_of(options).values()):
        for key in START_KEYS:
            part.pop(key, None)
    weights = read_weights(checkpoint) if checkpoint else None  # a wrong path fails before a large model is built
    model = MODELS.build(options)
    if weights is None:
        with quiet_loggers(MMLogger.get_current_instance()):  # MMEngine logs a line for each initialized weight
            model.init_weights()
        print_log(f'{cfg.model.type} has random weights: no checkpoint was given', 'current', logging.WARNING)
    else:
        required = 'backbone.' if isinstance(model, MAE) else ''
        report = load_weights(model, weights, required=None if partial else required)
        if report.missing or report.reinitialized:
            print_log(str(report), 'current', logging.WARNING)
        else:
            log_brief(str(report), report.brief)
    model.cfg = cfg
    return model.to(target).eval().requires_grad_(False)


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
    options = {key: value for key, value in cfg.model.backbone.items() if key not in START_KEYS}
    encoder = MODELS.build(dict(options, out_type=out_type, out_indices=out_indices))
    if checkpoint:
        load_weights(encoder, checkpoint, required='')
    else:
        encoder.init_weights()
        print_log(f'{cfg.model.backbone.type} has random weights: no checkpoint was given', 'current', logging.WARNING)
    encoder.normalizer = build_normalizer(cfg.model.get('data_preprocessor'))
    return encoder.to(pick_device(device)).eval().requires_grad_(False)
