"""One declaration per task. Every list of tasks, label fields and outputs in the package is derived from these.

A declaration names parts of higher floors (result classes, drawings, metrics) by a registered name or by ``'module:attribute'``.
:func:`resolve` imports such a part where it is used, so this module imports none of them.

A task outside the package calls :func:`register_task` in a module that its config lists in ``custom_imports``
(docs/add_a_task.md).

Legend: B batch, K channels or keypoints, H W size of an image in pixels, h w size of the network's output.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .metainfo.naming import near
from .registry import MODELS

__all__ = [
    'MULTI',
    'MapField',
    'Output',
    'PublishedHead',
    'TaskSpec',
    'get_field',
    'get_task',
    'map_fields',
    'member_of',
    'members_of',
    'register_task',
    'resolve',
    'target_fields',
    'task_names',
    'task_of',
]

# ``task_name`` of models of several tasks, which have ``tasks``: models of one task by name.
MULTI = 'multi'
KINDS = ('labels', 'values', 'vectors', 'unit_vectors')


@dataclass(frozen=True)
class MapField:
    """A map over the pixels of an image: a target ``gt_<name>``, a prediction ``pred_<name>``, or both.

    Attributes:
        name: for example ``'depth'``.
        channels: K of a map (K, H, W); None for a map (H, W).
        kind: ``'labels'`` (integers, never interpolated), ``'values'``, ``'vectors'`` (x and y in the camera frame are the first
            two channels: a mirror negates x, a rotation turns both), or ``'unit_vectors'`` (also of length 1).
        about: data type, unit and convention.
        interpolation: of the labels under geometry: ``'nearest'``, ``'linear'``, or ``'image'`` for values that are averaged
            where the image is averaged, over valid pixels only.
        padding: value outside the image. ``valid_mask`` is False there, unless ``known_outside``.
        known_outside: the padding is the true value outside the image. Nobody is there.
        on_rays: vectors that are points on the rays of their pixels, in the camera frame: x and y follow from z and the
            ``intrinsics`` of the sample, and z is interpolated within surfaces only. Without a file, from ``gt_depth``.
        swap: key of the (256,) uint8 table that exchanges labels in a mirrored image.
        own_validity: the field is valid where ``valid_<name>`` is True, in addition to ``valid_mask``. Otherwise unknown values
            of this field are False in ``valid_mask``, which all fields share.
        folders: names that a dataset's folder of such files may have, the usual one first; () where no file holds it.
        suffixes: of such files.
        reader: ``reader(path, info) -> array`` (H, W) or (H, W, K), where ``info`` holds the options of the dataset. With
            ``own_validity`` it may also return (array, (H, W) bool), where the map has a value; None for everywhere.
        known: ``known(array) -> (H, W) bool``, where the map has a value; None where it has one everywhere.
        doubt: ``doubt(values) -> str``, what is strange about the known values (n, K) of one map, '' if nothing is. Training and
            ``sapiens check`` report what holds for most maps.
    """

    name: str
    channels: int | None = None
    kind: str = 'values'
    about: str = ''
    interpolation: str = 'nearest'
    padding: float = 0
    known_outside: bool = False
    on_rays: bool = False
    swap: str | None = None
    own_validity: bool = False
    folders: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    reader: str | Callable | None = None
    known: str | Callable | None = None
    doubt: str | Callable | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f'field {self.name!r}: kind={self.kind!r} is not one of {KINDS}')
        fitting = dict(labels=('nearest',), values=('nearest', 'linear', 'image')).get(
            self.kind, ('nearest', 'linear')
        )
        if self.interpolation not in fitting:
            raise ValueError(
                f'field {self.name!r}: interpolation={self.interpolation!r} does not fit kind={self.kind!r}'
            )
        if self.on_rays and (self.kind, self.channels) != ('vectors', 3):
            raise ValueError(f'field {self.name!r}: on_rays needs 3 channels of kind vectors')

    @property
    def leading(self) -> tuple[int, ...]:
        """Dimensions before (H, W)."""
        return () if self.channels is None else (self.channels,)


@dataclass(frozen=True)
class Output:
    """An output of an exported graph: its name, and what it holds."""

    name: str
    meaning: str


@dataclass(frozen=True)
class PublishedHead:
    """The head of the published models of a task, by which their files are recognized.

    Attributes:
        name: of the module in the checkpoint, ``'head'`` or ``'decode_head'``.
        deconv_channels, conv_channels: of its layers.
        last: name of the last layer.
        outputs: numbers of outputs that were published. They decide only where the layers of two tasks are equal.
    """

    name: str
    deconv_channels: tuple[int, ...]
    conv_channels: tuple[int, ...]
    last: str
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class TaskSpec:
    """What the package has to know about a task.

    Attributes:
        name: in ``configs/<name>``, on command lines, in checkpoints (``meta['task']``) and as a folder of results.
        description: in messages.
        fields: maps that are both target and prediction; the first is the main one. () for tasks without maps.
        inference: the name under which inference runs the task, if it is not ``name``.
        published: head of the published models; None where there are none.
        raw_outputs, decoded_outputs: of an export, without and with decoding. ``{...}`` in a meaning is filled in from the
            model's ``output_facts``.
        predictor, result: classes of inference. None takes those of a dense task.
        metric: registered name of the metric of a config that names no evaluator.
        statistics: class that measures samples and judges the data, see :mod:`sapiens.datasets.statistics`. The default is that
            of the fields.
        drawing: what draws labels and predictions while training and testing: for a task with maps a subclass of
            :class:`sapiens.engine.hooks.dense_drawings.DenseDrawing`, or a function of rows and ``side``, None for the default;
            for other tasks the hook of test figures.
        masked_by_people: results mean something on people only, so a mask of people may go with them.
        gives_mask: name of the result's attribute that is such a mask; None where the task gives none.
    """

    name: str
    description: str
    fields: tuple[MapField, ...] = ()
    inference: str | None = None
    published: PublishedHead | None = None
    raw_outputs: tuple[Output, ...] = ()
    decoded_outputs: tuple[Output, ...] = ()
    predictor: str | Callable | None = None
    result: str | Callable | None = None
    metric: str | None = None
    statistics: str | Callable = 'sapiens.datasets.statistics:MapStatistics'
    drawing: str | Callable | None = None
    masked_by_people: bool = False
    gives_mask: str | None = None

    @cached_property
    def field(self) -> MapField:
        """The main field.

        Raises:
            ValueError: the task has no maps.
        """
        if not self.fields:
            raise ValueError(f'task {self.name!r} predicts no map')
        return self.fields[0]

    @property
    def inference_name(self) -> str:
        return self.inference or self.name


# Maps that belong to no task of their own: they come with rendered people and with datasets.
_COMMON_FIELDS = (
    MapField('instance', kind='labels', about='uint8 number of the person, 0 for background',
             suffixes=('.png',),
             reader='sapiens.datasets.transforms.label_files:load_instance'),
    MapField('mask', kind='labels', about='bool, True on people', folders=('mask', 'masks'), suffixes=('.png', '.jpg', '.jpeg'),
             reader='sapiens.datasets.transforms.label_files:read_mask'),
)  # fmt: skip
_MAP_FILES = ('.npy', '.npz', '.png', '.exr', '.tif', '.tiff')
_TASKS: dict[str, TaskSpec] = {}


def register_task(spec: TaskSpec) -> TaskSpec:
    """Make a task known to the package. Registering an equal declaration again changes nothing.

    Raises:
        ValueError: another task of this name, or a field that another task declares differently.
    """
    if _TASKS.get(spec.name, spec) != spec:
        raise ValueError(f'task {spec.name!r} is registered already, with another declaration')
    known = map_fields()
    for field in spec.fields:
        if known.get(field.name, field) != field:
            raise ValueError(f'task {spec.name!r} declares the field {field.name!r} unlike another task')
    _TASKS[spec.name] = spec
    return spec


def task_names(inference: bool = False) -> tuple[str, ...]:
    """Names of the registered tasks, or the names under which they run in inference."""
    if not inference:
        return tuple(_TASKS)
    return tuple(dict.fromkeys(spec.inference_name for spec in _TASKS.values()))


def get_task(name: str) -> TaskSpec:
    """The declaration of a task.

    Raises:
        ValueError: naming the registered tasks.
    """
    if name in _TASKS:
        return _TASKS[name]
    raise ValueError(
        f'no task {name!r}{near(name, _TASKS)} (registered: {", ".join(_TASKS)}; a task of your own is registered by a '
        'module that the config lists in custom_imports)'
    )


def map_fields() -> dict[str, MapField]:
    """All known label maps by name: those of the tasks, then those that belong to none."""
    fields = {field.name: field for spec in _TASKS.values() for field in spec.fields}
    return fields | {field.name: field for field in _COMMON_FIELDS if field.name not in fields}


def target_fields(masked_by_people: bool = False) -> dict[str, MapField]:
    """The fields that tasks predict, by name: of all tasks, or of those whose results mean something on people only."""
    specs = [spec for spec in _TASKS.values() if spec.masked_by_people or not masked_by_people]
    return {field.name: field for spec in specs for field in spec.fields}


def get_field(key: str) -> MapField | None:
    """The declaration of a sample's key ``gt_<name>`` or ``pred_<name>``, of ``valid_mask`` and of ``valid_<name>``; None for
    other keys."""
    prefix, _, name = key.partition('_')
    fields = map_fields()
    if prefix in ('gt', 'pred'):
        return fields.get(name)
    if prefix == 'valid' and (name == 'mask' or name in fields):
        return MapField(key, kind='labels', about='bool')
    return None


def task_of(model: Any) -> TaskSpec:
    """The task of a model, or of its config.

    A model class tells it by ``task_name``; a model that is made of a ``task`` has the one of that part.

    Args:
        model: an ``nn.Module``, or a mapping with ``type``.

    Raises:
        ValueError: a model without a task, or with several.
    """
    if members := members_of(model):
        raise ValueError(f'a model of several tasks ({", ".join(members)}): choose one of them')
    if isinstance(model, Mapping):
        configs = [part for part in (model.get('task'), model) if isinstance(part, Mapping) and 'type' in part]
        label, parts = model.get('type'), [MODELS.get(part['type']) for part in configs]
    else:
        label, parts = type(model).__name__, [model]
    for part in parts:
        if isinstance(name := getattr(part, 'task_name', None), str):
            return get_task(name)
    raise ValueError(f'model.type={label!r} has no task: its class sets no task_name (tasks: {", ".join(_TASKS)})')


def members_of(model: Any) -> dict[str, Any]:
    """The models of single tasks of a model of several tasks, by name and in its order; {} for a model of one task.

    Args:
        model: an ``nn.Module``, or a mapping with ``type``: then the members are mappings too.
    """
    is_config = isinstance(model, Mapping)
    kind = MODELS.get(model['type']) if is_config and 'type' in model else model
    if getattr(kind, 'task_name', None) != MULTI:
        return {}
    return dict(sorted((model.get('tasks', {}) if is_config else model.tasks).items()))


def member_of(model: Any, name: str | None, source: str) -> Any:
    """One member of a model of several tasks; of a model of one task the model itself.

    Args:
        model: as for :func:`members_of`.
        name: of the member; None for a model of one task.
        source: of the name, for messages.

    Raises:
        ValueError: no such member, none named where there are several, or one named where there are none.
    """
    members = members_of(model)
    if name in members or (name is None and not members):
        return members[name] if members else model
    known = (
        f'the model has the tasks {", ".join(members)}' if members else 'the model has one task, which needs no name'
    )
    raise ValueError(f'{source}={name!r}: {known}{near(str(name), members)}')


def resolve(reference: str | Callable | None) -> Any:
    """Import ``'module:attribute'``; anything else is returned unchanged."""
    if not isinstance(reference, str):
        return reference
    module, _, attribute = reference.partition(':')
    return getattr(importlib.import_module(module), attribute)


# ---------------------------------------------------------------------- the tasks of the package

register_task(
    TaskSpec(
        name='mae',
        description='a masked autoencoder',
        inference='features',
        raw_outputs=(Output('features', '(B, C, h, w) float32 feature map of the last block'),),
        predictor='sapiens.apis.predictors:FeaturePredictor',
        result='sapiens.apis.results:FeatureResult',
        metric='ReconstructionLoss',
    )
)
register_task(
    TaskSpec(
        name='pose',
        description='pose',
        published=PublishedHead('head', (768, 768), (768, 768), 'final_layer', (17, 133, 308)),
        raw_outputs=(Output('heatmaps', '(B, K, h, w) float32, one map for each keypoint'),),
        decoded_outputs=(
            Output(
                'keypoints',
                '(B, K, 2) float32 x, y in pixels of the crop: x / W and y / H are fractions of its width and height, so a point '
                'of the image is left + x / W * width, top + y / H * height of the box. Negative where a map has nothing above 0',
            ),
            Output('scores', '(B, K) float32, the value of the map there'),
        ),
        predictor='sapiens.apis.predictors:PosePredictor',
        result='sapiens.apis.results:PoseResult',
        metric='KeypointMetric',
        statistics='sapiens.datasets.statistics:KeypointStatistics',
        drawing='sapiens.engine.hooks.test_figures.pose:PoseShowHook',
    )
)
register_task(
    TaskSpec(
        name='seg',
        description='segmentation',
        fields=(
            MapField(
                'sem_seg', kind='labels', about='int64 class ids; 255 is ignored', padding=255, swap='flip_table',
                folders=('seg', 'labels'), suffixes=('.png', '.tif', '.tiff', '.bmp'),
                reader='sapiens.datasets.transforms.label_files:load_sem_seg',
                known='sapiens.datasets.transforms.label_files:known_label',
            ),
        ),
        published=PublishedHead('decode_head', (768,) * 3, (768,) * 3, 'conv_seg', (28, 20, 19, 2)),
        raw_outputs=(Output('logits', '(B, K, h, w) float32, one score for each class'),),
        decoded_outputs=(Output('labels', '(B, H, W) uint8 class ids'),),
        result='sapiens.apis.results:SegResult',
        metric='SegMetric',
        drawing='sapiens.engine.hooks.dense_drawings:SegDrawing',
        gives_mask='foreground',
    )
)  # fmt: skip
register_task(
    TaskSpec(
        name='depth',
        description='depth',
        fields=(
            MapField(
                'depth', 1, about='float32 meters along z', folders=('depth', 'depths'), suffixes=_MAP_FILES,
                reader='sapiens.datasets.transforms.label_files:load_depth',
                known='sapiens.datasets.transforms.label_files:known_depth',
                doubt='sapiens.datasets.statistics:far_depth',
            ),
        ),
        published=PublishedHead('decode_head', (384,) * 4, (384,) * 2, 'conv_seg', (1,)),
        raw_outputs=(Output('raw_depth', "(B, 1, h, w) float32, the head's output"),),
        decoded_outputs=(Output('depth', '(B, 1, H, W) float32, {unit}'),),
        result='sapiens.apis.results:DepthResult',
        metric='DepthMetric',
        drawing='sapiens.engine.hooks.dense_drawings:DepthDrawing',
        masked_by_people=True,
    )
)  # fmt: skip
register_task(
    TaskSpec(
        name='normal',
        description='surface normals',
        fields=(
            MapField(
                'normal', 3, 'unit_vectors', 'float32 unit vectors in the camera frame (x right, y down, z forward)',
                folders=('normal', 'normals'), suffixes=_MAP_FILES, reader='sapiens.datasets.transforms.label_files:load_normal',
                known='sapiens.datasets.transforms.label_files:known_normal',
            ),
        ),
        published=PublishedHead('decode_head', (768,) * 3, (768,) * 3, 'conv_seg', (3,)),
        raw_outputs=(Output('raw_normals', '(B, 3, h, w) float32, not of length 1; x right, y up, z towards the camera'),),
        decoded_outputs=(Output('normals', '(B, 3, H, W) float32 unit vectors; x right, y down, z forward'),),
        result='sapiens.apis.results:NormalResult',
        metric='NormalMetric',
        drawing='sapiens.engine.hooks.dense_drawings:NormalDrawing',
        masked_by_people=True,
    )
)  # fmt: skip
register_task(
    TaskSpec(
        name='pointmap',
        description='points in the camera frame',
        fields=(
            MapField(
                'pointmap',
                3,
                'vectors',
                'float32 meters in the camera frame (x right, y down, z forward)',
                interpolation='linear',
                on_rays=True,
                folders=('depth', 'depths'),
                suffixes=_MAP_FILES,
                reader='sapiens.datasets.transforms.camera:load_pointmap',
                known='sapiens.datasets.transforms.camera:known_points',
                doubt='sapiens.datasets.doubts:far_points',
            ),
        ),
        raw_outputs=(
            Output(
                'raw_pointmap',
                "(B, 3, h, w) float32 points of a camera with the canonical focal length, the input's width",
            ),
            Output('raw_scale', '(B,) float32, canonical points = meters * scale'),
        ),
        decoded_outputs=(
            Output('pointmap', '(B, 3, H, W) float32 meters in the camera frame (x right, y down, z forward)'),
            Output(
                'scale', "(B,) float32 above 0: the input's width / scale is the focal length in pixels of the input"
            ),
        ),
        predictor='sapiens.apis.predictors:PointmapPredictor',
        result='sapiens.apis.results:PointmapResult',
        metric='PointmapMetric',
        drawing='sapiens.engine.hooks.sapiens2_drawings:PointmapDrawing',
        masked_by_people=True,
    )
)
register_task(
    TaskSpec(
        name='matting',
        description='matting',
        fields=(
            MapField(
                'alpha',
                1,
                about='float32 in [0, 1], fraction of the pixel that people cover',
                interpolation='image',
                known_outside=True,
                folders=('alpha', 'alphas'),
                suffixes=('.png', '.tif', '.tiff', '.npy', '.npz'),
                reader='sapiens.datasets.transforms.color_files:read_alpha',
                doubt='sapiens.datasets.doubts:extreme_alpha',
            ),
            MapField(
                'foreground',
                3,
                about='float32 in [0, 1], sRGB-coded RGB of people times alpha',
                interpolation='image',
                own_validity=True,
                known_outside=True,
                folders=('foreground', 'foregrounds'),
                suffixes=('.png', '.tif', '.tiff'),
                reader='sapiens.datasets.transforms.color_files:load_foreground',
            ),
        ),
        raw_outputs=(
            Output('raw_foreground', '(B, 3, h, w) float32 in [0, 1], sRGB-coded RGB times alpha'),
            Output('raw_alpha', '(B, 1, h, w) float32 in [0, 1]'),
        ),
        decoded_outputs=(
            Output('alpha', '(B, 1, H, W) float32 in [0, 1], fraction of the pixel that people cover'),
            Output('foreground', '(B, 3, H, W) float32 in [0, 1], sRGB-coded RGB times alpha'),
        ),
        result='sapiens.apis.results:MattingResult',
        metric='MattingMetric',
        drawing='sapiens.engine.hooks.sapiens2_drawings:MattingDrawing',
        gives_mask='person',
    )
)
register_task(
    TaskSpec(
        name='albedo',
        description='albedo',
        fields=(
            MapField(
                'albedo', 3, about='float32 in [0, 1], linear RGB; predictions in the coding of the task', interpolation='image',
                folders=('albedo', 'albedos'), suffixes=_MAP_FILES,
                reader='sapiens.datasets.transforms.color_files:load_albedo', doubt='sapiens.datasets.doubts:dark_albedo',
            ),
        ),
        raw_outputs=(Output('raw_albedo', "(B, 3, h, w) float32, the head's output, {coding}"),),
        decoded_outputs=(Output('albedo', '(B, 3, H, W) float32 in [0, 1], {coding}'),),
        result='sapiens.apis.results:AlbedoResult',
        metric='AlbedoMetric',
        drawing='sapiens.engine.hooks.sapiens2_drawings:AlbedoDrawing',
        masked_by_people=True,
    )
)  # fmt: skip
