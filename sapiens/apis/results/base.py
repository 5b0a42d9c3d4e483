"""Base class of results, and the declaration of their files.

Images are (H, W, 3) uint8 RGB. Points are (x, y) in pixels of the image with the center of the top-left pixel at (0, 0). Boxes
are x1, y1, x2, y2. Camera frame: x right, y down, z forward.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from sapiens.visualization.legend import legend_height

from ..found import Found
from ..writers.files import write_file
from .saving import Saving, default_background

__all__ = ['PICTURE', 'Result', 'ResultFile']


@dataclass(frozen=True)
class ResultFile:
    """One kind of file that a result class writes.

    Attributes:
        kind: name of the kind, for ``--save``.
        suffix: what follows the name of the image. It may hold ``{picture_format}`` or ``{map_format}``, options of
            :class:`Saving`. The suffix decides the format.
        content: function of the result and the options that returns what :func:`write_file` takes, or None for no file.
        default: whether the file is written when no kinds are chosen.
        sometimes: whether the file is missing for some images.
        needs: option of :func:`sapiens.apis.load_model` that must be set.
        about: what the file holds, with units, for the list of files in downloads of the web page.
    """

    kind: str
    suffix: str
    content: Callable[[Any, Saving], Any]
    default: bool = False
    sometimes: bool = False
    needs: str = ''
    about: str = ''


PICTURE = ResultFile(
    'picture',
    '.{picture_format}',
    lambda result, saving: result.picture(saving),
    default=True,
    about='the drawing, with its legend below',
)


@dataclass(repr=False)
class Result:
    """Result of one model for one image.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright.
        path: source of the image; '' for arrays.
        task: name of the task.
        files: files of the class. The first one is written last: it marks an image as done.
        is_cut_out: whether :func:`.set_masks` has cut the maps out, so that pictures are black outside by default.
    """

    image: np.ndarray
    path: str = ''
    task: ClassVar[str] = ''
    files: ClassVar[tuple[ResultFile, ...]] = ()
    # Of a frame of a video: seconds from its start; set by what processes videos.
    time: ClassVar[float | None] = None
    is_cut_out: ClassVar[bool] = False

    @classmethod
    def read_fields(cls, fields: Mapping[str, Tensor], task) -> dict:
        """Convert a prediction of a dense task to attributes of the result, in memory of the host.

        Args:
            fields: predicted fields of the sample, by name without ``pred_``, on any device.
            task: the ``DenseTask`` of the model.
        """
        raise NotImplementedError

    def draw(self) -> np.ndarray:
        """Draw the result."""
        raise NotImplementedError

    def cut_out(self) -> None:
        """Set the values outside the mask to not-a-number. For results with a mask."""
        raise NotImplementedError

    def choose(self, saving: Saving) -> Saving:
        """Return the options with the defaults that depend on the result."""
        return replace(saving, background=saving.background or default_background(self.is_cut_out))

    def level(self, background: int | None) -> int:
        """Return a gray level outside the mask, by default that of the result."""
        return self.choose(Saving()).background_level if background is None else background

    def drawing(self, saving: Saving) -> np.ndarray:
        """Draw the result as the options say, in the size of the image."""
        return self.draw()

    def legend(self, saving: Saving, width: int, line: int) -> np.ndarray | None:
        """Draw what the colors of :meth:`drawing` mean, (h, width, 3) uint8 RGB with lines of ``line`` pixels; None where that is
        plain."""
        return None

    def picture(self, saving: Saving) -> np.ndarray:
        """Draw the result as the options say, with the legend below."""
        picture = self.drawing(saving)
        if not saving.legend:
            return picture
        legend = self.legend(saving, picture.shape[1], legend_height(picture.shape))
        return picture if legend is None else np.concatenate([picture, legend])

    def frame_picture(self, saving: Saving) -> np.ndarray:
        """Draw a frame of a video, with colors that do not depend on the frame, and without a legend."""
        return self.picture(replace(saving, legend=False))

    def frame_header(self) -> dict:
        """JSON entries at the start of a video's file; frames follow under ``frames``."""
        return {}

    def frame_record(self, saving: Saving) -> dict:
        """JSON entries of one frame of a video. Used for classes with a file of kind 'json'."""
        raise NotImplementedError

    @property
    def missing(self) -> str:
        """Why there is no result, as where the camera of a pointmap is unknown; '' if there is one."""
        return ''

    def found(self, saving: Saving) -> Found | None:
        """Count what a run reports at its end; None for a task that reports nothing."""
        return None

    def summary(self) -> str:
        """Describe the result in a few words."""
        return self.task

    def __repr__(self) -> str:
        # Not the fields: an array of pixels fills the screen.
        height, width = self.image.shape[:2]
        return f'{type(self).__name__}({self.path or "array"!r}, {width} x {height}: {self.summary()})'

    @classmethod
    def chosen(cls, saving: Saving) -> tuple[ResultFile, ...]:
        """Return the declared files that the options choose.

        Raises:
            ValueError: a kind that no result class has.
        """
        given = (*(saving.kinds or ()), *saving.extra)
        unknown = set(given) - {file.kind for one in _subclasses(Result) for file in one.files}
        if unknown:
            raise ValueError(f'{min(unknown)!r} is not a kind of file: {_listing()}')
        return tuple(file for file in cls.files if file.kind in given or (saving.kinds is None and file.default))

    @classmethod
    def paths(cls, stem: Path, saving: Saving) -> dict[str, Path]:
        """Return the path of each chosen kind of file, where ``stem`` is the path without suffix.

        Raises:
            ValueError: none of the files is chosen.
        """
        chosen = cls.chosen(saving)
        if not chosen:
            raise ValueError(f'none of {", ".join(saving.kinds)} is a file of {cls.task!r}: {_listing()}')
        suffixes = {file.kind: file.suffix.format_map(asdict(saving)) for file in chosen}
        if len(set(suffixes.values())) < len(suffixes):  # a mask and a picture that are both .png
            suffixes['picture'] = f'_picture.{saving.picture_format}'
        return {kind: stem.with_name(stem.name + suffix) for kind, suffix in suffixes.items()}

    def write(self, stem: Path, saving: Saving, picture: np.ndarray | None = None) -> list[Path]:
        """Write the chosen files and return their paths.

        Args:
            stem: path without suffix.
            saving: chooses the files.
            picture: the picture, if it is drawn already.
        """
        paths, written, saving = self.paths(stem, saving), [], self.choose(saving)
        first, *others = self.chosen(saving)
        for file in (*others, first):
            content = picture if file is PICTURE and picture is not None else file.content(self, saving)
            if content is not None:
                write_file(paths[file.kind], content)
                written.append(paths[file.kind])
        return written

    def save(self, folder: str | Path, name: str | None = None, **options) -> list[Path]:
        """Write the result's files atomically and return their paths.

        Args:
            folder: created if needed.
            name: of the files, without suffix; by default that of the image.
            **options: fields of :class:`sapiens.apis.results.Saving`.

        Raises:
            ValueError: an unknown option or kind of file, or no name.
        """
        name = Path(self.path).stem if name is None else name
        if not name:
            raise ValueError("a result of an array has no file name: give one, save(folder, name='person')")
        return self.write(Path(folder) / name, Saving(**options))


def _subclasses(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from _subclasses(one)


def _listing() -> str:
    return '; '.join(
        f'{one.task} has {", ".join(file.kind for file in one.files)}' for one in _subclasses(Result) if one.files
    )
