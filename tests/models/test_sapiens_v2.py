import hashlib
import math

import pytest
import torch

from sapiens.engine.optim.param_groups import make_param_groups
from sapiens.models import MAE, SAPIENS2_ARCHS, Sapiens2ViT
from sapiens.models.backbones.sapiens_v2 import num_kv_heads
from sapiens.models.layers.gated_transformer import GroupedAttention
from sapiens.models.layers.rotary import RotaryPositions, rotate
from sapiens.models.layers.sample_random import drop_path_factors

# 18 blocks: the two in the middle have half as many heads of keys and values.
TINY = dict(embed_dims=32, num_layers=18, num_heads=2, feedforward_channels=64, num_tokenizer_layers=1)
SHALLOW = dict(TINY, num_layers=2)

# Published encoders: number of tensors, parameters, and the digest of the sorted "key shape" lines, from listings of the
# published system's own state dicts (the other sizes have no listing).
MANIFESTS = {
    ('0.1b', False): (210, 113_993_472, '87c961bd89264e49'),
    ('0.4b', False): (414, 395_450_368, '02c9a6e9dedac205'),
    ('0.8b', False): (550, 814_283_520, None),
    ('1b', False): (686, 1_455_474_176, None),
    ('5b', False): (958, 5_066_902_976, None),
    ('1b', True): (744, 1_606_588_928, '498c731f0b104347'),
}


def tiny(arch=SHALLOW, seed=0, **options):
    torch.manual_seed(seed)
    options.setdefault('img_size', (256, 192) if options.get('tokenizer') else (64, 48))
    model = Sapiens2ViT(arch, **options)
    model.init_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def images_of(model, batch=2, seed=1):
    return torch.randn(batch, 3, *model.img_size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(('arch', 'tokenizer'), MANIFESTS)
def test_state_dict_equals_the_published_checkpoints(arch, tokenizer):
    with torch.device('meta'):
        model = Sapiens2ViT(arch, img_size=(4096, 3072) if tokenizer else (1024, 768), tokenizer=tokenizer)
    state = model.state_dict()
    lines = sorted(f'{name} {list(value.shape)}' for name, value in state.items())
    count, parameters, digest = MANIFESTS[arch, tokenizer]
    assert (len(state), sum(value.numel() for value in model.parameters())) == (count, parameters)
    assert digest in (None, hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:16])
    assert state['rope_embed.periods'].dtype == torch.bfloat16


def test_heads_of_keys_and_values():
    assert [num_kv_heads(index, 18, 4) for index in (0, 7, 8, 9, 10, 17)] == [4, 4, 2, 2, 4, 4]
    assert {num_kv_heads(index, 12, 12) for index in range(12)} == {12}
    assert [num_kv_heads(index, 24, 16) for index in range(24)].count(8) == 8


def test_query_heads_share_keys_in_order():
    torch.manual_seed(0)
    grouped = GroupedAttention(32, 4, 2, layer_scale=False)
    full = GroupedAttention(32, 4, 4, layer_scale=False)
    state = grouped.state_dict()
    for name in ('wk.weight', 'wk.bias', 'wv.weight', 'wv.bias'):
        state[name] = state[name].unflatten(0, (2, 8)).repeat_interleave(2, dim=0).flatten(0, 1)
    full.load_state_dict(state)
    x = torch.randn(1, 5, 32)
    torch.testing.assert_close(grouped(x), full(x))


def test_files_without_periods_are_complete():
    model, other = tiny(), tiny(seed=5)
    state = {name: value for name, value in model.state_dict().items() if name != 'rope_embed.periods'}
    other.load_state_dict(state, strict=True)
    x = images_of(model)
    assert torch.equal(model(x)[0], other(x)[0])


def test_rotation_keeps_lengths_and_depends_on_the_difference_of_angles():
    torch.manual_seed(0)
    x, y = torch.randn(2, 1, 8, dtype=torch.float64)
    angle = torch.rand(4, dtype=torch.float64).tile(2)

    def turned(vector, factor):
        return rotate(vector, (factor * angle).sin(), (factor * angle).cos())

    torch.testing.assert_close(turned(x, 1.0).norm(), x.norm())
    torch.testing.assert_close(turned(x, 1.7) @ turned(y, 0.7).T, turned(x, 1.0) @ y.T)
    quarter = torch.full((8,), math.pi / 2, dtype=torch.float64)
    torch.testing.assert_close(rotate(x, quarter.sin(), quarter.cos()), torch.cat([-x[:, 4:], x[:, :4]], dim=1))


