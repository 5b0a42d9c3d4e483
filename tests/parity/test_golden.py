import pytest
import torch

from sapiens.metainfo import get_classes
from sapiens.models import (
    MAE,
    DenseHead,
    HeatmapHead,
    NormalCosineLoss,
    NormalGradientLoss,
    NormalL1Loss,
    SapiensViT,
    SegCrossEntropyLoss,
    SegDiceLoss,
    SiLogLoss,
    UDPHeatmap,
)
from sapiens.models.layers.pos_embed import resize_grid, sincos_2d
from sapiens.utils.checkpoint.positions import fit_positions

from . import golden


@pytest.mark.parametrize('padding', [0, 2])
def test_encoder_features(padding):
    model = SapiensViT(golden.TINY_ARCH, img_size=(64, 48), patch_padding=padding).eval()
    golden.golden_weights(model)
    (features,) = model(golden.golden_image(64, 48))
    first, total, magnitude = golden.VIT[padding]
    assert features.shape == (1, 32, 4, 3)
    torch.testing.assert_close(features.flatten()[:5], torch.tensor(first), atol=1e-5, rtol=0)
    assert features.sum().item() == pytest.approx(total, abs=1e-4)
    assert features.abs().sum().item() == pytest.approx(magnitude, abs=1e-3)


def test_sincos_table_and_its_resize_to_the_finetuning_grid():
    table = sincos_2d((64, 64), 1024, num_extra=1)
    assert table.shape == (1, 4097, 1024)
    assert table[0, 0].eq(0).all()
    for (row, column), value in golden.SINCOS.items():
        assert table[0, row, column].item() == pytest.approx(value, abs=1e-6)
    assert table.double().sum().item() == pytest.approx(golden.SINCOS_SUM, abs=1e-2)
    assert table.double().abs().sum().item() == pytest.approx(golden.SINCOS_ABS_SUM, abs=1e-2)

    arch = dict(embed_dims=1024, num_layers=1, num_heads=4, feedforward_channels=4)
    resized = fit_positions(table, SapiensViT(arch, img_size=(1024, 768)))
    assert resized.shape == (1, 3072, 1024)
    for (row, column), value in golden.RESIZED.items():
        assert resized[0, row, column].item() == pytest.approx(value, abs=1e-6)
    assert resized.double().sum().item() == pytest.approx(golden.RESIZED_SUM, abs=1e-2)
    assert resized.double().abs().sum().item() == pytest.approx(golden.RESIZED_ABS_SUM, abs=1e-2)
    assert torch.equal(resized, resize_grid(table[:, 1:], (64, 64), (64, 48)))


@pytest.mark.parametrize(
    ('norm_pix', 'loss'), [(True, golden.MAE_LOSS_NORM_PIX), (False, golden.MAE_LOSS_NO_NORM_PIX)]
)
def test_masked_autoencoder(norm_pix, loss):
    backbone = dict(type='SapiensViT', arch=golden.TINY_ARCH, img_size=64, with_cls_token=True, pos_embed='sincos')
    model = MAE(backbone, decoder=golden.TINY_DECODER, mask_ratio=0.75, norm_pix=norm_pix).eval()
    golden.golden_weights(model.backbone)
    golden.golden_weights(model.neck)
    image = golden.golden_image(64, 64)
    pred, wanted, masking = model.reconstruct(image, torch.tensor([golden.MAE_NOISE]))
    assert masking.mask[0].int().tolist() == golden.MAE_MASK
    assert wanted[0].sort().values.tolist() == [i for i, removed in enumerate(golden.MAE_MASK) if removed]
    assert model.pixel_losses(pred, image, wanted).mean().item() == pytest.approx(loss, abs=1e-5)

    # The published prediction covers kept patches too: decode them all, in their own order.
    latent = model.encode(image, masking)
    assert latent.shape == (1, 5, 32)
    everything = decode_all(model, latent, masking)
    torch.testing.assert_close(everything.flatten()[:5], torch.tensor(golden.MAE_PRED_FIRST), atol=1e-5, rtol=0)


def decode_all(model, latent, masking):
    """Decoder output of every patch in row-major order, as the published decoder returns it."""
    neck = model.neck
    tokens = neck.decoder_embed(latent)
    filler = neck.mask_token.expand(1, masking.removed.shape[1], -1)
    restore = masking.order.argsort(dim=1)
    patches = torch.cat([tokens[:, 1:], filler], dim=1)
    patches = patches.gather(1, restore[..., None].expand(-1, -1, patches.shape[-1]))
    tokens = torch.cat([tokens[:, :1], patches], dim=1) + neck.decoder_pos_embed
    for block in neck.decoder_blocks:
        tokens = block(tokens)
    return neck.decoder_pred(neck.ln1(tokens))[:, 1:]


