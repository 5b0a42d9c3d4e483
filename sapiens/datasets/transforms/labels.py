"""Loading label maps and where they are valid."""

from collections.abc import Callable

import numpy as np
from mmcv.transforms import BaseTransform

from sapiens.metainfo import get_classes
from sapiens.registry import TRANSFORMS
from sapiens.tasks import MapField, map_fields, resolve, target_fields

from .camera import check_camera, read_camera, unproject
from .decoding import BadImage
from .loading import open_image

__all__ = ['PEOPLE', 'LoadLabels', 'read_label']

# What a dataset may know of its people, and the geometry of maps does not move.
_OF_PEOPLE = ('bbox', 'keypoints', 'keypoints_visible', 'keypoints_seen')
# Fields that are kept beside any target: they say where people are.
PEOPLE = ('mask', 'instance', 'alpha')
_MAX_MEGAPIXELS = 150


@TRANSFORMS.register_module()
class LoadLabels(BaseTransform):
    """Read the label files that a dataset names, and compute where the labels are valid.

    Required Keys: what a dataset gives (:class:`sapiens.datasets.SegmentationDataset`,
    :class:`sapiens.datasets.GeometryDataset`): ``label_files``, {field: path}, and the options of the readers, such as
    label_table (256,) uint8 or None, num_classes, depth_scale, normal_frame, albedo_coding; ``camera_file``, its path. Or maps
    that are there already (:class:`sapiens.datasets.SyntheticHumans`): ``gt_<field>``, intrinsics (3, 3)

    Added Keys: ``gt_<field>``, for the fields of the package gt_sem_seg (H, W) uint8, 255 ignored; gt_depth (H, W) float32;
    gt_normal (H, W, 3) float32 unit vectors in the camera frame (x right, y down, z forward); gt_pointmap (H, W, 3) float32
    meters in the camera frame, from depth and intrinsics; gt_albedo (H, W, 3) float32 linear RGB; gt_alpha (H, W) float32;
    gt_foreground (H, W, 3) float32 sRGB-coded RGB times alpha; gt_instance (H, W) uint8; gt_mask (H, W) bool, pixels of people.
    intrinsics (3, 3) float64 of a camera file. valid_mask (H, W) bool, where all targets are valid: labels that are not ignored,
    and, on people where there is a mask, depths above 0, normals and points that are known, and albedo. A field that declares
    ``own_validity`` does not restrict valid_mask: valid_<field> (H, W) bool says where it is valid. Invalid values mean nothing;
    they are finite.

    Args:
        fields: targets to keep, some of those that tasks declare ('sem_seg', 'depth', 'normal', ...). Others of the dataset are
            dropped, since ``valid_mask`` would be their intersection; so are boxes and keypoints of people. None for all fields.
        apart: for samples of several tasks: each of ``fields`` has its own valid_<field>, and valid_mask is True. Boxes and
            keypoints stay. A sample that lacks a field has it without a valid pixel.
        classes: of samples that lack class ids, for what is pasted into them and for mirrors: name, path or dict
            (:func:`sapiens.metainfo.get_classes`). Needed with ``apart`` and the field 'sem_seg'.

    Raises:
        ValueError: an unknown field, or one that the dataset does not have; ``apart`` without ``fields``, or with 'sem_seg' and
            without ``classes``.
        BadImage: a file that cannot be used: unreadable, of another kind, of another size than the others, with a label that is
            no class; a camera of another image size.
    """

    def __init__(self, fields: list[str] | None = None, apart: bool = False, classes: str | dict | None = None):
        targets = target_fields()
        if set(fields or ()) - targets.keys() or fields == []:
            raise ValueError(f'fields={fields!r}: expected some of {", ".join(map(repr, targets))}, or None for all')
        if apart and fields is None:
            raise ValueError('apart=True: name the fields=, so that every sample has the same ones')
        if (apart and 'sem_seg' in (fields or ())) != (classes is not None):
            raise ValueError(f"classes={classes!r}: expected those of 'sem_seg' with apart=True, else None")
        self.flip_table = None if classes is None else np.asarray(get_classes(classes).flip_table)
        self.fields, self.apart = None if fields is None else tuple(fields), apart

    def transform(self, results: dict) -> dict:
        self._read_files(results)
        for name, field in map_fields().items():
            if field.on_rays and name in (self.fields or ()) and {'gt_depth', 'intrinsics'} <= results.keys():
                results.setdefault(f'gt_{name}', unproject(results['gt_depth'], results['intrinsics']))
        if 'gt_mask' not in results and 'gt_instance' in results:
            results['gt_mask'] = results['gt_instance'] > 0
        for key in list(results):
            is_map = key.startswith(('gt_', 'valid_'))
            if (key in _OF_PEOPLE and not self.apart) or (is_map and not self._wanted(key.partition('_')[2])):
                del results[key]
        if self.apart:
            self._add_unknown(results)
        for name in self.fields or ():
            if f'gt_{name}' not in results:
                raise ValueError(
                    f'{results["img_path"]} has no labels of {name!r}, which LoadLabels(fields={list(self.fields)}) asks for'
                )
        add_validity(results, self.apart)
        return results

    def _add_unknown(self, results: dict) -> None:
        """Add the fields that a sample lacks, without a valid pixel."""
        lacking = [name for name in self.fields if f'gt_{name}' not in results]
        if not lacking:
            return
        width, height = open_image(results, _MAX_MEGAPIXELS).size
        for name in lacking:
            field = target_fields()[name]
            kind = np.uint8 if field.kind == 'labels' else np.float32
            shape = (height, width) if field.channels in (None, 1) else (height, width, field.channels)
            results[f'gt_{name}'] = np.full(shape, field.padding, kind)
            results[f'valid_{name}'] = np.zeros((height, width), bool)
        if self.flip_table is not None:
            results.setdefault('flip_table', self.flip_table)

    def _read_files(self, results: dict) -> None:
        camera, files = results.pop('camera_file', None), results.pop('label_files', {})
        if camera is not None:
            results['intrinsics'], stated = _named(camera, read_camera, camera)
        # In the order of their declaration: points are read after depth, a foreground after its alpha.
        for name, field in map_fields().items():
            if name in files and self._wanted(name):
                _named(files[name], read_label, field, files[name], results)
                if camera is not None:
                    size = results[f'gt_{name}'].shape[1::-1]
                    _named(camera, check_camera, results['intrinsics'], size, stated)

    def _wanted(self, name: str) -> bool:
        return self.fields is None or name in self.fields or name in PEOPLE


