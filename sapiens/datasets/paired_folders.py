"""Images and label files paired by name, in parallel folders."""

import fnmatch
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike

from sapiens.utils.image_files import SUFFIXES, is_image
from sapiens.utils.paths import describe_path, require_folder

from .base import PathDataset, join_path
from .checks import Findings
from .label_checks import check_label_files
from .path_table import PathTable
from .shard_parts import ShardParts, names_of

__all__ = ['CAMERA', 'PairedFolders', 'find_folder', 'part_of']

# The kind of files that are cameras, not label maps.
CAMERA = 'camera'


class PairedFolders(PathDataset):
    """Images with label files of the same stem: ``images/a.jpg`` with ``labels/a.png``, ``depth/a.npy``.

    Folders may be nested alike (``images/4/000001.jpg`` with ``depth/4/000001.npy``); hidden names are skipped. The tree is
    scanned when the dataset is built and held as tensors that all workers share.

    Args:
        data_root: what folders are relative to.
        images: folder of the images.
        folders: {kind of label, or ``'camera'``: (its folder, suffixes of its files)}.
        label_ending: part of label files between stem and suffix: ``_seg`` for ``000001_seg.png``. It separates labels from
            images in the same folder.
        sequences: pattern, with ``*``, of folders below ``data_root`` that each have the folders above, or several patterns; ''
            for ``data_root`` itself.
        part: (begin, end), within [0, 1]: the range of samples to take, in the order of their names. To hold out one percent:
            (0, 0.99) and (0.99, 1).
        partial: skip images that lack a label. Otherwise they are an error.
        weights: table of the weights of images, relative to ``data_root``: CSV or parquet with the columns ``image`` (the path
            relative to ``data_root``, or in its shard) and ``weight``, see :func:`sapiens.datasets.weights.read_weights`. None
            for no weights.
        shards: tar shards, relative to ``data_root``, that hold the files: then ``images`` and the folders of ``folders`` name
            parts of their samples (:class:`.shard_parts.ShardParts`). None for folders.
        pipeline, metainfo, test_mode: see :class:`SampleDataset`.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: images without labels, no pair, or two files for one name.
    """

    def __init__(
        self,
        data_root: str,
        images: str,
        folders: Mapping[str, tuple[str, Sequence[str]]],
        label_ending: str = '',
        sequences: str | Sequence[str] = '',
        part: tuple[float, float] = (0.0, 1.0),
        partial: bool = False,
        pipeline: list = (),
        metainfo: dict | None = None,
        test_mode: bool = False,
        weights: str | None = None,
        shards: str | PathLike | Sequence[str | PathLike] | ShardParts | None = None,
    ):
        self.root = require_folder(data_root)
        self.shards = ShardParts.open(self.root, shards)
        where = describe_path(self.root) if shards is None else f'the shards {self.shards.where}'
        for name, value in dict(sequences=sequences, label_ending=label_ending).items():
            if value and shards is not None:
                raise ValueError(f'{name}={value!r} is of folders, and shards= have parts of samples: leave it out')
        roots = _matching(self.root, sequences)
        if not roots:
            raise FileNotFoundError(f'no folder below {where} matches sequences={sequences!r}')
        self.unused, self._hints = Findings(), {}
        lists = {kind: [] for kind in ('image', *folders)}
        for root in roots:
            self._pair(root, images, folders, label_ending, partial, lists)
        count = len(lists['image'])
        begin, end = part_of(part, count, where)
        self.tables = {kind: PathTable.from_strings(paths[begin:end]) for kind, paths in lists.items()}
        super().__init__(self.tables['image'], self.root, pipeline, metainfo, test_mode)
        if not count:
            listing = ', '.join(repr(folder) for folder, _ in folders.values())
            raise ValueError(
                f'no image of {images!r} in {where} has a file of the same stem in {listing}; {self.unused.counts()}'
                f'{"".join(self._hints.values())}'
            )
        if weights is not None:
            names = self.names() if shards is None else map(names_of, self.names())
            self.set_weights(join_path(self.root, weights), names)
        self.shards = None  # every worker would copy its dictionaries

    def _pair(self, root, images, folders, ending, partial, lists) -> None:
        """Add the pairs of one folder to the lists of paths relative to ``data_root``."""
        found = {
            kind: self._find(join(root, folder), suffixes, ending) for kind, (folder, suffixes) in folders.items()
        }
        labels = {path for paths in found.values() for path in paths.values()}
        photos = self._find(join(root, images), None, '')
        # In a folder that also has the labels, images are the other files.
        photos = {stem: path for stem, path in photos.items() if path not in labels}
        if not photos:
            where = join_path(self.root, join(root, images)) if self.shards is None else images
            raise ValueError(f'no images in {where!r}: no file ends in one of {", ".join(SUFFIXES)}')
        used, lacking = [], Findings()
        for stem in photos:
            missing = [kind for kind in folders if stem not in found[kind]]
            for kind in missing:
                lacking.add(f'image without {kind}', photos[stem], wrong=False)
                if kind not in self._hints:
                    self._hints[kind] = self._hint(join(root, folders[kind][0]), folders[kind][1], photos[stem], stem)
            if not missing:
                used.append(stem)
        if lacking and not partial:
            hints = ''.join(self._hints.values())
            data_root = self.root if self.shards is None else ''
            raise ValueError(_lack(data_root, root, images, folders, photos, found, lacking, ending) + hints)
        for kind, stems in found.items():
            for stem in stems.keys() - photos.keys():
                lacking.add(f'{kind} without image', stems[stem], wrong=False)
        for what, finding in lacking.items():
            self.unused.setdefault(what, finding)
            if self.unused[what] is not finding:
                self.unused[what].count += finding.count
        for kind, stems in dict(found, image=photos).items():
            lists[kind] += [stems[stem] for stem in used]

    def _find(self, folder: str, suffixes: Sequence[str] | None, ending: str) -> dict[str, str]:
        """{stem: path relative to ``data_root``} of the files of a folder, or of a part of the shards."""
        if self.shards is None:
            return _stems(self.root, folder, suffixes, ending)
        return self.shards.stems(folder, suffixes)

    def _hint(self, folder: str, suffixes: Sequence[str], photo: str, stem: str) -> str:
        """What to change, from a file of a label folder whose name begins with the stem of an image without a label; or ''."""
        if self.shards is not None:
            other = self.shards.parts[folder].get(stem)
            return f'\nThere is {other!r}, of another format: convert such files to one of these' if other else ''
        where, stem = os.path.split(os.path.join(self.root, folder, stem))
        names = sorted(os.listdir(where)) if os.path.isdir(where) else []
        names = [
            name for name in names if name.startswith(stem) and os.path.join(where, name) != join(self.root, photo)
        ]
        for name in names:
            ending, suffix = os.path.splitext(name[len(stem) :])
            if suffix.lower() in suffixes and not ending[:1].isalnum():
                takes = 'label_ending' in inspect.signature(type(self)).parameters
                fix = f'set label_ending={ending!r}' if takes else f'rename such files as {stem + suffix!r}'
                return f'\nThere is {name!r}: {fix}'
        for name in names:
            if name[len(stem) :].lower() in ('.jpg', '.jpeg'):
                return f'\nThere is {name!r}: JPEG changes the values of labels; save them in one of these formats'
            if name[len(stem)] == '.':
                return f'\nThere is {name!r}, of another format: convert such files to one of these'
        return ''

    def names(self) -> Iterator[str]:
        """Names of the images, as tables of weights of folders have them: their paths relative to ``data_root``."""
        return (self.tables['image'][index] for index in range(len(self)))

    def path(self, index: int, kind: str = 'image') -> str:
        """Path of the image, or of a label file, of a sample."""
        return join_path(self.root, self.tables[kind][index])

    def load(self, index: int) -> dict:
        files = {kind: self.path(index, kind) for kind in self.tables if kind != 'image'}
        camera = {'camera_file': files.pop(CAMERA)} if CAMERA in files else {}
        return dict(img_path=self.path(index), sample_idx=index, label_files=files, **camera, **self.label_options())

    def label_options(self) -> dict:
        """Options of the readers in :class:`sapiens.datasets.transforms.LoadLabels`."""
        return {}

    def check(self, findings: Findings, read: bool = False, progress=iter) -> None:
        findings.update(self.unused)
        super().check(findings, read, progress)
        check_label_files(findings, self, read, progress)

    def __repr__(self) -> str:
        labels = ', '.join(kind for kind in self.tables if kind != 'image')
        return f'{type(self).__name__}({len(self)} images with {labels}, data_root={self.root!r})'


