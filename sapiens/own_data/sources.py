"""Which files are for training and for validation, and where their images lie."""

import os

from .coco_files import CocoFile, find_coco_files, last_part
from .doubts import Doubts

__all__ = ['choose_files', 'find_images']


def choose_files(files: list[CocoFile], doubts: Doubts, usable, what: str) -> tuple[CocoFile, CocoFile | None]:
    """The files for training and validation; None where a part of the first is to be held out.

    Args:
        usable: ``usable(file) -> bool``.
        what: it has then, for messages.

    Raises:
        ValueError: no usable file, or a choice that nobody settles.
    """
    good = [file for file in files if usable(file)]

    def named(option: str, path: str) -> CocoFile:
        same = [file for file in good if os.path.exists(path) and os.path.samefile(file.path, path)]
        found = same or [file for file in find_coco_files(path) if usable(file)]
        if len(found) != 1:
            raise ValueError(f'--{option} {path} is not one COCO file with {what}')
        return found[0]

    def one(option: str, candidates: list[CocoFile], more: tuple[str, ...] = ()) -> CocoFile | None:
        if doubts.get(option) is None and len(candidates) == 1 and not more:
            return candidates[0]
        paths = [file.path for file in candidates]
        role = dict(train='training', val='validation')[option]
        question = f'Which file is for {role}{" (split: a part of the training file)" if more else ""}'
        answer = doubts.get(option) or doubts.settle(option, question, [*paths, *more])
        return None if answer == 'split' else named(option, answer)

    if not good and doubts.get('train') is None:
        found = '\n'.join(f'  {file.describe()}' for file in files[:20])
        raise ValueError(f'no COCO or Labelme file with {what} was found{":" if found else ""}\n{found}'.rstrip())
    by_split = {split: [file for file in good if file.split == split] for split in ('train', '', 'val', 'test')}
    train = one('train', by_split['train'] or by_split[''] or good)
    rest = [file for file in good if file is not train]
    validation = [file for file in by_split['val'] if file is not train]
    if doubts.get('val') is None and not rest:
        return train, None
    if validation:
        return train, one('val', validation)
    return train, one('val', rest, ('split',))


def find_images(file: CocoFile, data: str, doubts: Doubts) -> tuple[str, bool]:
    """The folder that the file names of a COCO file are relative to, and whether only their last parts are.

    Raises:
        ValueError: the images are not there, or not all of them.
    """
    if not file.names:
        raise ValueError(f'{file.path} lists no images')
    folders = _image_folders(file, data, doubts.get('images'))
    for shortened in (False, True):
        names = [last_part(name) for name in file.names] if shortened else file.names
        counts = {folder: sum(os.path.isfile(os.path.join(folder, name)) for name in names) for folder in folders}
        best = max(counts, key=counts.get, default=None)
        if best is None or not counts[best]:
            continue
        if counts[best] < len(names):
            missing = next(name for name in names if not os.path.isfile(os.path.join(best, name)))
            raise ValueError(
                f'{file.path}: only {counts[best]} of its {len(names)} images are in {best}; {missing!r} is not. Complete the '
                'folder, or say where all of them are with --images FOLDER'
            )
        return best, shortened
    searched = ', '.join(folders[:6])
    raise ValueError(
        f'{file.path}: its images, such as {file.names[0]!r}, are not in {searched}. Say where with --images FOLDER'
    )


def _image_folders(file: CocoFile, data: str, given: str | None) -> list[str]:
    """Existing folders in which tools put the images of an annotation file."""
    own = file.path if os.path.isdir(file.path) else os.path.dirname(file.path) or '.'
    root = data if os.path.isdir(data) else os.path.dirname(data) or '.'
    stem = os.path.splitext(os.path.basename(file.path))[0]
    # CVAT: annotations/instances_SUBSET.json with images/SUBSET.
    ends = dict.fromkeys(['', stem, stem.rpartition('_')[2], file.split])
    folders = []
    for base in [given] if given else [own, os.path.dirname(own) or '.', root]:
        for name in ('', 'images', 'image', 'img', 'JPEGImages'):
            folders += [os.path.normpath(os.path.join(base, name, end)) for end in ends]
    return [folder for folder in dict.fromkeys(folders) if os.path.isdir(folder)]
