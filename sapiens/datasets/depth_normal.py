"""Images with depth, normals, points, albedo or maps of other tasks: rendered scans, synthetic people, evaluation folders."""

import os
from collections.abc import Mapping, Sequence
from os import PathLike

from sapiens.registry import DATASETS
from sapiens.tasks import map_fields, target_fields

from .paired_folders import CAMERA, PairedFolders, find_folder
from .shard_parts import ShardParts
from .transforms.camera import CAMERA_SUFFIXES
from .transforms.color_files import ALBEDO_CODINGS
from .transforms.labels import PEOPLE

__all__ = ['GeometryDataset']

_IMAGES = ('rgb', 'images')
# The first states the size of the image; the second is the published one.
_CAMERAS = ('camera', 'camera_intrinsics')


@DATASETS.register_module()
class GeometryDataset(PairedFolders):
    """Folders of images, label maps and masks of people, side by side.

    The folder names and suffixes are those that the fields of tasks declare: ``rgb`` or ``images`` (any image file), ``depth`` or
    ``depths``, ``normal`` or ``normals`` and ``albedo`` or ``albedos`` (.npy, .npz, .exr, 16-bit .png or .tif; normals and albedo
    also of 8 bits), ``mask`` or ``masks`` (.png, .jpg), ``camera`` (.json) or ``camera_intrinsics`` (.txt, 3 x 3). This is the
    layout of the published RenderPeople and "general" readers, and of ``tools/data/make_synthetic_humans.py``. Depth is meters
    along z, or any positive unit where only its order is learned. A pointmap is computed from depth in meters and the camera. Its
    files are those of depth, or points (H, W, 3) in .npy or .npz, of which z is read.

    Args:
        data_root: what folders are relative to; '' for the working directory.
        fields: targets to read: 'depth', 'normal', 'pointmap', 'albedo', 'alpha', 'foreground', or those of your own tasks.
        images: name of the folder of images, if it has another one.
        depth_scale: meters of one unit of the files: 0.001 for 16-bit PNGs of millimeters. Required for integers.
        normal_frame: of the files: 'published' (x right, y up, z towards the camera) or 'camera' (x right, y down, z forward).
        albedo_coding: of the files: 'srgb' (sRGB-coded, as the published data) or 'linear' (as ``sapiens render`` writes);
            required for albedo.
        camera: name of the folder of cameras, if it has another one. The camera is read for pointmaps, and for other fields where
            this is given: then samples have ``intrinsics`` in their metainfo.
        options: {name: value} for the readers of your own fields, and the tables of ids that swap in a mirrored image.
        sequences: pattern of folders below ``data_root`` that each have the folders above, or several: 'pair28/*'.
        part, partial, pipeline, metainfo, test_mode, weights: see :class:`sapiens.datasets.paired_folders.PairedFolders`.
        shards: tar shards with the files, relative to ``data_root``: then folders are parts of samples, ``depth`` for
            ``KEY.depth.npy`` (:class:`.shard_parts.ShardParts`). Parts have no usual place of masks: give ``mask=`` too.
        **folders: {field: folder} of fields with another folder name: ``depth='metres'``. ``mask=''`` for data without masks:
            every pixel whose label is known counts as one of a person. ``instance='...'`` adds maps with a number for each person
            (8-bit PNG, 0 for background), which evaluation may use; ``alpha='...'`` the fraction of each pixel that people cover
            (PNG), for soft edges in :class:`sapiens.datasets.transforms.RandomBackground`.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: files that do not belong together, or an argument out of its range.
    """

    def __init__(
        self,
        data_root: str = '',
        fields: Sequence[str] = ('depth',),
        images: str | None = None,
        depth_scale: float | None = None,
        normal_frame: str = 'published',
        albedo_coding: str | None = None,
        camera: str | None = None,
        options: Mapping | None = None,
        sequences: str | Sequence[str] = '',
        part: tuple[float, float] = (0.0, 1.0),
        partial: bool = False,
        test_mode: bool = False,
        pipeline: list = (),
        metainfo: dict | None = None,
        weights: str | None = None,
        shards: str | PathLike | Sequence[str | PathLike] | None = None,
        **folders: str | None,
    ):
        declared = map_fields()
        # Ids that swap in a mirrored image need their table.
        targets = [
            name
            for name, field in target_fields().items()
            if field.folders and (field.swap is None or field.swap in (options or ()))
        ]
        fields = tuple(fields)
        if not fields or set(fields) - set(targets):
            raise ValueError(f'fields={fields!r}: expected some of {", ".join(map(repr, targets))}')
        if depth_scale is not None and not depth_scale > 0:
            raise ValueError(f'depth_scale={depth_scale!r}: expected the meters of one unit, above 0')
        if normal_frame not in ('published', 'camera'):
            raise ValueError(f"normal_frame={normal_frame!r}: expected 'published' or 'camera'")
        if albedo_coding not in (None, *ALBEDO_CODINGS) or (albedo_coding is None and 'albedo' in fields):
            raise ValueError(
                f"albedo_coding={albedo_coding!r}: expected 'srgb' or 'linear', the coding of the albedo files, which their "
                'numbers do not tell'
            )
        folders = {name: folder for name, folder in folders.items() if folder is not None}
        for name in folders:
            if name not in declared:
                raise TypeError(f'GeometryDataset: unexpected argument {name}={folders[name]!r}')
        for name, folder in folders.items():
            if name in targets and name not in (*fields, *PEOPLE):
                raise ValueError(f'{name}={folder!r}, but fields={list(fields)} leaves it out')
        for name, given, users in (
            ('depth_scale', depth_scale, ('depth', 'pointmap')), ('albedo_coding', albedo_coding, ('albedo',))
        ):  # fmt: skip
            if given is not None and not set(users) & set(fields):
                raise ValueError(f'{name}={given!r}, but fields={list(fields)} has none of {", ".join(users)}')
        self.options = dict(options or {}, depth_scale=depth_scale, normal_frame=normal_frame)
        if albedo_coding is not None:
            self.options['albedo_coding'] = albedo_coding
        shards = ShardParts.open(data_root, shards)
        images = images or find_folder(data_root, _IMAGES, sequences, shards) or _IMAGES[0]
        for name in (*fields, 'mask'):
            if name in folders:
                continue
            usual = declared[name].folders
            folder = find_folder(data_root, usual, sequences, shards)
            if folder is None and name == 'mask' and _is_there(data_root, shards):
                raise FileNotFoundError(
                    f'no {_where(usual, data_root, shards)}: give the masks of people, or '
                    "mask='' if every pixel with a label shows one"
                )
            folders[name] = folder or usual[0]  # for the error, which names the place
        order = [*fields, 'mask', *(name for name in folders if name not in (*fields, 'mask'))]
        files = {name: (folders[name], declared[name].suffixes) for name in order if folders[name]}
        if camera is not None or any(declared[name].on_rays for name in fields):
            files[CAMERA] = camera or self._find_cameras(data_root, sequences, shards), CAMERA_SUFFIXES
        options = (sequences, part, partial, pipeline, metainfo, test_mode, weights, shards)
        super().__init__(data_root or '.', images, files, '', *options)

    @staticmethod
    def _find_cameras(data_root: str, sequences: str | Sequence[str], shards: ShardParts | None) -> str:
        folder = find_folder(data_root, _CAMERAS, sequences, shards)
        if folder is None and _is_there(data_root, shards):
            raise FileNotFoundError(
                f'depth without a camera: no {_where(_CAMERAS, data_root, shards)}. A pointmap needs the intrinsics of each '
                "image: give their folder, camera='...', or learn fields=['depth']"
            )
        return folder or _CAMERAS[-1]

    def label_options(self) -> dict:
        return self.options


def _is_there(data_root: str, shards: ShardParts | None) -> bool:
    return shards is not None or os.path.isdir(os.path.expanduser(data_root))


def _where(names: Sequence[str], data_root: str, shards: ShardParts | None) -> str:
    """Folders, or parts of shards, and where they were looked for, for a message."""
    names = ' or '.join(map(repr, names))
    if shards is None:
        return f'folder {names} in {data_root!r}'
    return f'part {names} in the shards {shards.where}, which have {shards.listing()}'
