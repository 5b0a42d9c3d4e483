"""The published models: what they are, where they come from, and their file names.

The table is data, ``zoo.json`` beside this file. A model has a name (``sapiens-pose-1b``), repositories on the
hub (``facebook/sapiens-pose-1b``, ``facebook/sapiens-pose-1b-torchscript``), and file names; each of them is understood.
Models without a repository are this project's own: their files are part of the package (:mod:`sapiens.weights`).
"""

import json
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path, PurePosixPath

from sapiens.tasks import get_task, task_names
from sapiens.utils.config import load_config
from sapiens.weights import weights_folder

from .expected_shapes import expected_shapes, shapes_of
from .families import FAMILIES, Family

__all__ = ['FORMS', 'LICENCES', 'ZOO', 'Entry', 'about_licence', 'find', 'look_up', 'published_as']

# How the file of each published form ends. Original weights are for everything, the graphs for inference.
FORMS = {'original': ('.pth', '.safetensors'), 'torchscript': '_torchscript.pt2', 'bfloat16': '_bfloat16.pt2'}


@dataclass(frozen=True)
class Entry:
    """One published model.

    Attributes:
        name: ``<family>-<what>``; own ones are ``<family>-<size>-<what>``.
        task: name of a task, ``'pretrain'`` for an encoder alone, or ``'detector'``.
        size: of the encoder within the family; a detector has its own.
        repos: hub repository of each published form; none for weights that are part of the package.
        names: files of the original form below the root, of own weights in the package. The first one is downloaded; published
            texts give the others to the same weights.
        config: the config that fits, relative to ``configs/``; None where there is none.
        keypoints, classes: outputs of a pose or segmentation head, else None.
        tokenizer: whether the encoder has a tokenizer of windows (4K).
        published: scores by protocol and name, with the digits that were published; :mod:`sapiens.reproduction` evaluates them.
            Test sets of Sapiens2 and of the first family differ.
        sha256, bytes: of the file of a form, where known. The hub's own checksum is used for the others.
    """

    name: str
    task: str
    size: str
    repos: dict[str, str]
    names: tuple[str, ...]
    config: str | None = None
    keypoints: int | None = None
    classes: int | None = None
    tokenizer: bool = False
    published: dict[str, dict[str, str]] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)

    @property
    def family(self) -> Family:
        return FAMILIES[self.name.partition('-')[0]]

    @property
    def is_own(self) -> bool:
        """Whether the weights are this project's, and part of the package."""
        return not self.repos

    @property
    def licence(self) -> str:
        """Key of :data:`LICENCES`. It is the license of the weights, not of this package, unless they are its own."""
        return 'apache-2.0' if self.is_own else self.family.licence

    def about_licence(self) -> str:
        """What the license of the weights allows and forbids, to be shown before a download."""
        if self.is_own:
            return f'{self.name}: the weights are part of this package, under {self.licence}: {about_licence(self.licence)}'
        return (
            f'{self.name}: the weights are published under {self.licence}: {about_licence(self.licence)} The license of this '
            'package does not change that.'
        )

    def default_form(self, form: str = 'original') -> str:
        """``form``; for ``'original'`` of a model that is published in another form only, that form.

        Raises:
            ValueError: the form is not published.
        """
        if form in self.repos or (self.is_own and form == 'original'):
            return form
        if self.is_own:
            raise ValueError(f'{self.name} is part of the package as its original weights only, not as {form!r}')
        if form == 'original':
            return next(iter(self.repos))
        raise ValueError(f'{self.name} is not published as {form!r}, only as {", ".join(map(repr, self.repos))}')

    def files(self, form: str = 'original') -> tuple[str, ...]:
        """Paths below the root where the weights of a form may lie. A download writes to the first one."""
        form = self.default_form(form)
        if form == 'original':
            return self.names
        stems = (re.sub(r'(_clean)?\.(pth|safetensors)$', '', name) for name in self.names)
        return tuple(dict.fromkeys(stem + FORMS[form] for stem in stems))

    @cached_property
    def num_outputs(self) -> int | None:
        """Channels of the head's output; None for an encoder, a detector, or a task that is not known here."""
        if self.keypoints or self.classes or self.task not in task_names():
            return self.keypoints or self.classes
        head = get_task(self.task).published
        return head.outputs[0] if head else None

    @property
    def encoder(self) -> dict:
        """Config of an encoder of Sapiens2, at the size of the images that it was published for."""
        size = (4096, 3072) if self.tokenizer else (1024, 768)
        return dict(type='Sapiens2ViT', arch=self.size, img_size=size, tokenizer=self.tokenizer)

    @property
    def has_known_shapes(self) -> bool:
        return self.task == 'pretrain' or self.config is not None or self.classes == 2

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor of the original file, by its published name.

        Raises:
            ValueError: the shapes are not known: the detector, or a task that this version does not have.
        """
        if not self.has_known_shapes:
            raise ValueError(f'{self.name}: the shapes of its tensors are not known here')
        if self.family.name == 'sapiens' and not self.is_own:
            return expected_shapes(self.size, self.task, self.num_outputs)
        if self.task == 'pretrain':
            return shapes_of(self.encoder)
        return shapes_of(load_config(self.config).model)

    def places(self, root: Path, form: str = 'original') -> list[Path]:
        """Where the weights of a form may lie: below ``root``, own ones in the package."""
        return [(weights_folder() if self.is_own else root) / file for file in self.files(form)]

    def how_to_get(self, form: str = 'original', target: Path | None = None) -> str:
        """What to do for a file that is missing, with and without a network.

        Args:
            target: where the file belongs.
        """
        if self.is_own and self.places(Path())[0].is_file():
            return f'the file is in the package, where its name finds it: {self.name}'
        if self.is_own:
            return (
                f'this version of the package comes without its weights, {target}; `python tools/own_weights.py {self.name}` '
                'trains them in a clone'
            )
        form = self.default_form(form)
        option = '' if form == self.default_form() else f' --form {form}'
        return f'`sapiens download {self.name}{option}` fetches it. {self.how_to_get_by_hand(form, target)}'

    def how_to_get_by_hand(self, form: str = 'original', target: Path | None = None) -> str:
        """What to do for a file that is missing where there is no network. Arguments as for :meth:`how_to_get`."""
        form = self.default_form(form)
        return (
            f'By hand: download {PurePosixPath(self.files(form)[0]).name} from https://huggingface.co/{self.repos[form]} and put '
            f'it at {target} (license of the weights: {self.licence})'
        )


def _read_table() -> tuple[dict[str, Entry], dict[str, dict]]:
    content = json.loads(Path(__file__).with_name('zoo.json').read_text())
    entries = {}
    for name, values in content['models'].items():
        values = dict(values)
        entries[name] = Entry(name=name, names=tuple(values.pop('files')), **values)
    return entries, content['licences']


ZOO, LICENCES = _read_table()


def about_licence(name: str) -> str:
    """Title, address and terms of a license, a key of :data:`LICENCES`."""
    about = LICENCES[name]
    return f'{about["title"]}, {about["url"]}. It allows {about["allows"]}, not {about["forbids"]}.'


_FILE_ENDINGS = ('.pth', '.pt', '.pt2', '.safetensors', '.onnx', '.py')


def _index() -> dict[str, list[tuple[Entry, str | None]]]:
    """Entries by every text that means them, with the form that the text asks for."""
    index: dict[str, list[tuple[Entry, str | None]]] = {name: [(entry, None)] for name, entry in ZOO.items()}
    for entry in ZOO.values():
        for name in entry.names if entry.is_own else ():
            index.setdefault(name, []).append((entry, 'original'))
        for form, repo in entry.repos.items():
            names = {repo, repo.partition('/')[2], *(PurePosixPath(file).name for file in entry.files(form))}
            for name in names - {entry.name}:
                index.setdefault(name, []).append((entry, form))
    return index


_INDEX = _index()
_OWNERS = {repo.partition('/')[0] for entry in ZOO.values() for repo in entry.repos.values()}


def look_up(text: str) -> tuple[Entry, str | None] | None:
    """The published model that a text means, and the form if the text names one; None for what looks like a path.

    Raises:
        ValueError: a name or hub id that is not published, or a hub repository with several models.
    """
    found = _INDEX.get(text, [])
    if len(found) > 1:
        raise ValueError(
            f'{text!r} holds several models: give one of {", ".join(sorted({entry.name for entry, _ in found}))}'
        )
    if found:
        return found[0]
    owner, slash, name = text.rpartition('/')
    is_name = re.fullmatch(r'sapiens\d*-[\w.-]+', name) and not name.endswith(_FILE_ENDINGS)
    if (is_name and not slash) or owner in _OWNERS:
        raise ValueError(_unknown(text, name))
    return None


def _unknown(text: str, name: str) -> str:
    family = name.partition('-')[0]
    siblings = [known for known, entry in ZOO.items() if entry.family.name == family]
    near = get_close_matches(name, siblings or ZOO, n=3, cutoff=0.6)
    hint = f'; did you mean {" or ".join(map(repr, near))}?' if near else ''
    return f'{text!r} is not a published model{hint} (`sapiens download --list` shows all {len(ZOO)})'


def find(name: str) -> Entry:
    """The published model of a name, hub id or file name.

    Raises:
        ValueError: naming the nearest names.
    """
    found = look_up(name)
    if found is None:
        raise ValueError(_unknown(name, name))
    return found[0]


def published_as(path: str | Path) -> tuple[Entry, str] | None:
    """The entry and the form of a published file, by its name alone; None for another name."""
    name = Path(path).name
    found = _INDEX.get(name, []) if name.endswith(_FILE_ENDINGS) else []
    return found[0] if found else None
