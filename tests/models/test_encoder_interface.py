"""What the package asks of an encoder: a second family of blocks with positions, and encoders of other libraries."""

import pytest
import torch
from torch import nn

from sapiens.engine.compiling import compile_parts
from sapiens.engine.optim.param_groups import make_param_groups
from sapiens.models import MAE, Encoder, PoseEstimator, SapiensViT
from sapiens.models.backbones.interface import require_members
from sapiens.models.layers.patches import patchify, take
from sapiens.registry import MODELS

TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
HEAD = dict(type='HeatmapHead', deconv_channels=(8,), conv_channels=(8,))


class ShiftBlock(nn.Module):
    """A block that is given positions and records them."""

    def __init__(self):
        super().__init__()
        self.linear, self.seen = nn.Linear(8, 8), []

    def forward(self, tokens, positions):
        self.seen.append(positions)
        return tokens + self.linear(tokens) * positions


class RelativeEncoder(Encoder):
    """An encoder whose positions are not in its tokens, with two registers, in 30 lines."""

    def __init__(self, img_size=(64, 48), **options):
        super().__init__(8, 3, img_size, 16, num_extra_tokens=2, **options)
        self.projection = nn.Linear(768, 8)
        self.registers = nn.Parameter(torch.zeros(1, 2, 8))
        self.blocks = nn.ModuleList(ShiftBlock() for _ in range(3))
        self.ln1 = nn.LayerNorm(8)
        self.apply_options()

    def embed(self, images, keep=None):
        h, w = self.grid_of(*images.shape[-2:])
        pixels, numbers = patchify(images, 16), torch.arange(h * w).expand(len(images), -1)
        if keep is not None:
            pixels, numbers = take(pixels, keep), keep
        tokens = torch.cat([self.registers.expand(len(images), -1, -1), self.projection(pixels)], dim=1)
        angles = nn.functional.pad(numbers / (h * w), (2, 0))
        return tokens, angles[..., None].cos()

    def reset_parameters(self):
        nn.init.normal_(self.registers)


@pytest.fixture
def registered():
    MODELS.register_module(module=RelativeEncoder)
    yield
    MODELS._module_dict.pop('RelativeEncoder')


def test_positions_reach_every_block_for_the_kept_patches_only(registered):
    model = MAE(dict(type='RelativeEncoder'), dict(num_layers=1, embed_dims=16, num_heads=2), mask_ratio=0.75)
    model.init_weights()
    model(torch.randn(2, 3, 64, 48), mode='loss')['loss'].backward()
    blocks = model.backbone.blocks
    assert all(block.seen[0].shape == (2, 2 + 3, 1) and block.seen[0] is blocks[0].seen[0] for block in blocks)
    assert all(parameter.grad is not None for parameter in model.backbone.parameters())


@pytest.mark.parametrize('checkpointing', ['off', 'all', 2])
def test_a_whole_encoder_follows_from_embedding_and_blocks(checkpointing):
    torch.manual_seed(0)
    model = RelativeEncoder(activation_checkpointing=checkpointing, frozen_stages=1)
    images = torch.randn(2, 3, 64, 48)
    (maps,) = model(images)
    assert maps.shape == (2, 8, 4, 3) and torch.equal(maps, model.feature_map(images))
    maps.square().sum().backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert {name.rpartition('.')[0] for name in trained} == {'blocks.1.linear', 'blocks.2.linear', 'ln1'}
    depths = {name: model.get_layer_depth(f'backbone.{name}', 'backbone.')[0] for name, _ in model.named_parameters()}
    assert depths['registers'] == depths['projection.bias'] == 0
    assert (depths['blocks.0.linear.bias'], depths['blocks.2.linear.weight'], depths['ln1.bias']) == (1, 3, 4)
    compile_parts(model, dict(backend='eager'))
    assert [part._compiled_call_impl is not None for part in (*model.blocks, model.ln1)] == [True] * 3 + [False]


@pytest.mark.parametrize('with_cls_token', [False, True])
def test_set_image_size_resizes_the_position_embedding_once(with_cls_token):
    torch.manual_seed(0)
    model = SapiensViT(TINY, img_size=(64, 48), with_cls_token=with_cls_token).eval()
    model.init_weights()
    images = torch.randn(1, 3, 96, 64)
    before, map_before = model(images)[0], model.feature_map(images)
    model.set_image_size([96, 64])
    assert model.img_size == (96, 64) and model.grid_size == (6, 4)
    assert model.pos_embed.shape == (1, 24 + with_cls_token, 32) and model.pos_embed.requires_grad
    assert model.position((6, 4)) is model.pos_embed
    assert torch.equal(model(images)[0], before) and torch.equal(model.feature_map(images), map_before)
    with pytest.raises(ValueError, match='nearest sizes'):
        model.set_image_size((100, 64))
    assert model.img_size == (96, 64)


def foreign(**options):
    return dict(type='mmpretrain.VisionTransformer', arch='deit-t', img_size=(64, 48), out_type='featmap', **options)


def test_an_encoder_of_another_library_trains_and_its_export_names_what_is_missing():
    model = PoseEstimator(foreign(), HEAD, 'coco17')
    model(torch.randn(1, 3, 64, 48)).sum().backward()
    assert len({group['lr_scale'] for group in make_param_groups(model, 1e-3, 0.1, layer_decay_rate=0.8)}) > 12
    with pytest.raises(ValueError, match=r'export needs grid_of, set_image_size of the encoder') as error:
        require_members(model.backbone, 'img_size', 'grid_of', 'set_image_size', what='export')
    assert 'mmpretrain.models.backbones.vision_transformer.VisionTransformer' in str(error.value)
    assert 'add them in a subclass' in str(error.value)


def test_an_encoder_without_embed_dims_is_refused():
    with pytest.raises(
        ValueError, match=r'PoseEstimator needs embed_dims of the encoder.*TIMMBackbone.*add it in a subclass'
    ):
        PoseEstimator(dict(type='mmpretrain.TIMMBackbone', model_name='resnet18', features_only=True), HEAD, 'coco17')


def test_pretraining_of_an_encoder_that_cannot_mask_is_refused():
    with pytest.raises(ValueError, match='MAE needs grid_size, .*embed, encode, check_masking of the encoder'):
        MAE(dict(type='mmpretrain.VisionTransformer', arch='deit-t', img_size=64))
