"""The published checkpoints by name: what they are, where they come from, and where they lie on this machine.

The table is data: ``zoo.json`` beside this file. Files lie under ``$SAPIENS_CHECKPOINT_ROOT`` (default: ``checkpoints``), in the
published layout ``<task>/checkpoints/sapiens_<size>/<file>``; ``sapiens download`` puts them there.
"""

import json
import os
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path, PurePosixPath

__all__ = ['FORMS', 'LICENCES', 'ZOO', 'Entry', 'checkpoint_root', 'find', 'how_to_get', 'published_as',
           'resolve_checkpoint', 'resolve_config']  # fmt: skip

# Ending of a file of each published form: weights for everything, TorchScript and torch.export for inference.
FORMS = {'original': '.pth', 'torchscript': '_torchscript.pt2', 'bfloat16': '_bfloat16.pt2'}


@dataclass(frozen=True)
class Entry:
    """One published model.

    Attributes:
        name: as in ``sapiens download NAME``.
        task: ``'pretrain'``, ``'pose'``, ``'seg'``, ``'depth'``, ``'normal'`` or ``'detector'``.
        size: of the encoder, a name of :data:`sapiens.models.backbones.SAPIENS_ARCHS`; the detector's own otherwise.
        licence: key of :data:`LICENCES`; it is the weights' own, not that of this package.
        repos: hub repository of each form that is published.
        names: files of the original form below the root, the one that is fetched first; the others are names that
            published texts give to the same weights.
        config: config it fits, relative to ``configs/``; None where there is none.
        keypoints, classes: outputs of a pose or segmentation head, else None.
        published: score by metric, as published.
        sha256, bytes: of a form's file, where they were known when the table was written. For the others the hub's own
            checksum is used.
    """

    name: str
    task: str
    size: str
    licence: str
    repos: dict[str, str]
    names: tuple[str, ...]
    config: str | None = None
    keypoints: int | None = None
    classes: int | None = None
    published: dict[str, float] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)

    def default_form(self, form: str = 'original') -> str:
        """``form``; for ``'original'`` of a model that is published in another form only, that form.

        Raises:
            ValueError: for a form that is not published, naming those that are.
        """
        if form in self.repos:
            return form
        if form == 'original':
            return next(iter(self.repos))
        raise ValueError(f'{self.name} is not published as {form!r}, only as {", ".join(map(repr, self.repos))}')

    def files(self, form: str = 'original') -> tuple[str, ...]:
        """Paths below the root under which the weights of a form may lie, the one that is fetched first."""
        form = self.default_form(form)
        stems = (re.sub(r'(_clean)?\.pth$', '', name) if form != 'original' else name[:-4] for name in self.names)
        return tuple(dict.fromkeys(stem + FORMS[form] for stem in stems))

    @cached_property
    def num_outputs(self) -> int | None:
        """Channels of the head's output; None for an encoder or a detector."""
        return self.keypoints or self.classes or {'depth': 1, 'normal': 3}.get(self.task)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor that the original file should hold, by its published name.

        Raises:
            ValueError: for the detector, whose tensors are not known here.
        """
        from .checkpoint.shapes import expected_shapes

        if self.task == 'detector':
            raise ValueError(f'{self.name} is no Sapiens model: the shapes of its tensors are not known')
        return expected_shapes(self.size, self.task, self.num_outputs)


def _read_table() -> tuple[dict[str, Entry], dict[str, dict]]:
    content = json.loads(Path(__file__).with_name('zoo.json').read_text())
    entries = {}
    for name, values in content['models'].items():
        values = dict(values)
        entries[name] = Entry(name=name, names=tuple(values.pop('files')), **values)
    return entries, content['licences']


ZOO, LICENCES = _read_table()


def checkpoint_root() -> Path:
    """``$SAPIENS_CHECKPOINT_ROOT``, or ``checkpoints`` in the working directory, as in the configs."""
    return Path(os.environ.get('SAPIENS_CHECKPOINT_ROOT') or 'checkpoints').expanduser()


def find(name: str) -> Entry:
    """The entry of a name.

    Raises:
        ValueError: naming the nearest names.
    """
    if name in ZOO:
        return ZOO[name]
    near = get_close_matches(name, ZOO, n=3, cutoff=0.6)
    hint = f'; did you mean {" or ".join(map(repr, near))}?' if near else ''
    raise ValueError(f'{name!r} is no published model{hint} (sapiens download --list shows all {len(ZOO)})')


def published_as(path: str | Path) -> tuple[Entry, str] | None:
    """The entry and the form of a file, told by its name alone; None for a name that is not published."""
    name = Path(path).name
    for entry in ZOO.values():
        for form in entry.repos:
            if name in {PurePosixPath(file).name for file in entry.files(form)}:
                return entry, form
    return None


def how_to_get(entry: Entry, form: str = 'original', target: Path | None = None) -> str:
    """What to do for a file that is not there, with and without a network."""
    form = entry.default_form(form)
    first = entry.files(form)[0]
    target = target or checkpoint_root() / first
    option = '' if form == entry.default_form() else f' --form {form}'
    return (
        f'`sapiens download {entry.name}{option}` fetches it. By hand: download '
        f'{PurePosixPath(first).name} from https://huggingface.co/{entry.repos[form]} and put it at {target} '
        f'(licence of the weights: {entry.licence})'
    )


def resolve_checkpoint(text: str | Path, form: str = 'original') -> Path:
    """The file of a checkpoint that is given by path or by the name of a published model.

    Args:
        text: a path, which comes back as it is, or a name of :data:`ZOO`. What is neither an existing path nor looks like a
            name comes back as a path too: reading it gives the error.
        form: which form of a published model; ``'original'`` of one that has other forms only is the first of those.

    Raises:
        FileNotFoundError: for a published model that is not on this machine, with what to do.
        ValueError: for what looks like a name but is none, naming the nearest, and for a form that is not published.
    """
    path = Path(text).expanduser()
    if path.exists() or not _is_name(str(text)):
        return path
    entry, root = find(str(text)), checkpoint_root()
    for file in entry.files(form):
        if (root / file).is_file():
            return root / file
    raise FileNotFoundError(f'{text} is not on this machine: {how_to_get(entry, form)}')


def resolve_config(text: str | Path) -> Path:
    """The file of a config that is given by path or by the name of a published model.

    Raises:
        FileNotFoundError: where the folder ``configs`` is not found.
        ValueError: for what looks like a name but is none, naming the nearest, and for a model without a config.
    """
    path = Path(text).expanduser()
    if path.exists() or not _is_name(str(text)):
        return path
    entry = find(str(text))
    if entry.config is None:
        raise ValueError(f'{text} has no config in this package: give the path of one')
    return config_path(entry.config)


def config_path(leaf: str) -> Path:
    """The path of a config that is given relative to ``configs/``: of this repository, or of the working directory.

    Raises:
        FileNotFoundError: where it is in neither.
    """
    places = (Path(__file__).parents[2] / 'configs', Path('configs'))
    for place in places:
        if (place / leaf).is_file():
            return place / leaf
    raise FileNotFoundError(
        f'no config {leaf} in {" or ".join(map(str, places))}: run in a clone of the repository, or give a path'
    )


def _is_name(text: str) -> bool:
    """Whether a text that is no existing path is meant as a name: all of them are like ``sapiens-pose-1b``."""
    return text in ZOO or (text.startswith('sapiens-') and not text.endswith(('.pth', '.pt', '.pt2', '.py'))
                           and not {'/', os.sep} & set(text))  # fmt: skip