def _named(path: str, function: Callable, *arguments):
    """The result of a function whose BadImage gets the name of a file."""
    try:
        return function(*arguments)
    except BadImage as error:
        raise BadImage(f'{path}: {error}') from None


def read_label(field: MapField, path: str, results: dict) -> None:
    """Read a file of a field to ``gt_<field>`` of a sample, and to ``valid_<field>`` where the reader tells where it is known.

    Raises:
        BadImage: a file that cannot be used.
    """
    values, known = resolve(field.reader)(path, results), None
    if isinstance(values, tuple):
        values, known = values
    results[f'gt_{field.name}'] = values
    if known is not None:
        assert field.own_validity
        results[f'valid_{field.name}'] = known


def add_validity(results: dict, apart: bool = False) -> None:
    """Add ``valid_mask``, and ``valid_<field>`` of fields with their own validity, or of all of them; see :class:`LoadLabels`.

    Raises:
        BadImage: maps of different sizes.
        ValueError: no labels.
    """
    targets = {name: field for name, field in target_fields().items() if f'gt_{name}' in results}
    if not targets:
        raise ValueError(f'{results["img_path"]}: a sample without any labels')
    shapes = {name: results[f'gt_{name}'].shape[:2] for name in (*targets, *PEOPLE) if f'gt_{name}' in results}
    if len(set(shapes.values())) > 1:
        sizes = ', '.join(f'gt_{name} {shape[1]} x {shape[0]}' for name, shape in shapes.items())
        raise BadImage(f'labels of different sizes (w x h): {sizes}')
    on_people = target_fields(masked_by_people=True).keys() if 'gt_mask' in results else ()
    valid = np.ones(shapes[next(iter(targets))], bool)
    for name, field in targets.items():
        known = np.ones_like(valid) if field.known is None else resolve(field.known)(results[f'gt_{name}'])
        if name in on_people:
            known = known & results['gt_mask']
        if field.own_validity or apart:
            results[f'valid_{name}'] = results.get(f'valid_{name}', True) & known
        else:
            valid = valid & known
    results['valid_mask'] = valid
