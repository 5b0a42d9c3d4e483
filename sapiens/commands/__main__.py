"""``sapiens COMMAND``, also ``python -m sapiens.commands COMMAND``."""

import ast
import sys
from difflib import get_close_matches
from pathlib import Path

from sapiens.commands import COMMANDS, run
from sapiens.version import __version__


def describe(command: str) -> str:
    """The first line of a command's docstring, read without importing the command."""
    source = Path(__file__).with_name(f'{command}.py').read_text(encoding='utf-8')
    return ast.get_docstring(ast.parse(source)).partition('\n')[0]


def help_text() -> str:
    width = max(map(len, COMMANDS))
    lines = '\n'.join(f'  {command:<{width}}  {describe(command)}' for command in COMMANDS)
    return f'usage: sapiens COMMAND ...\n\n{lines}\n\nsapiens COMMAND --help shows options and examples.'


def main() -> None:
    command, *argv = sys.argv[1:] or ['--help']
    if command in ('-h', '--help'):
        print(help_text())
    elif command == '--version':
        print(__version__)
    elif command not in COMMANDS:
        close = get_close_matches(command, COMMANDS, n=1)
        hint = f'did you mean {close[0]!r}?' if close else 'sapiens --help lists them'
        print(f'error: no command {command!r}; {hint}', file=sys.stderr)
        sys.exit(2)
    else:
        sys.argv[0] = f'sapiens {command}'  # the name in usage lines
        run(command, argv)


if __name__ == '__main__':
    main()
