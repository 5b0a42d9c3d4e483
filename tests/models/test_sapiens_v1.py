import hashlib

import pytest
import torch
import torch.nn.functional as F

from sapiens.models import MAE, SapiensViT
from sapiens.models.layers.pos_embed import resize_grid
from sapiens.models.layers.sample_random import drop_path_factors
from sapiens.models.layers.transformer import SelfAttention
from sapiens.utils.checkpoint.positions import fit_positions

TINY = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
PUBLISHED = ['0.3b', '0.6b', '1b', '2b']


def tiny(**kwargs):
    torch.manual_seed(0)
    model = SapiensViT(TINY, **{'img_size': (64, 48), **kwargs})
    model.init_weights()
    return model


# Published pretraining checkpoints, whole and "clean" (encoder only): number of tensors, and the digest of their sorted
# "key shape" lines, taken from listings of the published system's own state dicts.
MANIFESTS = {
    ('0.3b', 'mae'): (398, 'f56657750f1742b7'),
    ('0.3b', 'clean'): (294, '4378428e0949fe4c'),
    ('0.6b', 'mae'): (494, '16445d834af6e50c'),
    ('0.6b', 'clean'): (390, 'e604b2b5b6663f72'),
    ('1b', 'mae'): (590, 'f0f9c2de92715b6e'),
    ('1b', 'clean'): (486, '04c7838a43143bd0'),
    ('2b', 'mae'): (686, '70e706fed5561b06'),
    ('2b', 'clean'): (582, '0edd2a592dc0568e'),
}


def digest(module):
    lines = sorted((key, list(value.shape)) for key, value in module.state_dict().items())
    text = '\n'.join(f'{key} {shape}' for key, shape in lines)
    return len(lines), hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize('arch', PUBLISHED)
def test_state_dict_equals_the_published_checkpoints(arch):
    options = dict(arch=arch, img_size=1024, with_cls_token=True, pos_embed='sincos')
    with torch.device('meta'):
        mae = MAE(dict(type='SapiensViT', **options))
        encoder = SapiensViT(**options)
    assert mae.state_dict()['neck.decoder_blocks.7.ffn.layers.0.0.weight'].shape == (2048, 512)
    assert digest(mae) == MANIFESTS[arch, 'mae']
    assert digest(encoder) == MANIFESTS[arch, 'clean']


@pytest.mark.parametrize(
    ('arch', 'encoder', 'decoder'),
    [
        ('0.3b', 307_295_232, 28_237_056),
        ('0.6b', 635_910_400, 28_368_128),
        ('1b', 1_140_739_584, 28_499_200),
        ('2b', 2_133_912_960, 28_695_808),
    ],
)
def test_parameter_counts(arch, encoder, decoder):
    with torch.device('meta'):
        model = MAE(dict(type='SapiensViT', arch=arch, img_size=1024, with_cls_token=True, pos_embed='sincos'))
    assert sum(p.numel() for p in model.backbone.parameters()) == encoder
    assert sum(p.numel() for p in model.neck.parameters()) == decoder


def test_outputs_of_each_type():
    image = torch.randn(2, 3, 64, 48)
    (featmap,) = tiny()(image)
    assert featmap.shape == (2, 32, 4, 3)
    model = tiny(with_cls_token=True, out_type='raw')
    (raw,) = model(image)
    assert raw.shape == (2, 13, 32)
    model.out_type = 'cls_token'
    assert torch.equal(model(image)[0], raw[:, 0])
    model.out_type = 'featmap'
    assert torch.equal(model(image)[0].flatten(2).transpose(1, 2), raw[:, 1:])


def test_intermediate_outputs_are_those_of_the_full_pass():
    image = torch.randn(1, 3, 64, 48)
    model = tiny(out_indices=[0, 2], out_type='raw').eval()
    first, last = model(image)
    model.out_indices = model._resolve_indices(-1)
    assert torch.equal(model(image)[0], last)
    tokens = model.patch_embed(image) + model.pos_embed
    assert torch.equal(model.layers[0](tokens), first)


def test_final_norm_is_applied_to_the_last_block_only():
    image = torch.randn(1, 3, 64, 48)
    normed = tiny(out_type='raw', out_indices=[1, 2])
    plain = tiny(out_type='raw', out_indices=[1, 2], final_norm=False)
    assert not hasattr(plain, 'ln1')
    plain.load_state_dict(normed.state_dict(), strict=False)
    torch.testing.assert_close(normed.ln1(plain(image)[1]), normed(image)[1])
    assert torch.equal(plain(image)[0], normed(image)[0])


