"""Reading large JSON objects and lists item by item, without holding them as Python objects."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager

__all__ = ['BrokenJson', 'NotAnObject', 'stream_items', 'stream_list']

_CHUNK = 1 << 24  # characters read at a time
_decoder = json.JSONDecoder()


class BrokenJson(ValueError):
    """Text that is not JSON."""


class NotAnObject(ValueError):
    """JSON without the expected lists."""


def stream_items(
    path: str, keys: Collection[str], chunk: int = _CHUNK, optional: Collection[str] = ()
) -> Iterator[tuple[str, object]]:
    """Yield (key, item) for each item of the lists that a JSON object has under ``keys``, in the order of the file.

    The rest of the object is skipped. Memory: a chunk of text and the largest single value.

    Args:
        path: of the file.
        keys: of lists that the object must have.
        chunk: characters read at a time.
        optional: keys of lists that it may have.

    Raises:
        FileNotFoundError: no such file.
        BrokenJson: not JSON.
        NotAnObject: not an object, or one without a list under each of the keys.
    """
    with _opened(path, chunk) as text:
        yield from _items(text, keys, optional)


def stream_list(path: str, chunk: int = _CHUNK) -> Iterator[object]:
    """Yield the items of a JSON list.

    Args:
        path, chunk: see :func:`stream_items`.

    Raises:
        FileNotFoundError, BrokenJson: see :func:`stream_items`.
        NotAnObject: not a list.
    """
    with _opened(path, chunk) as text:
        if text.peek() != '[':
            raise NotAnObject(f'a {type(text.value()).__name__}, not a list')
        yield from _list(text)


@contextmanager
def _opened(path: str, chunk: int) -> Iterator['_Text']:
    with open(path, encoding='utf-8-sig') as file:
        text = _Text(file, chunk)
        try:
            yield text
        except json.JSONDecodeError as error:
            raise BrokenJson(f'{error.msg}: character {text.offset + error.pos}') from None
        except UnicodeDecodeError as error:
            raise BrokenJson(str(error)) from None


def _list(text: '_Text') -> Iterator[object]:
    text.skip('[')
    first = True
    while text.peek() != ']':
        if not first:
            text.skip(',')
        first = False
        yield text.value()
    text.skip(']')


def _items(text: '_Text', keys, optional) -> Iterator[tuple[str, object]]:
    if text.peek() != '{':
        raise NotAnObject(_kind(text))
    text.skip('{')
    found, lists = [], set()
    while text.peek() != '}':
        if found:
            text.skip(',')
        key = text.value()
        if not isinstance(key, str):
            raise json.JSONDecodeError('Expecting a name in quotes', text.buffer, text.position)
        text.skip(':')
        found.append(key)
        if (key not in keys and key not in optional) or text.peek() != '[':
            text.value()
            continue
        lists.add(key)
        for item in _list(text):
            yield key, item
    missing = [key for key in keys if key not in lists]
    if missing:
        listing = ', '.join(map(repr, found[:8])) or 'nothing in it'
        raise NotAnObject(f'an object with {listing}, without a list of {" and ".join(missing)}')


def _kind(text: '_Text') -> str:
    if text.peek() != '[':
        return f'a {type(text.value()).__name__}'
    text.skip('[')
    if text.peek() != ']':
        item = text.value()
        if isinstance(item, dict):
            return f'a list of objects with {", ".join(map(repr, item))}'
    return 'a list'


class _Text:
    """A position in a text that is read in chunks."""

    def __init__(self, file, chunk: int):
        self.file, self.chunk = file, chunk
        self.buffer, self.position, self.offset = '', 0, 0
        self.ended = False

    def _refill(self, size: int) -> None:
        more = self.file.read(size)
        self.ended = not more
        self.offset += self.position
        self.buffer, self.position = self.buffer[self.position :] + more, 0

    def peek(self) -> str:
        """The next character other than white space; '' at the end."""
        while True:
            while self.position < len(self.buffer):
                character = self.buffer[self.position]
                if character not in ' \t\r\n':
                    return character
                self.position += 1
            if self.ended:
                return ''
            self._refill(self.chunk)

    def skip(self, character: str) -> None:
        if self.peek() != character:
            raise json.JSONDecodeError(f'Expecting {character!r}', self.buffer, self.position)
        self.position += 1

    def value(self):
        """The value that starts here, of any length."""
        self.peek()
        size = self.chunk
        while True:
            try:
                value, end = _decoder.raw_decode(self.buffer, self.position)
                # A number at the end of the buffer may continue after it.
                if end < len(self.buffer) or self.ended:
                    self.position = end
                    return value
            except json.JSONDecodeError:
                if self.ended:
                    raise
            except (RecursionError, ValueError) as error:  # too deep, or a number of thousands of digits
                raise json.JSONDecodeError(f'{type(error).__name__}: {error}', self.buffer, self.position) from None
            self._refill(size)
            size *= 2  # long values are decoded repeatedly, but rarely
