import pytest
import torch

from sapiens.models import MAE, ImageNormalizer
from sapiens.models.data_preprocessor import IMAGE_MEAN, IMAGE_STD
from sapiens.models.layers.masking import Masking, evaluation_noise, training_noise
from sapiens.models.layers.patches import patchify, unpatchify
from sapiens.structures import DenseDataSample

TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
DECODER = dict(num_layers=2, embed_dims=16, num_heads=2)


def tiny(img_size=64, **kwargs):
    torch.manual_seed(0)
    backbone = dict(type='SapiensViT', arch=TINY, img_size=img_size, with_cls_token=True, pos_embed='sincos')
    model = MAE(backbone | kwargs.pop('backbone', {}), decoder=DECODER, **{'mask_ratio': 0.75, **kwargs})
    model.init_weights()
    return model


def test_the_type_of_output_cannot_be_chosen():
    assert tiny(backbone=dict(out_type='raw')).backbone.out_type == 'raw'
    with pytest.raises(ValueError, match="out_type='featmap': MAE needs all tokens"):
        tiny(backbone=dict(out_type='featmap'))


def test_patchify_round_trip_and_order():
    images = torch.arange(2 * 3 * 32 * 48.0).view(2, 3, 32, 48)
    patches = patchify(images, 16)
    assert patches.shape == (2, 6, 768)
    assert torch.equal(unpatchify(patches, (2, 3)), images)
    assert torch.equal(patches[0, 4, :3], images[0, :, 16, 16])  # first pixel of patch (1, 1): its three channels
    assert torch.equal(patches[0, 0, 3:6], images[0, :, 0, 1])  # then the next column


@pytest.mark.parametrize(('ratio', 'keep'), [(0.95, 12), (0.75, 64), (0.5, 128)])
def test_keep_count_is_fixed_and_smallest_noise_is_kept(ratio, keep):
    noise = torch.rand(5, 256)
    masking = Masking.from_noise(noise, ratio)
    assert masking.kept.shape == (5, keep)
    assert (masking.mask.sum(dim=1) == 256 - keep).all()
    for row in range(5):
        assert noise[row][~masking.mask[row]].max() <= noise[row][masking.mask[row]].min()
        assert sorted(masking.order[row].tolist()) == list(range(256))


def test_a_ratio_that_keeps_nothing_is_refused():
    assert Masking.from_noise(torch.rand(1, 16), 0.9).num_keep == 1
    with pytest.raises(ValueError, match='keeps 0 of 16 patches'):
        Masking.from_noise(torch.rand(1, 16), 0.95)


def test_every_patch_is_removed_equally_often():
    for side in (1, 2):
        for noise in (
            training_noise(torch.arange(8000), (4, 4), side),
            torch.cat([evaluation_noise(seed, (4, 4), side) for seed in range(8000)]),
        ):
            share = Masking.from_noise(noise, 0.75).mask.float().mean(dim=0)
            torch.testing.assert_close(share, torch.full((16,), 0.75), atol=0.03, rtol=0)


def test_masks_of_evaluation_are_those_of_earlier_versions():
    for side, kept in ((1, [1, 13, 6, 4]), (2, [1, 6, 5, 2])):
        assert Masking.from_noise(evaluation_noise(7, (4, 4), side), 0.75).kept.tolist() == [kept]


def test_block_masking_removes_squares():
    mask = Masking.from_noise(training_noise(torch.arange(64), (16, 16), 4), 0.75).mask.view(64, 16, 16)
    single = Masking.from_noise(torch.rand(64, 256), 0.75).mask.view(64, 16, 16)

    def borders(mask):
        return (mask[:, 1:] != mask[:, :-1]).sum().item() + (mask[:, :, 1:] != mask[:, :, :-1]).sum().item()

    assert borders(mask) < borders(single) / 2.5
    assert ((~mask).sum(dim=(1, 2)) == 64).all()


