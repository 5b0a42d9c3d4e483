"""Weights of random values under the names of the package's, through the function that packs trained ones."""

import torch
from mmengine.logging import MMLogger

from sapiens.checkpoints import ZOO
from sapiens.own_weights.pack import CARD
from sapiens.registry import MODELS
from sapiens.utils.config import load_config
from sapiens.utils.loggers import quiet_loggers

from ..apis.tiny import lively

OWN = [name for name, entry in ZOO.items() if entry.is_own]
ABOUT = {key: f'{key} of a test' for key in CARD}


def checkpoint(name, folder, seed=0):
    """A checkpoint of a training of the config of a name: random weights whose outputs differ from place to place."""
    torch.manual_seed(seed)
    with quiet_loggers(MMLogger.get_current_instance()):
        model = MODELS.build(load_config(ZOO[name].config).model)
        model.init_weights()
    if ZOO[name].task != 'person':  # its boxes would be ties, which half precision decides otherwise
        lively(model, seed)
    path = folder / f'{name}-{seed}.pth'
    torch.save(
        dict(state_dict=model.state_dict(), optimizer=dict(state={}), meta=dict(iter=7, task=ZOO[name].task)), path
    )
    return path
