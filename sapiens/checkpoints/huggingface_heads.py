"""Heads in the ``config.json`` of transformers' Sapiens2, in both directions."""

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from sapiens.metainfo import get_classes, get_skeleton
from sapiens.models import DeconvHead, DenseEstimator, PixelShuffleHead, PoseEstimator
from sapiens.tasks import task_of

__all__ = ['head_fields', 'head_options', 'outputs_of', 'task_with_class']

SKELETONS = {len(get_skeleton(name)): name for name in ('coco17', 'wholebody133', 'goliath308')}


def head_options(fields: dict, task: str, backbone: Mapping, path: Path) -> dict:
    """Config of a head from the fields of ``config.json``.

    Args:
        backbone: config of the encoder.
        path: of the file, for messages.

    Raises:
        ValueError: a head that this package does not have.
    """
    head = fields.get('head_config') or {}
    upsample, kernels = head.get('upsample_out_channels') or (), head.get('upsample_kernel_sizes')
    convs = dict(conv_channels=tuple(head.get('conv_out_channels') or ()), predictor=f'conv_{task}')
    if head.get('conv_kernel_sizes'):
        convs['conv_kernels'] = tuple(head['conv_kernel_sizes'])
    if not head.get('use_pixel_shuffle'):
        if set(convs.get('conv_kernels', ())) - {1}:
            raise ValueError(
                f'{path}: conv_kernel_sizes={convs["conv_kernels"]}: transformers pads none of them, DeconvHead each'
            )
        deconvs = dict(deconv_channels=tuple(upsample), init_deconvs=task == 'pose')
        return dict(type='DeconvHead', **deconvs, **({'deconv_kernels': tuple(kernels)} if kernels else {}), **convs)
    if kernels and set(kernels) != {3}:
        raise ValueError(
            f'{path}: upsample_kernel_sizes={kernels}, but PixelShuffleHead has kernels of 3 and no option for them'
        )
    if task == 'pointmap':
        convs['scale'] = _scale_options(head, backbone, path)
    if task == 'matting':
        convs['sigmoid'] = True
    return dict(type='PixelShuffleHead', upsample_channels=tuple(upsample), norm='instance', **convs)


def _scale_options(head: dict, backbone: Mapping, path: Path) -> dict:
    channels, kernels = head.get('scale_conv_out_channels'), head.get('scale_conv_kernel_sizes')
    if not channels:
        raise ValueError(f'{path}: a pointmap without a scale (scale_conv_out_channels), which PointmapTask needs')
    cells = map_of_scale(backbone['img_size'], backbone['patch_size'], len(channels))
    size = head.get('scale_final_input_size') or channels[-1] * cells[0] * cells[1]
    if size != channels[-1] * cells[0] * cells[1]:
        raise ValueError(
            f'{path}: scale_final_input_size={size}, but an input of {tuple(backbone["img_size"])} gives {channels[-1]} channels '
            f'of {cells[0]} x {cells[1]} cells'
        )
    options = dict(conv_channels=tuple(channels), hidden=tuple(head['scale_final_hidden_sizes']), cells=cells)
    return dict(options, conv_kernels=tuple(kernels)) if kernels else options


