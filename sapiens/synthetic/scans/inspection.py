"""Problems of scans, found before hours are spent on rendering them: unit, axis, holes, colors.

Each scan is looked at by itself. The unit and the axis are then those of most of them, since the files of a set have one
convention: a scan that differs is an error or a warning that names it.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from sapiens.utils.files import write_atomically

from ..making import Maker
from .files import read_scan
from .landmarks import find_head, sample_surface
from .scan import UPS, upright, weld

__all__ = ['UNITS', 'Inspector', 'choose_unit', 'choose_up', 'describe_scan', 'find_doubts', 'largest_hole']

# Meters of a unit. A person is 0.35 to 2.8 meters long, which tells the three apart.
UNITS = {'m': 1.0, 'cm': 0.01, 'mm': 0.001}
_LONG = 0.35, 2.8
_SMALL = 1.3  # meters: a median below is that of children, or of files without a unit
_HOLE = 0.25  # meters around a hole that is worth a warning: a hand could go through


def describe_scan(path: str | Path) -> dict:
    """What a scan says about itself, JSON-able.

    Returns:
        dict(triangles, extent (3 numbers in units of the file, along its axes), ups (axes along which a head is found on top),
        hole (length around the largest one, in units of the file), image (width and height of the largest, or None)).

    Raises:
        FileNotFoundError, ValueError: see :func:`.files.read_scan`; an image that is cut off.
    """
    mesh = read_scan(path)
    images = [image.size for image in mesh.images if image is not None]
    _decode(path, mesh.images)
    points = sample_surface(mesh.vertices, mesh.faces)
    extent = np.ptp(points, axis=0)
    longest = float(extent.max())
    if not longest > 0:
        raise ValueError(f'the scan {str(path)!r} is a single point')
    unit = next((unit for unit in UNITS.values() if _LONG[0] <= longest * unit <= _LONG[1]), 1.7 / longest)
    return dict(
        triangles=len(mesh.faces),
        extent=[float(value) for value in extent],
        ups=[up for up in UPS if find_head(upright(points * unit, up)) is not None],
        hole=largest_hole(mesh.vertices, mesh.faces),
        image=[int(value) for value in max(images)] if images else None,
    )


def _decode(path: str | Path, images: list) -> None:
    """Read images to their end, JPEG files at an eighth of their size. Raises ValueError for one that is damaged."""
    for image in {id(image): image for image in images if image is not None}.values():
        try:
            image.draft('RGB', (image.width // 8, image.height // 8))
            image.load()
        except Exception as error:  # any error of a format's reader
            name = image.info.get('file_path', '')
            raise ValueError(
                f'the scan {str(path)!r} has a damaged image{f" {name!r}" if name else ""}: {error}'
            ) from error


def largest_hole(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Length of the longest border of a mesh: around a hole, or of an open surface. 0 for a closed one."""
    _, place = weld(vertices.astype(np.float32), faces)
    edges = np.sort(place[faces][:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1).astype(np.int64)
    edges = edges[edges[:, 0] != edges[:, 1]]
    count = len(place)
    code, times = np.unique(edges[:, 0] * count + edges[:, 1], return_counts=True)
    border = np.stack(np.divmod(code[times == 1], count), 1)
    if not len(border):
        return 0.0
    at = np.zeros((count, 3))
    at[place] = vertices
    length = np.linalg.norm(at[border[:, 0]] - at[border[:, 1]], axis=1)
    graph = coo_matrix((np.ones(len(border)), border.T), (count, count))
    _, part = connected_components(graph, directed=False)
    return float(np.bincount(part[border[:, 0]], length).max())


class Inspector(Maker):
    """Looks at single scans in the calling process, and leaves what it finds in a file each.

    Args:
        root: folder of the scans.
        paths: of the scans.
        folder: of the results.
    """

    def __init__(self, root: Path, paths: list[Path], folder: Path):
        self.root, self.paths = root, paths
        # Known from the beginning: another machine may see other times.
        self.files = [folder / self._file_name(index) for index in range(len(paths))]

    def _file_name(self, index: int) -> str:
        """Of the result. It is made of the path, size and time of the scan: another scan has another one."""
        state = self.paths[index].stat()
        text = f'{self.name(index)} {state.st_size} {state.st_mtime_ns}'
        return f'{hashlib.sha256(text.encode()).hexdigest()[:16]}.json'

    def name(self, index: int) -> str:
        path = self.paths[index]
        return path.name if path == self.root else path.relative_to(self.root).as_posix()

    def is_made(self, index: int) -> bool:
        return self.files[index].is_file()

    def __call__(self, index: int) -> None:
        try:
            result = describe_scan(self.paths[index])
        except (OSError, ValueError) as error:
            result = dict(error=str(error))
        write_atomically(self.files[index], json.dumps(result) + '\n')


def choose_unit(names: list[str], facts: list[dict], unit: str | float = 'auto') -> float:
    """Meters of a unit of the files.

    Args:
        names: of the scans, for messages.
        facts: results of :func:`describe_scan`.
        unit: 'auto' for that of most scans, a name of :data:`UNITS`, or a number.

    Raises:
        ValueError: a scan is no person's size in this unit.
    """
    longest = [max(fact['extent']) for fact in facts]
    if unit == 'auto':
        votes = Counter(name for value in longest for name in UNITS if _LONG[0] <= value * UNITS[name] <= _LONG[1])
        if not votes:
            raise ValueError(
                f'the scan {names[0]} is {longest[0]:.4g} units long: no person in meters, centimeters or millimeters. Give '
                '--unit, the meters of one unit'
            )
        unit = max(votes, key=votes.get)
    meters = UNITS[unit] if unit in UNITS else float(unit)
    for name, value in zip(names, longest, strict=True):
        if not _LONG[0] <= value * meters <= _LONG[1]:
            other = [each for each, size in UNITS.items() if _LONG[0] <= value * size <= _LONG[1] and size != meters]
            hint = f'it would be {value * UNITS[other[0]]:.3g} m in {other[0]}: ' if other else ''
            raise ValueError(
                f'the scan {name} is {value * meters:.4g} m long, at {meters:g} meters for a unit of the files; {hint}convert '
                'it, move it elsewhere, or give another --unit'
            )
    return meters


def choose_up(names: list[str], facts: list[dict], up: str = 'auto') -> tuple[str, list[str]]:
    """The axis of the files that points up, and warnings about scans that have no head on top of it.

    Args:
        up: 'auto' for the axis on which most scans have a head, or one of :data:`.scan.UPS`.
    """
    if up == 'auto':
        votes = Counter(each for fact in facts for each in fact['ups'])
        # y if nothing tells: that of most files.
        up = max(UPS, key=lambda each: (votes[each], each == 'y'))
    warnings = []
    for name, fact in zip(names, facts, strict=True):
        if up in fact['ups']:
            continue
        if fact['ups']:
            warnings.append(
                f'{name}: its head is along {" or ".join(fact["ups"])}, not along {up} as taken for all: turn it?'
            )
        else:
            warnings.append(f'{name}: no head found along any axis; its faces are framed by the highest point')
    return up, warnings


def find_doubts(names: list[str], facts: list[dict], unit: float) -> list[str]:
    """Warnings about holes, and about sizes.

    Args:
        unit: meters of one unit of the files.
    """
    warnings = []
    sizes = np.array([max(fact['extent']) for fact in facts]) * unit
    if np.median(sizes) < _SMALL:
        warnings.append(
            f'{names[0]} and others are {np.median(sizes):.2f} m long in the median: children? Files without a unit, as those of '
            'THuman2, need --unit'
        )
    for name, fact in zip(names, facts, strict=True):
        if fact['hole'] * unit > _HOLE:
            warnings.append(
                f'{name}: a hole with a border of {fact["hole"] * unit:.2f} m, through which its inside is seen'
            )
    return warnings
