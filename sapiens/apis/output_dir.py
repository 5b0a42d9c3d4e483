"""The output folder: checks before a run, the record of its settings, and files that combine all images."""

import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

from sapiens.metainfo import get_skeleton
from sapiens.utils.files import write_atomically

from .batch_job import Plan
from .detectors import BoxesFile
from .inputs import Item, is_inside
from .loading.build import read_config
from .predictors import SKELETONS
from .results import PoseResult
from .video.video_job import VideoOptions
from .writers.pose_formats import write_coco, write_csv

__all__ = ['check_places', 'check_settings', 'write_combined', 'write_settings']

# Options of models that do not change results.
NEUTRAL = ('batch_size', 'compile', 'heatmaps')
SETTINGS = '.run.json'


def check_places(items: Sequence[Item], sources: Sequence[str], out: Path) -> None:
    """Check that results are not written among the inputs.

    Raises:
        ValueError: the output folder is in a folder of inputs, or an input is in the output folder.
    """
    folders = [path for path in (Path(source).expanduser() for source in sources) if path.is_dir()]
    if is_inside(out, folders):
        raise ValueError(f'--out {out} is in a folder of inputs: choose a folder outside of it')
    for item in items:
        if '://' not in item.source and is_inside(Path(item.source), [out]):
            raise ValueError(f'--out {out} holds the input {item.source}: choose another folder')


def check_settings(plan: Plan, video: VideoOptions | None = None) -> None:
    """Check that results in the folder were made with the same settings.

    Args:
        video: options of videos, if there are any.

    Raises:
        ValueError: they were made with other settings.
    """
    path = plan.out / SETTINGS
    if not path.exists():
        return
    before, settings = json.loads(path.read_text()), _settings(plan, video)
    if 'when_nobody' in (before.get('detector') or {}):  # the former name
        before['detector']['if_no_detections'] = before['detector'].pop('when_nobody')
    if 'video' not in before:
        settings.pop('video', None)  # no videos were processed yet
    changed = [key for key in settings if settings[key] != before.get(key)]
    details = [f'{key} was {before.get(key)}, is {settings[key]}' for key in changed]
    if details:
        raise ValueError(
            f'{plan.out} holds results of other settings: choose another --out, or --overwrite ({"; ".join(details)})'
        )


def write_settings(plan: Plan, video: VideoOptions | None = None) -> None:
    """Record the settings of the results in the folder; arguments as for :func:`check_settings`."""
    path = plan.out / SETTINGS
    before = json.loads(path.read_text()) if path.exists() else {}
    settings = _settings(plan, video)
    if 'video' in before:
        settings.setdefault('video', before['video'])
    write_atomically(path, json.dumps(settings, indent=2) + '\n')


def _settings(plan: Plan, video: VideoOptions | None) -> dict:
    """Return the settings that decide the content of files, in plain values."""
    models = {
        task: {key: value for key, value in options.items() if key not in NEUTRAL}
        for task, options in plan.models.items()
    }
    saving = {key: value for key, value in dataclasses.asdict(plan.saving).items() if key not in ('kinds', 'extra')}
    mask_dir = plan.mask_dir and str(plan.mask_dir)
    settings = dict(models=models, saving=saving, detector=plan.detector, boxes=plan.boxes, mask_dir=mask_dir)
    if video is not None:
        settings['video'] = dataclasses.asdict(video)
    return json.loads(json.dumps(settings))  # tuples become lists, as in the file


def write_combined(plan: Plan, items: Sequence[Item], coco: bool = True, csv: bool = False) -> list[str]:
    """Combine the JSON files of all images, including earlier runs, to ``keypoints.coco.json`` and ``keypoints.csv``.

    The id of an image is that of the boxes file if there is one; else its name, if all names are different numbers; else its
    position in the input, from 1. Ids are unique.

    Returns:
        A line of text for each written file.
    """
    kinds = {file.kind for file in PoseResult.chosen(plan.saving)}
    if not items or 'pose' not in plan.written() or 'json' not in kinds:
        return []
    ids = _image_ids(items, BoxesFile(plan.boxes) if plan.boxes else None)

    def rows():
        for image_id, item in zip(ids, items, strict=True):
            path = PoseResult.paths(plan.stem('pose', item.name), plan.saving)['json']
            if path.exists():
                yield image_id, str(Path(item.name).with_name(Path(item.source).name)), path

    folder, texts = plan.stem('pose', 'x').parent, []
    if coco:
        path = folder / 'keypoints.coco.json'
        texts.append(f'{write_coco(path, rows())} people in {path}')
    if csv:
        path = folder / 'keypoints.csv'
        options = plan.models['pose']
        name = SKELETONS.get(options.get('num_keypoints'))
        name = name or read_config(options['model'], options.get('cfg_options')).model.skeleton
        texts.append(f'{write_csv(path, rows(), get_skeleton(name))} people in {path}')
    return texts


def _image_ids(items: Sequence[Item], boxes: BoxesFile | None) -> list[int | str]:
    """Return the id of each image for the combined files."""
    given = [boxes.image_id(item) if boxes else None for item in items]
    names = [Path(item.name).name for item in items]
    numbers = [int(name) for name in names if name.isdecimal()]
    numeric = len(set(numbers)) == len(items)
    free = itertools.count(1)
    taken = set(given) | (set(numbers) if numeric else set())
    ids = []
    for image_id, name in zip(given, names, strict=True):
        if image_id is None and numeric and int(name) not in given:
            image_id = int(name)
        if image_id is None:
            image_id = next(number for number in free if number not in taken)
        ids.append(image_id)
    return ids
