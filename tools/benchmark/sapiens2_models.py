"""Encoder and heads of Sapiens2 in transformers and here, with equal random weights.

transformers has the reference implementation, but not the encoder for 4K images.
"""

import sapiens  # noqa: F401  isort: skip  (before transformers)
from collections.abc import Callable

import torch
import transformers
from torch import Tensor, nn

from sapiens.checkpoints.huggingface_heads import map_of_scale
from sapiens.models.backbones.archs import SAPIENS2_ARCHS
from sapiens.registry import MODELS
from sapiens.utils.checkpoint.names import canonical, layout_of
from sapiens.utils.config import load_config

# Task -> class in transformers, channels of the output, name of the output, recipe.
TASKS = {
    'pose': ('Sapiens2ForPoseEstimation', 308, 'heatmaps', 'pose/sapiens2_{}_goliath-1024x768.py'),
    'seg': ('Sapiens2ForSemanticSegmentation', 29, 'logits', 'seg/sapiens2_{}_goliath-1024x768.py'),
    'normal': ('Sapiens2ForNormalEstimation', 3, 'normals', 'normal/sapiens2_{}_renderpeople-1024x768.py'),
    'pointmap': ('Sapiens2ForPointmapEstimation', 3, 'pointmaps', 'pointmap/sapiens2_{}_renderpeople-1024x768.py'),
    'matting': ('Sapiens2ForImageMatting', 4, 'alphas', 'matting/sapiens2_{}_general-1024x768.py'),
}
SHUFFLED = ('normal', 'pointmap', 'matting')


def head_config(task: str, size: str, image_size: tuple[int, int]) -> dict:
    """The head of the published recipe. ``tiny`` has the widths of 0.4b divided by eight."""
    config = dict(load_config(TASKS[task][3].format('0.4b' if size == 'tiny' else size)).model.head)
    if size == 'tiny':
        config |= {key: [n // 8 for n in value] for key, value in config.items() if key.endswith('_channels')}
    if 'scale' in config:  # transformers does not pool the map of the scale
        config['scale'] = dict(
            config['scale'], cells=map_of_scale(image_size, 16, len(config['scale']['conv_channels']))
        )
    return config


def their_model(task: str | None, size: str, image_size: tuple[int, int], layers: int | None = None) -> nn.Module:
    """transformers' encoder (no task) or model of a task, with random weights."""
    arch = SAPIENS2_ARCHS[size]
    fields = dict(
        hidden_size=arch['embed_dims'],
        intermediate_size=arch['feedforward_channels'],
        num_hidden_layers=layers or arch['num_layers'],
        num_attention_heads=arch['num_heads'],
        num_key_value_attention_heads=arch['num_heads'] // 2,
        image_size=list(image_size),
    )
    torch.manual_seed(0)
    if task is None:
        return transformers.Sapiens2Model(transformers.Sapiens2Config(**fields)).eval().requires_grad_(False)
    head, (name, count, *_) = head_config(task, size, image_size), TASKS[task]
    if task in SHUFFLED:
        kernels = dict(upsample_kernel_sizes=[3] * len(head['upsample_channels']))
        options = dict(use_pixel_shuffle=True, upsample_out_channels=list(head['upsample_channels']), **kernels)
    else:
        options = dict(upsample_out_channels=list(head['deconv_channels']))
    convs = list(head['conv_channels'])
    options |= dict(conv_out_channels=convs, conv_kernel_sizes=[3 if task in SHUFFLED else 1] * len(convs))
    if 'scale' in head:
        convs = list(head['scale']['conv_channels'])
        options |= dict(scale_conv_out_channels=convs, scale_conv_kernel_sizes=[1] * len(convs))
        options |= dict(scale_final_hidden_sizes=list(head['scale']['hidden']))
    config = transformers.Sapiens2Config(**fields, num_labels=count, head_config=options)
    model = getattr(transformers, name)(config).eval().requires_grad_(False)
    if task in ('pose', 'normal'):
        # As in trained models: heatmaps are above 0 around their peaks, and vectors are not near 0, where they have no direction.
        model.decode_head.predictor.bias.fill_(10)
    if task == 'pointmap':  # a scale above 0
        *_, last = (layer for layer in model.scale_head.modules() if isinstance(layer, nn.Linear))
        last.bias.fill_(1)
    return model


def published_state(model: nn.Module) -> dict[str, Tensor]:
    """Weights of a model of transformers by their published names."""
    state = model.state_dict()
    return canonical(state, layout_of(state))


def encoders(size: str, image_size: tuple[int, int]) -> tuple[nn.Module, nn.Module]:
    """Encoders of transformers and of this package. Both return all tokens."""
    theirs = their_model(None, size, image_size)
    ours = MODELS.build(dict(type='Sapiens2ViT', arch=size, img_size=image_size, out_type='raw'))
    ours.load_state_dict(published_state(theirs))
    return theirs, ours.eval().requires_grad_(False)


def heads(task: str, size: str, image_size: tuple[int, int]) -> tuple[Callable, Callable]:
    """Heads of transformers and of this package, from features (B, C, h, w) to a tuple of maps, and of the scale of pointmaps."""
    model = their_model(task, size, image_size, layers=1)
    config, count, scaled = head_config(task, size, image_size), TASKS[task][1], task == 'pointmap'
    outputs = dict(out_channels=dict(map=count), scalars=['scale']) if scaled else dict(out_channels=count)
    head = MODELS.build({**config, **outputs, 'in_channels': SAPIENS2_ARCHS[size]['embed_dims']})
    prefix, last = 'decode_head.', config['predictor']
    state = {name.removeprefix(prefix): value for name, value in published_state(model).items() if prefix in name}
    head.load_state_dict({name.replace('predictor', last): value for name, value in state.items()})
    head.eval().requires_grad_(False)

    def theirs(features: Tensor) -> tuple[Tensor, ...]:
        maps = model.decode_head(features)
        if task == 'matting':
            maps = maps.sigmoid()
        return (maps, model.scale_head(features)[:, 0]) if scaled else (maps,)

    return theirs, lambda features: tuple(head(features).values()) if scaled else (head(features),)
