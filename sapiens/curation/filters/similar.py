"""Images that a model finds alike: crops, mirrored copies, other frames of a video."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sapiens.utils.option_values import require_number

from .base import Filter, require_text
from .custom import find_function

__all__ = ['Similar', 'unpack']


class Similar(Filter):
    """Keeps one of several images whose embeddings have a cosine above a threshold.

    It is the last filter, and compares what passed all others. Of similar images the same one is kept as of
    :class:`.Duplicates`, which costs less and comes before. Embeddings are kept in the table, 2 bytes for each number.

    Args:
        cosine: of the embeddings, 0 to 1. It depends on the model: choose it by the report.
        model: name of a published model, ``'CONFIG'``, or ``'CONFIG,CHECKPOINT'``: the mean over the feature map of its encoder.
        function: instead of a model, ``'package.module:name'``. It takes a list of images, (H, W, 3) uint8 RGB, and returns
            their embeddings, (N, D).
        mirrored: add the embedding of the mirrored image, so that mirrored copies are found. It takes twice the time.
        batch_size: images that the model gets at a time.

    Raises:
        ValueError: a model and a function, or none; a function that returns something else.
    """

    stage = 'model'
    score = 'cosine'
    limits = (0.5, 1.0)
    thresholds = ('cosine', 'batch_size')
    # The embedding is float16, in bytes; the other two are found by the comparison.
    columns = dict(embedding=pa.binary(), of=pa.string(), cosine=pa.float32())

    def __init__(
        self,
        cosine: float = 0.95,
        model: str | None = None,
        function: str | None = None,
        mirrored: bool = True,
        batch_size: int = 8,
    ) -> None:
        require_number('cosine', cosine, least=0, most=1)
        require_number('batch_size', batch_size, least=1, whole=True)
        if (model is None) == (function is None):
            raise ValueError(f'model={model!r} and function={function!r}: give one of them')
        self.model = None if model is None else require_text('model', model)
        self.cosine, self.function, self.mirrored = cosine, function, mirrored
        self.batch = batch_size
        self._embed: Callable | None = find_function(function) if function else None

    @property
    def threshold(self) -> float:
        return self.cosine

    def setup(self, device: str = 'auto') -> None:
        if self.model:
            self._embed = _load(self.model, device, self.batch)

    def measure(self, photos):
        images = [photo.pixels for photo in photos]
        total = self._embeddings(images)
        if self.mirrored:
            total = total + self._embeddings([np.ascontiguousarray(image[:, ::-1]) for image in images])
        return [dict(embedding=_unit(row).astype(np.float16).tobytes()) for row in total]

    def passes(self, table: pa.Table) -> np.ndarray:
        return pc.is_null(table[self.column('of')]).to_numpy(zero_copy_only=False)

    def _embeddings(self, images: Sequence[np.ndarray]) -> np.ndarray:
        found = np.asarray(self._embed(images), np.float32)
        if found.ndim != 2 or len(found) != len(images):
            where = self.function or self.model
            raise ValueError(f'{where} returned {found.shape} for {len(images)} images: expected ({len(images)}, D)')
        return np.stack([_unit(row) for row in found])


def unpack(column: pa.ChunkedArray) -> np.ndarray:
    """Return embeddings of the table, (N, D) float16, from one row at least.

    Raises:
        ValueError: of different lengths.
    """
    found = column.to_pylist()
    sizes = {len(content) // 2 for content in found}
    if len(sizes) > 1:
        raise ValueError(f'embeddings of {sorted(sizes)} numbers: expected one length')
    return np.frombuffer(b''.join(found), np.float16).reshape(len(found), -1)


def _unit(row: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(row))
    return row / length if length > 0 and np.isfinite(length) else np.zeros_like(row)


def _load(text: str, device: str, batch_size: int) -> Callable:
    from sapiens.apis import load_model

    model, _, checkpoint = text.partition(',')
    predictor = load_model(model, checkpoint or None, task='features', device=device, batch_size=batch_size)
    return lambda images: np.stack([result.features.mean((1, 2)) for result in predictor(images)])
