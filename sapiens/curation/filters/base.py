"""What all filters share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ..photo import Photo

__all__ = ['STAGES', 'Filter', 'numbers', 'require_text']

STAGES = ('image', 'collection', 'model')


class Filter(ABC):
    """Measures images, and decides by thresholds which ones pass.

    Scores are kept in the table, so that thresholds can be changed without another look at the images: :meth:`passes` reads
    the table alone.

    Attributes:
        name: key in the config, and the prefix of the columns.
        stage: ``'image'``: measured when a file is read first. ``'collection'``: by a comparison with all others. ``'model'``:
            of the images that passed the filters before, in batches, on a GPU where there is one.
        columns: name without prefix -> type.
        score: the column that the report shows, '' for none; with its ``limits`` of the histogram.
        thresholds: names of the arguments that do not change scores.
        batch: number of images that are measured together.
    """

    stage: ClassVar[str] = 'image'
    columns: ClassVar[dict[str, pa.DataType]] = {}
    score: ClassVar[str] = ''
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)
    thresholds: ClassVar[tuple[str, ...]] = ()
    batch: ClassVar[int] = 1
    name = ''
    options: dict[str, Any] = {}

    def check(self) -> None:
        """Raise the errors of :meth:`setup` that need no model, so that a run does not end in them after hours."""
        return

    def setup(self, device: str = 'auto') -> None:
        """Load what :meth:`measure` needs. This is called once in each process, and not where only verdicts are made."""
        return

    def measure(self, photos: Sequence[Photo]) -> list[dict[str, Any]]:
        """Return the columns, without prefix, of each image. Raises BadImage, of one image, for a file that cannot be used."""
        raise NotImplementedError

    @abstractmethod
    def passes(self, table: pa.Table) -> np.ndarray:
        """Return which rows pass, (N,) bool. Rows without a score do not matter."""

    @property
    def threshold(self) -> float | None:
        """Of :attr:`score`, for the report; None for none."""
        return None

    def column(self, name: str) -> str:
        """Return the name of a column in the table."""
        return f'{self.name}_{name}'

    @property
    def version(self) -> str:
        """All options that scores depend on, and the scores that there are."""
        kept = {key: value for key, value in self.options.items() if key not in self.thresholds}
        return (
            f'{self.name} {type(self).__name__} {sorted(kept.items(), key=lambda item: item[0])} {list(self.columns)}'
        )


def numbers(table: pa.Table, column: str) -> np.ndarray:
    """Return a column as float64, with NaN for nulls."""
    return table[column].cast(pa.float64()).to_numpy(zero_copy_only=False)


def require_text(name: str, value: Any) -> str:
    """Return a text with commas, which --cfg-options splits into a list. Raises ValueError for another value."""
    if isinstance(value, list | tuple) and value and all(isinstance(part, str) for part in value):
        return ','.join(value)
    if not isinstance(value, str):
        raise ValueError(f'{name}={value!r}: expected a text')
    return value
