"""The ways of recomputing activations that an estimate compares."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from sapiens.registry import MODELS

from ..recomputing import KEY

__all__ = ['VARIANTS', 'Variant', 'apply_variant', 'own_variant', 'variants_of']

OFF = 'off'


@dataclass(frozen=True)
class Variant:
    """A way of recomputing activations.

    Attributes:
        name: in tables.
        setting: ``activation_checkpointing`` of a config; None for the config as it is.
    """

    name: str
    setting: Any = None

    @property
    def options(self) -> list[str]:
        """As ``--cfg-options``."""
        if isinstance(self.setting, Mapping):
            return [f'{KEY}.{part}={value}' for part, value in self.setting.items()]
        return [] if self.setting is None else [f'{KEY}={self.setting}']


# Each is measured by a trace of its own.
VARIANTS = (
    Variant('off', OFF),
    Variant('encoder', {'backbone': 'all'}),
    Variant('selective', 'selective'),
    Variant('all', 'all'),
)
AS_CONFIGURED = Variant('as configured')


def variants_of(cfg: Config) -> list[Variant]:
    """The variants of a config; the one that it sets is among them. Encoders of other libraries have none."""
    kind = MODELS.get(_encoder(cfg).get('type', ''))
    if not hasattr(kind, 'parts_to_recompute'):
        return [AS_CONFIGURED]
    own = own_variant(cfg)
    return [*VARIANTS, *([] if own in VARIANTS else [own])]


def own_variant(cfg: Config) -> Variant:
    """The variant that a config sets. The encoder has an option of its own, ``model.backbone.activation_checkpointing``."""
    setting, encoder = cfg.get(KEY, OFF), _encoder(cfg).get(KEY, OFF)
    if setting == OFF and encoder != OFF:
        setting = {'backbone': encoder}
    setting = dict(setting) if isinstance(setting, Mapping) else setting
    return next((variant for variant in VARIANTS if variant.setting == setting), AS_CONFIGURED)


def apply_variant(cfg: Config, variant: Variant) -> Config:
    """A copy of a config with the setting of a variant."""
    changed = copy.deepcopy(cfg)
    if variant.setting is not None:
        changed[KEY] = copy.deepcopy(variant.setting)
        _encoder(changed).pop(KEY, None)
    return changed


def _encoder(cfg: Config) -> Mapping:
    found = cfg.model.get('backbone')
    return found if isinstance(found, Mapping) else {}
