"""What the terminal shows of a log. The file of the log holds everything."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.logging import MMLogger
from termcolor import colored

__all__ = [
    'TIMED_WIDTH',
    'WIDTH',
    'Terminal',
    'be_verbose',
    'fact',
    'is_verbose',
    'log_brief',
    'near_path',
    'without_lines',
]

VARIABLE = 'SAPIENS_VERBOSE'
# Columns of a terminal that lines of a run fit into.
WIDTH = 120
# The same without the time of day.
TIMED_WIDTH = WIDTH - len('12:30:00  ')


def is_verbose() -> bool:
    """Whether the terminal shows all of a log, and lines of other packages: ``--verbose``, or ``SAPIENS_VERBOSE=1``."""
    return os.environ.get(VARIABLE, '') not in ('', '0')


def be_verbose() -> None:
    """Set :func:`is_verbose` for this process and those that it starts."""
    os.environ[VARIABLE] = '1'


def log_brief(text: str, brief: str, logger: logging.Logger | None = None, timed: bool = True) -> None:
    """Log a text of which the terminal shows another form.

    Args:
        text: for the file.
        brief: for the terminal; '' for nothing.
        logger: default: MMEngine's current one.
        timed: begin the line on the terminal with the time of day.
    """
    (logger or MMLogger.get_current_instance()).info(text, extra=dict(brief=brief, timed=timed))


def fact(name: str, value: object) -> str:
    """Format a line of what a run works on; what does not fit the terminal is cut at its end."""
    line = f'{name:<12}{value}'
    return line if len(line) <= WIDTH else f'{line[: WIDTH - 1]}…'


def near_path(path: str | Path) -> str:
    """A path, relative to the current folder where it lies below it."""
    path, here = Path(path).absolute(), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@contextmanager
def without_lines(*texts: str) -> Iterator[None]:
    """Drop lines with one of the texts from what the code inside writes to stderr, also native code. Others follow at the end.

    With :func:`is_verbose` nothing is dropped.
    """
    if is_verbose():
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            for line in file.read().decode(errors='replace').splitlines():
                if not any(text in line for text in texts):
                    print(line, file=sys.stderr)


class Terminal(logging.Filter):
    """The handler of a logger that writes to the terminal: lines without names and levels, and only what a person needs there.

    With :func:`is_verbose` it stays as MMEngine made it.

    Args:
        logger: an MMEngine logger.
        timed: begin lines with the time of day.

    Attributes:
        is_quiet: show warnings and lines of :func:`log_brief` only.
    """

    def __init__(self, logger: logging.Logger, timed: bool = True) -> None:
        super().__init__()
        self.is_quiet = False
        for handler in logger.handlers:
            is_terminal = isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
            if is_terminal and not isinstance(handler.formatter, _Brief):
                handler.setFormatter(_Brief(timed, handler.formatter))
                handler.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        if is_verbose():
            return True
        brief = getattr(record, 'brief', None)
        if brief is None:
            return record.levelno >= logging.WARNING or not self.is_quiet
        return bool(brief)


class _Brief(logging.Formatter):
    """``12:30:00  text``; ``12:30:00  warning: text``. With :func:`is_verbose` the format of before."""

    def __init__(self, timed: bool, full: logging.Formatter) -> None:
        super().__init__(datefmt='%H:%M:%S')
        self.timed, self.full = timed, full

    def format(self, record: logging.LogRecord) -> str:
        if is_verbose():
            return self.full.format(record)
        text = getattr(record, 'brief', None) or record.getMessage()
        if record.levelno >= logging.WARNING:
            name = record.levelname.lower()
            text = f'{colored(name, "yellow")}: {text}'  # in color on a terminal only
        if record.exc_info:
            text += '\n' + self.formatException(record.exc_info)
        timed = self.timed and getattr(record, 'timed', True)
        return f'{self.formatTime(record, self.datefmt)}  {text}' if timed else text
