"""Files of scans: which ones a folder has, and their triangles and colors, as read by trimesh.

Legend: V vertices, F triangles, N materials.
"""

import contextlib
import io
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sapiens.utils.optional import require
from sapiens.utils.srgb import decode_srgb

__all__ = ['SUFFIXES', 'MeshFile', 'find_scans', 'read_scan']

SUFFIXES = ('.obj', '.ply', '.glb', '.gltf')
_PICTURES = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp')
_NO_PICTURES = ('.mtl', '.bin')  # what else a mesh names
# Folders beside a mesh in which its images may lie: RenderPeople's of OBJ and of Maya, and what others call them.
_PLACES = ('.', 'tex', 'textures', 'texture', 'sourceimages')
# Number of thousand triangles or pixels at the end of a name: rp_x_100k.obj, rp_x_dif_8k.jpg.
_THOUSANDS = re.compile(r'[_-](\d+)k$', re.IGNORECASE)
# Fits of a body model, which THuman2 and Hi4D have beside their scans.
_FITS = re.compile(r'smpl', re.IGNORECASE)


@dataclass
class MeshFile:
    """A mesh in the units and axes of its file.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int32, triangles.
        uv: (V, 2) float32 fractions of the image, v upwards; or None if no material has an image.
        colors: (V, 3) float32 linear RGB, if the file has colors of vertices; or None.
        material: (F,) int32, index of the material of a triangle.
        images: N images (PIL), or None for materials without one.
        tints: N linear RGB: factors on images, or the color where there is none.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray | None
    colors: np.ndarray | None
    material: np.ndarray
    images: list
    tints: list


def find_scans(root: str | Path) -> list[Path]:
    """Meshes of a folder, at any depth, sorted; or one file. Hidden names are skipped.

    Of the same scan in several numbers of triangles (``x_30k.obj``, ``x_100k.obj``) only the finest is taken, and fits of body
    models (``smpl`` in the name of the file) are left out.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: there is no mesh in it.
    """
    root = Path(root).expanduser()
    if root.is_file():
        if root.suffix.lower() not in SUFFIXES:
            raise ValueError(f'{root}: expected a mesh, {", ".join(SUFFIXES)}')
        return [root]
    if not root.is_dir():
        raise FileNotFoundError(f'no folder of scans {str(root)!r}')
    finest: dict[tuple, tuple] = {}
    left_out = 0
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith('.') or path.suffix.lower() not in SUFFIXES:
                continue
            if _FITS.search(path.stem):
                left_out += 1
                continue
            found = _THOUSANDS.search(path.stem)
            key = path.parent, _THOUSANDS.sub('', path.stem), path.suffix.lower()
            finest[key] = max(finest.get(key, (-1, path)), (int(found[1]) if found else 0, path))
    if not finest:
        only = f', {left_out} of a body model left out' if left_out else ''
        raise ValueError(f'no scans in {str(root)!r}: no file at any depth ends in {", ".join(SUFFIXES)}{only}')
    return sorted(path for _, path in finest.values())


def read_scan(path: str | Path, colors: bool = True) -> MeshFile:
    """Read the triangles of a mesh, and its colors.

    Args:
        colors: False for the triangles only: images are not opened, and may be missing.

    Raises:
        ValueError: not a mesh, no triangles, coordinates that are not finite, triangles of vertices that do not exist, an image
            that cannot be read, or a part without colors. The message names the file.
        FileNotFoundError: an image of the mesh is missing.
    """
    path = Path(path)
    trimesh = require('trimesh', 'reading scans')
    files = _files_beside(trimesh)(path, colors)
    bare: list[str] = []
    try:
        with _quiet():
            scene = trimesh.load_scene(str(path), process=False, resolver=files, skip_materials=not colors)
        # Not scene.dump(), which decodes and copies the images: large JPEG files are decoded at half their size.
        placed = [(scene.geometry[name], matrix) for matrix, name in map(scene.graph.get, scene.graph.nodes_geometry)]
        meshes = [
            _one_mesh(mesh, matrix, colors, bare)
            for mesh, matrix in placed
            if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces)
        ]
    except Exception as error:  # any error of a parser
        text = ' '.join(str(error).split())
        raise ValueError(f'the scan {str(path)!r} cannot be read: {type(error).__name__}: {text}') from error
    if not meshes:
        raise ValueError(f'the scan {str(path)!r} has no triangles: a cloud of points or an empty file?')
    out = _join(meshes)
    if not np.isfinite(out.vertices).all() or not (out.uv is None or np.isfinite(out.uv).all()):
        raise ValueError(f'the scan {str(path)!r} has coordinates that are not finite numbers')
    if out.faces.min() < 0 or out.faces.max() >= len(out.vertices):
        raise ValueError(
            f'the scan {str(path)!r} is damaged: it has {len(out.vertices)} vertices, and a triangle of vertex '
            f'{out.faces.max() if out.faces.min() >= 0 else out.faces.min()} (from 0)'
        )
    if colors:
        if files.broken:
            raise ValueError(f'the scan {str(path)!r} has an image that cannot be read: {files.broken[0]}')
        _require_colors(path, out, files.missing, bare)
    return out


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep trimesh from logging the traceback of a missing image, which ends in a sentence here."""
    log = logging.getLogger('trimesh')
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _require_colors(path: Path, mesh: MeshFile, missing: list, bare: list[str]) -> None:
    """Find an image for a mesh that names none. Raises an error where a part has no colors, or an image is missing.

    Args:
        bare: what parts lack that :func:`_one_mesh` has found without colors.
    """
    if mesh.uv is not None and not any(mesh.images):
        base = _THOUSANDS.sub('', path.stem)
        image = _find_beside(path, f'{base}_dif.jpg') or _find_beside(path, f'{base}.jpg')
        if image is not None:
            missing.clear()
            bare.clear()
            mesh.images[:] = [Image.open(image)] * len(mesh.images)
            mesh.tints[:] = [(1.0, 1.0, 1.0)] * len(mesh.tints)  # as for the image that a material names
    if missing:
        raise FileNotFoundError(
            f'the scan {str(path)!r} names {missing[0]!r}, which is neither beside it nor in '
            f'{", ".join(place for place in _PLACES if place != ".")}: add the file'
        )
    if bare:
        raise ValueError(f'the scan {str(path)!r} has triangles without colors: {bare[0]}')
    if mesh.colors is None and (mesh.uv is None or not any(mesh.images)):
        reason = ': its material file (.mtl) names no image (map_Kd)' if path.suffix.lower() == '.obj' else ''
        raise ValueError(f'the scan {str(path)!r} has no texture and no colors of vertices{reason}')


