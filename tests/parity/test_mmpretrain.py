import pytest
import torch

from sapiens.utils.config import load_config
from tools.benchmark.mae_step import build_ours, build_reference, fill

TINY = dict(embed_dims=48, num_layers=3, num_heads=4, feedforward_channels=96)
DECODER = dict(num_layers=2, embed_dims=32, num_heads=4)


@pytest.mark.parametrize('mask_ratio', [0.75, 0.5])
@pytest.mark.parametrize('norm_pix', [True, False])
def test_mae_equals_mmpretrain(mask_ratio, norm_pix):
    """Same weights, same noise: same loss and same gradient of every parameter."""
    ours = build_ours(TINY, 64, mask_ratio, DECODER, norm_pix=norm_pix)
    theirs = build_reference(TINY, 64, mask_ratio, DECODER, norm_pix=norm_pix)
    fill(ours)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    losses = []
    for model in (ours, theirs):
        torch.manual_seed(5)
        loss = model(images, mode='loss')['loss']
        loss.backward()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    other = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, other[name].grad, atol=1e-5, rtol=1e-3, msg=name)


def test_initial_weights_are_distributed_like_those_of_mmpretrain():
    """Per parameter: the same spread, and zeros at the same places. The encoder is that of the shipped recipe."""
    arch = dict(embed_dims=192, num_layers=2, num_heads=4, feedforward_channels=768)
    recipe = load_config('configs/mae/sapiens_0.3b_humans300m-1024x1024.py').model.backbone
    torch.manual_seed(0)
    ours = build_ours(arch, 64, 0.75, patch_bias=recipe.patch_bias)
    ours.init_weights()
    other = dict(build_reference(arch, 64, 0.75).named_parameters())
    for name, value in ours.named_parameters():
        theirs = other[name].detach()
        assert value.detach().std().item() == pytest.approx(theirs.std().item(), rel=0.3, abs=1e-9), name
        assert bool(value.any()) == bool(theirs.any()), name
        assert value.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.6, abs=1e-9), name


def test_encoder_equals_mmpretrain():
    ours = build_ours(TINY, 64, 0.75, DECODER).eval().backbone
    theirs = build_reference(TINY, 64, 0.75, DECODER).eval().backbone
    fill(ours)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    image = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(image)[0], theirs(image, mask=None)[0], atol=1e-5, rtol=1e-5)
