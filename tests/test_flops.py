"""``sapiens flops`` against counts by hand."""

import pytest
import torch

from sapiens.commands import flops
from sapiens.models import MAE, DenseEstimator
from sapiens.registry import MODELS

from .models.multi_task import BACKBONES, TASKS, config

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
BLOCK = 4 * 32 * 32 + 2 * 32 * 64  # weights of matrix products in a block


def products(tokens, weights, width):
    """Operations of blocks on tokens: the weights, and two products of attention."""
    return 2 * tokens * weights + 4 * tokens * tokens * width


def test_a_dense_model():
    backbone = dict(type='SapiensViT', arch=ARCH, img_size=(64, 48))
    head = dict(type='DenseHead', deconv_channels=(8,), conv_channels=(), dropout=0.0)
    with torch.device('meta'):
        model = DenseEstimator(backbone, head, task=dict(type='DepthTask'), losses=[dict(type='SiLogLoss')])
    rows = flops.count(model, 64, 48)
    assert rows['backbone'][1] == 2 * 12 * 768 * 32 + 3 * products(12, BLOCK, 32)
    assert rows['all'][0] == sum(value.numel() for value in model.parameters())
    assert rows['all'][1] == rows['backbone'][1] + rows['decode_head'][1]
    assert rows['decode_head'][1] > 0
    assert flops.count(model, 128, 96)['backbone'][1] == 2 * 48 * 768 * 32 + 3 * products(48, BLOCK, 32)


def test_heads_of_several_tasks():
    with torch.device('meta'):
        model = MODELS.build(config('sapiens'))
    rows = flops.count(model, 64, 48)
    heads = [f'tasks.{task}.decode_head' for task in ('normal', 'pose', 'seg')]
    assert list(rows) == ['backbone', *heads, 'all']
    assert rows['all'] == tuple(sum(rows[name][index] for name in ['backbone', *heads]) for index in (0, 1))
    with torch.device('meta'):
        alone = MODELS.build(dict(TASKS['seg'], backbone=BACKBONES['sapiens']))
    assert flops.count(alone, 64, 48)['decode_head'] == rows['tasks.seg.decode_head']


def test_operations_of_a_head_follow_the_size_of_its_maps():
    """Inference in bands of rows, which large maps have, is a matter of memory."""
    with torch.device('meta'):
        backbone = dict(type='SapiensViT', arch=ARCH, img_size=(64, 48))
        head = dict(type='DeconvHead', deconv_channels=(64, 64), conv_channels=(64,))
        model = DenseEstimator(backbone, head, task=dict(type='NormalTask'))
    small, large = (flops.count(model, height, height * 3 // 4)['decode_head'][1] for height in (64, 1024))
    assert small > 0 and large == 256 * small


@pytest.mark.parametrize('ratio', [0.75, 0.5])
def test_a_masked_autoencoder_sees_the_kept_patches_only(ratio):
    backbone = dict(type='SapiensViT', arch=ARCH, img_size=64, with_cls_token=True, pos_embed='sincos')
    with torch.device('meta'):
        model = MAE(backbone, decoder=dict(num_layers=2, embed_dims=16, num_heads=2), mask_ratio=ratio)
    rows = flops.count(model, 64, 64)
    kept = int(16 * (1 - ratio))
    assert rows['backbone'][1] == 2 * kept * 768 * 32 + 3 * products(kept + 1, BLOCK, 32)
    block = 4 * 16 * 16 + 2 * 16 * 64
    assert rows['neck'][1] == 2 * (kept + 1) * 32 * 16 + 2 * products(17, block, 16) + 2 * (16 - kept) * 16 * 768


def test_the_command_computes_nothing(capsys):
    flops.main(['sapiens_2b_humans300m-1024x1024'])
    out = capsys.readouterr().out
    assert '2,162,6' in out and '1024x1024' in out  # parameters of encoder and decoder
    flops.main(['sapiens_tiny_synthetic17-128x96', '--shape', '64', '48'])
    assert '64x48' in capsys.readouterr().out