def part_of(part: tuple[float, float], count: int, where: str) -> tuple[int, int]:
    """First sample, and the one after the last, of a part of ``count`` samples.

    Raises:
        ValueError: not (begin, end) with 0 <= begin < end <= 1; or no sample of some.
    """
    if len(part) != 2 or not 0 <= part[0] < part[1] <= 1:
        raise ValueError(f'part={part!r}: expected (begin, end) with 0 <= begin < end <= 1')
    begin, end = round(part[0] * count), round(part[1] * count)
    if count and begin == end:
        raise ValueError(f'part={part!r} of the {count} samples in {where} is none')
    return begin, end


def find_folder(
    data_root: str, names: Sequence[str], sequences: str | Sequence[str] = '', shards: ShardParts | None = None
) -> str | None:
    """The first of some names that is a folder below ``data_root``, or below the first of its sequences; None without any.

    Of ``shards``, the first that is a part.
    """
    if shards is not None:
        return next((name for name in names if name in shards.parts), None)
    data_root = os.path.expanduser(data_root)
    root = next(iter(_matching(data_root, sequences)), '') if os.path.isdir(data_root) else ''
    return next((name for name in names if os.path.isdir(os.path.join(data_root, root, name))), None)


def join(root: str, folder: str) -> str:
    return os.path.normpath(os.path.join(root, folder))