def map_of_scale(size: tuple[int, int], patch: int, convs: int) -> tuple[int, int]:
    """(h, w) of the map that is left of an input of ``size`` after convolutions of stride 2."""
    return tuple(-(-(side // patch) // 2**convs) for side in size)


def outputs_of(fields: dict, task: str, path: Path) -> dict:
    """Arguments of the estimator that say what the outputs mean."""
    labels = fields.get('id2label') or {}
    names = [labels[key] for key in sorted(labels, key=int)]
    if task == 'pose':
        if len(names) not in SKELETONS:
            raise ValueError(
                f'{path}: {len(names)} keypoints are not one of {", ".join(map(str, SKELETONS))}; give a config with '
                f'model.skeleton, and this folder as its checkpoint'
            )
        return dict(skeleton=SKELETONS[len(names)])
    if task == 'seg':
        known = get_classes('goliath29')
        is_known = len(names) == len(known)
        return dict(
            task=dict(type='SegTask', classes='goliath29' if is_known else dict(name=path.parent.name, classes=names))
        )
    return {}


def task_with_class(model: nn.Module) -> str:
    """Name of the task of an estimator.

    Raises:
        ValueError: transformers has no class for it.
    """
    task = task_of(model).name
    kinds = dict(pose=(PoseEstimator, DeconvHead), seg=(DenseEstimator, DeconvHead))
    kinds |= dict.fromkeys(('normal', 'pointmap', 'matting'), (DenseEstimator, PixelShuffleHead))
    if task not in kinds or not isinstance(model, kinds[task][0]) or type(model.head) is not kinds[task][1]:
        known = ', '.join(f'{name} with {head.__name__}' for name, (_, head) in kinds.items())
        raise ValueError(
            f'{task} with {type(getattr(model, "head", None)).__name__}: transformers has classes for {known}'
        )
    if isinstance(model.head, PixelShuffleHead) and not isinstance(model.head.input_conv[1], nn.InstanceNorm2d):
        raise ValueError("head.norm='rms': transformers has no class for it")
    if task == 'matting' and not model.head.sigmoid:
        raise ValueError('head.sigmoid=False: outputs of matting in transformers end with a sigmoid')
    if task == 'pointmap':
        _check_scale(model)
    return task


def _check_scale(model: nn.Module) -> None:
    convs, final = list(model.head.scale_conv_layers)[::3], model.head.scale_final_layer
    cells = map_of_scale(model.backbone.img_size, model.backbone.patch_size, len(convs))
    if cells != final[0].cells:
        raise ValueError(
            f'head.scale.cells={final[0].cells}, but inputs of {model.backbone.img_size} give {cells}: transformers '
            'does not pool them'
        )
    hidden = [layer.out_features for layer in list(final)[1:-1:2]]
    if len(hidden) != 2:
        raise ValueError(f'head.scale.hidden={tuple(hidden)}: transformers has two such layers')


def head_fields(model: nn.Module, task: str) -> dict:
    """Fields of ``config.json`` for the head of an estimator."""
    head, shuffles = model.head, isinstance(model.head, PixelShuffleHead)
    layers = [block[0] for block in head.upsample_blocks] if shuffles else list(head.deconv_layers)[::3]
    convs = list(head.conv_layers)[::3]
    if task == 'pose':
        names = list(model.skeleton.keypoints)
    elif task == 'seg':
        names = list(model.task.classes.classes)
    else:
        names = ['red', 'green', 'blue', 'alpha'] if task == 'matting' else ['x', 'y', 'z']
    scale = {}
    if task == 'pointmap':
        scale_convs, final = list(head.scale_conv_layers)[::3], list(head.scale_final_layer)[1::2]
        scale = dict(
            scale_conv_out_channels=[layer.out_channels for layer in scale_convs],
            scale_conv_kernel_sizes=[layer.kernel_size[0] for layer in scale_convs],
            scale_final_input_size=final[0].in_features,
            scale_final_hidden_sizes=[layer.out_features for layer in final[:-1]],
        )
    return dict(
        head_config=dict(
            model_type='sapiens2_head',
            upsample_out_channels=[layer.out_channels // (4 if shuffles else 1) for layer in layers],
            upsample_kernel_sizes=[layer.kernel_size[0] for layer in layers],
            conv_out_channels=[layer.out_channels for layer in convs],
            conv_kernel_sizes=[layer.kernel_size[0] for layer in convs],
            use_pixel_shuffle=shuffles or None,
            **scale,
        ),
        id2label={str(number): name for number, name in enumerate(names)},
        label2id={name: number for number, name in enumerate(names)},
        flip_pairs=_flip_pairs(model) if task == 'pose' else None,
    )


def _flip_pairs(model: nn.Module) -> list[list[int]]:
    return [[index, int(other)] for index, other in enumerate(model.skeleton.flip_indices) if int(other) != index]
