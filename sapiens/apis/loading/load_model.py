"""Models that take images and return typed results.

model = load_model('sapiens-pose-1b')
result = model('photo.jpg')
result.save('out')
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from mmengine.config import Config

from sapiens.datasets.transforms import LoadResize

from ..detectors import build_detector
from ..features import load_encoder
from ..predictors import PREDICTORS, Predictor
from ..preprocess import WholeInput, build_input
from ..zoo import resolve_checkpoint
from .build import build_model, read_config

__all__ = ['DTYPES', 'TASKS', 'load_model', 'task_of', 'with_checkpoints']

TASKS = tuple(PREDICTORS)
DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
CROPS = ('auto', 'host', 'device')


def load_model(
    model: str | Path | Config,
    checkpoint: str | Path | None = None,
    *,
    task: str | None = None,
    device: str = 'auto',
    dtype: str = 'fp32',
    batch_size: int = 8,
    compile: bool = False,
    flip_test: bool | None = None,
    num_keypoints: int | None = None,
    heatmaps: bool = False,
    detector: str | Callable | None = None,
    crop: str = 'auto',
    cfg_options: list[str] | dict | None = None,
) -> Predictor:
    """A model that takes images.

    Args:
        model: name of a published model, whose weights are then taken too; path of a config file; or a config.
        checkpoint: path or name of weights. A config without gives random weights, and a warning says so.
        task: 'pose', 'seg', 'depth', 'normal' follow from the model; 'features' takes the encoder of any.
        device: 'auto', 'cpu', 'cuda', 'cuda:1', 'mps'.
        dtype: 'fp32', or 'bf16' or 'fp16' for autocast; results are float32 all the same (features have it in 'fp16').
        batch_size: people or images that are computed together.
        compile: with ``torch.compile``; the last batch is then filled up, so that it compiles once.
        flip_test: average with the mirrored image; by default what the config says.
        num_keypoints: 17, 133 or 308, of a model that has more: only those are computed.
        heatmaps: keep the heatmaps of pose.
        detector: of people, for pose: what :func:`sapiens.apis.detectors.build_detector` takes, or a function of images that
            returns (boxes (N, 4), scores (N,)) of each. By default a person is the whole image.
        crop: 'device' cuts and resizes images on the accelerator, 'host' with the transforms of the data sets; 'auto' is
            'device' on accelerators. They differ by the rounding of a few pixels.
        cfg_options: changes of the config, as on a command line.

    Raises:
        FileNotFoundError, ValueError: what there is not, or does not fit together.
    """
    if dtype not in DTYPES:
        raise ValueError(f'dtype={dtype!r} is not one of {tuple(DTYPES)}')
    if crop not in CROPS:
        raise ValueError(f'crop={crop!r} is not one of {CROPS}')
    if not (isinstance(batch_size, int) and batch_size > 0):
        raise ValueError(f'batch_size={batch_size!r}: expected 1 or more')
    cfg = read_config(model, cfg_options)
    if checkpoint is None and isinstance(model, str | Path) and not _is_file(model):
        checkpoint = model  # a name stands for both
    found = task_of(cfg)
    if task not in (None, 'features', found):
        raise ValueError(f'task={task!r}, but {_label(model)} is for {found!r}')
    task = task or found
    options = dict(device=device, dtype=DTYPES[dtype], batch_size=batch_size, compile=compile, crop=crop)
    pose_only = dict(num_keypoints=num_keypoints, heatmaps=heatmaps or None, detector=detector)
    if task != 'pose' and any(value is not None for value in pose_only.values()):
        given = ', '.join(name for name, value in pose_only.items() if value is not None)
        raise ValueError(f'{given}: for pose only, and {_label(model)} is used for {task!r}')
    if task == 'features':
        if flip_test:
            raise ValueError('flip_test: features are not averaged with those of the mirrored image')
        path = None if checkpoint is None else str(resolve_checkpoint(checkpoint))
        encoder = load_encoder(cfg, path, device)
        return PREDICTORS[task](encoder, WholeInput(_whole(cfg)), **options)
    network = build_model(cfg, checkpoint, device)
    if task == 'pose':
        detector = build_detector(detector, device) if isinstance(detector, str) else detector
        pose = dict(num_keypoints=num_keypoints, heatmaps=heatmaps, detector=detector)
        return PREDICTORS[task](network, build_input(cfg), flip_test=flip_test, **pose, **options)
    return PREDICTORS[task](network, build_input(cfg), flip_test=flip_test, **options)


def task_of(cfg: Config) -> str:
    """What the model of a config is for.

    Raises:
        ValueError: a model that this package has no inference for.
    """
    kind = cfg.model.type.split('.')[-1]
    if kind == 'PoseEstimator':
        return 'pose'
    if kind == 'MAE':
        return 'features'
    dense = {'SegTask': 'seg', 'DepthTask': 'depth', 'NormalTask': 'normal'}
    task = cfg.model.get('task', {}).get('type', '').split('.')[-1]
    if kind == 'DenseEstimator' and task in dense:
        return dense[task]
    raise ValueError(f'model.type={kind!r}{f" with task {task!r}" if task else ""} is for none of {", ".join(TASKS)}')


def with_checkpoints(models: Sequence[str], checkpoints: Sequence[str]) -> list[tuple[str, str | None]]:
    """Models as a command line gives them, each with its checkpoint: one for each model, or for each that is a config.

    Raises:
        ValueError: another number of checkpoints.
    """
    if checkpoints and len(checkpoints) != len(models):
        configs = [model for model in models if _is_file(model)]
        if len(checkpoints) != len(configs):
            raise ValueError(
                f'--checkpoint has {len(checkpoints)} files for {len(models)} models of --model, {len(configs)} of them configs'
            )
        following = iter(checkpoints)
        return [(model, next(following) if _is_file(model) else None) for model in models]
    return list(zip(models, checkpoints or [None] * len(models), strict=True))


def _is_file(model: str | Path) -> bool:
    return Path(model).expanduser().is_file() or Path(model).suffix == '.py'


def _label(model) -> str:
    return str(model) if isinstance(model, str | Path) else 'the given config'


def _whole(cfg: Config):
    """The transform that gives the encoder of any config its whole image."""
    prepare = build_input(cfg)
    if isinstance(prepare, WholeInput):
        return prepare.transform
    return LoadResize(prepare.size, interpolation='bilinear', antialias=True)
