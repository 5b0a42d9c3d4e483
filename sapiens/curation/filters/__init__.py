"""Filters of images, by name."""

from .base import STAGES, Filter, numbers
from .build import FILTERS, build_filters
from .duplicates import Duplicates
from .people import People

__all__ = ['FILTERS', 'STAGES', 'Duplicates', 'Filter', 'People', 'build_filters', 'numbers']
