"""The ways of recomputing activations that an estimate compares."""

import copy
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config

from sapiens.models.backbones.interface import Encoder
from sapiens.registry import MODELS

__all__ = ['VARIANTS', 'Variant', 'apply_variant', 'own_variant', 'variants_of']


@dataclass(frozen=True)
class Variant:
    """A way of recomputing activations.

    Attributes:
        name: in tables.
        options: values of a config by flat key; {} for the config as it is.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)


_ENCODER = 'model.backbone.activation_checkpointing'
# Each is measured by a trace of its own. The values are those of a config that does not set the key, for the first one.
VARIANTS = (Variant('off', {_ENCODER: 'off'}), Variant('encoder', {_ENCODER: 'all'}))
AS_CONFIGURED = Variant('as configured')


def variants_of(cfg: Config) -> list[Variant]:
    """The variants of a config; the one that it sets is among them. An encoder of another library has no setting."""
    kind = MODELS.get(cfg.model.backbone.type) if isinstance(cfg.model.get('backbone'), dict) else None
    if not (isinstance(kind, type) and issubclass(kind, Encoder)):
        return [AS_CONFIGURED]
    own = own_variant(cfg)
    return [*VARIANTS, *([] if own in VARIANTS else [own])]


def own_variant(cfg: Config) -> Variant:
    """The variant that a config sets."""
    for variant in VARIANTS:
        if all(_get(cfg, key, VARIANTS[0].options.get(key)) == value for key, value in variant.options.items()):
            return variant
    return AS_CONFIGURED


def apply_variant(cfg: Config, variant: Variant) -> Config:
    """A copy of a config with the options of a variant."""
    changed = copy.deepcopy(cfg)
    changed.merge_from_dict(variant.options)
    return changed


def _get(cfg: Config, key: str, default: Any) -> Any:
    for part in key.split('.'):
        if not isinstance(cfg, dict | Config) or part not in cfg:
            return default
        cfg = cfg[part]
    return cfg
