"""Weights with the names of other projects give the same outputs as there."""

import re
from functools import partial

import pytest
import torch

from sapiens.models import MAE, SapiensViT
from sapiens.utils.checkpoint import load_state, read_checkpoint
from sapiens.utils.checkpoint.names import canonical, layout_of

vision_transformer = pytest.importorskip('timm.models.vision_transformer')  # after sapiens, which fixes torchvision

ARCH = dict(embed_dims=32, num_layers=3, num_heads=4, feedforward_channels=128)
IMAGE = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
TOLERANCE = dict(atol=1e-5, rtol=1e-5)


def theirs(**options):
    """timm's transformer with values that differ everywhere, also where it starts with zeros and ones."""
    torch.manual_seed(0)
    model = vision_transformer.VisionTransformer(
        img_size=64, patch_size=16, embed_dim=32, depth=3, num_heads=4, num_classes=7, **options
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def ours(state_dict, tmp_path, **options):
    """Our encoder with the weights of a file."""
    torch.save(dict(model=state_dict), tmp_path / 'x.pth')
    model = SapiensViT(ARCH, img_size=64, **{'with_cls_token': True, 'out_type': 'raw', **options}).eval()
    read = read_checkpoint(tmp_path / 'x.pth')
    return model, load_state(model, read.state_dict), read


@pytest.mark.parametrize('init_values', [None, 0.1], ids=['plain', 'layer scale'])
def test_features_equal_those_of_timm(tmp_path, init_values):
    model = theirs(init_values=init_values)
    mine, report, read = ours(model.state_dict(), tmp_path)
    assert read.layout == 'timm' and report.share == 1 and not report.missing
    assert report.unused == ['head.weight', 'head.bias']
    torch.testing.assert_close(mine(IMAGE)[-1], model.forward_features(IMAGE), **TOLERANCE)


def test_timm_without_a_class_token_and_behind_a_prefix(tmp_path):
    model = theirs(class_token=False, global_pool='avg', fc_norm=False)
    weights = {f'encoder.model.{name}': value for name, value in model.state_dict().items()}
    mine, report, _ = ours(weights, tmp_path, with_cls_token=False)
    assert report.share == 1 and report.unused == ['encoder.model.head.weight', 'encoder.model.head.bias']
    torch.testing.assert_close(mine(IMAGE)[-1], model.forward_features(IMAGE), **TOLERANCE)


def test_a_position_embedding_without_a_place_for_the_class_token(tmp_path):
    model = theirs(no_embed_class=True)
    mine, report, _ = ours(model.state_dict(), tmp_path)
    assert report.resized == ['pos_embed 1x16x32 -> 1x17x32']
    torch.testing.assert_close(mine(IMAGE)[-1], model.forward_features(IMAGE), **TOLERANCE)


@pytest.mark.parametrize('options', [dict(qk_norm=True), dict(reg_tokens=2), dict(pre_norm=True)])
def test_an_encoder_with_other_parts_is_refused(tmp_path, options):
    with pytest.raises(ValueError, match=r'x.pth holds .*(q_norm|reg_token|norm_pre).*cannot be used here'):
        ours(theirs(**options).state_dict(), tmp_path)


def huggingface(state_dict, prefix):
    """timm's weights as ViTModel has them: other names, and queries, keys and values apart."""
    renamed = {}
    for name, value in state_dict.items():
        name = name.replace('patch_embed.proj.', 'embeddings.patch_embeddings.projection.')
        name = {'cls_token': 'embeddings.cls_token', 'pos_embed': 'embeddings.position_embeddings'}.get(name, name)
        name = re.sub(r'^norm\.', 'layernorm.', name)
        block = re.fullmatch(r'blocks\.(\d+)\.(.*)\.(weight|bias)', name)
        if block:
            layer, part, kind = f'encoder.layer.{block[1]}', block[2], block[3]
            if part == 'attn.qkv':
                for piece, each in zip(('query', 'key', 'value'), value.chunk(3), strict=True):
                    renamed[f'{prefix}{layer}.attention.attention.{piece}.{kind}'] = each
                continue
            table = {'norm1': 'layernorm_before', 'norm2': 'layernorm_after', 'attn.proj': 'attention.output.dense',
                     'mlp.fc1': 'intermediate.dense', 'mlp.fc2': 'output.dense'}  # fmt: skip
            name = f'{layer}.{table[part]}.{kind}'
        renamed[f'{prefix}{name}'] = value
    return renamed


@pytest.mark.parametrize('prefix', ['', 'vit.'])
def test_names_of_hugging_face(tmp_path, prefix):
    model = theirs()
    mine, report, read = ours(huggingface(model.state_dict(), prefix), tmp_path)
    assert read.layout == 'huggingface' and report.share == 1 and not report.missing
    torch.testing.assert_close(mine(IMAGE)[-1], model.forward_features(IMAGE), **TOLERANCE)


class MaskedAutoencoder(torch.nn.Module):
    """Modules with the names of facebookresearch/mae around timm's blocks; decodes everything, in the order of the image."""

    def __init__(self):
        super().__init__()
        encoder = theirs()
        self.cls_token, self.pos_embed, self.patch_embed = encoder.cls_token, encoder.pos_embed, encoder.patch_embed
        self.blocks, self.norm = encoder.blocks, encoder.norm
        self.mask_token = torch.nn.Parameter(torch.randn(1, 1, 16))
        self.decoder_pos_embed = torch.nn.Parameter(torch.randn(1, 17, 16))
        self.decoder_embed = torch.nn.Linear(32, 16)
        norm = partial(torch.nn.LayerNorm, eps=1e-6)
        self.decoder_blocks = torch.nn.ModuleList(
            vision_transformer.Block(16, 2, qkv_bias=True, norm_layer=norm) for _ in range(2)
        )
        self.decoder_norm = norm(16)
        self.decoder_pred = torch.nn.Linear(16, 768)

    def forward(self, image, kept):
        tokens = self.patch_embed(image) + self.pos_embed[:, 1:]
        tokens = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(len(image), -1, -1), tokens[:, kept]], 1)
        tokens = self.decoder_embed(self.norm(self.blocks(tokens)))
        patches = self.mask_token.repeat(len(image), 16, 1)
        patches[:, kept] = tokens[:, 1:]
        tokens = torch.cat([tokens[:, :1], patches], 1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            tokens = block(tokens)
        return self.decoder_pred(self.decoder_norm(tokens))[:, 1:]


def test_a_masked_autoencoder_of_facebookresearch(tmp_path):
    source = MaskedAutoencoder().eval()
    torch.save(dict(model=source.state_dict()), tmp_path / 'x.pth')
    backbone = dict(type='SapiensViT', arch=ARCH, img_size=64, with_cls_token=True, pos_embed='sincos')
    model = MAE(backbone, decoder=dict(num_layers=2, embed_dims=16, num_heads=2), mask_ratio=0.5)
    weights = read_checkpoint(tmp_path / 'x.pth').state_dict
    report = load_state(model, weights)
    assert report.share == 1 and not (report.missing or report.unused or report.reinitialized)
    noise = torch.arange(16.0).expand(2, -1)  # keeps patches 0 to 7
    pred, wanted, _ = model.eval().reconstruct(IMAGE, noise)
    assert wanted[0].sort().values.tolist() == list(range(8, 16))
    everything = source(IMAGE, torch.arange(8))
    torch.testing.assert_close(pred, everything.gather(1, wanted[..., None].expand(-1, -1, 768)), **TOLERANCE)
    alone = SapiensViT(ARCH, img_size=(64, 48))
    assert load_state(alone, weights).resized == ['pos_embed 1x17x32 -> 1x12x32']


def test_the_decoder_of_hugging_face_is_ours_under_other_names():
    names = ['vit.encoder.layer.0.attention.attention.query.weight', 'decoder.mask_token', 'decoder.decoder_pos_embed',
             'decoder.decoder_layers.1.layernorm_before.bias', 'decoder.decoder_embed.weight', 'decoder.decoder_norm.bias',
             'decoder.decoder_pred.weight', 'decoder.decoder_layers.1.intermediate.dense.weight']  # fmt: skip
    for part in ('key', 'value'):
        names.append(f'vit.encoder.layer.0.attention.attention.{part}.weight')
    for part in ('query', 'key', 'value'):
        names.append(f'decoder.decoder_layers.1.attention.attention.{part}.bias')
    found = canonical({name: torch.ones(2, 2) for name in names}, 'huggingface')
    assert set(found) == {
        'backbone.layers.0.attn.qkv.weight', 'neck.mask_token', 'neck.decoder_pos_embed', 'neck.decoder_blocks.1.ln1.bias',
        'neck.decoder_embed.weight', 'neck.ln1.bias', 'neck.decoder_pred.weight',
        'neck.decoder_blocks.1.ffn.layers.0.0.weight', 'neck.decoder_blocks.1.attn.qkv.bias',
    }  # fmt: skip
    assert found['backbone.layers.0.attn.qkv.weight'].shape == (6, 2)


def test_our_own_names_are_left_alone():
    weights = SapiensViT(ARCH, img_size=64).state_dict()
    assert layout_of(weights) == 'sapiens' and canonical(weights, 'sapiens') is weights
