"""Sentences of the page: where pictures stay, which license a model has, what went wrong."""

import html
import re
import traceback

import torch

from sapiens.checkpoints.zoo import Entry, about_licence, find, published_as
from sapiens.datasets.transforms.decoding import BadImage

from ..loading.load_model import is_config
from ..results import ImageResults, Result

__all__ = ['licenses', 'note', 'sentence', 'summary', 'where']

LOCAL = ('127.0.0.1', 'localhost', '::1')
LONGEST = 300  # characters of an error
# An absolute path of Linux or Windows, whose last part is kept. Not the address of a web page.
PATH = re.compile(r"""(?<![\w.:/\\])(?:[A-Za-z]:)?(?:[/\\][^/\\\s:'",;]+)*[/\\]([^/\\\s:'",;]+)""")


def where(host: str, minutes: int = 60) -> str:
    """Return where pictures stay, by the address that the page listens on."""
    kept = f'deleted after {minutes} minutes and when the page ends'
    if host in LOCAL:
        return f'Pictures and videos stay on this computer. They are {kept}.'
    return f'Pictures and videos go to the computer that serves this page and to no other. They are {kept}.'


def licenses(models: dict[str, dict]) -> str:
    """Return one sentence about the license of the weights of each model.

    Args:
        models: options of ``load_model`` by label; see :meth:`sapiens.apis.demo.Demo.models`.
    """
    return ' '.join(dict.fromkeys(_license(label, **options) for label, options in models.items()))


def _license(label: str, model: str, checkpoint: str | None = None, **_) -> str:
    entry = _entry(model, checkpoint)
    if entry is None and checkpoint is None and is_config(model):
        return f'{label}: its results mean nothing.'
    if entry is None:
        return f'{label}: your own weights. Their license is that of what they were trained on and started from.'
    return f'{entry.name}: weights under {about_licence(entry.licence)}'


def _entry(model: str, checkpoint: str | None) -> Entry | None:
    """Return the published model that weights come from, by its name or by the name of the file."""
    if checkpoint is not None:
        found = published_as(checkpoint)
        return found[0] if found else None
    try:
        return find(model)
    except ValueError:  # a config, or a folder of transformers
        return None


def summary(result: Result | ImageResults, seconds: float) -> str:
    """Describe a result in one line."""
    height, width = result.image.shape[:2]
    return f'{result.summary()} · {width} x {height} pixels · {seconds:.2f} s'


def sentence(error: Exception, source: str = '') -> str:
    """Return one sentence about an error, without folders of this machine.

    A mistake in the package itself is printed with its traceback, and the sentence refers to that.

    Args:
        source: path of the image or video, of which the name is kept.
    """
    name = re.split(r'[/\\]', source)[-1]
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return 'The device has too little memory: choose a smaller model or a smaller picture.'
    if not isinstance(error, OSError | ValueError | ImportError):
        traceback.print_exception(error)
        return f'The page failed with {type(error).__name__}: the terminal of sapiens demo has the details.'
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f'{error.strerror}: {error.filename}' if error.filename else error.strerror
    text = ' '.join((text.replace(source, name) if source else text).split())
    text = PATH.sub(r'\1', text)
    if isinstance(error, BadImage):
        text = text.removeprefix(f'{name}: ')
        text = f'{name or "The picture"} cannot be used: {text}'
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + '…'
    return text if text.endswith(('.', '!', '?', '…')) else f'{text}.'


def note(text: str, kind: str = 'busy') -> str:
    """Return the line above the result as HTML.

    Args:
        kind: 'busy' with a moving mark, 'done', or 'error', which the style sheet hides after a while.
    """
    if not text:
        return ''
    role = 'alert' if kind == 'error' else 'status'
    return f'<p class="note {kind}" role="{role}">{html.escape(text)}</p>'
