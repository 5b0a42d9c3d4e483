"""Images with alpha and the colors of people without their background."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from os import PathLike

from sapiens.coco import BrokenJson, NotAnObject, stream_list
from sapiens.registry import DATASETS
from sapiens.tasks import map_fields
from sapiens.utils.paths import require_file

from .base import SampleDataset, join_path
from .checks import Findings, check_images
from .label_checks import check_label_files
from .paired_folders import PairedFolders, find_folder, part_of
from .path_table import PathTable
from .shard_parts import ShardParts

__all__ = ['MattingDataset']

_IMAGES = ('rgb', 'images')
_FIELDS = ('alpha', 'foreground')


@DATASETS.register_module()
class MattingDataset(PairedFolders):
    """Images with alpha, from a list or from folders.

    - A JSON list of ``{"image": ..., "mask": ...}``: the mask is a single channel of alpha, or an RGBA file whose RGB is the
      foreground, not multiplied by alpha. This is the published form.
    - A text list of RGBA files, one path per line: people without a background. :class:`.transforms.ComposeRGBA`, the first step
      of the pipeline, puts photographs behind them.
    - Without a list, folders: ``rgb`` or ``images``, ``alpha`` or ``alphas``, and where there is one ``foreground`` or
      ``foregrounds`` (RGBA files, or RGB files that belong to ``alpha``). Files of a stem belong together. ``sapiens render``
      writes them.

    Samples have ``gt_alpha`` and ``gt_foreground`` (:class:`.transforms.LoadLabels`). Where only alpha is known, the foreground
    is the picture where alpha is at least 0.996 and 0 elsewhere, and ``valid_foreground`` is False where alpha is between 0 and
    0.996. Alpha is a fraction of the largest value of the file's type.

    Args:
        data_root: what lists, their entries and folders are relative to; '' for the working directory.
        ann_file: the list, .json or .txt; None for folders.
        images, alpha, foreground: names of the folders, if they have others. ``foreground=''`` ignores it.
        premultiplied: whether colors of foreground files are multiplied by alpha; the published ones are not. Those of a list of
            RGBA files are read by :class:`.transforms.ComposeRGBA`, which has this option.
        sequences, part, partial: see :class:`.paired_folders.PairedFolders`; ``part`` also divides lists.
        weights: table of the weights of images, see :class:`.paired_folders.PairedFolders`. With a list the names are its
            entries.
        pipeline, metainfo, test_mode: see :class:`SampleDataset`.
        shards: tar shards with the files, relative to ``data_root``: then folders are parts of samples, ``alpha='matting'`` for
            ``KEY.matting.png`` (:class:`.shard_parts.ShardParts`).

    Raises:
        FileNotFoundError: no such list or folder.
        ValueError: a list that is empty or not of these forms; files that do not belong together; an argument out of its range.
    """

    def __init__(
        self,
        data_root: str = '',
        ann_file: str | None = None,
        images: str | None = None,
        alpha: str | None = None,
        foreground: str | None = None,
        premultiplied: bool = False,
        sequences: str | Sequence[str] = '',
        part: tuple[float, float] = (0.0, 1.0),
        partial: bool = False,
        pipeline: list = (),
        metainfo: dict | None = None,
        test_mode: bool = False,
        weights: str | None = None,
        shards: str | PathLike | Sequence[str | PathLike] | None = None,
    ):
        self.premultiplied = premultiplied
        if ann_file is None:
            folders = dict(image=images, alpha=alpha, foreground=foreground)
            shards = ShardParts.open(data_root, shards)
            images, files = _folders(data_root, folders, sequences, shards)
            options = (sequences, part, partial, pipeline, metainfo, test_mode, weights, shards)
            super().__init__(data_root or '.', images, files, '', *options)
            return
        for name, given in dict(
            images=images, alpha=alpha, foreground=foreground, sequences=sequences, partial=partial, shards=shards
        ).items():
            if given:
                raise ValueError(f'{name}={given!r} goes with folders, not with ann_file={ann_file!r}')
        SampleDataset.__init__(self, pipeline, metainfo, test_mode)
        self.root, self.unused = os.path.expanduser(data_root), Findings()
        path = require_file(join_path(self.root, os.path.expanduser(ann_file)), 'list')
        if premultiplied and not path.endswith('.json'):
            raise ValueError(f'premultiplied=True with the list {path!r}: set it in the ComposeRGBA of the pipeline')
        lists = _read_pairs(path) if path.endswith('.json') else _read_lines(path)
        if not len(lists['image']):
            raise ValueError(f'the list {path!r} is empty')
        begin, end = part_of(part, len(lists['image']), path)
        self.tables = lists
        if (begin, end) != (0, len(lists['image'])):
            tables = {id(table): table for table in lists.values()}
            parts = {key: PathTable.from_strings(table[i] for i in range(begin, end)) for key, table in tables.items()}
            self.tables = {kind: parts[id(table)] for kind, table in lists.items()}
        self.table = self.tables['image']
        if weights is not None:
            self.set_weights(join_path(self.root, weights), self.names())

    def label_options(self) -> dict:
        return dict(premultiplied=self.premultiplied)

    def check(self, findings: Findings, read: bool = False, progress=iter) -> None:
        findings.update(self.unused)
        check_images(findings, self.image_paths(), len(self), read, progress)
        check_label_files(findings, self if 'alpha' in self.tables else _ListedFiles(self), read, progress)

    def __repr__(self) -> str:
        labels = 'alpha' if 'alpha' in self.tables else 'files of people without a background'
        return f'{type(self).__name__}({len(self)} images with {labels}, data_root={self.root!r})'


class _ListedFiles:
    """A list of RGBA files, as files of alpha and foreground."""

    def __init__(self, dataset: MattingDataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def load(self, index: int) -> dict:
        path = self.dataset.path(index)
        return dict(img_path=path, label_files=dict.fromkeys(_FIELDS, path))


def _folders(data_root: str, given: dict, sequences, shards: ShardParts | None) -> tuple[str, dict]:
    """The folder of images, and (folder, suffixes) of label files by field."""
    declared = map_fields()
    find = partial(find_folder, data_root, sequences=sequences, shards=shards)
    images = given['image'] or find(_IMAGES) or _IMAGES[0]
    usual = declared['alpha'].folders
    alpha = given['alpha'] or find(usual) or usual[0]
    foreground = given['foreground']
    if foreground is None:
        foreground = find(declared['foreground'].folders)
    files = dict(alpha=(alpha, declared['alpha'].suffixes))
    # Without files of their own, colors come from alpha and the picture.
    files['foreground'] = (foreground, declared['foreground'].suffixes) if foreground else files['alpha']
    return images, files


def _read_pairs(path: str) -> dict[str, PathTable]:
    """The tables of a JSON list, which is read once for each: a list of millions is never held as Python objects."""
    images, masks = (PathTable.from_strings(_names(path, key)) for key in ('image', 'mask'))
    return dict(image=images, alpha=masks, foreground=masks)


def _names(path: str, key: str) -> Iterator[str]:
    try:
        for number, entry in enumerate(stream_list(path)):
            name = entry.get(key) if isinstance(entry, dict) else None
            if not (isinstance(name, str) and name):
                raise ValueError(f'entry {number} of {path!r} is {entry!r}: expected {{"image": path, "mask": path}}')
            yield name
    except (BrokenJson, NotAnObject) as error:
        raise ValueError(f'{path!r} is not a JSON list of {{"image": path, "mask": path}}: {error}') from error


def _read_lines(path: str) -> dict[str, PathTable]:
    with open(path, encoding='utf-8-sig', errors='surrogateescape') as file:  # keeps names that are not valid UTF-8
        return dict(image=PathTable.from_strings(line for text in file if (line := text.strip())))
