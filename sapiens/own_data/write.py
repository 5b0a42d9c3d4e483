"""Writing what ``sapiens new`` makes: label maps, annotation files, the data set file and the config."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from sapiens.registry import DATASETS
from sapiens.utils.files import write_atomically

from .code import as_code, comment
from .label_maps import labels_from_colors
from .model import Model
from .plan import Plan
from .recipe import Schedule, leaf_text

__all__ = ['write_config']


def write_config(
    plan: Plan, name: str, model: Model, out: Path, command: str, progress: Callable = iter
) -> tuple[Path, Schedule, int]:
    """Write all files of a plan.

    Args:
        name: of the data set.
        out: folder; files that exist are not replaced.
        command: for the comment of the data set file.

    Returns:
        The config, its numbers, and the number of training samples.

    Raises:
        FileExistsError: one of the files is there already.
        ValueError: data that the dataset refuses.
    """
    leaf, dataset = out / model.leaf_name(name), out / f'{name}.py'
    written = [leaf, dataset, *map(Path, plan.documents), *(Path(folder) for folder, _, _ in plan.label_maps)]
    for path in written:
        if path.exists():
            raise FileExistsError(
                f'{path} exists, and may have been changed: remove it, or choose another --name or --out'
            )
    text = data_text(plan, command)
    try:
        for folder, files, colors in plan.label_maps:
            labels_from_colors(files, colors, Path(folder), progress)
        for path, document in plan.documents.items():
            write_atomically(path, json.dumps(document))
        write_atomically(dataset, text)
        samples = len(DATASETS.build(_resolved(plan, 'train_dataset')))
        DATASETS.build(_resolved(plan, 'val_dataset'))
        schedule = Schedule.of(samples, model.size)
        write_atomically(leaf, leaf_text(plan, name, model, schedule, samples, out))
    except BaseException:
        _remove(written, out)  # none of them was there before
        raise
    return leaf, schedule, samples


def _remove(paths: list[Path], out: Path) -> None:
    """Remove files and folders, and the folders that are empty then, up to ``out``."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    for folder in sorted({path.parent for path in paths} | {out}, key=lambda path: -len(path.parts)):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def data_text(plan: Plan, command: str) -> str:
    """The data set file. Its comment has all that was inferred."""
    lines = [f'{key} = {as_code(value, room=110 - len(key))}' for key, value in plan.variables.items()]
    text = f'# Written by: {command}\n# What was found in the data, and what follows from it. Correct what is wrong.\n'
    text += comment(plan.notes) + '\n' + '\n'.join(lines) + '\n'
    if '{{' in text or any('\ud800' <= character <= '\udfff' for character in text):
        raise ValueError('a path or name with {{, or one that is not UTF-8, cannot stand in a config file: rename it')
    return text


def _resolved(plan: Plan, key: str) -> dict:
    """A dataset's config with its references replaced by what they refer to."""
    return {
        name: plan.variables.get(value, value) if isinstance(value, str) else value
        for name, value in plan.variables[key].items()
    }
