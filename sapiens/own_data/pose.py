"""Looking at annotated people: skeleton, boxes and images of a COCO file or of Labelme's files."""

import os
from collections import Counter

from sapiens.metainfo import coco17, get_skeleton, skeleton_names
from sapiens.metainfo.naming import find_names
from sapiens.metainfo.skeleton import DEFAULT_SIGMA

from .boxes import MARGIN, box_of_points, finite_points, has_box
from .coco_files import CocoFile, category_of, find_coco_files, held_out, last_part, relative_to, split_document
from .doubts import Doubts
from .plan import OwnData, Plan, Reference
from .sides import mirror_pairs
from .sources import choose_files, find_images

__all__ = ['OWN_DATA', 'look_at_people']


def look_at_people(data: str, name: str, out: str, doubts: Doubts) -> Plan:
    """The data set of a folder or file with keypoints.

    Args:
        name: of the data set; a new skeleton gets it.
        out: folder for annotation files that have to be written.

    Raises:
        FileNotFoundError, ValueError: nothing usable, or a doubt that nobody settles.
    """
    files = find_coco_files(data)
    train, val = choose_files(files, doubts, lambda file: file.people.total() > 0, 'labeled keypoints')
    plan = Plan('pose', notes=[f'{name}: people of {train.path}'])
    used = [file for file in (train, val) if file is not None]
    categories = [_categories(file, doubts) for file in used]
    names = _keypoint_names(used, categories, doubts)
    skeleton = _skeleton(name, names, used[0].categories[categories[0][0]], doubts, plan)
    boxes = _boxes(used, categories, doubts, plan)
    parts = _parts(used, categories, names, boxes, data, out, doubts, plan)
    dataset = dict(type='KeypointDataset', skeleton=Reference('skeleton'), data_root=os.path.abspath(data))
    if os.path.isfile(data):
        dataset['data_root'] = os.path.dirname(os.path.abspath(data))
    plan.variables = dict(
        skeleton=skeleton,
        train_dataset=dict(dataset, **parts[0]),
        val_dataset=dict(dataset, **parts[1], test_mode=True),
        metric=dict(type='KeypointMetric', skeleton=Reference('skeleton'), ann_file=_whole(dataset, parts[1])),
    )
    plan.best = f'{get_skeleton(skeleton).dataset_name.replace("_", "-")}/AP'
    plan.min_visible = min(4, max(1, len(names) // 4))
    return plan


def _whole(dataset: dict, part: dict) -> str:
    return os.path.join(dataset['data_root'], part['ann_file'])


def _categories(file: CocoFile, doubts: Doubts) -> list[int]:
    """The categories of a file to learn."""
    found = [number for number in file.people if file.people[number] and number in file.categories]
    unlisted = [number for number in file.people if number not in file.categories]
    if unlisted or not found:
        raise ValueError(f'{file.path}: people of category {unlisted[:3]}, which "categories" does not list')
    names = {str(file.categories[number].get('name')): number for number in found}
    if len(found) == 1 and doubts.get('category') is None:
        return found
    question = f'{file.path} has keypoints of several categories: which of them (several with commas)'
    answer = doubts.get('category') or doubts.settle(
        'category', f'{question}: {", ".join(names)}', example=next(iter(names))
    )
    chosen = [part.strip() for part in answer.split(',')]
    if not set(chosen) <= names.keys():
        raise ValueError(f'--category {answer}: {file.path} has keypoints of {", ".join(names)}')
    return [names[part] for part in chosen]


def _keypoint_names(files: list[CocoFile], categories: list[list[int]], doubts: Doubts) -> list[str]:
    """Names of the keypoints, in the order of the files."""
    lists = {}
    for file, numbers in zip(files, categories, strict=True):
        for number in numbers:
            where = f'{file.path}, category {file.categories[number].get("name")!r}'
            counts = {count // 3 for count in file.lengths[number] if count}
            names = file.categories[number].get('keypoints') or []
            if names:
                counts.add(len(names))
            if len(counts) > 1:
                raise ValueError(
                    f'{where}: {" and ".join(map(str, sorted(counts)))} keypoints; expected one number of them'
                )
            lists[where] = tuple(map(str, names)) or counts.pop()
    named = [names for names in lists.values() if isinstance(names, tuple)]
    counts = {names if isinstance(names, int) else len(names) for names in lists.values()}
    if len({*named}) > 1 or len(counts) > 1:
        raise ValueError('the keypoints differ: ' + '; '.join(f'{where}: {names}' for where, names in lists.items()))
    (count,) = counts
    given = doubts.get('keypoints')
    if any(file.whole_body for file in files):
        question = f'{files[0].path} has the lists of COCO-WholeBody: learn all 133 keypoints, or the 17 of the body'
        given = given or doubts.settle('keypoints', question, ['wholebody133', 'coco17'])
        if given == 'wholebody133':
            return list(get_skeleton(given).keypoints)
    if named and given is None:
        if len(set(named[0])) < count:
            twice = [name for name, number in Counter(named[0]).items() if number > 1]
            raise ValueError(f'{files[0].path} calls several keypoints {twice[0]!r}: give them names that differ')
        if not any(_order_is_open(file, numbers) for file, numbers in zip(files, categories, strict=True)):
            return list(named[0])
        question = (
            f'{files[0].path} is of Label Studio, which writes the names in the order of the labels and the points in that of '
            'model_index: what are the points, in their order'
        )
        given = doubts.settle('keypoints', question, example=','.join(named[0]))
    fitting = [skeleton for skeleton in skeleton_names() if len(get_skeleton(skeleton)) == count]
    question = f'{files[0].path} does not name its {count} keypoints: what are they, in the order of the file'
    answer = given or doubts.settle(
        'keypoints', question, example=fitting[0] if fitting else 'nose,left_hand,right_hand'
    )
    names = (
        list(get_skeleton(answer).keypoints)
        if answer in skeleton_names()
        else [part.strip() for part in answer.split(',')]
    )
    if len(set(names)) != count:
        raise ValueError(f'--keypoints {answer}: {len(set(names))} names, but {files[0].path} has {count} keypoints')
    if named and set(names) != set(named[0]):
        raise ValueError(f'--keypoints {answer}: {files[0].path} calls them {", ".join(named[0])}')
    return names


def _order_is_open(file: CocoFile, categories: list[int]) -> bool:
    """Whether a file is of Label Studio, by its category: the order of its names may not be that of its points."""
    marks = dict(name='default', supercategory='default', skeleton=[])
    return any(marks.items() <= file.categories[number].items() for number in categories)


def _skeleton(name: str, names: list[str], category: dict, doubts: Doubts, plan: Plan) -> str | dict:
    """A known skeleton that has these keypoints, or a new one."""
    for known in skeleton_names():
        order = find_names(get_skeleton(known).keypoints, names)
        if order is not None and len(order) == len(names):
            moved = (
                '' if order == list(range(len(names))) else '; the file has another order, so they are found by name'
            )
            plan.notes.append(f'the {len(names)} keypoints are those of {known}, by their names{moved}')
            return known
    flip, note = mirror_pairs(names, doubts, 'keypoints', must_have=True)
    plan.notes.append(f'{len(names)} keypoints, in the order of the file; {note}')
    places = [find_names([own], list(coco17.TABLE)) for own in names]
    known = {own: coco17.KEYPOINTS[place[0]] for own, place in zip(names, places, strict=True) if place}
    sigmas = [coco17.TABLE[known[own]][0] if own in known else DEFAULT_SIGMA for own in names]
    others = [own for own in names if own not in known]
    if others:
        plan.notes.append(
            f'sigmas (allowed error of the metric): {DEFAULT_SIGMA} for {", ".join(others[:6])}'
            f'{", ..." if len(others) > 6 else ""}, which COCO does not have. AP with such values compares only with itself'
        )
    skeleton = dict(name=name, keypoints=names, links=_links(category, names, plan), sigmas=sigmas)
    if flip is not True:
        skeleton['flip'] = flip
    halves = dict(upper=coco17.UPPER, lower=coco17.LOWER)
    if len(known) == len(names):
        skeleton |= {half: [own for own in names if known[own] in points] for half, points in halves.items()}
    else:
        plan.notes.append('no upper and lower body: the augmentation by half bodies has no effect')
    return skeleton


def _links(category: dict, names: list[str], plan: Plan) -> list[tuple[str, str]]:
    """Pairs of names to connect in figures, from the category's ``skeleton``."""
    listed = category.get('skeleton')
    pairs = [pair for pair in listed if isinstance(pair, list) and len(pair) == 2] if isinstance(listed, list) else []
    numbers = [number for pair in pairs for number in pair if isinstance(number, int)]
    if len(numbers) != 2 * len(pairs) or not pairs:
        plan.notes.append('no links: figures show points without lines')
        return []
    first = 0 if min(numbers) == 0 else 1  # COCO counts from 1; some tools from 0
    if max(numbers) - first >= len(names) or min(numbers) < first:
        plan.notes.append('links of the file are left out: they name keypoints that do not exist')
        return []
    return [(names[a - first], names[b - first]) for a, b in pairs]


def _boxes(files: list[CocoFile], categories: list[list[int]], doubts: Doubts, plan: Plan) -> str:
    """What to do with people without a box: 'keypoints', 'skip', or '' where all have one."""
    tight, people = (
        sum(getattr(file, kind)[number] for file, numbers in zip(files, categories, strict=True) for number in numbers)
        for kind in ('tight', 'people')
    )
    if tight > people / 2:
        plan.notes.append(
            f'{tight} of {people} boxes are exactly the extent of their keypoints: crops are tight, and in use the boxes of a '
            'detector are larger'
        )
    bare = {
        file.path: sum(file.unboxed[number] for number in numbers)
        for file, numbers in zip(files, categories, strict=True)
    }
    if not any(bare.values()):
        return ''
    listing = ', '.join(f'{count} in {path}' for path, count in bare.items() if count)
    question = f'People without a box: {listing}. Make it from their keypoints (keypoints), or leave them out (skip)'
    return doubts.settle('boxes', question, ['keypoints', 'skip'])


def _parts(files, categories, names, boxes, data, out, doubts, plan) -> list[dict]:
    """ann_file and img_prefix of training and validation. Files are written where the data cannot be used as they are."""
    root = data if os.path.isdir(data) else os.path.dirname(data) or '.'
    parts = []
    for role, file, numbers in zip(('train', 'val'), files, categories, strict=False):
        folder, shortened = find_images(file, data, doubts)
        several = len([number for number in file.people if file.people[number]]) > len(numbers)
        bare = sum(file.unboxed[number] for number in numbers) > 0
        listed = [file.categories[number].get('keypoints') for number in numbers]
        # Names that --keypoints gives in another order than the file.
        moved = any(one and one != names and set(one) == set(names) for one in listed) and 'keypoints' in doubts.given
        if len(files) == 2 and file.document is None and not (shortened or several or bare or moved):
            parts.append(dict(ann_file=relative_to(file.path, root), img_prefix=relative_to(folder, root)))
            plan.notes.append(f'{role}: {file.path}, images in {folder}')
            continue
        document, why = _changed(file, numbers, shortened, boxes)
        if moved:
            why.append('the names of its keypoints are in the order of --keypoints')
            for category in document['categories']:
                category['keypoints'] = names
        for what, count in file.left_out.items():
            why.append(f'{count} with {what} were found')
        documents = {role: document}
        if len(files) == 1:
            documents, note = _split(document)
            why.append(note)
        for split, part in documents.items():
            path = os.path.join(os.path.abspath(out), 'annotations', f'{split}.json')
            plan.documents[path] = part
            parts.append(dict(ann_file=path, img_prefix=relative_to(folder, root)))
        plan.notes.append(f'{" and ".join(documents)}: annotations/*.json, made from {file.path}: {"; ".join(why)}')
    return parts


def _changed(file: CocoFile, categories: list[int], shortened: bool, boxes: str) -> tuple[dict, list[str]]:
    """The document of a file with the wanted people, boxes and names; and what was changed."""
    document, why = file.content(), []
    sizes = {image['id']: (image.get('width'), image.get('height')) for image in document['images']}
    kept = [item for item in document['annotations'] if category_of(item) in categories]
    if len(kept) < len(document['annotations']):
        why.append(f'{len(document["annotations"]) - len(kept)} annotations of other categories left out')
    document['annotations'] = kept
    document['categories'] = [category for category in document['categories'] if category.get('id') in categories]
    if shortened:
        why.append('file names shortened to their last part')
        for image in document['images']:
            image['file_name'] = last_part(image['file_name'])
    bare = [item for item in kept if any((item.get('keypoints') or [])[2::3]) and not has_box(item.get('bbox'))]
    if bare and boxes == 'skip':
        document['annotations'] = [item for item in kept if item not in bare]
        why.append(f'{len(bare)} people without a box left out')
    elif bare:
        for item in bare:
            if not finite_points(item['keypoints']):
                raise ValueError(f'{file.path}: annotation {item["id"]} has no finite keypoint to make a box from')
            item['bbox'] = box_of_points(item['keypoints'], sizes.get(item['image_id'], (None, None)))
        why.append(f'{len(bare)} boxes made from keypoints, with a margin of {MARGIN:.0%}')
    return document, why


def _split(document: dict) -> tuple[dict[str, dict], str]:
    """The document as training and validation, by image."""
    labelled = {item['image_id'] for item in document['annotations'] if any((item.get('keypoints') or [])[2::3])}
    names = [image['file_name'] for image in document['images'] if image['id'] in labelled]
    return split_document(document, held_out(names), len(names))


OWN_DATA = OwnData(look_at_people, 'PosePictureHook', dict(skeleton=Reference('_base_.skeleton')))
