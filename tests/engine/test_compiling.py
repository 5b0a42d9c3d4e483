import shutil

import pytest
import torch

from sapiens.engine.compiling import compile_parts
from sapiens.models import MAE, DenseEstimator
from sapiens.structures import DenseDataSample

from .toy import make_runner

BACKBONE = dict(
    type='SapiensViT', img_size=(64, 48), arch=dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
)


def model(**backbone):
    torch.manual_seed(0)
    head = dict(type='DenseHead', deconv_channels=(8,), conv_channels=(8,), dropout=0.0)
    made = DenseEstimator(dict(BACKBONE, **backbone), head, dict(type='DepthTask', relative=False))
    made.init_weights()
    return made


def loss_and_gradients(made):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 64, 48, generator=generator)
    samples = []
    for _ in images:
        sample = DenseDataSample(gt_depth=1 + torch.rand(1, 64, 48, generator=generator))
        sample.valid_mask = torch.ones(64, 48, dtype=torch.bool)
        samples.append(sample)
    loss = made(images, samples, mode='loss')['loss_silog']
    loss.backward()
    return loss, [parameter.grad for parameter in made.parameters()]


@pytest.mark.parametrize('checkpointing', ['off', 'all'])
@pytest.mark.parametrize(
    'backend',
    [
        'eager',
        pytest.param(
            'inductor',
            marks=[pytest.mark.slow, pytest.mark.skipif(not shutil.which('g++'), reason='inductor needs g++')],
        ),
    ],
)
def test_a_compiled_model_learns_the_same(backend, checkpointing):
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    plain, compiled = model(), model(activation_checkpointing=checkpointing)
    names = list(plain.state_dict())
    compile_parts(compiled, dict(backend=backend))
    counters.clear()
    (loss, gradients), (other, others) = loss_and_gradients(plain), loss_and_gradients(compiled)
    assert other.item() == pytest.approx(loss.item(), rel=1e-5)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(gradients, others, strict=True))
    assert list(compiled.state_dict()) == names
    assert counters['stats']['unique_graphs'] == 2, 'one for three blocks, and the head'
    assert not counters['graph_break']


def test_blocks_of_both_sides_of_pretraining_are_compiled():
    made = MAE(
        dict(BACKBONE, patch_padding=0, with_cls_token=True), decoder=dict(num_layers=2, embed_dims=16, num_heads=2)
    )
    compile_parts(made, dict(backend='eager'))
    compiled = [name for name, part in made.named_modules() if part._compiled_call_impl is not None]
    assert compiled == [f'backbone.layers.{i}' for i in range(3)] + [f'neck.decoder_blocks.{i}' for i in range(2)]


def test_wrong_options_are_refused(tmp_path):
    with pytest.raises(ValueError, match="compile='yes': expected True, False, or arguments"):
        compile_parts(model(), 'yes')
    with pytest.raises(ValueError, match=r'compile=True: no part of Linear has a method parts_to_compile\(\)'):
        make_runner(tmp_path, cfg=dict(compile=True)).train()
