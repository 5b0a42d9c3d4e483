"""Folders of images and label files: which belong together, and what is for training and for validation."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sapiens.utils.image_files import SUFFIXES

from .coco_files import HELD_OUT, split_of
from .doubts import Doubts

__all__ = ['Folders', 'complete_samples', 'find_folders']

IMAGES = ('images', 'image', 'img', 'imgs', 'rgb', 'jpegimages', 'photos', 'img_dir')


@dataclass
class Folders:
    """One pair of folders.

    Attributes:
        images, labels: relative to the data's folder.
        ending: of the stems of label files.
        part: the range of samples to take.
    """

    images: str
    labels: str
    ending: str = ''
    part: tuple[float, float] = (0.0, 1.0)

    def files(self, data: str, suffixes: Sequence[str]) -> dict[str, str]:
        """{stem with its folders: path} of the label files."""
        return _stems(os.path.join(data, self.labels), suffixes, self.ending)

    def without_labels(self, data: str, suffixes: Sequence[str]) -> list[str]:
        """Paths of the images that have no label file."""
        labels = self.files(data, suffixes)
        images = _stems(os.path.join(data, self.images), SUFFIXES, '')
        return [path for stem, path in images.items() if stem not in labels and path not in labels.values()]


def _stems(top: str, suffixes: Sequence[str], ending: str) -> dict[str, str]:
    """{stem with its folders: path} of the files below a folder, sorted."""
    found = {}
    for folder, _, names in os.walk(top):
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in suffixes and stem.endswith(ending) and not name.startswith('.'):
                key = os.path.normpath(os.path.join(os.path.relpath(folder, top), stem.removesuffix(ending)))
                found[key] = os.path.join(folder, name)
    return dict(sorted(found.items()))


def complete_samples(pair: Sequence[Folders], data: str, suffixes: Sequence[str], doubts: Doubts, what: str) -> dict:
    """``partial=True`` where images without labels are to be left out, {} where there are none.

    Raises:
        ValueError: nobody says that they are.
    """
    bare = list(dict.fromkeys(path for folders in pair for path in folders.without_labels(data, suffixes)))
    if not bare:
        return {}
    question = f'{len(bare)} images have no {what}, such as {bare[0]}: leave them out (skip), or complete them'
    doubts.settle('unlabeled', question, ['skip'])
    return dict(partial=True)


def find_folders(
    data: str, usual: Sequence[str], suffixes: Sequence[str], doubts: Doubts, what: str
) -> tuple[Folders, Folders, list[str]]:
    """Folders of images and labels for training and validation, and sentences on how they were found.

    Known layouts: ``images`` and ``labels`` below the data's folder, or below ``train`` and ``val``; ``images/train``,
    ``labels/train``; and one folder with ``a.jpg`` beside ``a_mask.png``. Without a split the last part of the samples by name is
    held out.

    Args:
        usual: names of the folder of labels.
        what: the labels, for messages.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no such folders below it, or a choice that nobody settles.
    """
    if not os.path.isdir(data):
        raise FileNotFoundError(f'no folder {data}{": unpack the archive" if os.path.isfile(data) else ""}')
    splits = _splits(data)
    found = {split: _pair(data, folder, usual, suffixes, doubts, what) for split, folder in splits.items()}
    found = {split: pair for split, pair in found.items() if pair}
    if not found:
        pair = _pair(data, '', usual, suffixes, doubts, what)
        if pair is None:
            raise ValueError(
                f'{data}: no folder of images ({", ".join(IMAGES)}) beside one of {what} ({", ".join(usual)}). Say which they '
                'are with --images FOLDER and --labels FOLDER'
            )
        found = _inner_splits(data, pair) or {'': pair}
    train = found.get('train') or found.get('')
    if train is None:
        raise ValueError(f'{data}: folders for {", ".join(found)}, but none for training')
    notes = [f'train: images in {train.images or "."}, {what} in {train.labels or "."}']
    val = found.get('val')
    if val is None and 'test' in found:
        answer = doubts.settle(
            'val', f'{data} has no validation split: use test, or split a part off', ['test', 'split']
        )
        val = found['test'] if answer == 'test' else None
    if val is not None:
        notes.append(f'val: images in {val.images or "."}, {what} in {val.labels or "."}')
        return train, val, notes
    count = len(train.files(data, suffixes))
    if count < 2:
        raise ValueError(f'{data}: {count} file(s) of {what}: nothing to hold out for validation')
    edge = 1 - max(1, round(HELD_OUT * count)) / count
    edge = round(edge, 4)
    notes.append(f'val: the last {1 - edge:.0%} of the samples by name, since there is no validation split')
    return (
        Folders(train.images, train.labels, train.ending, (0, edge)),
        Folders(train.images, train.labels, train.ending, (edge, 1)),
        notes,
    )


def _splits(folder: str) -> dict[str, str]:
    """{split: name} of the folders that are called after a split."""
    found = {}
    for name in sorted(os.listdir(folder)):
        if re.fullmatch(r'(train|training|val|valid|validation|test)\d*', name.lower()) and os.path.isdir(
            os.path.join(folder, name)
        ):
            found.setdefault(split_of(name), name)
    return found


def _pair(data: str, inner: str, usual, suffixes, doubts: Doubts, what: str) -> Folders | None:
    """Folders of images and labels in a folder of the data; None without."""
    top = os.path.join(data, inner)
    names = {name.lower(): name for name in sorted(os.listdir(top)) if os.path.isdir(os.path.join(top, name))}
    images = [doubts.get('images')] if doubts.get('images') else [names[name] for name in IMAGES if name in names]
    labels = [doubts.get('labels')] if doubts.get('labels') else [names[name] for name in usual if name in names]
    if not images and not labels:
        ending = _ending(top, suffixes)
        return None if ending is None else Folders(inner, inner, ending)
    if not images or not labels:
        return None
    image = images[0] if len(images) == 1 else doubts.settle('images', f'{top}: which folder has the images', images)
    label = labels[0] if len(labels) == 1 else doubts.settle('labels', f'{top}: which folder has the {what}', labels)
    return Folders(os.path.join(inner, image), os.path.join(inner, label))


def _inner_splits(data: str, pair: Folders) -> dict[str, Folders]:
    """``images/train`` with ``labels/train``."""
    images, labels = (_splits(os.path.join(data, folder)) for folder in (pair.images, pair.labels))
    return {
        split: Folders(os.path.join(pair.images, images[split]), os.path.join(pair.labels, labels[split]))
        for split in images
        if split in labels
    }


def _ending(folder: str, suffixes: Sequence[str]) -> str | None:
    """What label files beside their images have between stem and suffix: '_mask' of a.jpg and a_mask.png."""
    names = [name for name in sorted(os.listdir(folder)) if not name.startswith('.')]
    stems = {os.path.splitext(name)[0] for name in names if name.lower().endswith(SUFFIXES)}
    endings = Counter()
    for name in names:
        stem, suffix = os.path.splitext(name)
        match = re.fullmatch(r'(.+?)([_.-][A-Za-z]+)', stem)
        if suffix.lower() in suffixes and match and match[1] in stems:
            endings[match[2]] += 1
    return endings.most_common(1)[0][0] if endings else None
