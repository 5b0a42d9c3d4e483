"""``--help`` of every command fits 100 columns, and shows first what people need."""

import os
import re

import pytest

from sapiens.commands import COMMANDS, run
from sapiens.utils.cli import tool_parser
from sapiens.utils.help_text import wrap_doc

from .test_command_options import parsers


@pytest.mark.parametrize('columns', [100, 300])
@pytest.mark.parametrize('command', COMMANDS)
def test_width(monkeypatch, command, columns):
    monkeypatch.setattr('shutil.get_terminal_size', lambda *_: os.terminal_size((columns, 40)))
    for name, parser in parsers(monkeypatch, f'sapiens.commands.{command}').items():
        text = parser.format_help()
        assert max(map(len, text.splitlines())) < 100, name
        assert text.startswith('usage: '), name
        shown = [action for action in parser._actions if action.help != '==SUPPRESS==']
        for action in shown:
            for flag in action.option_strings:
                assert re.search(rf'(^  |, ){flag}\b', text, re.MULTILINE), f'{name}: {flag}'


def test_what_is_needed_comes_first(monkeypatch):
    monkeypatch.setattr('shutil.get_terminal_size', lambda *_: os.terminal_size((100, 40)))
    parser = tool_parser('Do it.\n\nMore of it.\n\nExamples:\n    sapiens do FILE', first=('--size', '--color'))
    parser.prog = 'sapiens do'
    parser.add_argument('file', help='what to do it to')
    group = parser.add_argument_group('looks')
    group.add_argument('--color', help='of it')
    group.add_argument('--shape', help='of it')
    parser.add_argument('--out', required=True, help='result')
    parser.add_argument('--size', type=int, help='of it')
    assert (
        parser.format_help()
        == """\
usage: sapiens do file --out OUT [options]

Do it.

arguments:
  file           what to do it to
  --out OUT      result
  --size SIZE    of it
  --color COLOR  of it

More of it.

Examples:
    sapiens do FILE

other options:
  -h, --help     show this help message and exit
  --verbose      show all of the log, and what other packages print

looks:
  --shape SHAPE  of it
"""
    )


def test_docstrings_are_wrapped():
    text = """A long sentence that goes on.
Another one: with words,
that continue.

Examples:
    sapiens x a            # short
    sapiens x a --option value other --flag     # a comment
    # a comment that is far too long to fit
    sapiens x {'a': 1}
"""
    assert (
        wrap_doc(text, 30)
        == """A long sentence that goes on.
Another one: with words, that
continue.

Examples:
    # short
    sapiens x a
    # a comment
    sapiens x a \\
        --option value other \\
        --flag
    # a comment that is far
    # too long to fit
    sapiens x {'a': 1}"""
    )
    assert (
        wrap_doc(text, 130)
        == text.replace('\nAnother one: with words,\nthat', '\nAnother one: with words, that').rstrip()
    )


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (
            ['config', '--splitt', 'x'],
            "unrecognized arguments: --splitt x; did you mean '--split'? (sapiens check --help)",
        ),
        ([], 'the following arguments are required: config (sapiens check --help)'),
        (
            ['x', '--samples', '0'],
            'argument --samples/--num-samples: 0: expected a whole number, 1 or more (sapiens check --help)',
        ),
    ],
)
def test_wrong_arguments_end_in_one_line(arguments, line, capsys, monkeypatch):
    monkeypatch.setattr('sys.argv', ['sapiens check'])
    with pytest.raises(SystemExit) as ended:
        run('check', arguments)
    assert ended.value.code == 2 and capsys.readouterr().err == f'error: {line}\n'
