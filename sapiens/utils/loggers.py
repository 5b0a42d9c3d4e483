"""Levels of loggers."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ['quiet_loggers']


@contextmanager
def quiet_loggers(*loggers: logging.Logger, level: int = logging.WARNING) -> Iterator[None]:
    """Drop what loggers say below a level."""
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, before in zip(loggers, levels, strict=True):
            logger.setLevel(before)
