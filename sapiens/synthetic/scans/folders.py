"""Rendered scans on disk, in the folders of the published RenderPeople reader (data/README.md, docs/scans.md)."""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from sapiens.utils.srgb import encode_srgb

from .. import writer as folders
from .generator import ScanSample

__all__ = ['ScanWriter', 'finish_scans']

_SHARED = ('mask', 'depth', 'normal', 'alpha', 'foreground', 'camera')
_ALBEDO = '16-bit RGB PNG; sRGB-coded, as the published data; 65535 stands for a reflectance of 1'


class ScanWriter(folders.SampleWriter):
    """Writes images of scans. See :class:`sapiens.synthetic.writer.SampleWriter`, of which it has some kinds of labels. Albedo is
    sRGB-coded."""

    KINDS = {kind: folders.KINDS[kind] for kind in _SHARED[:3]} | {
        'albedo': (_ALBEDO, folders.KINDS['albedo'][1]),
        **{kind: folders.KINDS[kind] for kind in _SHARED[3:]},
    }

    def _encode(self, folder: str, index: int, sample: ScanSample) -> bytes:
        if folder == 'albedo':
            return folders.encode_image(folders.to_integers(encode_srgb(sample.albedo), np.uint16))
        if folder == 'labels':
            height, width = sample.image.shape[:2]
            image = dict(id=index, file_name=self.files(index)[0], width=width, height=height, license=1)
            entry = dict(image=image, seed=int(sample.seed), people=[_person(sample)], albedo_coding='srgb')
            return (json.dumps(entry) + '\n').encode()
        return super()._encode(folder, index, sample)


def _person(sample: ScanSample) -> dict:
    bbox = [0, 0, 0, 0]
    if sample.mask.any():
        x, y = np.flatnonzero(sample.mask.any(0)), np.flatnonzero(sample.mask.any(1))
        bbox = [int(value) for value in (x[0], y[0], x[-1] - x[0] + 1, y[-1] - y[0] + 1)]
    return dict(instance=1, bbox=bbox, area=int(sample.mask.sum()), attributes=sample.attributes)


def finish_scans(root: str | Path, writer: ScanWriter, licence: str) -> dict:
    """Write the dataset card of a folder with all images. Returns the card."""
    root = Path(root)
    begun = json.loads((root / folders.CARD).read_text())
    counts: dict[str, Counter] = {name: Counter() for name in ('scan', 'shot', 'light', 'behind')}
    for index in range(begun['images']):
        entry = json.loads((root / writer.files(index)[-1]).read_text())
        for name, counter in counts.items():
            counter[entry['people'][0]['attributes'][name]] += 1
    kinds = {kind: writer.KINDS[kind][0] for kind in writer.kinds}
    if writer.compact and 'normal' in kinds:
        kinds['normal'] = folders.COMPACT_NORMAL
    rgb = 'PNG' if writer.image_format == 'png' else 'JPEG, quality 95'
    conventions = {name: folders.CONVENTIONS[name] for name in ('pixels', 'boxes', 'camera')}
    card = dict(
        complete=True,
        images=begun['images'],
        options=begun['options'],
        counts={name: dict(sorted(counter.items())) for name, counter in counts.items()},
        bytes=folders.count_bytes(root),
        files={'rgb': f'8-bit {rgb}, sRGB', **kinds, 'labels': 'JSON; scan, shot, light and box of each image'},
        conventions=conventions,
        licences=dict(images=licence, labels=licence),
    )
    folders.write_card(root, card)
    return card
