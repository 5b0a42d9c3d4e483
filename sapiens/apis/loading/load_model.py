"""Loading of models that take images and return typed results.

model = load_model('sapiens-pose-1b')
result = model('photo.jpg')
result.save('out')
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config

from sapiens.checkpoints import is_huggingface_folder, look_up
from sapiens.tasks import MULTI, member_of, members_of, task_names, task_of
from sapiens.utils.device import DTYPES

from ..detectors import build_detector
from ..own_models import automatic_for
from ..predictors import MultiTaskPredictor, Predictor
from ..predictors.by_task import get_predictor_class
from ..predictors.huggingface import PROCESSINGS, huggingface_predictor
from .build import read_config

__all__ = [
    'inference_task',
    'inference_tasks',
    'is_config',
    'load_model',
    'load_models',
    'model_of',
    'weights_of',
    'with_checkpoints',
]

CROPS = ('auto', 'host', 'device')


def load_model(
    model: str | Path | Config,
    checkpoint: str | Path | None = None,
    *,
    task: str | Sequence[str] | Mapping[str, Mapping] | None = None,
    device: str = 'auto',
    dtype: str = 'fp32',
    batch_size: int = 8,
    compile: bool = False,
    flip_test: bool | None = None,
    num_keypoints: int | None = None,
    keypoints_as: str | None = None,
    heatmaps: bool = False,
    focal: float | str | None = None,
    intrinsics: np.ndarray | str | Path | None = None,
    rays: str | None = None,
    detector: str | Callable | None = None,
    box_threshold: float | None = None,
    nms_threshold: float | None = None,
    tiles: int | None = None,
    views: int | None = None,
    crop: str = 'auto',
    processing: str = PROCESSINGS[0],
    cfg_options: list[str] | dict | None = None,
) -> Predictor:
    """Load a model that takes images.

    Args:
        model: name of a published model or a folder that transformers saved, which imply their weights; path or name of a
            config; or a config.
        checkpoint: path or name of weights. A config without a checkpoint has random weights, and a warning says so.
        task: by default the task of the model, or all of a model of several. Of these the name of one takes that alone,
            and a list some of them; so does a dict, with options of single tasks, ``dict(pose=dict(flip_test=True), seg={})``.
            'features' takes the encoder of any model.
        device: 'auto', 'cpu', 'cuda', 'cuda:1', 'mps'.
        dtype: 'fp32', or 'bf16' or 'fp16' for autocast. Results are float32; features are float16 with 'fp16'.
        batch_size: people or images computed together.
        compile: use ``torch.compile``. The last batch is padded, so the model compiles once.
        flip_test: average with the mirrored image; by default as the config says.
        num_keypoints: 17, 133 or 308: compute only the keypoints of that skeleton with a larger model.
        keypoints_as: skeleton of the results (pose), by name or file: 'openpose25', 'smplx127' (docs/keypoints.md).
        heatmaps: keep the heatmaps (pose).
        focal: focal length in pixels of the images (pointmaps), where it is known, or 'exif' for that of each file. The points
            are then those of this camera, in meters. By default the model estimates it.
        intrinsics: instead of ``focal``: (3, 3) in pixels of the images, the path of a file, or a folder of files with the names
            of the images; see :func:`sapiens.apis.user_camera.read_intrinsics`.
        rays: 'predicted' points (pointmaps), or 'project' for points on the rays of their pixels: x and y follow from z and the
            camera.
        detector: of people (pose): a text for :func:`sapiens.apis.detectors.build_detector`, or a function that takes images
            and returns (boxes (N, 4), scores (N,)) of each. By default 'auto', which is loaded when an image without boxes comes;
            for weights of the package that is 'embedded', without a network.
            'whole-image' is for images that are crops of one person.
        box_threshold: smallest score of a box (person), by default 0.3.
        nms_threshold: of two boxes with a larger overlap (IoU) the better one is kept (person); by default as the config says.
        tiles: also look at this many overlapping tiles along each side of the image (person), for small people.
        views: crops of each person whose median is taken (pose), 1 to 7; see :class:`.PosePredictor`.
        crop: 'device' crops and resizes on the accelerator, 'host' with the transforms of the config. 'auto' is 'device' on
            accelerators. They differ by rounding in a few pixels.
        processing: 'published' has the inputs and results of the published code, 'huggingface' those of transformers: for pose,
            segmentation, normals, pointmaps and mattes, without flip test unless ``flip_test=True``, its inputs made on the host.
            A folder that transformers saved brings its ``preprocessor_config.json``.
        cfg_options: changes of the config, as on a command line.

    Raises:
        FileNotFoundError, ValueError: something does not exist, or options do not fit together.
    """
    if dtype not in DTYPES:
        raise ValueError(f'dtype={dtype!r} is not one of {tuple(DTYPES)}')
    if crop not in CROPS:
        raise ValueError(f'crop={crop!r} is not one of {CROPS}')
    if processing not in PROCESSINGS:
        raise ValueError(f'processing={processing!r} is not one of {PROCESSINGS}')
    if not (isinstance(batch_size, int) and batch_size > 0):
        raise ValueError(f'batch_size={batch_size!r}: expected 1 or more')
    if task is not None and not task:
        raise ValueError(f'task={task!r}: expected the name of a task, or a list of names')
    cfg = read_config(model, cfg_options)
    label = str(model) if isinstance(model, str | Path) else 'the given config'
    checkpoint = weights_of(model, checkpoint)
    members = members_of(cfg.model)
    chosen = tuple(members) if task is None else () if isinstance(task, str) else tuple(task)
    own = task if isinstance(task, Mapping) else None
    task = MULTI if chosen else task or inference_task(cfg)
    if members and processing != PROCESSINGS[0]:
        raise ValueError(f'processing={processing!r}: {label} has several tasks, which transformers has no models for')
    if chosen:
        kind, parts = MultiTaskPredictor, [member_of(cfg.model, name, 'task') for name in chosen]
    elif task in members:
        kind = get_predictor_class(task_of(members[task]).inference_name)
    else:
        kind, known = get_predictor_class(task), tuple(members) or (inference_task(cfg),)
        if not kind.any_model and task not in known:
            raise ValueError(f'task={task!r}, but {label} is for {" and ".join(map(repr, known))}')
    options = dict(flip_test=flip_test, num_keypoints=num_keypoints, keypoints_as=keypoints_as)
    options.update(heatmaps=heatmaps or None, detector=detector, focal=focal, intrinsics=intrinsics, rays=rays)
    options.update(box_threshold=box_threshold, nms_threshold=nms_threshold, tiles=tiles, views=views)
    options = {name: value for name, value in options.items() if value is not None}
    kinds = [get_predictor_class(task_of(part).inference_name) for part in parts] if chosen else [kind]
    own = own or {}
    for name, one in zip(chosen, kinds, strict=False):
        for key in own.get(name, ()):
            if key not in one.options:
                raise ValueError(
                    f'task={{{name!r}: ...}}: {key} is not one of the options of {name!r}, {", ".join(one.options)}'
                )
    for name in options:
        if not any(name in one.options for one in kinds):
            known = [other for other in task_names(inference=True) if name in get_predictor_class(other).options]
            used = ' and '.join(map(repr, chosen or [task]))
            raise ValueError(f'{name}: for {", ".join(known)} only, and {label} is used for {used}')
    if processing == 'huggingface':
        kind = huggingface_predictor(task)
    if detector in (None, 'auto') and any('detector' in one.options for one in kinds):
        detector = automatic_for([checkpoint])
    if isinstance(detector, str):
        options['detector'] = build_detector(detector, device)
    options.update(dtype=DTYPES[dtype], batch_size=batch_size, compile=compile, crop=crop)
    if chosen:
        options.update(names=chosen, own=own)
    return kind.from_config(task, cfg, checkpoint, device, **options)


def weights_of(model: str | Path | Config, checkpoint: str | Path | None = None) -> str | Path | None:
    """Return the weights of a model: the given ones, else those that a published name implies, else None for random ones."""
    if checkpoint is None and isinstance(model, str | Path) and not is_config(model):
        return model
    return checkpoint


def inference_task(cfg: Config) -> str:
    """Return the name under which the model of a config runs in inference.

    Raises:
        ValueError: the model has no task.
    """
    return task_of(cfg.model).inference_name


def inference_tasks(cfg: Config) -> tuple[str, ...]:
    """Return the names under which the model of a config runs in inference: one, or those of several tasks.

    Raises:
        ValueError: the model has no task, or calls one of several by another name.
    """
    members = {name: task_of(part).inference_name for name, part in members_of(cfg.model).items()}
    for name, task in members.items():
        if name != task:
            raise ValueError(
                f'the model calls its task {task!r} {name!r}: files of results are named after tasks. Call it {task!r} in '
                'model.tasks, or use sapiens.apis.load_model, which takes any names'
            )
    return tuple(members) or (inference_task(cfg),)


def model_of(cfg: Config, task: str) -> Mapping:
    """Return the config of the model of a task: that of a config, or the member of a model of several tasks."""
    return members_of(cfg.model).get(task, cfg.model)


def load_models(models: Mapping[str, dict], device: str) -> dict[str, Predictor]:
    """Load models that run together. Tasks of one model are loaded as one, by the name of the first, each with its own options.

    They find no people themselves: the caller does it once for all of them.

    Args:
        models: options of :func:`load_model` by task.
        device: see :func:`load_model`.
    """
    groups: dict[str, list[str]] = {}
    own, common = {}, {}
    for task, options in models.items():
        options = {key: value for key, value in options.items() if value is not None and key != 'task'}
        own[task] = {key: options.pop(key) for key in get_predictor_class(task).options if key in options}
        common[task] = options
        groups.setdefault(repr(sorted(options.items())), []).append(task)
    loaded = {}
    for tasks in groups.values():
        first = common[tasks[0]]
        members = members_of(read_config(first['model'], first.get('cfg_options')).model) if len(tasks) > 1 else {}
        # Otherwise each model of people would load a detector that nobody calls.
        nobody = {
            task: {'detector': 'whole-image'} for task in tasks if 'detector' in get_predictor_class(task).options
        }
        if members:
            finder = next(iter(nobody.values()), {})
            loaded[tasks[0]] = load_model(device=device, task={task: own[task] for task in tasks}, **finder, **first)
        else:
            loaded |= {task: load_model(device=device, **nobody.get(task, {}), **models[task]) for task in tasks}
    return loaded


def with_checkpoints(models: Sequence[str], checkpoints: Sequence[str]) -> list[tuple[str, str | None]]:
    """Pair the models of a command line with their checkpoints: one for each model, or one for each config among them.

    Raises:
        ValueError: the number of checkpoints does not fit.
    """
    if checkpoints and len(checkpoints) != len(models):
        configs = [model for model in models if is_config(model)]
        if len(checkpoints) != len(configs):
            raise ValueError(
                f'--checkpoint has {len(checkpoints)} files for {len(models)} models of --model, {len(configs)} of them configs'
            )
        following = iter(checkpoints)
        return [(model, next(following) if is_config(model) else None) for model in models]
    return list(zip(models, checkpoints or [None] * len(models), strict=True))


def is_config(model: str | Path) -> bool:
    """Whether a model is given by the path or name of a config, and not as a published model or a folder with its weights.

    Raises:
        ValueError: see :func:`sapiens.checkpoints.look_up`.
    """
    if is_huggingface_folder(model):
        return False
    return Path(model).expanduser().is_file() or look_up(str(model)) is None
