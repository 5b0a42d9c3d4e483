"""A result that the page keeps: it is drawn again when options of the drawing change, without the models."""

import html
import itertools
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sapiens.metainfo.palettes import PALETTES
from sapiens.visualization.people import STYLES

from ..demo import ALL, RELIGHT
from ..relight import Light, relight_results
from ..results import ImageResults, Result, Saving
from ..writers.files import write_file

__all__ = ['SIDE_BY_SIDE', 'Kept', 'Look', 'View', 'compare']

SIDE_BY_SIDE = 'side by side'
# Width and height of a line of a legend in pixels, whatever the size of the picture. The page shows it about half as wide.
LEGEND = 640, 40


@dataclass(frozen=True)
class Look:
    """How a result is drawn.

    Attributes:
        style, threshold, show_boxes, palette, legend: see :class:`sapiens.apis.results.Saving`.
        shown: of several tasks, the one that is shown, or :data:`SIDE_BY_SIDE`.
        azimuth, elevation, ambient: of the light; see :class:`sapiens.apis.relight.Light`.
    """

    style: str = STYLES[0]
    threshold: float = Saving.threshold
    show_boxes: bool = False
    palette: str = PALETTES[0]
    legend: bool = True
    shown: str | None = SIDE_BY_SIDE
    azimuth: float = Light.azimuth
    elevation: float = Light.elevation
    ambient: float = Light.ambient

    def drawing(self) -> dict:
        """Options of :class:`sapiens.apis.results.Saving`."""
        names = ('style', 'threshold', 'show_boxes', 'palette', 'legend')
        return {name: getattr(self, name) for name in names}

    def light(self) -> Light:
        return Light(self.azimuth, self.elevation, ambient=self.ambient)


class View(NamedTuple):
    """What is shown of a result, (h, w, 3) uint8 RGB each.

    Attributes:
        picture: the drawing.
        image: the input of the same size, to be compared with the drawing; None where the drawing has it already.
        legend: what the colors mean; None where that is plain.
    """

    picture: np.ndarray
    image: np.ndarray | None = None
    legend: np.ndarray | None = None


@dataclass
class Kept:
    """Results of one image.

    Attributes:
        results: of a task, or of several.
        task: name of the task on the page.
        label: of the model.
        kinds: kinds of files that are written.
        seconds: that the computation took.
        folder: of the files that are written.
        files: those that are written, with the drawings of the last look.
    """

    results: Result | ImageResults
    task: str
    label: str
    kinds: tuple[str, ...]
    seconds: float
    folder: Path
    files: list[Path] = field(default_factory=list)

    def parts(self) -> list[str]:
        """Return the tasks that can be shown one at a time."""
        return list(self.results) if self.task == ALL else []

    def view(self, look: Look) -> View:
        """Draw the result, or the part that is to be shown."""
        if self.task == RELIGHT:
            return View(relight_results(self.results, look.light()), self.results.image)
        result = self.results
        if isinstance(result, ImageResults):
            if look.shown not in result:
                return View(result.draw(**look.drawing()))
            result = result[look.shown]
        saving = result.choose(Saving(**look.drawing()))
        picture = result.drawing(saving)
        legend = result.legend(saving, *LEGEND) if look.legend else None
        if legend is not None and not legend.size:  # no color is used
            legend = None
        return View(picture, result.image if picture.shape == result.image.shape else None, legend)

    def write(self, look: Look) -> list[Path]:
        """Write the files: all at the first time, later the drawings alone.

        Returns:
            the files, the data first and the picture that shows the whole result last.
        """
        kinds = ('picture',) if self.files else self.kinds
        written = self.results.save(self.folder, kinds=kinds, **look.drawing())
        if isinstance(self.results, ImageResults):
            figure = self.folder / f'{self.task}.jpg'
            write_file(figure, self.view(Look(**vars(look) | dict(shown=SIDE_BY_SIDE))).picture)
            written.append(figure)
        self.files = [path for path in self.files if path not in written] + written
        return self.files

    def discard(self) -> None:
        """Delete the files."""
        shutil.rmtree(self.folder, ignore_errors=True)


_numbers = itertools.count()


def compare(view: View, folder: Path, title: str) -> str:
    """Write the pictures of a view and return HTML that shows them, with a slider between input and result.

    The slider is an ``input`` of type ``range``: it works with a mouse, a finger and the arrow keys.

    Args:
        folder: that the server serves.
        title: of the result, for people who do not see it.
    """
    place = Path(tempfile.mkdtemp(prefix='view_', dir=folder))
    height, width = view.picture.shape[:2]

    def tag(name: str, pixels: np.ndarray, text: str, kind: str) -> str:
        path = place / f'{name}_{next(_numbers)}.jpg'  # another address for each drawing
        write_file(path, pixels)
        size = f'width="{pixels.shape[1]}" height="{pixels.shape[0]}"'
        address = html.escape(f'gradio_api/file={os.fspath(path)}')
        return f'<img class="{kind}" src="{address}" alt="{html.escape(text)}" {size}>'

    result = tag('result', view.picture, f'Result: {title}', 'after')
    legend = tag('legend', view.legend, 'Legend: what the colors mean', 'legend') if view.legend is not None else ''
    if view.image is None:
        return f'<div class="compare" style="--ratio: {width / height:.4f}">{result}</div>{legend}'
    return (
        f'<div class="compare" style="--ratio: {width / height:.4f}; --cut: 50%">'
        f'{tag("input", view.image, "Input", "before")}{result}<div class="edge" aria-hidden="true"></div>'
        '<input type="range" min="0" max="100" value="50" aria-label="Slider between input and result" '
        """oninput="this.parentNode.style.setProperty('--cut', this.value + '%')">"""
        f'</div>{legend}'
    )
