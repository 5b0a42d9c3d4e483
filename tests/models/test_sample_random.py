"""Random numbers of samples: statistics, independence of the batch, compiled and recomputed forward passes."""

import math
import shutil
from functools import partial

import pytest
import torch

from sapiens.datasets.draw import hash63
from sapiens.engine.compiling import compile_parts
from sapiens.models import MAE, DenseEstimator, DenseHead
from sapiens.models.layers import sample_random
from sapiens.models.layers.sample_random import bits, draw_seeds, drop_path_factors, pass_seeds, uniform
from sapiens.structures import DenseDataSample

ARCH = dict(embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=64)
STREAMS = ('MASK', 'SQUARE', 'SHIFT', 'DECODE', 'DROP_PATH', 'DROPOUT', 'LOSS_GRID', 'POSITIONS')
HIGHEST = (1 << 63) - 1


def test_numbers_are_those_of_the_hash_of_datasets():
    seeds = [0, 1, HIGHEST, 1 << 62, 1234567890123456789]
    found = bits(torch.tensor(seeds), 5, 3, 4)
    assert found.dtype == torch.int64 and found.shape == (5, 3, 4)
    for seed, row in zip(seeds, found.flatten(1).tolist(), strict=True):
        assert row == [hash63(seed, 5, index) for index in range(12)]


