"""The output folder: checks before a run, and files that combine all images."""

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from sapiens.metainfo import Skeleton, get_skeleton
from sapiens.utils.counting import count_of

from .batch_job import Outcome, Plan
from .detectors import BoxesFile
from .inputs import Item, is_inside
from .loading.build import read_config
from .loading.load_model import model_of
from .masks import MASK_SUFFIXES
from .path_lists import LIST_SUFFIXES
from .predictors import SKELETONS
from .results import PersonResult, PoseResult
from .results.by_task import get_result_class
from .run_record import RECORD
from .writers.box_formats import box_entries, read_boxes
from .writers.pose_formats import read_people, write_coco, write_csv

__all__ = ['COMBINED', 'FAILURES', 'check_overwriting', 'check_places', 'clashes', 'skeleton_of', 'write_combined']

FAILURES, COMBINED = 'failures.txt', ('keypoints.coco.json', 'keypoints.csv', 'people.coco.json')


def check_places(items: Sequence[Item], sources: Sequence[str], out: Path) -> None:
    """Check that results are not written among the inputs.

    Raises:
        ValueError: the output folder is a file or in a folder of inputs, or an input is in the output folder.
    """
    if os.path.lexists(out) and not out.is_dir():
        raise ValueError(f'--out {out} is a file: give the name of a folder')
    folders = [path for path in map(os.path.expanduser, sources) if os.path.isdir(path)]
    if is_inside(out, folders):
        raise ValueError(f'--out {out} is in a folder of inputs: choose a folder outside of it')
    for item in items:
        if is_inside(item.source, [out]):
            raise ValueError(f'--out {out} holds the input {item.source}: choose another folder')


def check_overwriting(plan: Plan, items: Sequence[Item], sources: Sequence[str]) -> None:
    """Check that no file with boxes, masks or the list of images has the name of a result.

    Raises:
        ValueError: one has, or a folder has the name of a file of the run.
    """
    for path in _own_files(plan):
        if path.is_dir():
            raise ValueError(f'{path} is a folder, and the run writes a file of this name: choose another --out')
    read = [Path(source).expanduser() for source in sources if source.lower().endswith(LIST_SUFFIXES)]
    read += [Path(plan.boxes).expanduser()] if plan.boxes else []
    if plan.mask_dir:
        read += [Path(f'{plan.mask_dir / item.name}{suffix}') for item in items for suffix in MASK_SUFFIXES]
    read = [path for path in read if is_inside(path, [plan.out])]
    if not read:
        return
    written = _own_files(plan).union(*(plan.files(item.name) for item in items))
    real = {os.path.realpath(path) for path in written}
    for path in read:
        if os.path.realpath(path) in real:
            raise ValueError(f'{path} would be overwritten by a result: choose another --out than {plan.out}')


def clashes(plan: Plan, items: Sequence[Item]) -> list[Outcome]:
    """Return failures of the images whose results would have the names of other files.

    These are files of the run itself, or results of another image: with ``heatmaps``, ``a.jpg`` and ``a_heatmaps.jpg`` both have
    ``a_heatmaps.jpg``.
    """
    own, names, failed = {str(path) for path in _own_files(plan)}, {item.name for item in items}, {}
    for task in plan.written():
        suffixes = {path.name[1:] for path in get_result_class(task).paths(Path('x'), plan.saving).values()}
        additions = {one.removesuffix(other) for one in suffixes for other in suffixes if one.endswith(other)} - {''}
        for item in items:
            others = [item.name.removesuffix(end) for end in additions if item.name.endswith(end)]
            other = next((name for name in others if name in names), None)
            path = next((path for end in suffixes if (path := f'{plan.stem(task, item.name)}{end}') in own), None)
            if other or path:
                whose = f'the image {other}' if other else f'the whole run, {path}'
                failed[item] = Outcome(item, f'its results would overwrite those of {whose}: rename the image')
    return list(failed.values())


def _own_files(plan: Plan) -> set[Path]:
    """Paths of the files that a run writes in addition to the results of its images."""
    return {plan.out / name for name in (RECORD, FAILURES)} | {
        plan.stem(task, name) for task in plan.written() for name in COMBINED
    }


def write_combined(
    plan: Plan, items: Sequence[Item], coco: bool = True, csv: bool = False, since: int = 0
) -> tuple[list[str], list[Outcome]]:
    """Combine the JSON files of all images, including earlier runs: poses to ``keypoints.coco.json`` and ``keypoints.csv``, boxes
    of people to ``people.coco.json``.

    The id of an image is that of the boxes file if there is one; else its name, if all names are different numbers; else its
    position in the input, from 1. Ids are unique.

    Args:
        since: time in nanoseconds; older files are not results of these settings.

    Returns:
        A line of text for each written file, and the failures: results that cannot be read.
    """
    tasks = {
        kind: next((task for task in plan.written() if issubclass(get_result_class(task), kind)), None)
        for kind in (PoseResult, PersonResult)
    }
    chosen = {
        kind: task
        for kind, task in tasks.items()
        if task is not None and 'json' in {file.kind for file in kind.chosen(plan.saving)}
    }
    if not items or not chosen:
        return [], []
    ids = _image_ids(items, BoxesFile(plan.boxes) if plan.boxes else None)
    failed: dict[Item, Outcome] = {}

    def rows(kind: type, task: str, read: Callable):
        for image_id, item in zip(ids, items, strict=True):
            path = kind.paths(plan.stem(task, item.name), plan.saving)['json']
            if not os.path.isfile(path) or path.stat().st_mtime_ns < since:
                continue
            try:
                people = read(path)
            except (OSError, ValueError) as error:
                failed[item] = Outcome(item, f'its result cannot be read: {error}')
                continue
            yield image_id, str(Path(item.name).with_name(Path(item.source).name)), people

    writers = []
    if task := chosen.get(PoseResult):
        poses = partial(rows, PoseResult, task, read_people)
        if coco:
            writers.append((task, COMBINED[0], lambda path: write_coco(path, poses())))
        if csv:
            skeleton = skeleton_of(plan.models[task])
            writers.append((task, COMBINED[1], lambda path: write_csv(path, poses(), skeleton)))
    if coco and (task := chosen.get(PersonResult)):
        boxes = partial(rows, PersonResult, task, read_boxes)
        writers.append((task, COMBINED[2], lambda path: write_coco(path, boxes(), box_entries)))
    texts = []
    for task, name, write in writers:
        path = plan.stem(task, 'x').parent / name
        texts.append(f'{count_of(write(path), "person", "people")} in {path}')
    return texts, list(failed.values())


def skeleton_of(options: Mapping) -> Skeleton:
    """Return the skeleton of the results of a pose model, from options of :func:`sapiens.apis.load_model`."""
    name = options.get('keypoints_as') or SKELETONS.get(options.get('num_keypoints'))
    if name is None:
        name = model_of(read_config(options['model'], options.get('cfg_options')), options['task']).skeleton
    return get_skeleton(name)


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