def _files_beside(trimesh) -> type:
    """The class of a resolver that finds the files of a mesh where scans keep them, and remembers those that it does not find
    and images that are none: trimesh leaves out both without a word."""

    class FilesBeside(trimesh.resolvers.Resolver):
        def __init__(self, path: Path, colors: bool):
            self.path, self.colors, self.missing, self.broken = path, colors, [], []
            self.file_name = path.name

        def get(self, name: str) -> bytes:
            if found := _find_beside(self.path, name):
                content = found.read_bytes()
                if found.suffix.lower() not in _NO_PICTURES:
                    try:
                        Image.open(io.BytesIO(content))  # reads the header only
                    except Exception as error:  # any error of a format's reader
                        self.broken.append(f'{str(found)!r} ({type(error).__name__}): replace it')
                return content
            self.missing.append(name)
            raise FileNotFoundError(name)

        def write(self, name: str, data: bytes) -> None:
            raise NotImplementedError

        def namespaced(self, namespace: str):
            raise NotImplementedError

        def keys(self) -> list:
            return []

    return FilesBeside


def _find_beside(mesh: Path, name: str) -> Path | None:
    """The file that a mesh or its material calls ``name``: beside it, or in the usual folders; in any case of letters; with other
    separators, another kind of picture, or the number of its pixels (``_8k``), of which the largest is taken."""
    name = name.strip().strip('"').replace('\\', '/')
    direct = mesh.parent / name
    if direct.is_file():
        return direct
    # Options of a map_Kd line precede the name, which may have spaces.
    wanted = Path(name.split('/')[-1])
    names = {wanted.name.lower(), wanted.name.split()[-1].lower()}
    is_picture = wanted.suffix.lower() in _PICTURES
    stems = {Path(each).stem for each in names}
    found = []
    for place in _PLACES:
        folder = mesh.parent / place
        if not folder.is_dir():
            continue
        for file in sorted(folder.iterdir()):
            if file.name.lower() in names:
                return file
            if is_picture and file.suffix.lower() in _PICTURES and _THOUSANDS.sub('', file.stem.lower()) in stems:
                pixels = _THOUSANDS.search(file.stem)
                found.append((int(pixels[1]) if pixels else 0, file))
    return max(found)[1] if found else None


