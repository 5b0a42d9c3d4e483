"""Filters of images, by name."""

from .base import STAGES, Filter, numbers
from .build import FILTERS, build_filters
from .duplicates import Duplicates
from .people import People
from .similar import Similar, unpack

__all__ = ['FILTERS', 'STAGES', 'Duplicates', 'Filter', 'People', 'Similar', 'build_filters', 'numbers', 'unpack']
