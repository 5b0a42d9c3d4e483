import pytest
import torch

from sapiens.models import HeatmapCrossEntropyLoss, HeatmapMSELoss


def data(batch=2, keypoints=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.randn(batch, keypoints, 6, 4, generator=generator)
    target = torch.rand(batch, keypoints, 6, 4, generator=generator)
    weights = torch.ones(batch, keypoints)
    weights[0, 1] = weights[1, 3] = 0
    return prediction, target, weights


def test_mse_is_the_mean_over_everything():
    prediction, target, weights = data()
    expected = ((prediction * weights[..., None, None] - target * weights[..., None, None]) ** 2).mean()
    loss = HeatmapMSELoss()(prediction, target, weights)
    assert loss.shape == (2,)
    assert loss.mean().item() == pytest.approx(expected.item(), rel=1e-6)
    assert HeatmapMSELoss()(torch.full((1, 1, 2, 2), 3.0), torch.ones(1, 1, 2, 2), torch.ones(1, 1)).item() == 4.0


def test_hard_keypoints():
    prediction, target = torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)
    for keypoint, error in enumerate([1.0, 3.0, 2.0, 9.0]):
        prediction[0, keypoint] = error
    weights = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    assert HeatmapMSELoss(top_k=2)(prediction, target, weights).item() == (9 + 4) / 2
    prediction, target, weights = data()
    full = HeatmapMSELoss(top_k=5)(prediction, target, weights)
    assert torch.allclose(full, HeatmapMSELoss()(prediction, target, weights))
    with pytest.raises(ValueError, match='top_k=6, but the skeleton has 5 keypoints'):
        HeatmapMSELoss(top_k=6)(prediction, target, weights)
    with pytest.raises(ValueError, match='top_k=0'):
        HeatmapMSELoss(top_k=0)


def test_cross_entropy_by_hand():
    prediction = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    target = torch.tensor([[[[0.0, 0.0], [1.0, 3.0]]]])
    p = prediction.flatten().softmax(0)
    expected = -(p[2].log() + 3 * p[3].log()) / 4
    assert HeatmapCrossEntropyLoss()(prediction, target, torch.ones(1, 1)).item() == pytest.approx(expected.item())
    heatmaps = HeatmapCrossEntropyLoss().to_heatmaps(prediction)
    assert torch.allclose(heatmaps.flatten(), p)


def test_cross_entropy_is_lowest_where_the_target_is_met():
    _, target, weights = data()
    met = HeatmapCrossEntropyLoss()(target.log(), target, weights)
    for seed in range(3):
        other = target.log() + 0.3 * data(seed=seed + 1)[0]
        assert (HeatmapCrossEntropyLoss()(other, target, weights) > met).all()


@pytest.mark.parametrize('loss', [HeatmapMSELoss(), HeatmapMSELoss(top_k=3), HeatmapCrossEntropyLoss()])
def test_keypoints_without_weight_do_not_matter(loss):
    prediction, target, weights = data()
    other = prediction.clone()
    other[0, 1], other[1, 3] = 50, -50
    prediction.requires_grad_()
    value = loss(prediction, target, weights)
    assert torch.equal(value, loss(other, target, weights))
    value.sum().backward()
    assert prediction.grad[0, 1].eq(0).all() and prediction.grad[1, 3].eq(0).all()
    nobody = loss(prediction, target, torch.zeros(2, 5))
    assert nobody.tolist() == [0.0, 0.0]


@pytest.mark.parametrize('loss', [HeatmapMSELoss(loss_weight=2.0), HeatmapCrossEntropyLoss(loss_weight=2.0)])
def test_float32_for_any_output_of_the_head(loss):
    prediction, target, weights = data()
    exact = type(loss)()(prediction.bfloat16().float(), target, weights)
    assert torch.equal(loss(prediction.bfloat16(), target, weights), 2 * exact)


@pytest.mark.parametrize('loss', [HeatmapMSELoss(), HeatmapCrossEntropyLoss()])
def test_heatmaps_have_an_output_that_means_them(loss):
    heatmaps = loss.to_heatmaps(data()[0])
    torch.testing.assert_close(loss.to_heatmaps(loss.from_heatmaps(heatmaps)), heatmaps)
    empty = loss.from_heatmaps(torch.zeros(1, 1, 2, 2))
    assert empty.isfinite().all() and loss.to_heatmaps(empty).unique().numel() == 1


def test_cross_entropy_of_an_empty_map_counts_nothing():
    prediction, target, weights = data()
    target[0, 0] = 0
    prediction.requires_grad_()
    value = HeatmapCrossEntropyLoss()(prediction, target, weights)
    value.sum().backward()
    assert value.isfinite().all() and prediction.grad.isfinite().all() and prediction.grad[0, 0].eq(0).all()
