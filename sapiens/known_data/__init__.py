"""Public data sets: where they are, under which license, and how their files come into the layout that configs read.

The table is :mod:`.table`. :mod:`.unpack` reads archives (:mod:`.sources`), :mod:`.check` counts samples by building the datasets
of the configs.
"""

from .check import Part, check_parts, data_root
from .prepare import SPLITS, prepare, rendered_by, state_of, where
from .spec import Download, KnownData, Rule
from .table import KNOWN, find_data

__all__ = [
    'KNOWN',
    'SPLITS',
    'Download',
    'KnownData',
    'Part',
    'Rule',
    'check_parts',
    'data_root',
    'find_data',
    'prepare',
    'rendered_by',
    'state_of',
    'where',
]
