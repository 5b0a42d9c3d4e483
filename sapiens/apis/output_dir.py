"""The folder of a run: what may be in it, whose results it holds, and the files that gather those of all images."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from sapiens.metainfo import Skeleton

from .batch_job import Plan
from .detectors import BoxesFile
from .inputs import Item, is_inside
from .video.video_job import VideoOptions
from .writers.files import file_names
from .writers.pose_formats import write_coco, write_csv

__all__ = ['check_places', 'check_settings', 'write_combined', 'write_settings']

# Of the models' options those that change no result.
NEUTRAL = ('batch_size', 'compile', 'heatmaps')
SETTINGS = '.run.json'


def check_places(items: Sequence[Item], sources: Sequence[str], out: Path) -> None:
    """Inputs are never written to, and results never read as inputs.

    Raises:
        ValueError: an output folder in a folder of inputs, or an input in the output folder.
    """
    folders = [Path(source).expanduser() for source in sources if Path(source).expanduser().is_dir()]
    if is_inside(out, folders):
        raise ValueError(f'--out {out} lies in a folder of inputs: choose one outside of it')
    for item in items:
        if '://' not in item.source and is_inside(Path(item.source), [out]):
            raise ValueError(f'--out {out} holds the input {item.source}: choose another folder')


def check_settings(plan: Plan, video: VideoOptions | None = None) -> None:
    """One folder, one way of computing: results of another model are not taken for this one's.

    Args:
        video: what is done with videos, where there are any.

    Raises:
        ValueError: the folder holds results of other settings.
    """
    path = plan.out / SETTINGS
    if not path.exists():
        return
    before, settings = json.loads(path.read_text()), _settings(plan, video)
    if 'video' not in before:
        settings.pop('video', None)  # there are no results of videos yet
    details = [
        f'{key} was {before.get(key)}, is {settings[key]}' for key in settings if settings[key] != before.get(key)
    ]
    if details:
        raise ValueError(
            f'{plan.out} holds results of other settings: choose another --out, or --overwrite ({"; ".join(details)})'
        )


def write_settings(plan: Plan, video: VideoOptions | None = None) -> None:
    """Write down how the results of a folder were made; arguments as for :func:`check_settings`."""
    path = plan.out / SETTINGS
    before = json.loads(path.read_text()) if path.exists() else {}
    settings = _settings(plan, video)
    if 'video' in before:
        settings.setdefault('video', before['video'])
    path.write_text(json.dumps(settings, indent=2) + '\n')


def _settings(plan: Plan, video: VideoOptions | None) -> dict:
    """What decides about results and how they are written, but not which of them; JSON-able."""
    models = {
        task: {key: value for key, value in options.items() if key not in NEUTRAL}
        for task, options in plan.models.items()
    }
    settings = dict(
        models=models,
        saving={key: value for key, value in dataclasses.asdict(plan.saving).items() if key != 'kinds'},
        detector=plan.detector,
        boxes=plan.boxes,
        mask_dir=plan.mask_dir and str(plan.mask_dir),
    )
    if video is not None:
        settings['video'] = dataclasses.asdict(video)
    return json.loads(json.dumps(settings))  # tuples as lists, as they come back


def write_combined(
    plan: Plan, items: Sequence[Item], coco: bool = True, csv: bool = False, skeleton: Skeleton | None = None
) -> list[str]:
    """Write files of all people from the JSON files of the images, those of earlier runs among them: ``keypoints.coco.json``
    and ``keypoints.csv``.

    The id of an image is that of the boxes file where it has one; else the number that is its name, where all names are numbers;
    else its position in the input, from 1.

    Returns:
        What was written, for people to read.
    """
    if not items or 'pose' not in plan.written() or 'json' not in plan.saving.of('pose'):
        return []
    boxes = BoxesFile(plan.boxes) if plan.boxes else None
    numeric = all(Path(item.name).name.isdigit() for item in items)

    def rows():
        for number, item in enumerate(items, 1):
            file = file_names('pose', plan.stem('pose', item.name), plan.saving)['json']
            image_id = boxes.image_id(item) if boxes else None
            if image_id is None:
                image_id = int(Path(item.name).name) if numeric else number
            if file.exists():
                yield image_id, Path(item.source).name, file

    folder, texts = plan.stem('pose', 'x').parent, []
    if coco:
        path = folder / 'keypoints.coco.json'
        texts.append(f'{write_coco(path, rows())} people in {path}')
    if csv:
        path = folder / 'keypoints.csv'
        texts.append(f'{write_csv(path, rows(), skeleton)} people in {path}')
    return texts