def test_squares_of_an_image_begin_at_any_row_and_column():
    """The random shifts of rows and of columns are independent of each other and of other images."""
    noise = training_noise(torch.arange(400), (16, 16), 4).view(400, 16, 16)

    def starts(lines):  # (400, 16, 16): where the first new square begins along dim 1
        changes = (lines[:, 1:] >> 32 != lines[:, :-1] >> 32).any(-1)[:, :4]
        assert (changes.sum(1) == 1).all()
        return changes.int().argmax(1)

    counts = torch.zeros(4, 4).index_put((starts(noise), starts(noise.mT)), torch.ones(()), accumulate=True)
    assert counts.min() > 10 and counts.max() < 40  # 25 expected
    order = noise.view(400, 16, 16)[:, :1, :1].flatten()
    assert len(order.unique()) == 400


def test_removed_pixels_do_not_reach_the_encoder():
    model = tiny()
    images = torch.randn(1, 3, 64, 64)
    masking = Masking.from_noise(torch.rand(1, 16), 0.75)
    changed = images.clone()
    hidden = masking.mask.view(1, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3).expand_as(images)
    changed[hidden] = 100.0
    assert torch.equal(model.encode(images, masking), model.encode(changed, masking))
    changed[~hidden] += 1
    assert not torch.equal(model.encode(images, masking), model.encode(changed, masking))


def test_visible_only_embedding_equals_the_convolution():
    model = tiny()
    images = torch.randn(2, 3, 64, 64)
    masking = Masking.from_noise(torch.rand(2, 16), 0.5)
    full = model.backbone.patch_embed(images) + model.backbone.pos_embed[:, 1:]
    visible = full.gather(1, masking.kept[..., None].expand(-1, -1, 32))
    cls_token = (model.backbone.cls_token + model.backbone.pos_embed[:, :1]).expand(2, -1, -1)
    tokens = torch.cat([cls_token, visible], dim=1)
    assert torch.equal(model.backbone.embed(images)[0], torch.cat([cls_token, full], dim=1))
    torch.testing.assert_close(model.backbone.embed(images, masking.kept)[0], tokens)
    torch.testing.assert_close(model.encode(images, masking), model.backbone.encode(tokens)[-1])


def test_kept_pixels_do_not_matter_to_the_loss_target():
    model = tiny()
    images, wanted = torch.randn(1, 3, 64, 64), torch.tensor([[3, 5]])
    target, mean, std = model.target(images, wanted)
    torch.testing.assert_close(target.mean(dim=-1), torch.zeros(1, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.var(dim=-1), torch.ones(1, 2), atol=1e-3, rtol=0)
    torch.testing.assert_close(target * std + mean, patchify(images, 16)[:, [3, 5]])
    assert model.pixel_losses(target, images, wanted).abs().max() == 0


def test_a_flat_patch_gives_a_finite_target_and_loss():
    model = tiny()
    loss = model(torch.zeros(1, 3, 64, 64), mode='loss')['loss']
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_partial_decoding_predicts_a_subset_with_an_unbiased_loss():
    model = tiny(img_size=256, decode_share=0.25).train()
    images = torch.randn(2, 3, 256, 256)
    noise = torch.rand(2, 256)
    pred, wanted, masking = model.reconstruct(images, noise)
    assert pred.shape == (2, 48, 768)
    for row in range(2):
        assert set(wanted[row].tolist()) < set(masking.removed[row].tolist())
        assert len(set(wanted[row].tolist())) == 48
    assert model.eval().reconstruct(images, noise)[0].shape == (2, 192, 768)  # evaluation decodes everything


@pytest.mark.parametrize('options', [dict(), dict(decode_share=0.5), dict(mask_block_size=2), dict(norm_pix=False)])
def test_every_trained_parameter_gets_a_gradient(options):
    model = tiny(**options)
    model(torch.randn(2, 3, 64, 64), mode='loss')['loss'].backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name
    fixed = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert fixed == {'backbone.pos_embed', 'neck.decoder_pos_embed'}


def test_another_image_size_than_built():
    model = tiny()
    assert model(torch.randn(1, 3, 96, 64), mode='loss')['loss'].isfinite()


def test_prediction_is_reproducible_and_keeps_visible_pixels():
    model = tiny().eval()
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    samples = [DenseDataSample(metainfo=dict(sample_idx=i)) for i in (7, 8, 7)]
    state = torch.get_rng_state()
    first = model.test_step(dict(inputs=images, data_samples=samples))
    assert torch.equal(torch.get_rng_state(), state)
    again = model.test_step(dict(inputs=images, data_samples=samples))
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.pred, b.pred) and torch.equal(a.mask, b.mask)
        assert a.reconstruction_loss == b.reconstruction_loss
    assert torch.equal(first[0].mask, first[2].mask) and not torch.equal(first[0].mask, first[1].mask)
    for sample, image in zip(first, images, strict=True):
        kept = ~sample.mask.repeat_interleave(16, 0).repeat_interleave(16, 1)
        assert torch.equal(sample.pred[:, kept], image[:, kept])
        assert not torch.equal(sample.pred, image)