def test_pose_head():
    encoder = SapiensViT(golden.TINY_ARCH, img_size=(64, 48), patch_padding=2).eval()
    head = HeatmapHead(32, 5, deconv_channels=(16, 16), conv_channels=(16, 16)).eval()
    golden.golden_weights(encoder)
    golden.golden_weights(head)
    maps = head(encoder(golden.golden_image(64, 48))[-1])
    first, total, magnitude = golden.POSE_HEAD
    assert maps.shape == (1, 5, 16, 12)
    torch.testing.assert_close(maps.flatten()[:5], torch.tensor(first), atol=1e-5, rtol=0)
    assert maps.sum().item() == pytest.approx(total, abs=1e-4)
    assert maps.abs().sum().item() == pytest.approx(magnitude, abs=1e-4)


def test_udp_heatmaps():
    """Encoded and decoded again, borders included, where the published refinement overshoots by three pixels."""
    codec = UDPHeatmap(sigma=6, blur_kernel_size=11)
    points = torch.tensor([golden.UDP_KEYPOINTS])
    heatmaps, weights = codec.encode(points, torch.ones(1, 5), (768, 1024), (192, 256))
    assert weights.eq(1).all()
    assert heatmaps.amax((2, 3))[0].tolist() == pytest.approx(golden.UDP_PEAKS, abs=1e-6)
    assert heatmaps.double().sum((2, 3))[0].tolist() == pytest.approx(golden.UDP_SUMS, abs=1e-4)
    assert codec.highest_cells(heatmaps)[0][0].tolist() == golden.UDP_CELLS
    decoded, scores = codec.decode(heatmaps, (768, 1024))
    torch.testing.assert_close(decoded[0], torch.tensor(golden.UDP_DECODED), atol=1e-3, rtol=0)
    assert scores[0].tolist() == pytest.approx(golden.UDP_PEAKS, abs=1e-6)


def test_depth_loss():
    prediction = torch.linspace(-0.2, 1.1, 24).view(2, 1, 3, 4)
    target = torch.linspace(1, 0.05, 24).view(2, 1, 3, 4)
    target[0, 0, 0, :2] = -1
    everywhere = torch.ones(2, 3, 4, dtype=torch.bool)
    loss = SiLogLoss(published=True)
    assert loss(prediction, target, everywhere).item() == pytest.approx(golden.SILOG, rel=1e-6)
    assert loss(prediction, target, target[:, 0] > 0).item() == pytest.approx(golden.SILOG, rel=1e-6)


def test_normal_losses():
    prediction = torch.linspace(-1, 1, 24).view(1, 3, 2, 4)
    target = 0.7 * prediction.flatten().flip(0).view(1, 3, 2, 4)
    target[..., 0, 0] = -1000
    valid = target[:, 0] > -100
    assert NormalCosineLoss()(prediction, target, valid).item() == pytest.approx(golden.NORMAL_COSINE, rel=1e-6)
    assert NormalL1Loss()(prediction, target, valid).item() == pytest.approx(golden.NORMAL_L1, rel=1e-6)


def test_normal_losses_of_the_second_generation():
    prediction, target = golden.second_fill((2, 3, 16, 12), 1), golden.second_fill((2, 3, 16, 12), 2)
    valid = golden.second_fill((2, 16, 12), 3) > -0.3
    for loss, value in (
        (NormalCosineLoss(), golden.SECOND_COSINE),
        (NormalL1Loss(), golden.SECOND_L1),
        (NormalGradientLoss(), golden.SECOND_GRADIENT),
    ):
        # The cosine is one minus 0.994 in float32.
        assert loss(prediction, target, valid).item() == pytest.approx(value, rel=1e-6, abs=1e-7), loss.name


def test_segmentation_losses_of_the_second_generation():
    scores = golden.second_fill((2, 29, 16, 12), 5, 3.0)
    labels = (torch.arange(2 * 16 * 12) * 7 % 29).view(2, 16, 12)
    valid = torch.ones(2, 16, 12, dtype=torch.bool)
    valid[0, :2] = False
    weights = get_classes('goliath29').ce_weights
    loss = SegCrossEntropyLoss(class_weight=weights.tolist())
    assert loss(scores, labels, valid).item() == pytest.approx(golden.SECOND_CROSS_ENTROPY, rel=1e-6)
    assert SegDiceLoss()(scores, labels, valid).item() == pytest.approx(golden.SECOND_DICE, rel=1e-6)


def test_dense_head():
    head = DenseHead(64, 29, deconv_channels=(32, 32, 16, 16), conv_channels=(16, 16)).eval()
    golden.second_weights(head)
    with torch.no_grad():
        output = head(golden.second_fill((2, 64, 4, 3), 2000)).double()
    shape, mean, deviation, magnitude, first, last = golden.SECOND_SEG_HEAD
    assert output.shape == shape
    assert output.flatten()[:5].tolist() == pytest.approx(first, abs=1e-5)
    assert output.flatten()[-5:].tolist() == pytest.approx(last, abs=1e-5)
    assert output.mean().item() == pytest.approx(mean, abs=1e-6)
    assert output.std().item() == pytest.approx(deviation, abs=1e-5)
    assert output.abs().sum().item() == pytest.approx(magnitude, rel=1e-5)
