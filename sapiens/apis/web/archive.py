"""One zip file with the files of a result, and a README that tells what they are."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from sapiens.version import __version__

from ..results.by_task import get_result_class

__all__ = ['describe', 'readme', 'write_zip']

CONVENTIONS = (
    'Points are (x, y) in pixels of the picture; the center of its top-left pixel is (0, 0).\n'
    'Boxes are left, top, right, bottom. Arrays are files of NumPy: numpy.load("FILE.npy"). H and W are height and width.'
)


def describe(path: Path, folder: Path, task: str) -> str:
    """Return what a file holds.

    Args:
        path: of the file, below ``folder``.
        task: of the result; where results of several tasks are in folders of their names, these decide.
    """
    below = path.relative_to(folder)
    whole = len(below.parts) == 1
    if path.suffix == '.mp4':
        return 'the video with the drawings'
    if path.stem.endswith('_poster'):
        return 'a frame of the video, the first with the most people'
    owner = task if whole else below.parts[0]
    try:
        declared = get_result_class(owner).files
    except ValueError:
        return 'the picture and all results side by side' if owner == 'all' else 'the drawing of all results'
    # The longest ending that fits: _seg.npy before .npy.
    fitting = [file for file in declared if path.name.endswith(_ending(file.suffix))]
    best = max(fitting, key=lambda file: len(_ending(file.suffix)), default=None)
    return (best.about or best.kind) if best else ''


def _ending(suffix: str) -> str:
    return suffix.format(picture_format='jpg', map_format='npy')


def readme(title: str, model: str, license: str, summary: str, files: Mapping[str, str]) -> str:
    """Return the text of the README of a download.

    Args:
        title: plain name of the task.
        model: label of the model.
        license: sentences about the license of its weights.
        summary: of the result.
        files: what each file holds, by its path in the archive.
    """
    width = max(map(len, files), default=0)
    lines = [f'{name:<{width}}  {about}'.rstrip() for name, about in files.items()]
    head = (f'Results of sapiens {__version__}', f'Task: {title}', f'Model: {model}', license, f'Result: {summary}')
    return '\n'.join((*head, '', 'Files', *lines, '', CONVENTIONS, ''))


def write_zip(path: Path, folder: Path, files: list[Path], text: str) -> Path:
    """Write a zip file with files below ``folder`` and ``README.txt``, and return its path."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('README.txt', text)
        for file in files:
            # Pictures and videos are compressed already; arrays shrink, and the fastest level takes most of it.
            stored = file.suffix in ('.jpg', '.png', '.mp4')
            method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.write(file, file.relative_to(folder).as_posix(), method, compresslevel=None if stored else 1)
    return path