def test_patch_padding_shifts_the_grid():
    image = torch.randn(1, 3, 64, 48)
    padded, plain = tiny(patch_padding=2), tiny()
    padded.load_state_dict(plain.state_dict())
    shifted = torch.nn.functional.pad(image, (2, 0, 2, 0))[..., :64, :48]
    torch.testing.assert_close(padded(image)[0], plain(shifted)[0])


@pytest.mark.parametrize('size', [(32, 32), (96, 48), (64, 64)])
def test_other_sizes_resize_the_position_embedding(size):
    model = tiny()
    assert model(torch.randn(1, 3, *size))[0].shape == (1, 32, size[0] // 16, size[1] // 16)
    assert model.position((4, 3)) is model.pos_embed


def test_a_size_that_patches_do_not_tile_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r'\(h=70, w=48\).*\(64, 48\) and \(80, 64\)'):
        tiny()(torch.randn(1, 3, 70, 48))


@pytest.mark.parametrize('setting', ['all', 2])
def test_activation_checkpointing_changes_no_gradient(setting):
    image = torch.randn(2, 3, 64, 48)
    gradients = {}
    for name, value in (('off', 'off'), ('on', setting)):
        model = tiny(activation_checkpointing=value)
        model(image)[0].square().sum().backward()
        gradients[name] = [p.grad for p in model.parameters()]
    for plain, recomputed in zip(gradients['off'], gradients['on'], strict=True):
        torch.testing.assert_close(plain, recomputed, rtol=1e-6, atol=1e-7)


def test_activation_checkpointing_saves_activations():
    def saved(setting):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            tiny(activation_checkpointing=setting)(torch.randn(1, 3, 64, 48))
        return sum(sizes)

    assert saved('all') < saved(2) < saved('off')


@pytest.mark.parametrize('options', [dict(), dict(with_cls_token=True, out_type='raw'), dict(patch_padding=2)])
def test_every_parameter_gets_a_finite_gradient(options):
    model = tiny(**options)
    model(torch.randn(1, 3, 64, 48))[0].square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_frozen_stages():
    model = tiny(frozen_stages=2, drop_path_rate=0.5).train()
    trained = {
        name.split('.')[0] + '.' + name.split('.')[1] for name, p in model.named_parameters() if p.requires_grad
    }
    assert trained == {'layers.2', 'ln1.weight', 'ln1.bias'}
    assert [layer.training for layer in model.layers] == [False, False, True]
    everything = tiny(frozen_stages=3)
    assert not any(p.requires_grad for p in everything.parameters())


def test_drop_path_scales_whole_branches_of_samples():
    model, tokens, seeds = tiny(drop_path_rate=0.5).train(), torch.randn(8, 12, 32), torch.arange(8)
    factors = drop_path_factors(seeds, 3, 0.5)
    assert set(factors[0].unique().tolist()) == {1.0} and set(factors[2].unique().tolist()) == {0.0, 2.0}
    expected = tokens
    for layer, (first, second) in zip(model.layers, factors[..., None, None], strict=True):
        expected = expected + first * layer.attn(layer.ln1(expected))
        expected = expected + second * layer.ffn(layer.ln2(expected))
    found = model.encode(tokens, seeds=seeds)[0]
    torch.testing.assert_close(found, model.ln1(expected))
    assert torch.equal(model.encode(tokens[3:], seeds=seeds[3:])[0], found[3:]), 'the batch does not matter'
    assert not torch.equal(model.encode(tokens)[0], model.encode(tokens)[0]), 'without seeds torch draws'
    assert torch.equal(model.eval().encode(tokens, seeds=seeds)[0], tiny(drop_path_rate=0.0).eval().encode(tokens)[0])


@pytest.mark.parametrize(
    ('source', 'has_cls', 'target', 'with_cls'),
    [((64, 64), True, (1024, 768), False), ((4, 4), False, (64, 48), False), ((4, 4), True, (96, 96), True),
     ((4, 4), False, (64, 64), True), ((4, 3), True, (64, 48), False), ((3, 3), False, (48, 48), False),
     ((8, 6), False, (64, 48), False), ((8, 6), True, (64, 64), True), ((10, 4), False, (80, 32), False)],
)  # fmt: skip
def test_position_embedding_of_a_checkpoint(source, has_cls, target, with_cls):
    model = SapiensViT(TINY, img_size=target, with_cls_token=with_cls)
    embed = torch.randn(1, source[0] * source[1] + has_cls, 32)
    fitted = fit_positions(embed, model)
    assert fitted.shape == model.pos_embed.shape
    if with_cls:
        assert torch.equal(fitted[:, :1], embed[:, :1] if has_cls else torch.zeros(1, 1, 32))
    if source == model.grid_size and not with_cls:
        assert torch.equal(fitted, embed[:, int(has_cls) :])
    resized = resize_grid(embed[:, int(has_cls) :], source, model.grid_size)
    assert torch.equal(fitted[:, int(with_cls) :], resized)