def test_numbers_are_uniform():
    draws = uniform(torch.arange(256), 1, 4096)
    assert draws.dtype == torch.float32 and 0 <= draws.min() < 1e-5 and 1 - 1e-5 < draws.max() < 1
    error = 5 / math.sqrt(draws.numel())
    assert draws.double().mean().item() == pytest.approx(0.5, abs=error * math.sqrt(1 / 12))
    assert draws.double().var().item() == pytest.approx(1 / 12, abs=error / 12)
    # Rows and columns by themselves: chi-square of 16 bins, 15 degrees of freedom.
    for dim, expected in ((1, 256), (0, 16)):
        counts = torch.nn.functional.one_hot((draws * 16).long(), 16).sum(dim)
        chi = ((counts - expected).float().square() / expected).sum(-1)
        assert chi.mean().item() == pytest.approx(15, abs=1.5) and chi.max() < 60
    # Every bit is set half the time.
    numbers = bits(torch.arange(64), 1, 1024)
    for bit in range(63):
        assert ((numbers >> bit) & 1).double().mean().item() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    'seeds', [torch.arange(512), torch.arange(512) << 40, torch.tensor([hash63(0, i) for i in range(512)])]
)
def test_numbers_of_neighbors_are_not_correlated(seeds):
    """Of neighboring seeds and indices, of streams, and of one seed's augmentation."""
    draws, other = uniform(seeds, 1, 512).double() - 0.5, uniform(seeds, 2, 512).double() - 0.5

    def correlation(one, two):
        return (one * two).mean().item() * 12

    for one, two in (
        *((draws[step:], draws[:-step]) for step in (1, 2, 64)),
        *((draws[:, step:], draws[:, :-step]) for step in (1, 2, 64)),
        (draws[1:, 1:], draws[:-1, :-1]),
        (draws[1:, :-1], draws[:-1, 1:]),
        (draws, draws.T),
        (draws, other),
        (draws[:, 0], (seeds.double() - seeds.double().mean()) / (seeds.max() - seeds.min())),
    ):
        assert abs(correlation(one, two)) < 5 / math.sqrt(one.numel())
    augmentation = torch.stack([torch.rand(512, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds])
    assert abs(correlation(draws, augmentation.double() - 0.5)) < 5 / 512


def test_no_two_numbers_of_a_sample_are_equal():
    numbers = bits(torch.arange(128), 1, 4096)
    assert all(len(row.unique()) == 4096 for row in numbers)
    # 24 bits are not enough for that: an order would depend on how a sort treats equal numbers.
    assert 0.2 < sum(len(row.unique()) < 4096 for row in uniform(torch.arange(128), 1, 4096)) / 128 < 0.6
    orders = numbers[:, :3].argsort(1)
    counts = torch.unique(bits(torch.arange(6000), 1, 3).argsort(1), dim=0, return_counts=True)[1]
    assert len(counts) == 6 and (counts - 1000).abs().max() < 150 and orders.shape == (128, 3)


def test_numbers_do_not_depend_on_the_batch_and_are_new_for_each_use():
    seeds = draw_seeds(6, 'cpu')
    assert seeds.dtype == torch.int64 and seeds.min() >= 0 and len(seeds.unique()) == 6
    before = seeds.clone()
    whole = bits(seeds, 3, 4, 5)
    assert torch.equal(seeds, before), 'seeds are not changed in place'
    assert torch.equal(bits(seeds[[4, 1]], 3, 4, 5), whole[[4, 1]])
    assert torch.equal(bits(seeds, 3, 7), whole.flatten(1)[:, :7])
    values = [getattr(sample_random, name) for name in STREAMS]
    assert (
        len(set(values)) == len(STREAMS)
        and len(torch.stack([bits(seeds, value, 9) for value in values]).unique()) == 432
    )


def test_factors_of_drop_path():
    factors = drop_path_factors(torch.arange(4000), 5, 0.4)
    assert factors.shape == (5, 2, 4000) and factors.dtype == torch.float32
    for rate, block in zip((0.0, 0.1, 0.2, 0.3, 0.4), factors, strict=True):
        kept = torch.tensor(1 / (1 - rate))
        assert torch.isclose(block.max(), kept) and set(block.unique().tolist()) <= {0.0, block.max().item()}
        assert (block == 0).double().mean().item() == pytest.approx(rate, abs=0.03)
        assert rate == 0 or abs(torch.corrcoef(block)[0, 1]) < 0.07, 'both branches of a block'
    assert drop_path_factors(torch.arange(2), 1, 0.4).eq(1).all(), 'the only block is the first'


def test_modules_of_other_libraries_get_no_seeds():
    seeds = torch.arange(2)
    assert pass_seeds(DenseHead.forward, seeds) == dict(seeds=seeds)
    assert pass_seeds(torch.nn.Linear.forward, seeds) == {} and pass_seeds(DenseHead.forward, None) == {}


# ------------------------------------------------------------------ models


def mae(**backbone):
    torch.manual_seed(0)
    if 'type' not in backbone:
        backbone.update(type='SapiensViT', arch=ARCH, with_cls_token=True, pos_embed='sincos')
    backbone.update(img_size=(64, 64), drop_path_rate=0.5)
    options = dict(mask_ratio=0.5, mask_block_size=2, decode_share=0.5)
    model = MAE(backbone, dict(num_layers=1, embed_dims=16, num_heads=2), **options)
    model.init_weights()
    return model.train()


def depth(**backbone):
    torch.manual_seed(0)
    backbone = dict(dict(type='SapiensViT', arch=ARCH), **backbone, img_size=(64, 64), drop_path_rate=0.5)
    head = dict(type='DenseHead', deconv_channels=(8,), conv_channels=(8,), dropout=0.5)
    model = DenseEstimator(backbone, head, dict(type='DepthTask', relative=False), loss_stride=4)
    model.init_weights()
    return model.train()


def labels(count):
    generator = torch.Generator().manual_seed(0)
    samples = [DenseDataSample(gt_depth=1 + torch.rand(1, 64, 64, generator=generator)) for _ in range(count)]
    for one in samples:
        one.valid_mask = torch.ones(64, 64, dtype=torch.bool)
    return samples


SECOND = dict(type='Sapiens2ViT', arch=dict(ARCH, num_tokenizer_layers=1), rope_jitter=1.5)


def images_of(count):
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def loss_and_gradients(model, seeds, chosen=slice(None)):
    model.zero_grad()
    images, samples = images_of(len(seeds))[chosen], labels(len(seeds))[chosen]
    losses = model(images, samples, mode='loss', seeds=seeds[chosen])
    loss = sum(value for name, value in losses.items() if 'loss' in name)
    loss.backward()
    return loss.detach(), [value.grad for value in model.parameters() if value.requires_grad]


@pytest.fixture(params=['mae', 'depth', 'mae2', 'depth2'])
def build(request):
    """A function from options of the encoder to a model that draws all it can, of one of the families."""
    build = mae if 'mae' in request.param else depth
    return partial(build, **SECOND) if request.param.endswith('2') else build


def test_a_batch_is_the_mean_of_its_samples(build):
    model, seeds = build(), torch.tensor([3, 1 << 62, 5, 6])
    state = torch.get_rng_state()
    loss, gradients = loss_and_gradients(model, seeds)
    again, _ = loss_and_gradients(model, seeds)
    other, _ = loss_and_gradients(model, seeds + 1)
    assert torch.equal(loss, again) and not torch.isclose(loss, other)
    parts = [loss_and_gradients(model, seeds, slice(first, first + 2)) for first in (0, 2)]
    assert torch.equal(torch.get_rng_state(), state), 'nothing is drawn from the generator'
    assert (sum(part for part, _ in parts) / 2).item() == pytest.approx(loss.item(), rel=1e-6)
    for gradient, *halves in zip(gradients, *(found for _, found in parts), strict=True):
        torch.testing.assert_close(sum(halves) / 2, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('every', ['all', 2])
def test_a_recomputation_draws_the_same(build, every):
    seeds = torch.tensor([3, 4])
    plain, recomputed = build(), build(activation_checkpointing=every)
    loss, gradients = loss_and_gradients(plain, seeds)
    recomputed.zero_grad()
    losses = recomputed(images_of(2), labels(2), mode='loss', seeds=seeds)
    torch.manual_seed(99)
    found = sum(value for name, value in losses.items() if 'loss' in name)
    found.backward()
    torch.testing.assert_close(found.detach(), loss)
    others = [value.grad for value in recomputed.parameters() if value.requires_grad]
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('backend', ['eager', 'aot_eager'])
def test_compiled_parts_draw_the_same_and_are_compiled_once(build, backend):
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    plain, compiled = build(), build()
    compile_parts(compiled, dict(backend=backend))
    counters.clear()
    graphs = []
    for step in range(4):
        seeds = torch.tensor([step, 10 * step + 1])
        (loss, gradients), (other, others) = (loss_and_gradients(model, seeds) for model in (plain, compiled))
        torch.testing.assert_close(other, loss)
        for one, two in zip(gradients, others, strict=True):
            torch.testing.assert_close(one, two)
        graphs.append(counters['stats']['unique_graphs'])
    assert graphs == [2] * 4, 'one of the blocks of the encoder, and one of the blocks of the decoder or of the head'
    assert not counters['graph_break']


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('g++'), reason='inductor needs g++')
def test_inductor_draws_the_same():
    """Its kernels compute the hash with the integers of C++."""
    seeds = torch.tensor([0, 1, HIGHEST, 1234567890123456789])
    compiled = torch.compile(lambda seeds: (bits(seeds, 3, 5, 4), uniform(seeds, 5, 100)), fullgraph=True)
    for found, expected in zip(compiled(seeds), (bits(seeds, 3, 5, 4), uniform(seeds, 5, 100)), strict=True):
        assert torch.equal(found, expected)


def test_frozen_blocks_drop_nothing():
    model, tokens, seeds = mae(frozen_stages=4).backbone.train(), torch.randn(2, 5, 32), torch.tensor([1, 2])
    model.drop_path_rate = 0.9
    assert torch.equal(model.encode(tokens, seeds=seeds)[0], model.eval().encode(tokens)[0])