def _matching(data_root: str, patterns: str | Sequence[str]) -> list[str]:
    """Folders below ``data_root``, relative to it, that match a pattern with one part for each level; sorted."""
    found = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        roots = ['']
        for part in filter(None, pattern.split('/')):
            deeper = []
            for root in roots:
                with os.scandir(os.path.join(data_root, root)) as entries:
                    names = sorted(entry.name for entry in entries if entry.is_dir() and entry.name[0] != '.')
                deeper += [os.path.join(root, name) for name in names if fnmatch.fnmatchcase(name, part)]
            roots = deeper
        found += roots
    return found


def _stems(data_root: str, folder: str, suffixes: Sequence[str] | None, ending: str) -> dict[str, str]:
    """{stem, with its folders: path relative to ``data_root``} of the files of a kind in a folder, sorted. ``suffixes`` is None
    for images."""
    top = join(data_root, folder)
    require_folder(top)
    stems = {}
    for inner, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        relative = os.path.relpath(inner, top)
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if name.startswith('.') or not stem.endswith(ending):
                continue
            if not (is_image(os.path.join(inner, name)) if suffixes is None else suffix.lower() in suffixes):
                continue
            stem = os.path.normpath(os.path.join(relative, stem.removesuffix(ending)))
            path = os.path.normpath(os.path.join(folder, relative, name))
            if stem in stems:
                raise ValueError(f'{stems[stem]!r} and {path!r} in {data_root!r} have the same stem: remove one')
            stems[stem] = path
    return stems


def _lack(data_root, root, images, folders, photos, found, lacking, ending) -> str:
    where = join_path(data_root, join(root, images))
    lines = [f'{len(photos)} images in {where!r}:']
    for kind, (folder, suffixes) in folders.items():
        finding = lacking.get(f'image without {kind}')
        if finding is not None:
            first = ', '.join(os.path.basename(path) for path in finding.examples)
            lines.append(
                f'  {finding.count} have no file of their stem{f" with {ending}" if ending else ""} ending in '
                f'{" ".join(suffixes)} in {join_path(data_root, join(root, folder))!r}, which has {len(found[kind])}: '
                f'{first}{", ..." if finding.count > len(finding.examples) else ""}'
            )
    lines.append('Complete the folders, or skip incomplete samples with partial=True')
    return '\n'.join(lines)