def _one_mesh(mesh, matrix: np.ndarray, colors: bool, bare: list[str]) -> MeshFile:
    """A mesh of trimesh, placed by a matrix (4, 4). Colors of triangles become those of their own vertices.

    Args:
        bare: takes what the mesh lacks, where its material says that it has colors.
    """
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int32)
    if not np.array_equal(matrix, np.eye(4)):
        vertices = vertices @ matrix[:3, :3].T + matrix[:3, 3]
        faces = faces[:, ::-1] if np.linalg.det(matrix[:3, :3]) < 0 else faces  # the outside stays outside
    kind = getattr(mesh.visual, 'kind', None) if colors else None
    uv = shades = image = None
    tint = (1.0, 1.0, 1.0)
    if kind == 'texture':
        material = mesh.visual.material
        image = getattr(material, 'image', None) or getattr(material, 'baseColorTexture', None)
        # Trimesh's replacement for a material of OBJ that it does not find has a small image and no name.
        is_found = not hasattr(material, 'image') or hasattr(material, '_name')
        if image is not None and max(image.size) <= 2 and not is_found:
            image = None
            bare.append('their material (usemtl) is not in the material file (.mtl)')
        if mesh.visual.uv is not None and len(mesh.visual.uv) == len(vertices):
            uv = np.asarray(mesh.visual.uv[:, :2], np.float32)
        if image is not None and uv is None:
            bare.append('their corners have no places (vt) in the image of the material')
        if image is None:
            tint = tuple(decode_srgb(np.asarray(material.main_color[:3], np.float64) / 255).tolist())
        elif getattr(material, 'baseColorFactor', None) is not None:
            tint = tuple((np.asarray(material.baseColorFactor[:3], np.float64) / 255).tolist())  # linear, of glTF
    elif kind == 'vertex':
        shades = _linear(mesh.visual.vertex_colors)
    elif kind == 'face':
        shades = np.repeat(_linear(mesh.visual.face_colors), 3, axis=0)
        vertices, faces = vertices[faces.ravel()], np.arange(faces.size, dtype=np.int32).reshape(-1, 3)
    return MeshFile(vertices, faces, uv, shades, np.zeros(len(faces), np.int32), [image], [tint])


def _linear(colors) -> np.ndarray:
    return decode_srgb(np.asarray(colors, np.float32)[:, :3] / 255)


def _join(meshes: list[MeshFile]) -> MeshFile:
    """Several meshes as one. Materials of the same image are one."""
    if len(meshes) == 1:
        return meshes[0]
    first = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    images, tints, index = [], [], []
    for mesh in meshes:
        for image, tint in zip(mesh.images, mesh.tints, strict=True):
            index.append(len(images))
            images.append(image)
            tints.append(tint)

    def joined(name: str, width: int, blank: float) -> np.ndarray | None:
        parts = [getattr(mesh, name) for mesh in meshes]
        if all(part is None for part in parts):
            return None
        blanks = [np.full((len(mesh.vertices), width), blank, np.float32) for mesh in meshes]
        return np.concatenate([each if part is None else part for part, each in zip(parts, blanks, strict=True)])

    return MeshFile(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, first[:-1], strict=True)]).astype(np.int32),
        joined('uv', 2, 0.0),
        joined('colors', 3, 1.0),
        np.concatenate(
            [np.full(len(mesh.faces), number, np.int32) for mesh, number in zip(meshes, index, strict=True)]
        ),
        images,
        tints,
    )