def test_angles():
    sin, cos = RotaryPositions(8)((2, 4))
    assert sin.shape == cos.shape == (8, 8)
    angles = [
        2 * math.pi * coordinate / period
        for coordinate in (-0.5, 0.75)  # center of the upper row of two, center of the last of four columns
        for period in (1, 10)  # 100^(0/2), 100^(1/2)
    ]
    expected = torch.tensor(angles * 2)
    torch.testing.assert_close(sin[3], expected.sin(), atol=1e-6, rtol=0)
    torch.testing.assert_close(cos[3], expected.cos(), atol=1e-6, rtol=0)


def test_extra_tokens_are_not_rotated():
    model = tiny()
    tokens, (sin, cos) = model.embed(images_of(model))
    assert tokens.shape == (2, 9 + 12, 32) and sin.shape == cos.shape == (21, 16)
    assert sin[:9].eq(0).all() and cos[:9].eq(1).all()
    assert torch.equal(sin[9:], model.position((4, 3))[0])


@pytest.mark.parametrize('tokenizer', [False, True])
def test_kept_patches(tokenizer):
    model = tiny(tokenizer=tokenizer)
    x = images_of(model)
    keep = torch.tensor([[5, 0, 7], [11, 2, 3]])
    tokens, positions = model.embed(x)
    some, some_positions = model.embed(x, keep)
    for row, numbers in enumerate(keep):
        torch.testing.assert_close(some[row, 9:], tokens[row, 9 + numbers], atol=1e-6, rtol=1e-5)
        for part, whole in zip(some_positions, positions, strict=True):
            assert torch.equal(part[row, 0, 9:], whole[9 + numbers]) and torch.equal(part[row, 0, :9], whole[:9])
    everything = torch.arange(12).expand(2, -1)
    torch.testing.assert_close(model.encode(*model.embed(x, everything))[-1], model.encode(tokens, positions)[-1])


def test_masked_patches_do_not_matter():
    model = tiny()
    x, keep = images_of(model), torch.tensor([[0, 1], [0, 1]])
    other = x.clone()
    other[..., 16:, :] = torch.nan
    assert torch.equal(model.encode(*model.embed(x, keep))[-1], model.encode(*model.embed(other, keep))[-1])


@pytest.mark.parametrize('grid', [(1, 1), (2, 5), (130, 2)])
@pytest.mark.parametrize('rope_dtype', ['fp32', 'bf16'])
def test_any_size_that_patches_tile(grid, rope_dtype):
    model = tiny(out_type='featmap', rope_dtype=rope_dtype)
    (features,) = model(torch.randn(1, 3, 16 * grid[0], 16 * grid[1]))
    assert features.shape == (1, 32, *grid) and features.isfinite().all()


def test_published_angles_are_coarse():
    exact, published = tiny(), tiny(rope_dtype='bf16')
    difference = (exact.position((64, 48))[0] - published.position((64, 48))[0].float()).abs()
    assert 0.02 < difference.max() < 0.04
    x = images_of(exact)
    assert 0 < (exact(x)[0] - published(x)[0]).abs().max() < 0.05


def test_angles_of_the_image_size_are_kept_and_follow_the_device_but_not_the_dtype():
    model = tiny()
    assert model.position((4, 3))[0] is model.position((4, 3))[0]
    assert model.position((3, 4))[0] is not model.position((3, 4))[0]
    model.set_image_size((32, 32))
    assert model.img_size == (32, 32) and model.position((2, 2))[0] is model.position((2, 2))[0]
    assert model.to(torch.bfloat16).position((2, 2))[0].dtype == torch.float32
    assert model(torch.randn(1, 3, 32, 32, dtype=torch.bfloat16))[0].dtype == torch.bfloat16
    with torch.device('meta'):
        hollow = Sapiens2ViT(SHALLOW, img_size=(64, 48))
    solid = hollow.to_empty(device='cpu')
    assert torch.equal(solid.position((4, 3))[0], tiny().position((4, 3))[0])


def augmented(count, **options):
    """The coordinates of 64x64 patches after the augmentation of ``count`` samples (B, N, 2), and before it (N, 2)."""
    plain = torch.stack(torch.meshgrid(*[torch.arange(0.5, 64) / 32 - 1] * 2, indexing='ij'), dim=-1).flatten(0, 1)
    return RotaryPositions(4, **options)._augment(plain, torch.arange(count)), plain


def test_shift_of_positions():
    moved, plain = augmented(50, shift=0.3)
    shift = moved - plain
    assert (shift - shift[:, :1]).abs().max() < 1e-6 and 0.28 < shift.abs().max() < 0.3
    assert len(shift[:, 0].flatten().unique()) == 100, 'each axis of each sample has its own'


