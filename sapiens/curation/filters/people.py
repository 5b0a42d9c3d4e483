"""People, by a detector."""

import numpy as np
import pyarrow as pa

from sapiens.apis.detectors import build_detector, check_detector
from sapiens.utils.option_values import require_number

from .base import Filter, require_text

__all__ = ['People']

# Boxes with less are not kept in the table.
_LEAST_SCORE = 0.05
VIEWS = ('any', 'whole')


class People(Filter):
    """Images with a large person that a detector is sure of.

    Args:
        detector: see :func:`sapiens.apis.detectors.build_detector`.
        score: a box counts above this score.
        side: and if its width and height are above this, in pixels.
        view: ``'whole'``: one of the boxes that count has to be taller than wide, and no edge of the image may cut it.
        batch_size: images that the detector gets at a time.
    """

    stage = 'model'
    score = 'best'
    thresholds = ('score', 'side', 'view', 'batch_size')
    columns = dict(boxes=pa.list_(pa.float32()), scores=pa.list_(pa.float32()), best=pa.float32())

    def __init__(
        self,
        detector: str = 'auto',
        score: float = 0.9,
        side: float = 300,
        view: str = 'any',
        batch_size: int = 8,
    ) -> None:
        self.detector = require_text('detector', detector)
        require_number('score', score, least=0, most=1)
        self.least_score = score
        require_number('side', side, least=0)
        self.side = side
        require_number('batch_size', batch_size, least=1, whole=True)
        self.batch = batch_size
        if view not in VIEWS:
            raise ValueError(f'view={view!r} is not one of {VIEWS}')
        self.view = view
        self._find = None

    @property
    def threshold(self) -> float:
        return self.least_score

    def check(self) -> None:
        check_detector(self.detector)

    def setup(self, device: str = 'auto') -> None:
        self._find = build_detector(self.detector, device, threshold=_LEAST_SCORE)

    def measure(self, photos):
        """Boxes are x1, y1, x2, y2 of one person after the other, in pixels of the upright image, best first."""
        found = self._find([photo.pixels for photo in photos])
        return [
            dict(
                boxes=np.asarray(boxes, np.float32).ravel(),
                scores=np.asarray(scores, np.float32),
                best=float(max(scores, default=0.0)),
            )
            for boxes, scores in found
        ]

    def counts(self, table: pa.Table) -> np.ndarray:
        """Return the number of people that count in each row, (N,) int64; 0 without boxes."""
        scores, row = _flatten(table[self.column('scores')])
        boxes = _flatten(table[self.column('boxes')])[0].reshape(-1, 4)
        good = (scores > self.least_score) & ((boxes[:, 2:] - boxes[:, :2]) > self.side).all(1)
        if self.view == 'whole':
            size = np.stack([table[name].to_numpy(zero_copy_only=False) for name in ('width', 'height')], 1)[row]
            margin = 0.01 * size
            inside = (boxes[:, :2] > margin).all(1) & (boxes[:, 2:] < size - margin).all(1)
            good &= inside & (boxes[:, 3] - boxes[:, 1] > boxes[:, 2] - boxes[:, 0])
        return np.bincount(row[good], minlength=len(table))

    def passes(self, table: pa.Table) -> np.ndarray:
        return self.counts(table) > 0


def _flatten(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of all lists, and the row of each."""
    column = column.combine_chunks()
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return column.flatten().to_numpy(zero_copy_only=False), np.repeat(np.arange(len(column)), lengths)
