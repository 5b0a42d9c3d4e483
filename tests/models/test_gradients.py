"""Gradients of the recipes of pointmaps, matting and albedo reach every parameter."""

import numpy as np
import pytest
import torch

from sapiens.registry import MODELS
from sapiens.structures import DenseDataSample
from sapiens.utils.config import load_config

SIZE = (256, 192)  # h, w: the scale halves 16x12 patches three times, to 2x2
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
DATA = dict(pointmap='renderpeople', matting='general', albedo='renderpeople')
RECIPES = [
    *(f'{task}/sapiens2_tiny_synthetic-128x96' for task in DATA),
    *(f'{task}/sapiens2_1b_{data}-1024x768' for task, data in DATA.items()),
    *(f'{task}/sapiens_1b_{data}-1024x768' for task, data in DATA.items()),
]


def build(recipe):
    """The model of a recipe with its losses, few channels and random weights."""
    config = load_config(recipe).model
    config.backbone.update(arch=ARCH, img_size=SIZE, init_cfg=None)
    head = config.get('head') or config.decode_head
    for layers in {'upsample_channels', 'deconv_channels', 'conv_channels'} & set(head):
        head[layers] = (8,) * len(head[layers])
    if head.get('scale'):
        head.scale.update({key: (8,) * len(head.scale[key]) for key in ('conv_channels', 'hidden')})
    torch.manual_seed(0)
    model = MODELS.build(config).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.15)
    return model


def samples(task, count=2):
    """Labels of a recipe: a person in the middle of the image."""
    random, made = torch.Generator().manual_seed(1), []
    inside = torch.zeros(SIZE, dtype=torch.bool)
    inside[32:224, 48:144] = True
    for index in range(count):
        sample = DenseDataSample(metainfo=dict(img_path=f'{index}.jpg', ori_shape=SIZE, img_shape=SIZE))
        if task == 'pointmap':
            y, x = torch.meshgrid(*(torch.arange(side) for side in SIZE), indexing='ij')
            depth = 2 + 0.5 * torch.rand(SIZE, generator=random) + 0.01 * y
            points = torch.stack([(x - 95.5) / 300 * depth, (y - 127.5) / 300 * depth, depth])
            sample.gt_pointmap, sample.valid_mask = points, inside
            sample.set_metainfo(dict(intrinsics=np.array([[300, 0, 95.5], [0, 300, 127.5], [0, 0, 1.0]])))
        elif task == 'albedo':
            sample.gt_albedo, sample.valid_mask = torch.rand(3, *SIZE, generator=random), inside
        else:
            alpha = inside[None] * torch.rand(1, *SIZE, generator=random)
            sample.gt_alpha, sample.gt_foreground = alpha, alpha * torch.rand(3, *SIZE, generator=random)
            sample.valid_mask = sample.valid_foreground = torch.ones(SIZE, dtype=torch.bool)
        made.append(sample)
    return made


@pytest.mark.parametrize('recipe', RECIPES)
def test_every_parameter_gets_a_gradient(recipe):
    model, task = build(recipe), recipe.partition('/')[0]
    inputs = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(2))
    losses = model.loss(inputs, samples(task))
    assert len(losses) == len(model.loss_modules) > 2
    assert all(value.isfinite() and value > 0 for value in losses.values()), losses
    sum(losses.values()).backward()
    gradients = {name: value.grad for name, value in model.named_parameters() if value.requires_grad}
    assert all(grad is not None and grad.isfinite().all() for grad in gradients.values())
    # Instance norm removes the mean, and with it the bias of the convolution before; what is left is rounding.
    steps = ('input_conv', 'upsample_blocks', 'deconv_layers', 'conv_layers', 'scale_conv_layers')
    without = {
        name
        for name in gradients
        if name.endswith('.bias') and any(f'decode_head.{step}.' in name for step in steps) and task != 'albedo'
    }
    norms = {name: float(grad.norm()) for name, grad in gradients.items()}
    missing = {name for name, norm in norms.items() if norm < 1e-9}
    assert missing <= without, missing - without
    if task == 'pointmap':
        branch = [name for name in norms if name.startswith('decode_head.scale_') and name.endswith('weight')]
        assert len(branch) >= 4 and all(norms[name] > 1e-6 for name in branch)


def test_the_scale_learns_from_its_own_loss_alone():
    """The other losses compare points, which the network predicts in canonical units."""
    model = build(RECIPES[0])
    losses = model.loss(torch.randn(2, 3, *SIZE), samples('pointmap'))
    branch = [value for name, value in model.named_parameters() if 'decode_head.scale_' in name]
    for name, value in losses.items():
        found = torch.autograd.grad(value, branch, retain_graph=True, allow_unused=True)
        assert any(grad is not None and grad.any() for grad in found) == ('scale' in name), name
