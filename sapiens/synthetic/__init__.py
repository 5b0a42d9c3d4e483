"""Clothed people, rendered with every label this package trains on (docs/synthetic.md).

Needs anny and warp-lang (requirements/optional.txt).
"""

from .sample import PersonLabel, SyntheticSample

__all__ = ['HumanGenerator', 'PersonLabel', 'SyntheticSample']


def __getattr__(name: str):
    # The generator pulls in warp, which takes a second to import.
    if name == 'HumanGenerator':
        from .generator import HumanGenerator

        return HumanGenerator
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
