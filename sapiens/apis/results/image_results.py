"""Results of several tasks for one image."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from sapiens.visualization.layout import LINE, caption, fit, fit_width, join

from .base import Result
from .saving import Saving

__all__ = ['ImageResults']

SIDE = 1024  # pixels of the longer side of a tile in a saved figure
CAPTION = 1 / 30  # height of a caption as a fraction of the shorter side of its tile


class ImageResults(Mapping[str, Result]):
    """Results of several tasks for one image, by the name of the task in inference: ``results['pose'].keypoints``.

    :class:`sapiens.apis.Pipeline` returns them. A predictor of a model with several heads does too: its ``result`` returns
    ``ImageResults``, and the pipeline of batches adds each to the results of the image.

    Args:
        results: of one image, by task; at least one. Their order is that of the tiles in a figure.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright.
        path: source of the image; '' for arrays.

    Raises:
        ValueError: no results, or results of images of several sizes.
    """

    def __init__(self, results: Mapping[str, Result]) -> None:
        self._results = dict(results)
        if not self._results:
            raise ValueError('results of an image: expected at least one task')
        first = next(iter(self._results.values()))
        self.image, self.path = first.image, first.path
        sizes = {task: result.image.shape[:2] for task, result in self._results.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f'results of one image have images of several sizes (h, w): {sizes}')

    def __getitem__(self, task: str) -> Result:
        if task not in self._results:
            raise KeyError(f'no result of {task!r}: there are {", ".join(self._results)}')
        return self._results[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f'ImageResults({self.path or "array"!r}, {width} x {height}: {self.summary()})'

    def summary(self) -> str:
        """Describe the results in a few words each."""
        return '; '.join(result.summary() for result in self.values())

    def draw(self, side: int | None = SIDE, **options) -> np.ndarray:
        """Draw the image and the picture of each result side by side, with their names above.

        Args:
            side: maximum length of the longer side of a tile in pixels; None for tiles of the size of the image.
            **options: fields of :class:`sapiens.apis.results.Saving`.

        Returns:
            (h, w, 3) uint8 RGB.
        """
        saving = Saving(**options)
        return self.figure([result.picture(result.choose(saving)) for result in self.values()], side)

    def figure(self, pictures: Sequence[np.ndarray], side: int | None = SIDE) -> np.ndarray:
        """Put the image and pictures that are drawn already side by side, one for each result. See :meth:`draw`."""
        tiles = [self.image, *pictures]
        if side is not None:
            # By the width: legends are below pictures.
            width = fit(self.image, side).shape[1]
            tiles = [fit_width(tile, width) for tile in tiles]
        line = max(LINE, round(CAPTION * min(tiles[0].shape[:2])))
        named = [
            join([caption(tile.shape[1], name, line=line), tile], axis=0, gap=0)
            for name, tile in zip(['image', *self], tiles, strict=True)
        ]
        return join(named, axis=1)

    def save(self, folder: str | Path, name: str | None = None, **options) -> list[Path]:
        """Write the files of each result to ``folder/<task>`` and return their paths. Arguments as for :meth:`Result.save`.

        Raises:
            ValueError: an unknown option or kind of file, or no name.
        """
        return [path for task, result in self.items() for path in result.save(Path(folder) / task, name, **options)]
