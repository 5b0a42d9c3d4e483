"""Members of an uncompressed tar file from any byte offset, each byte read once."""

import re
import tarfile
from typing import BinaryIO, NamedTuple

__all__ = ['BLOCK', 'BrokenTar', 'Member', 'next_member', 'read_content']

BLOCK = 512
# Extra headers: a long name (GNU), attributes of the next member (pax), and two types that are not used.
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b'L', b'K', b'x', b'g'
_MAX_HEADER_BYTES = 1 << 20
_PAX_RECORD = re.compile(rb'(\d+) ([^=]+)=')


class BrokenTar(ValueError):
    """A tar file that cannot be read further; the text is the reason."""


class Member(NamedTuple):
    """Where a member's content lies, and where the next header is; all in bytes from the start of the file."""

    name: str
    is_file: bool
    start: int
    size: int
    next_header: int


def next_member(file: BinaryIO, offset: int) -> Member | None:
    """The member whose header is at ``offset``; None at the end of the archive.

    Python's tarfile treats a damaged header as the end of the archive and reads a byte before the offset. Here damage is an
    error, and no byte is read twice.

    Raises:
        BrokenTar: a truncated or damaged header.
    """
    name = size = None
    begin = offset
    while True:
        header = _read(file, offset, BLOCK)
        if not header:
            if offset > begin:
                raise BrokenTar(f'truncated behind the header at byte {begin}')
            return None
        try:
            info = tarfile.TarInfo.frombuf(header, 'utf-8', 'surrogateescape')
        except tarfile.EOFHeaderError:
            return None
        except tarfile.HeaderError as error:
            raise BrokenTar(f'{error} at byte {offset}') from None
        start = offset + BLOCK
        if info.type in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            if info.size > _MAX_HEADER_BYTES:
                raise BrokenTar(f'a header of {info.size} bytes at byte {offset}')
            content = _read(file, start, info.size)
            if len(content) < info.size:
                raise BrokenTar(f'truncated in a header at byte {offset}')
            if info.type == _LONG_NAME:
                name = content.rstrip(b'\0').decode('utf-8', 'surrogateescape')
            elif info.type == _PAX:
                attributes = _pax_attributes(content)
                name = attributes.get('path', name)
                size = int(attributes['size']) if attributes.get('size', '').isdigit() else size
            offset = _after(start, info.size)
            continue
        # Only regular files have content; a link's size field may say otherwise.
        length = (info.size if size is None else size) if info.isreg() else 0
        return Member(name or info.name, info.isreg(), start, length, _after(start, length))


def read_content(file: BinaryIO, member: Member) -> bytes:
    """The member's content. Raises BrokenTar where the file ends before it does."""
    content = _read(file, member.start, member.size)
    if len(content) < member.size:
        raise BrokenTar(f'truncated: {member.name} has {len(content)} of {member.size} bytes')
    return content


def _read(file, offset, size) -> bytes:
    if file.tell() != offset:
        file.seek(offset)
    return file.read(size)


def _after(start, size) -> int:
    return start + -(-size // BLOCK) * BLOCK


def _pax_attributes(content: bytes) -> dict:
    """Records of the form ``LENGTH KEY=VALUE\\n``, where the length counts the whole record."""
    attributes, position = {}, 0
    while (match := _PAX_RECORD.match(content, position)) and position + int(match[1]) > match.end():
        position += int(match[1])
        value = content[match.end() : position - 1]
        attributes[match[2].decode('utf-8', 'replace')] = value.decode('utf-8', 'surrogateescape')
    return attributes
