"""The config of a curation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from sapiens.utils.config import find_config
from sapiens.utils.config_keys import did_you_mean
from sapiens.utils.config_options import parse_options
from sapiens.utils.option_values import require_number

from .filters import Filter, build_filters

__all__ = ['Settings', 'load_settings']

KEYS = dict(
    filters='{name: dict(type=...)}',
    unit_size='number of files that are one unit of work, and at most go to one shard',
    max_megapixels='larger images cannot be read',
)


@dataclass(frozen=True)
class Settings:
    """What a curation does.

    Attributes:
        filters: name -> ``type`` and arguments; see :func:`.filters.build_filters`.
        unit_size: number of files that are one unit of work; those that are kept of it become one shard. A tar shard of the input
            is one unit.
        max_megapixels: larger images count as unreadable.
    """

    filters: Mapping[str, Any]
    unit_size: int = 2000
    max_megapixels: float = 150

    def build(self) -> list[Filter]:
        """Build the filters, which have loaded nothing yet."""
        return build_filters(self.filters)


def load_settings(path: str | Path, options: list[str] | None = None) -> Settings:
    """Read a config of curation.

    Args:
        path: a file, or the name of one in ``configs``.
        options: ``'filters.people.score=0.8'`` strings.

    Raises:
        FileNotFoundError: no such config.
        ValueError: a file that cannot be read, or an unknown key or wrong value.
    """
    path = find_config(path)
    try:
        cfg = Config.fromfile(path, lazy_import=False)
    except Exception as error:  # the file is Python: any error
        raise ValueError(f'{path} cannot be read: {type(error).__name__}: {error}') from error
    content = {key: value for key, value in cfg.to_dict().items() if not key.startswith('_')}
    for key, value in parse_options(options).items():
        _set(content, key, value)
    for key in content:
        if key not in KEYS:
            listing = ', '.join(KEYS)
            raise ValueError(f'{path} sets an unknown key {key!r}{did_you_mean(key, KEYS)}; known are {listing}')
    if not isinstance(content.get('filters'), dict):
        raise ValueError(f'{path} has no filters: expected filters=dict(NAME=dict(type=...))')
    settings = Settings(**content)
    require_number('unit_size', settings.unit_size, least=1, most=10**6, whole=True)
    require_number('max_megapixels', settings.max_megapixels, above=0)
    settings.build()  # raises its errors here
    return settings


def _set(content: dict[str, Any], key: str, value: Any) -> None:
    """Set an option by its flat key. Below a filter that is None, it begins the filter."""
    *above, last = key.split('.')
    node = content
    for index, part in enumerate(above):
        if isinstance(node, dict) and part in node and node[part] is None:
            node[part] = {}
        if not isinstance(node, dict) or not isinstance(node.get(part), dict):
            known = list(node) if isinstance(node, dict) else []
            where = '.'.join(above[: index + 1])
            raise ValueError(f'--cfg-options {key}: the config has no {where!r}{did_you_mean(part, known)}')
        node = node[part]
    node[last] = value  # the filter, or the check of keys, refuses unknown ones
