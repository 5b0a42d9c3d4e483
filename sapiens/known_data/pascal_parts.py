"""Label maps of people from PASCAL-Part's annotations, one .mat file for each image."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat
from tqdm import tqdm

from sapiens.metainfo.classes import IGNORE
from sapiens.utils.files import atomic_path

__all__ = ['PARTS', 'convert', 'label_map']

# Ids are positions: the order of the released class list, behind the background.
PARTS = (
    *('head', 'leye', 'reye', 'lear', 'rear', 'lebrow', 'rebrow', 'nose', 'mouth', 'hair', 'torso', 'neck'),
    *('llarm', 'luarm', 'lhand', 'rlarm', 'ruarm', 'rhand', 'llleg', 'luleg', 'lfoot', 'rlleg', 'ruleg', 'rfoot'),
)


def convert(folder: Path) -> int:
    """Write ``labels/*.png`` for the ``annotations/*.mat`` of a folder that show people with parts.

    Label maps that are there are kept.

    Returns:
        Number of new label maps.

    Raises:
        ValueError: a file that is not an annotation of PASCAL-Part.
    """
    files = sorted((folder / 'annotations').glob('*.mat'))
    new = 0
    for file in tqdm(files, desc='label maps', disable=not sys.stderr.isatty(), leave=False):
        target = folder / 'labels' / f'{file.stem}.png'
        if target.exists():
            continue
        labels = label_map(file)
        if labels is None:
            continue
        with atomic_path(target, sync=False, keep_suffix=True) as temporary:
            Image.fromarray(labels).save(temporary)
        new += 1
    return new


def label_map(file: Path) -> np.ndarray | None:
    """(H, W) uint8 label map of an annotation; None without a person that has parts.

    Where parts overlap, the smaller one counts. Pixels of a person that belong to no part are ignored (255).

    Raises:
        ValueError: a file that is not an annotation of PASCAL-Part, or a part with another name.
    """
    try:
        people = list(_people(file))
    except Exception as error:  # a damaged file raises any error of the reader
        raise ValueError(f'{file} is not an annotation of PASCAL-Part ({type(error).__name__}: {error})') from error
    parts = [(name, mask) for _, found in people for name, mask in found]
    if not parts:
        return None
    labels = np.zeros(people[0][0].shape, np.uint8)
    for whole, _ in people:
        labels[whole] = IGNORE
    for name, mask in sorted(parts, key=lambda part: -part[1].sum()):
        if name not in PARTS:
            raise ValueError(f'{file}: a person has a part {name!r}, expected one of {", ".join(PARTS)}')
        labels[mask] = 1 + PARTS.index(name)
    return labels


def _people(file: Path) -> Iterator[tuple[np.ndarray, list[tuple[str, np.ndarray]]]]:
    """Mask of each person, with the names and masks of the parts, (H, W) bool."""
    annotation = loadmat(file, struct_as_record=False, squeeze_me=True)['anno']
    for one in np.atleast_1d(annotation.objects):
        if one.__dict__['class'] == 'person':
            parts = [(str(part.part_name), part.mask > 0) for part in np.atleast_1d(one.parts)]
            yield one.mask > 0, parts