def test_position_embedding_of_an_unknown_grid_is_refused():
    with pytest.raises(ValueError, match='10 patches: neither a square grid'):
        fit_positions(torch.randn(1, 10, 32), SapiensViT(TINY, img_size=(64, 64)))


def test_depth_of_every_parameter():
    model = tiny(with_cls_token=True)
    depths = {name: model.get_layer_depth(name) for name, _ in model.named_parameters()}
    assert {count for _, count in depths.values()} == {5}
    assert depths['pos_embed'][0] == depths['cls_token'][0] == depths['patch_embed.projection.bias'][0] == 0
    assert depths['layers.0.ln1.weight'][0] == 1 and depths['layers.2.ffn.layers.1.bias'][0] == 3
    assert depths['ln1.weight'][0] == 4
    with pytest.raises(ValueError, match='no parameter'):
        model.get_layer_depth('head.weight')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(arch='0.4b'), "arch='0.4b' is not one of.*did you mean '0.3b'|arch='0.4b' is not one of"),
        (dict(arch=dict(embed_dims=32)), 'needs exactly the keys'),
        (dict(arch=dict(TINY, num_heads=5)), 'not divisible'),
        (dict(arch=TINY, out_type='map'), "out_type='map'"),
        (dict(arch=TINY, out_type='cls_token'), 'needs with_cls_token'),
        (dict(arch=TINY, out_indices=[3]), 'out_indices'),
        (dict(arch=TINY, out_indices=[1, 0]), 'out_indices'),
        (dict(arch=TINY, frozen_stages=4), 'frozen_stages=4'),
        (dict(arch=TINY, patch_padding=8), 'patch_padding=8'),
        (dict(arch=TINY, activation_checkpointing=0), 'activation_checkpointing=0'),
        (dict(arch=TINY, pos_embed='rope'), "pos_embed='rope'"),
        (dict(arch=TINY, img_size=70), 'nearest sizes'),
        (dict(arch=TINY, patch_bias='random'), "patch_bias='random' is not one of"),
    ],
)
def test_contradictory_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SapiensViT(**options)


@pytest.mark.parametrize('patch_bias', ['zeros', 'uniform'])
def test_initialisation_is_the_published_one(patch_bias):
    torch.manual_seed(0)
    arch = dict(embed_dims=256, num_layers=1, num_heads=4, feedforward_channels=1024)
    model = SapiensViT(arch, img_size=64, with_cls_token=True, pos_embed='sincos', patch_bias=patch_bias)
    before = model.pos_embed.clone()
    model.init_weights()
    layer = model.layers[0]

    def bound(fan_in, fan_out):  # Xavier-uniform
        return (6 / (fan_in + fan_out)) ** 0.5

    for weight, limit in (
        (layer.attn.qkv.weight, bound(256, 768)),
        (layer.ffn.layers[0][0].weight, bound(256, 1024)),
        (model.patch_embed.projection.weight, bound(768, 256)),
    ):
        assert weight.abs().max().item() == pytest.approx(limit, rel=0.01)
        assert weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)
    assert not layer.attn.qkv.bias.any()
    spread = model.patch_embed.projection.bias
    limit = 768**-0.5 if patch_bias == 'uniform' else 0
    assert spread.abs().max().item() == pytest.approx(limit, rel=0.05)
    assert spread.std().item() == pytest.approx(limit / 3**0.5, rel=0.1)
    assert layer.ffn.layers[0][0].bias.std().item() == pytest.approx(1e-6, rel=0.1)
    assert model.cls_token.std().item() == pytest.approx(0.02, rel=0.2)
    assert torch.equal(model.pos_embed, before) and not model.pos_embed.requires_grad


@pytest.mark.parametrize(('tokens', 'training', 'dtype'), [
    (12, True, torch.float32), (256, True, torch.float32), (1024, True, torch.bfloat16), (12, False, torch.bfloat16),
])  # fmt: skip
def test_attention_of_few_tokens_is_trained_in_float32_on_a_cpu(tokens, training, dtype, monkeypatch):
    attend, seen = F.scaled_dot_product_attention, []

    def recorded(q, k, v):
        seen.append(q.dtype)
        return attend(q, k, v)

    attention = SelfAttention(embed_dims=32, num_heads=2).train(training)
    x = torch.randn(2, tokens, 32, generator=torch.Generator().manual_seed(0))
    expected = attention(x)
    monkeypatch.setattr(F, 'scaled_dot_product_attention', recorded)
    with torch.autocast('cpu', torch.bfloat16):
        output = attention(x)
    assert seen == [dtype]
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), expected, atol=1e-2, rtol=0)
    output.float().square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in attention.parameters())
