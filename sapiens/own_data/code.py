"""Python text of configs."""

from collections.abc import Iterable

__all__ = ['as_code', 'comment']

_WIDTH = 118


def as_code(value: object, indent: int = 0, room: int = _WIDTH) -> str:
    """A value as Python text: dicts as ``dict(...)`` where their keys are names, broken into lines where they are long.

    Args:
        indent: of the line on which it begins.
        room: columns that are left on that line.
    """
    if isinstance(value, dict) and value and not all(isinstance(key, str) and key.isidentifier() for key in value):
        parts, ends = [f'{key!r}: {as_code(item)}' for key, item in value.items()], '{}'
    elif isinstance(value, dict):
        parts, ends = [f'{key}={as_code(item)}' for key, item in value.items()], ('dict(', ')')
    elif isinstance(value, list):
        parts, ends = [as_code(item) for item in value], '[]'
    elif isinstance(value, tuple):
        parts, ends = [as_code(item) for item in value], '()'
        if len(parts) == 1:
            parts[0] += ','
    else:
        return repr(value)
    line = f'{ends[0]}{", ".join(parts)}{ends[1]}'
    if len(line) <= room and '\n' not in line:
        return line
    inner = ' ' * (indent + 4)
    return f'{ends[0]}\n' + ''.join(f'{inner}{part},\n' for part in _parts(value, indent + 4)) + ' ' * indent + ends[1]


def _parts(value: dict | list | tuple, indent: int) -> Iterable[str]:
    """The items of a container, one a line."""
    room = _WIDTH - indent - 1
    if not isinstance(value, dict):
        return [as_code(item, indent, room) for item in value]
    named = all(isinstance(key, str) and key.isidentifier() for key in value)
    heads = [f'{key}=' if named else f'{key!r}: ' for key in value]
    return [head + as_code(item, indent, room - len(head)) for head, item in zip(heads, value.values(), strict=True)]


def comment(sentences: Iterable[str]) -> str:
    """Sentences as comment lines of at most 118 columns; the second line of one is indented."""
    lines = []
    for sentence in sentences:
        line = '#'
        for word in f'- {sentence}'.split():
            if len(line) + 1 + len(word) > _WIDTH and line.strip('# '):
                lines.append(line)
                line = '#  '
            line += f' {word}'
        lines.append(line)
    return '\n'.join(lines)