def test_learns_one_image():
    model = tiny(norm_pix=False).train()
    images = torch.randn(1, 3, 64, 64).cumsum(-1) / 8
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = model(images, mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_bf16_autocast_stays_close():
    model = tiny()
    images = torch.randn(2, 3, 64, 64)
    torch.manual_seed(1)
    full = model(images, mode='loss')['loss']
    torch.manual_seed(1)
    with torch.autocast('cpu', torch.bfloat16):
        half = model(images, mode='loss')['loss']
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), rel=0.02)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(mask_ratio=1.0), 'mask_ratio=1.0'),
        (dict(decode_share=0.0), 'decode_share=0.0'),
        (dict(mask_block_size=0), 'mask_block_size=0'),
        (dict(backbone=dict(patch_padding=2)), 'patch_padding=2'),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


def test_normaliser():
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    normalizer = ImageNormalizer()
    assert not normalizer.state_dict()
    out = normalizer(dict(inputs=images, loader='dropped'))
    assert set(out) == {'inputs', 'data_samples'}
    for given in ([1, 1 << 62], torch.tensor([1, 1 << 62])):
        found = normalizer(dict(inputs=images, seeds=given))['seeds']
        assert found.dtype == torch.int64 and found.tolist() == [1, 1 << 62]
    expected = (images[1, 2].float() - IMAGE_MEAN[2]) / IMAGE_STD[2]
    torch.testing.assert_close(out['inputs'][1, 2], expected)
    assert torch.equal(normalizer.denormalize(out['inputs']), images)
    assert torch.equal(normalizer(dict(inputs=list(images)))['inputs'], out['inputs'])
    swapped = ImageNormalizer(bgr_to_rgb=True)(dict(inputs=images.flip(1)))['inputs']
    assert torch.equal(swapped, out['inputs'])
    with pytest.raises(ValueError, match='differ in size'):
        normalizer(dict(inputs=[images[0], images[0, :, :4]]))


def test_published_mixed_precision_rounds_the_mean_in_training_only():
    images = torch.randint(0, 256, (1, 3, 4, 4), dtype=torch.uint8)
    ours, published = ImageNormalizer(), ImageNormalizer(training_dtype='bf16')
    mean, std = (torch.tensor(levels).view(3, 1, 1) for levels in ((123.5, 116.5, 103.5), (58.5, 57.0, 57.5)))
    trained = published(dict(inputs=images), training=True)['inputs']
    assert trained.dtype == torch.float32 and torch.equal(trained, (images.float() - mean) / std)
    assert torch.equal(published(dict(inputs=images))['inputs'], ours(dict(inputs=images), training=True)['inputs'])
    with pytest.raises(ValueError, match="training_dtype='fp8' is not one of"):
        ImageNormalizer(training_dtype='fp8')
