"""The look of ``--help``: at most 100 columns, a short line of usage, and what people need first at the top."""

import argparse
import shutil
import textwrap
from collections.abc import Iterable, Sequence

__all__ = ['WIDTH', 'HelpFormatter', 'format_help', 'wrap_doc']

WIDTH = 99


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal, :data:`WIDTH` columns at most."""

    def __init__(self, prog: str, **options) -> None:
        options.setdefault('width', min(WIDTH, shutil.get_terminal_size().columns - 1))
        super().__init__(prog, max_help_position=26, **options)

    @property
    def width(self) -> int:
        return self._width

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(' '.join(text.split()), width, break_long_words=False, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return wrap_doc(text, width)


def format_help(parser: argparse.ArgumentParser, first: Sequence[str] = ()) -> str:
    """Format the help of a parser.

    Arguments that must be given and the ``first`` options come before the rest of the description, other options after it, in
    their groups.

    Args:
        first: flags of the options that most runs need.
    """
    formatter = parser.formatter_class(prog=parser.prog)
    summary, _, rest = (parser.description or '').strip().partition('\n')
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    needed = [action for action in shown if is_needed(action) or set(first) & set(action.option_strings)]
    formatter.add_usage(usage(parser, needed, len(needed) < len(shown)), (), ())
    formatter.add_text(summary)
    _add_section(formatter, 'arguments', sorted(needed, key=lambda action: order(action, first)))
    formatter.add_text(rest.strip('\n'))
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action in shown and action not in needed]
        plain = group.title in ('options', 'optional arguments', 'positional arguments')
        title = 'other options' if plain and needed else group.title
        _add_section(formatter, title, sorted(actions, key=is_general), group.description)
    formatter.add_text(parser.epilog)
    return formatter.format_help()


def _add_section(formatter, title: str, actions: Iterable[argparse.Action], description: str | None = None) -> None:
    if actions := list(actions):
        formatter.start_section(title)
        formatter.add_text(description)
        formatter.add_arguments(actions)
        formatter.end_section()


def is_needed(action: argparse.Action) -> bool:
    return not action.option_strings or action.required


def is_general(action: argparse.Action) -> bool:
    """Whether every command has the option: it comes last."""
    return bool({'--help', '--verbose'} & set(action.option_strings))


def order(action: argparse.Action, first: Sequence[str]) -> tuple[int, int]:
    """Positions first, then what must be given, then the order of ``first``."""
    ranks = [first.index(flag) for flag in action.option_strings if flag in first]
    return (0 if not action.option_strings else 1 if action.required else 2), min(ranks, default=0)


def usage(parser: argparse.ArgumentParser, needed: Iterable[argparse.Action], has_others: bool) -> str:
    """``sapiens train config [options]``: what must be given."""
    formatter = parser.formatter_class(prog=parser.prog)
    words = [parser.prog]
    for action in sorted(filter(is_needed, needed), key=lambda action: bool(action.option_strings)):
        if isinstance(action, argparse._SubParsersAction):
            words.append(f'{{{",".join(action.choices)}}} ...')
        elif action.option_strings:
            words.append(f'{action.option_strings[-1]} {_value(formatter, action, action.dest.upper())}'.strip())
        else:
            words.append(_value(formatter, action, action.dest))
    words += ['[options]'] if has_others else []
    return '\n'.join(_lines(words, formatter.width - len('usage: '), len('usage: ')))


def _lines(words: Iterable[str], width: int, indent: int) -> list[str]:
    """Words in lines of a width, the second and later ones indented."""
    lines = ['']
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(' ' * indent)
        lines[-1] = f'{lines[-1]}{"" if not lines[-1].strip() else " "}{word}'
    return lines


def _value(formatter, action: argparse.Action, default: str) -> str:
    return formatter._format_args(action, default) if action.nargs != 0 else ''


def wrap_doc(text: str, width: int) -> str:
    """Wrap a docstring to a width.

    Lines of prose are joined unless a sentence or a heading ends there. Of a command that is too long the comment goes above it,
    and the command is broken before its options.
    """
    lines: list[str] = []
    joined = ''
    for line in [*text.split('\n'), '']:
        is_prose = bool(line) and not line.startswith(' ')
        if joined and not (is_prose and joined[-1] not in '.:'):
            lines += textwrap.wrap(joined, width, break_long_words=False, break_on_hyphens=False)
            joined = ''
        if is_prose:
            joined = f'{joined} {line}' if joined else line
        elif len(line) > width:
            lines += _broken(line, width)
        else:
            lines.append(line)
    return '\n'.join(lines).rstrip('\n')


def _broken(line: str, width: int) -> list[str]:
    """A command with its comment in lines of a width."""
    text = line.lstrip()
    indent = line[: len(line) - len(text)]
    if text.startswith('# '):
        return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=f'{indent}# ')
    command, mark, comment = text.partition('  # ')
    above = [f'{indent}# {comment}'] if mark else []
    lines, current = [], indent + command.split()[0]
    for word in _options(command.split()[1:]):
        if len(current) + 1 + len(word) > width - 2:
            lines.append(f'{current} \\')
            current = f'{indent}    {word}'
        else:
            current += f' {word}'
    return [*above, *lines, current]


def _options(words: Sequence[str]) -> list[str]:
    """The words of a command, each option with its values."""
    parts: list[str] = []
    for word in words:
        if parts and parts[-1].startswith('--') and not word.startswith('--'):
            parts[-1] += f' {word}'
        else:
            parts.append(word)
    return parts