def test_jitter_of_positions():
    moved, plain = augmented(200, jitter=2.0)
    factors = (moved / plain)[:, 0]
    assert factors.min() > 0.5 and factors.max() < 2 and (factors[:, 0] != factors[:, 1]).all()
    assert factors.min() < 0.55 and factors.max() > 1.8 and abs(factors.log().mean()) < 0.06


def test_rescaling_of_positions():
    moved, plain = augmented(100, rescale=2.0)
    factors = (moved / plain)[:, 0]
    torch.testing.assert_close(factors[:, 0], factors[:, 1])
    assert 0.5 < factors.min() < 0.6 and 1.7 < factors.max() < 2


@pytest.mark.parametrize('keep', [None, torch.tensor([[3, 0], [11, 7], [1, 2]])])
def test_positions_of_a_sample_are_augmented_in_training_by_its_seed(keep):
    options, plain = dict(rope_shift=0.1, rope_jitter=1.5, rope_rescale=2.0), tiny()
    model, images, seeds = tiny(**options), images_of(tiny(), 3), torch.tensor([5, 6, 7])
    assert torch.equal(model.position((4, 3))[0], plain.position((4, 3))[0])
    model.train()
    positions = model.embed(images, keep, seeds)[1]
    others = model.embed(images[1:], None if keep is None else keep[1:], seeds[1:])[1]
    assert all(torch.equal(one[1:], other) for one, other in zip(positions, others, strict=True))
    whole = model.position((4, 3), seeds)[0]
    expected = whole if keep is None else torch.stack([one[rows] for one, rows in zip(whole, keep, strict=True)])
    assert torch.equal(positions[0][:, 0, model.num_extra_tokens :], expected)
    assert len(whole[:, 0, 0].unique()) == 3 and not torch.equal(whole[0], plain.position((4, 3))[0])
    assert not torch.equal(model.embed(images)[1][0], model.embed(images)[1][0]), 'without seeds torch draws'
    assert torch.equal(model(images, seeds)[0], model(images, seeds)[0])
    assert torch.equal(plain.train().position((4, 3), seeds)[0], plain.position((4, 3))[0])


@pytest.mark.parametrize('chunk', [1, 5, 24, 1000])
def test_window_chunk_does_not_change_the_result(chunk):
    model, other = tiny(tokenizer=True), tiny(tokenizer=True, window_chunk=chunk)
    x = images_of(model)
    torch.testing.assert_close(model(x)[0], other(x)[0], atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[0], other(x)[0], atol=1e-5, rtol=1e-5)


def test_windows_are_independent():
    model = tiny(tokenizer=True)
    assert model.patch_size == 64 and model.grid_size == (4, 3)
    x = images_of(model)
    changed = x.clone()
    changed[:, :, 64:128, 128:192] = 0
    difference = (model.embed(x)[0] - model.embed(changed)[0]).abs().amax(dim=-1)
    assert (difference[0].nonzero().flatten() - 9).tolist() == [1 * 3 + 2]


@pytest.mark.parametrize('tokenizer', [False, True])
def test_inference_in_place_equals_training(tokenizer):
    model = tiny(tokenizer=tokenizer, out_type='raw', out_indices=(0, 1))
    x = images_of(model)
    before, trained = x.clone(), model(x)
    with torch.no_grad():
        found = model(x)
    assert torch.equal(x, before)
    torch.testing.assert_close(found, trained, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('tokenizer', [False, True])
def test_every_parameter_gets_a_gradient(tokenizer):
    model = tiny(TINY, tokenizer=tokenizer, out_type='raw').train()
    model(images_of(model, 1))[0].square().sum().backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or value.grad.eq(0).all()] == []


def test_activation_checkpointing_changes_nothing():
    grads = []
    for option in ('off', 'all', 2):
        model = tiny(activation_checkpointing=option, rope_jitter=1.5).train()
        torch.manual_seed(3)
        model(images_of(model))[0].square().mean().backward()
        grads.append(model.patch_embed.projection.weight.grad)
    torch.testing.assert_close(grads[0], grads[1])
    torch.testing.assert_close(grads[0], grads[2])


def test_final_norm_of_outputs():
    options = dict(out_type='raw', out_indices=(0, 1))
    x = images_of(tiny())
    raw, last = tiny(**options)(x)
    normed, same = tiny(**options, norm_outputs='all')(x)
    model = tiny()
    torch.testing.assert_close(normed, model.ln1(raw))
    assert torch.equal(last, same)
    bare = tiny(**options, final_norm=False, norm_outputs='all')
    assert not hasattr(bare, 'ln1') and bare(x)[0].isfinite().all()
    with pytest.raises(ValueError, match="norm_outputs='first'"):
        tiny(norm_outputs='first')


