"""Commands as users run them, most of them in a process of their own."""

import pytest

from sapiens.commands import run


def status_of(command: str, *arguments) -> int | str | None:
    """Run a command in this process; returns its exit status."""
    with pytest.raises(SystemExit) as ended:
        run(command, [str(argument) for argument in arguments])
    return ended.value.code
