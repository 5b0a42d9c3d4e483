"""Numbers of an estimate as text, in units that keep digits for models of any size."""

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ['BYTES', 'OPERATIONS', 'SECONDS', 'Unit', 'show', 'three_digits', 'unit_of']


class Unit(NamedTuple):
    name: str
    size: float


# The largest first.
BYTES = (Unit('GB', 1e9), Unit('MB', 1e6))
OPERATIONS = (Unit('TFLOP', 1e12), Unit('GFLOP', 1e9))
SECONDS = (Unit('s', 1.0), Unit('ms', 1e-3))


def unit_of(values: Iterable[float], units: tuple[Unit, ...]) -> Unit:
    """The unit of a column: the largest one that the largest value reaches, else the smallest one."""
    largest = max(values, default=0.0)
    return next((unit for unit in units if largest >= unit.size), units[-1])


def show(value: float, units: tuple[Unit, ...] = BYTES) -> str:
    """A number with its unit: ``93.1 GB``, ``54.3 MB``, ``18.5 TFLOP``."""
    unit = unit_of([value], units)
    return f'{three_digits(value / unit.size)} {unit.name}'


def three_digits(value: float) -> str:
    """Three significant digits, all digits of whole numbers from 100 on."""
    return f'{value:,.0f}' if value >= 100 else f'{value:#.3g}'.rstrip('.')
