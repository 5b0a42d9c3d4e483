"""Looking at labeled pixels: classes of COCO segments, Labelme's files, and masks of ids or colors."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from sapiens.datasets.transforms.decoding import BadImage
from sapiens.datasets.transforms.label_files import ColoredLabels, read_ids
from sapiens.metainfo import get_classes
from sapiens.metainfo.classes import CLASSES, IGNORE
from sapiens.tasks import map_fields

from .coco_files import find_coco_files, held_out, last_part, relative_to, split_document
from .doubts import Doubts
from .folders import Folders, complete_samples, find_folders
from .label_maps import IGNORED_NAMES, labels_of_names, read_labelmap
from .plan import OwnData, Plan, Reference
from .sides import mirror_pairs
from .sources import choose_files, find_images

__all__ = ['OWN_DATA', 'look_at_classes']

LABELS = (
    *('labels', 'label', 'masks', 'mask', 'seg', 'segs', 'segmentation', 'segmentations', 'annotations', 'ann_dir'),
    *('segmentationclass', 'segmentationclasspng', 'gt', 'parsing'),
)
# Files in which tools list the classes of masks.
LISTS = ('_classes.csv', 'class_names.txt', 'classes.txt', 'labels.txt', 'label_names.txt')
_SAMPLED = 200


def look_at_classes(data: str, name: str, out: str, doubts: Doubts) -> Plan:
    """The data set of a folder or file with labeled pixels.

    Args:
        name: of the data set; a new class list gets it.
        out: folder for what has to be written.

    Raises:
        FileNotFoundError, ValueError: nothing usable, or a doubt that nobody settles.
    """
    files = find_coco_files(data)
    plan = Plan('seg', best='seg/mIoU')
    masks = _mask_folder(data)
    segments = [file for file in files if file.segments.total()]
    if segments and masks and doubts.get('labels') is None and doubts.get('train') is None:
        raise ValueError(
            f'{data} has COCO files with segments, such as {segments[0].path}, and masks in {masks}: say which ones to take with '
            '--train FILE or --labels FOLDER'
        )
    if doubts.get('labels') is None and (doubts.get('train') or segments):
        names = _from_coco(files, data, out, doubts, plan)
    elif files and doubts.get('labels') is None and not masks:
        found = '\n'.join(f'  {file.describe()}' for file in files[:20])
        raise ValueError(f'no COCO file with segments (polygons or run lengths) was found:\n{found}')
    else:
        names = _from_masks(data, out, doubts, plan)
    if isinstance(names, str):
        classes = names
    else:
        flip, note = mirror_pairs(names, doubts, 'classes', must_have=False)
        plan.notes.append(note)
        classes = dict(name=name, classes=names)
        if flip is not True:
            classes['flip'] = flip
    get_classes(classes)
    plan.variables = dict(
        classes=classes, **plan.variables, metric=dict(type='SegMetric', classes=Reference('classes'))
    )
    return plan


def _from_coco(files, data, out, doubts, plan: Plan) -> list[str] | str:
    """Classes of COCO segments."""
    train, val = choose_files(files, doubts, lambda file: file.segments.total() > 0, 'segments')
    used = [file for file in (train, val) if file is not None]
    names = {}
    for file in used:
        for number, category in file.categories.items():
            if file.segments[number]:
                names.setdefault(str(category.get('name')), 0)
                names[str(category.get('name'))] += file.segments[number]
    plan.notes.append(
        'classes are the categories with segments: ' + ', '.join(f'{name} ({n})' for name, n in names.items())
    )
    chosen, categories = _class_names(list(names), doubts, plan)
    root = data if os.path.isdir(data) else os.path.dirname(data) or '.'
    dataset = dict(type='SegmentationDataset', classes=Reference('classes'), data_root=os.path.abspath(root))
    if categories:
        dataset['categories'] = categories
    parts = []
    for role, file in zip(('train', 'val'), used, strict=False):
        folder, shortened = find_images(file, data, doubts)
        why = [f'{count} with {what} were found' for what, count in file.left_out.items()]
        if len(used) == 2 and file.document is None and not shortened:
            parts.append(dict(ann_file=relative_to(file.path, root), images=relative_to(folder, root)))
            plan.notes.append(f'{role}: {file.path}, images in {folder}')
            continue
        document = file.content()
        if shortened:
            why.append('file names shortened to their last part')
            for image in document['images']:
                image['file_name'] = last_part(image['file_name'])
        documents = {role: document}
        if len(used) == 1:
            labelled = {item['image_id'] for item in document['annotations'] if item.get('segmentation')}
            photos = [image['file_name'] for image in document['images'] if image['id'] in labelled]
            documents, note = split_document(document, held_out(photos), len(photos))
            why.append(note)
        for split, part in documents.items():
            path = os.path.join(os.path.abspath(out), 'annotations', f'{split}.json')
            plan.documents[path] = part
            parts.append(dict(ann_file=path, images=relative_to(folder, root)))
        why = '; '.join(why) or 'as COCO'
        plan.notes.append(f'{" and ".join(documents)}: annotations/*.json, made from {file.path}: {why}')
    plan.variables = dict(
        train_dataset=dict(dataset, **parts[0]), val_dataset=dict(dataset, **parts[1], test_mode=True)
    )
    plan.notes.append('pixels in no segment are background; where segments overlap, the smaller one counts')
    return chosen


def _class_names(names: list[str], doubts: Doubts, plan: Plan) -> tuple[list[str] | str, dict]:
    """Classes of categories, the background first, and {category: class} where they differ."""
    given = doubts.get('classes')
    if given is not None:
        chosen = _parse_classes(given)
        listed = get_classes(chosen).classes if isinstance(chosen, str) else chosen
        missing = [name for name in names if name not in listed]
        if missing:
            raise ValueError(f'--classes {given} lacks {", ".join(missing)}, which have segments')
        return chosen, {}
    background = [name for name in names if name.lower().strip('_') == 'background']
    ignored = [name for name in names if name.lower() in IGNORED_NAMES]
    rest = [name for name in names if name not in background + ignored]
    categories = dict.fromkeys(ignored, IGNORE)
    if ignored:
        plan.notes.append(f'pixels of {", ".join(ignored)} are ignored')
    categories |= {name: 'background' for name in background if name != 'background'}
    return ['background', *rest], categories


def _parse_classes(text: str) -> list[str] | str:
    """``a,b,c``, a registered list, or a .py file."""
    if text in CLASSES or text.endswith('.py'):
        return os.path.abspath(text) if text.endswith('.py') else text
    return [part.strip() for part in text.split(',')]


def _mask_folder(data: str) -> str | None:
    """A folder with masks, by its name or by those of its files; None without."""
    suffixes = map_fields()['sem_seg'].suffixes
    for folder, _, names in os.walk(data):
        files = [name.lower() for name in names if name.lower().endswith(suffixes)]
        inside = os.path.relpath(folder, data).lower().split(os.sep)
        if files and (set(inside) & set(LABELS) or any(name.endswith(('_mask.png', '_seg.png')) for name in files)):
            return folder
    return None


def _from_masks(data, out, doubts, plan: Plan) -> list[str] | str:
    """Classes of folders of masks."""
    suffixes = map_fields()['sem_seg'].suffixes
    train, val, notes = find_folders(data, LABELS, suffixes, doubts, 'masks')
    plan.notes += notes
    dataset = dict(type='SegmentationDataset', classes=Reference('classes'), data_root=os.path.abspath(data))
    dataset |= complete_samples((train, val), data, suffixes, doubts, 'mask')
    files = {**train.files(data, suffixes), **val.files(data, suffixes)}
    paths = list(files.values())
    sample = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, min(len(paths), _SAMPLED)).astype(int))]
    listed = _listed_classes(data, train)
    try:
        counts = _count_values(sample)
    except ColoredLabels:
        names = _from_colors(train, val, data, out, doubts, plan)
        values = {}
    else:
        names, values = _names_of_values(counts, listed, doubts, plan)
    if values:
        dataset['values'] = values
    parts = []
    for folders, test in ((train, False), (val, True)):
        part = dict(images=folders.images, labels=folders.labels, label_ending=folders.ending, part=folders.part)
        if not folders.ending:
            del part['label_ending']
        if folders.part == (0, 1):
            del part['part']
        parts.append(dict(dataset, **part, **(dict(test_mode=True) if test else {})))
    plan.variables = dict(train_dataset=parts[0], val_dataset=parts[1])
    return names


def _count_values(paths: list[str]) -> np.ndarray:
    """(256,) pixels of each value.

    Raises:
        ColoredLabels: masks in colors.
        ValueError: a mask that cannot be read.
    """
    counts = np.zeros(256, np.int64)
    for path in paths:
        try:
            ids = read_ids(path)
        except ColoredLabels:
            raise
        except BadImage as error:
            raise ValueError(f'{path}: {error}') from error
        counts += np.bincount(ids.ravel(), minlength=256)
    return counts


def _names_of_values(counts, listed: list[str] | None, doubts: Doubts, plan: Plan) -> tuple[list[str] | str, dict]:
    """Names of the classes of masks of ids, and {value: class} where values are not the ids."""
    found = np.flatnonzero(counts).tolist()
    shares = ', '.join(f'{value} ({counts[value] / counts.sum():.1%})' for value in found[:20])
    plan.notes.append(f'values in the masks: {shares}')
    given, classes = doubts.get('values'), doubts.get('classes')
    names = _parse_classes(classes) if classes else listed
    if given is None and names is not None:
        count = len(get_classes(names).classes) if isinstance(names, str) else len(names)
        wrong = [value for value in found if count <= value < IGNORE]
        # Masks of 0 and 255 only would be nothing but background and ignored pixels.
        if not wrong and found != [0, IGNORE] and found != [IGNORE]:
            ignored = '; 255 is ignored' if IGNORE in found else ''
            plan.notes.append(f'values are the positions in the list of {count} classes{ignored}')
            return names, {}
    example = '0=background,255=person' if set(found) <= {0, IGNORE} else '0=background,1=hat,255=ignore'
    answer = given or doubts.settle(
        'values', f'The masks have the values {shares}: what does each mean', example=example
    )
    return _parse_values(answer, found)


def _parse_values(text: str, found: list[int]) -> tuple[list[str], dict]:
    """``0=background,255=person,128=ignore``."""
    values = {}
    for part in text.split(','):
        value, _, name = part.partition('=')
        if not value.strip().isdigit() or not name.strip() or int(value) > 255:
            raise ValueError(f'--values {text}: expected pairs of value and class such as 0=background,255=person')
        values[int(value)] = None if name.strip() in (*IGNORED_NAMES, 'ignored') else name.strip()
    missing = [value for value in found if value not in values]
    if missing:
        raise ValueError(
            f'--values {text} does not say what {", ".join(map(str, missing[:8]))} mean, which the masks have'
        )
    names = list(dict.fromkeys(name for name in values.values() if name is not None))
    names.sort(key=lambda name: name.lower().strip('_') != 'background')
    return names, values


def _listed_classes(data: str, folders: Folders) -> list[str] | None:
    """Classes as a file of the data lists them, None without one."""
    for folder in dict.fromkeys((data, os.path.join(data, folders.labels), os.path.join(data, folders.images))):
        for name in LISTS:
            path = Path(folder, name)
            if not path.is_file():
                continue
            lines = [line.strip() for line in path.read_text(encoding='utf-8-sig').splitlines() if line.strip()]
            if name.endswith('.csv'):  # Roboflow: "Pixel Value, Class"
                rows = [line.split(',') for line in lines if line.split(',')[0].strip().isdigit()]
                ids = {int(value): label.strip() for value, label in rows}
                lines = [ids.get(value, f'unused_{value}') for value in range(max(ids, default=-1) + 1)]
            return [line for line in lines if line.lower() not in IGNORED_NAMES] or None
    labelmap = Path(data, 'labelmap.txt')
    return list(read_labelmap(labelmap)) if labelmap.is_file() else None


def _from_colors(train: Folders, val: Folders, data: str, out: str, doubts: Doubts, plan: Plan) -> list[str]:
    """Plan label maps for masks in colors; returns the classes."""
    suffixes = map_fields()['sem_seg'].suffixes
    places = (os.path.join(data, folder, 'labelmap.txt') for folder in ('', train.labels))
    path = doubts.get('colors') or next((place for place in places if os.path.isfile(place)), None)
    if path is None:
        first = next(iter(train.files(data, suffixes).values()))
        with Image.open(first) as image:
            colors = Counter(map(tuple, np.array(image.convert('RGB')).reshape(-1, 3).tolist()))
        listing = '; '.join(','.join(map(str, color)) for color, _ in colors.most_common(6))
        question = (
            f'The masks are in colors ({listing} in {first}): which file names them, in lines name:red,green,blue::'
        )
        path = doubts.settle('colors', question, example='labelmap.txt')
    colors = read_labelmap(path)
    ids = labels_of_names(list(colors))
    targets = {}
    for role, folders in (('train', train), ('val', val)):
        if folders.labels not in targets:
            targets[folders.labels] = target = os.path.join(os.path.abspath(out), 'labels', role)
            files = {f'{stem}.png': mask for stem, mask in folders.files(data, suffixes).items()}
            plan.label_maps.append((target, files, {colors[name]: label for name, label in ids.items()}))
        folders.labels, folders.ending = targets[folders.labels], ''
    plan.notes.append(f'labels/*: label maps made from masks in colors, by {path}')
    return [name for name, label in ids.items() if label != IGNORE]


OWN_DATA = OwnData(look_at_classes, 'SegPictureHook', dict(task=dict(classes=Reference('_base_.classes'))))