def test_initial_weights():
    torch.manual_seed(0)
    model = Sapiens2ViT(dict(SHALLOW, embed_dims=256), img_size=(256, 192), tokenizer=True)
    model.init_weights()
    state = model.state_dict()
    for name in (
        'blocks.0.attn.wq.weight',
        'blocks.1.ffn.w12.weight',
        'patch_embed.projection.weight',
        'storage_tokens',
    ):
        assert state[name].std().item() == pytest.approx(0.02, rel=0.1), name
    assert state['tokenizer.local_pos_embed'].std().item() == pytest.approx(0.02, rel=0.1)
    assert state['blocks.0.attn.gamma.weight'].eq(1e-4).all()
    assert state['blocks.0.attn.q_norm.weight'].eq(1).all() and state['ln1.weight'].eq(1).all()
    assert all(value.eq(0).all() for name, value in state.items() if name.endswith('bias'))


def test_depths_of_parameters_and_frozen_stages():
    model = tiny(tokenizer=True, frozen_stages=1)
    depth = {name: model.get_layer_depth(name)[0] for name, _ in model.named_parameters()}
    assert model.get_layer_depth('cls_token')[1] == 4
    assert {depth[name] for name in depth if name.split('.')[0] not in ('blocks', 'ln1')} == {0}
    assert depth['blocks.0.ln1.weight'] == 1 and depth['blocks.1.ffn.w3.bias'] == 2 and depth['ln1.weight'] == 3
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert frozen == {name for name in depth if depth[name] <= 1}
    groups = make_param_groups(tiny(), lr=1.0, weight_decay=0.1, layer_decay_rate=0.5)
    assert {group['lr'] for group in groups} == {1.0, 0.5, 0.25, 0.125}


def test_drop_path_scales_whole_branches_of_samples():
    model, images, seeds = (
        tiny(dict(SHALLOW, num_layers=3), drop_path_rate=0.5).train(),
        images_of(tiny(), 4),
        torch.arange(4),
    )
    expected, positions = model.embed(images)
    for block, (first, second) in zip(model.blocks, drop_path_factors(seeds, 3, 0.5)[..., None, None], strict=True):
        expected = expected + first * block.attn(block.ln1(expected), positions)
        expected = expected + second * block.ffn(block.ln2(expected))
    torch.testing.assert_close(model.encode(*model.embed(images), seeds=seeds)[0], model.ln1(expected))


@pytest.mark.parametrize('tokenizer', [False, True])
def test_masked_autoencoder(tokenizer):
    torch.manual_seed(0)
    size = (256, 192) if tokenizer else (64, 48)
    backbone = dict(type='Sapiens2ViT', arch=SHALLOW, img_size=size, tokenizer=tokenizer)
    model = MAE(backbone, decoder=dict(num_layers=1, embed_dims=16, num_heads=2), mask_ratio=0.75)
    model.init_weights()
    x = torch.rand(2, 3, *size)
    loss = model.loss(x)['loss']
    loss.backward()
    assert loss.item() == pytest.approx(1, abs=0.3)
    missing = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
    assert missing == []
    (sample,) = model.eval().predict(x[:1])
    assert sample.pred.shape == (3, *size) and sample.mask.shape == (4, 3)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(arch='0.3b'), "arch='0.3b' is not one of"),
        (dict(arch=dict(SHALLOW, width=3)), 'needs exactly the keys .*num_tokenizer_layers; this one has width'),
        (dict(arch=dict(SHALLOW, num_layers=2.5)), 'num_layers=2.5 is not a whole number'),
        (dict(arch=dict(SHALLOW, num_heads=16)), 'multiple of 4 channels per head'),
        (dict(rope_dtype='fp16'), "rope_dtype='fp16'"),
        (dict(rope_jitter=0.5), 'rope_jitter=0.5 must be 1 or more'),
        (dict(rope_rescale=0.9), 'rope_rescale=0.9 must be 1 or more'),
        (dict(rope_shift=-1.0), 'rope_shift=-1.0 must be 0 or more'),
        (
            dict(img_size=(4096, 3080), tokenizer=True),
            r'multiple of the patch size 64; .* \(4096, 3072\) and \(4160, 3136\)',
        ),
        (dict(tokenizer=True, img_size=(64, 64), window_chunk=0), 'window_chunk=0 must be 1 or more'),
        (dict(img_size=(100, 96)), r'\(96, 96\)'),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(ValueError, match=message):
        Sapiens2ViT(**{'arch': SHALLOW, 'img_size': (64, 48), **options})


def test_sizes_of_the_table():
    assert set(SAPIENS2_ARCHS) == {'tiny', '0.1b', '0.4b', '0.8b', '1b', '5b'}
    assert Sapiens2ViT(dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16)).img_size == (1024, 768)
