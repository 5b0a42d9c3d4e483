"""Images with depth or normals: rendered scans, synthetic people, and the folders that evaluation is on."""

import os
from collections.abc import Sequence

from sapiens.registry import DATASETS

from .paired_folders import PairedFolders, find_folder
from .transforms.labels import ID_SUFFIXES, MAP_SUFFIXES, MASK_SUFFIXES

__all__ = ['GeometryDataset']

# Kind of label -> what its folder may be called; the first that is there counts.
_NAMES = {
    'image': ('rgb', 'images'),
    'depth': ('depth', 'depths'),
    'normal': ('normal', 'normals'),
    'mask': ('mask', 'masks'),
}
_SUFFIXES = {'depth': MAP_SUFFIXES, 'normal': MAP_SUFFIXES, 'mask': MASK_SUFFIXES}


@DATASETS.register_module()
class GeometryDataset(PairedFolders):
    """Folders of images, depth maps, normals and masks of people, side by side.

    Read are ``rgb`` or ``images`` (any image file), ``depth`` or ``depths`` and ``normal`` or ``normals`` (.npy, .npz, .exr,
    16-bit .png or .tif; normals also of 8 bits), ``mask`` or ``masks`` (.png, .jpg); other names can be given. This is the
    layout of the published RenderPeople and "general" readers, and of ``tools/data/make_synthetic_humans.py``. Depth is metres
    along z, or any positive unit where only its order is learned.

    Args:
        data_root: what folders are relative to; '' for the working directory.
        fields: which labels to take: 'depth', 'normal', or both.
        images, depth, normal, mask: names of the folders where they are called otherwise. ``mask=''`` for data without: every
            pixel whose label is known counts as one of a person.
        instance: folder of maps with a number for each person (8-bit PNG, 0 for nobody), which evaluation may use.
        alpha: folder of the people's share of each pixel (PNG), for soft edges in
            :class:`sapiens.datasets.transforms.RandomBackground`.
        depth_scale: metres of one unit of the files: 0.001 for 16-bit PNGs of millimetres. Needed for integers.
        normal_frame: of the files: 'published' (x right, y up, z towards the camera) or 'camera' (x right, y down, z forward).
        sequences: pattern of folders below ``data_root`` that each have the folders above, or several: 'pair28/*'.
        part, partial, pipeline, metainfo, test_mode: see :class:`sapiens.datasets.paired_folders.PairedFolders`.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: files that do not belong together, or an argument out of its range.
    """

    def __init__(
        self,
        data_root: str = '',
        fields: Sequence[str] = ('depth',),
        images: str | None = None,
        depth: str | None = None,
        normal: str | None = None,
        mask: str | None = None,
        instance: str | None = None,
        alpha: str | None = None,
        depth_scale: float | None = None,
        normal_frame: str = 'published',
        sequences: str | Sequence[str] = '',
        part: tuple[float, float] = (0.0, 1.0),
        partial: bool = False,
        test_mode: bool = False,
        pipeline: list = (),
        metainfo: dict | None = None,
    ):
        fields = tuple(fields)
        if not fields or set(fields) - {'depth', 'normal'} or isinstance(fields, str):
            raise ValueError(f"fields={fields!r}: expected some of 'depth', 'normal'")
        if depth_scale is not None and not depth_scale > 0:
            raise ValueError(f'depth_scale={depth_scale!r}: expected the metres of a unit, above 0')
        if normal_frame not in ('published', 'camera'):
            raise ValueError(f"normal_frame={normal_frame!r}: expected 'published' or 'camera'")
        for name, given in (('depth', depth), ('depth_scale', depth_scale), ('normal', normal)):
            if given is not None and name.partition('_')[0] not in fields:
                raise ValueError(f'{name}={given!r}, but fields={list(fields)} leaves it out')
        self.depth_scale, self.normal_frame = depth_scale, normal_frame
        given = dict(image=images, depth=depth, normal=normal, mask=mask)
        names = {}
        for kind in ('image', *fields, 'mask'):
            names[kind] = given[kind] if given[kind] is not None else find_folder(data_root, _NAMES[kind], sequences)
            if names[kind] is None:
                names[kind] = _NAMES[kind][0]  # for the error, which names the place
                if kind == 'mask' and os.path.isdir(os.path.expanduser(data_root)):
                    raise FileNotFoundError(
                        f'no folder {" or ".join(map(repr, _NAMES[kind]))} in {data_root!r}: give the masks of people, or '
                        "mask='' if every pixel with a label shows one"
                    )
        folders = {kind: (names[kind], _SUFFIXES[kind]) for kind in (*fields, 'mask') if names[kind]}
        folders |= {kind: (name, ID_SUFFIXES) for kind, name in (('instance', instance), ('alpha', alpha)) if name}
        super().__init__(
            data_root or '.',
            names['image'],
            folders,
            '',
            sequences,
            part,
            partial,
            pipeline,
            metainfo,
            test_mode,
        )

    def label_options(self) -> dict:
        return dict(depth_scale=self.depth_scale, normal_frame=self.normal_frame)
