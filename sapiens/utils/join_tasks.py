"""The configs of several tasks as one, for a model with their heads on one encoder."""

from collections.abc import Mapping
from pathlib import Path

from .config import load_config
from .config_files import read_files_once
from .config_keys import flatten

__all__ = ['join_tasks']

# Settings of a config, and what a config of several tasks calls them.
LOADERS = {'train_dataset': 'train_dataloader', 'val_dataset': 'val_dataloader'}


# Transforms that load the whole image for evaluation, and steps that give it its final size in training.
LOADINGS = ('LoadResize', 'LoadLetterbox')
FINAL_STEPS = ('Resize', 'Letterbox')


@read_files_once()
def join_tasks(whole_image: Mapping | None = None, /, **configs: str | Path) -> dict:
    """Join configs of single tasks. For use in a config::

        _joined = join_tasks(pose='pose/sapiens2_1b_goliath-1024x768', seg='seg/sapiens2_1b_goliath-1024x768')
        model = _joined['model']

    Schedules, batch sizes and hooks are not taken: the new config has its own.

    Args:
        whole_image: config of a ``LoadResize`` or ``LoadLetterbox`` that all tasks of the whole image load with, so that they
            see one input. In training their last resize becomes a ``Letterbox`` or a stretch, as here. By default each task
            keeps its own loading.
        **configs: by the name of the task in the new model: a path, or a shipped config as :func:`.find_config` takes it.

    Returns:
        ``model``, a :class:`sapiens.models.MultiTaskEstimator`; ``train_dataset`` and ``val_dataset``,
        :class:`sapiens.datasets.MultiTaskDataset`; and ``val_evaluator``, the metrics by task. All are configs.

    Raises:
        FileNotFoundError, ValueError: see :func:`.load_config`; no config; configs whose encoders or normalization differ, or
            that lack one of these settings; ``whole_image`` of another type, or pipelines that it has no place in.
    """
    if not configs:
        raise ValueError('join_tasks: give at least one config')
    loaded = {name: load_config(path)._cfg_dict.to_dict() for name, path in configs.items()}
    for name, cfg in loaded.items():
        for key in ('model', *LOADERS.values(), 'val_evaluator'):
            if not cfg.get(key):
                raise ValueError(f'{configs[name]} sets no {key}, which a config of several tasks takes from it')
    model = dict(type='MultiTaskEstimator')
    for key in ('backbone', 'data_preprocessor'):
        shared = _common({name: cfg['model'].pop(key, None) for name, cfg in loaded.items()}, key, configs)
        if shared is not None:
            model[key] = shared
    model['tasks'] = {name: cfg['model'] for name, cfg in loaded.items()}
    datasets = {
        key: dict(
            type='MultiTaskDataset',
            datasets={
                name: _load_alike(cfg[loader]['dataset'], whole_image, f'{configs[name]}: {loader}')
                for name, cfg in loaded.items()
            },
        )
        for key, loader in LOADERS.items()
    }
    return dict(model=model, **datasets, val_evaluator={name: cfg['val_evaluator'] for name, cfg in loaded.items()})


def _common(values: Mapping[str, dict | None], key: str, configs: Mapping[str, str | Path]) -> dict | None:
    """The value that all configs have."""
    (first, wanted), *others = values.items()
    for name, value in others:
        one, two = flatten(wanted or {}), flatten(value or {})
        different = sorted(part for part in one.keys() | two.keys() if one.get(part) != two.get(part))
        if different:
            raise ValueError(
                f'model.{key}.{different[0]} is {one.get(different[0])!r} in {configs[first]} and {two.get(different[0])!r} in '
                f'{configs[name]}: several tasks share one {key}'
            )
    return wanted


def _load_alike(dataset: dict, loading: Mapping | None, where: str) -> dict:
    """The config of a dataset of whole images that loads them as ``loading`` does; one of people stays."""
    if loading is None:
        return dataset
    kind, size = _kind(loading), loading.get('size')
    if kind not in LOADINGS or size is None:
        raise ValueError(f'whole_image={dict(loading)}: expected {" or ".join(LOADINGS)} with a size (w, h)')
    keeps = kind == 'LoadLetterbox' or loading.get('keep_ratio', False)
    step, found = dict(type='Letterbox' if keeps else 'Resize', size=size), []

    def replace(node):
        if isinstance(node, list | tuple):
            return type(node)(replace(value) for value in node)
        if not isinstance(node, dict):
            return node
        name = _kind(node)
        found.append(name)
        if name in LOADINGS:
            return dict(loading)
        if name in FINAL_STEPS and not node.get('keep_ratio'):
            return dict(step)
        return {key: replace(value) for key, value in node.items()}

    replaced = replace(dataset)
    if not {*LOADINGS, *FINAL_STEPS, 'LoadPerson'} & set(found):
        raise ValueError(
            f'{where}: no step gives the whole image its size ({", ".join((*LOADINGS, *FINAL_STEPS))}): whole_image has no place'
        )
    return replaced


def _kind(node: Mapping) -> str:
    return str(node.get('type', '')).rpartition('.')[2]
