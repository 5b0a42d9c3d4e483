import pytest
import torch

from sapiens.models import UDPHeatmap

INPUT, MAP = (768, 1024), (192, 256)


def cells_of(keypoints, input_size=INPUT, heatmap_size=MAP):
    """Where keypoints in pixels of the input lie on the map."""
    ratio = torch.tensor([(n - 1) / (m - 1) for n, m in zip(input_size, heatmap_size, strict=True)])
    return keypoints / ratio


def decoded_cells(keypoints, input_size=INPUT, heatmap_size=MAP):
    """Output of decode() in cells."""
    return keypoints / torch.tensor(input_size) * (torch.tensor(heatmap_size) - 1)


def random_keypoints(batch=2, count=7, margin=100, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor(INPUT) - 2 * margin
    return margin + torch.rand(batch, count, 2, generator=generator) * size


def test_a_map_is_a_gaussian_around_the_keypoint():
    point = torch.tensor([[[401.0, 503.0]]])
    heatmaps, weights = UDPHeatmap(sigma=6).encode(point, torch.ones(1, 1), INPUT, MAP)
    assert heatmaps.shape == (1, 1, 256, 192) and weights.tolist() == [[1.0]]
    x, y = cells_of(point)[0, 0].tolist()
    for column, row in [(100, 125), (95, 120), (110, 130)]:
        distance = (column - x) ** 2 + (row - y) ** 2
        assert heatmaps[0, 0, row, column].item() == pytest.approx(torch.tensor(-distance / 72).exp().item(), abs=1e-6)
    # cut 18 cells from the nearest cell (100, 125), whose own row and column count
    assert heatmaps[0, 0, 125, 82] > 0 and heatmaps[0, 0, 125, 118] > 0
    assert heatmaps[0, 0, 125, 81] == 0 and heatmaps[0, 0, 125, 119] == 0
    assert heatmaps[0, 0].count_nonzero() == 37 * 37


@pytest.mark.parametrize(
    ('sigma', 'before', 'after'),
    [(1.0, 3, 3), (1.1, 4, 3), (1.25, 4, 3), (1.5, 5, 4), (1.9, 6, 5), (0.3, 1, 0)],
)
def test_both_ends_of_a_window_are_rounded_down(sigma, before, after):
    """As mmpose does for 3 sigma that is not a whole number of cells."""
    point = torch.tensor([[[401.0, 503.0]]])
    heatmap = UDPHeatmap(sigma).encode(point, torch.ones(1, 1), INPUT, MAP)[0][0, 0]
    rows, columns = heatmap.nonzero().unbind(1)
    assert (columns.min(), columns.max()) == (100 - before, 100 + after)
    assert (rows.min(), rows.max()) == (125 - before, 125 + after)
    assert heatmap.count_nonzero() == (before + after + 1) ** 2


def test_keypoints_without_weight_and_outside():
    points = torch.tensor([[[400.0, 500.0], [400.0, 500.0], [-60.0, 500.0], [-90.0, 500.0], [400.0, 1110.0]]])
    weights = torch.tensor([[1.0, 0.0, 1.0, 1.0, 1.0]])
    heatmaps, weights = UDPHeatmap().encode(points, weights, INPUT, MAP)
    assert weights.tolist() == [[1.0, 0.0, 1.0, 0.0, 0.0]]
    assert [bool(heatmap.any()) for heatmap in heatmaps[0]] == [True, False, True, False, False]
    assert heatmaps[0, 2, :, 5:].count_nonzero() == 0  # only the rim of a Gaussian that is centered outside


def test_round_trip_of_the_published_decoding():
    points = random_keypoints()
    codec = UDPHeatmap()
    heatmaps, _ = codec.encode(points, torch.ones(2, 7), INPUT, MAP)
    decoded, scores = codec.decode(heatmaps, INPUT)
    error = decoded_cells(decoded) - cells_of(points)
    assert error.abs().max() < 0.05  # a twentieth of a cell, a fifth of a pixel
    assert ((scores > 0.98) & (scores <= 1)).all()


@pytest.mark.parametrize('refine', ['newton', 'expectation'])
def test_round_trip_of_narrow_gaussians(refine):
    codec = UDPHeatmap(sigma=1.0, refine=refine, blur_kernel_size=1)
    points = random_keypoints(margin=150)
    heatmaps, _ = codec.encode(points, torch.ones(2, 7), INPUT, MAP)
    heatmaps = heatmaps / heatmaps.sum((-1, -2), keepdim=True)
    decoded, scores = codec.decode(heatmaps, INPUT)
    error = (decoded_cells(decoded) - cells_of(points)).abs().max().item()
    # A Gaussian's logarithm is a parabola: Newton's step is exact. Nine cells do not hold all of the mass.
    assert error < (1e-3 if refine == 'newton' else 0.3)
    if refine == 'expectation':
        assert ((scores > 0.6) & (scores < 0.9)).all()  # 0.68 squared within one sigma and a half cell


def test_expectation_is_the_mean_of_nine_cells():
    heatmaps = torch.zeros(1, 1, 8, 8)
    heatmaps[0, 0, 3, 4], heatmaps[0, 0, 3, 5], heatmaps[0, 0, 2, 4] = 0.5, 0.25, 0.05
    heatmaps[0, 0, 7, 0] = 0.2  # far away: without effect
    decoded, scores = UDPHeatmap(refine='expectation').decode(heatmaps, (8, 8))
    assert decoded_cells(decoded, (8, 8), (8, 8))[0, 0].tolist() == pytest.approx([4 + 0.25 / 0.8, 3 - 0.05 / 0.8])
    assert scores.item() == pytest.approx(0.8)


def test_without_refinement_the_first_highest_cell_counts():
    heatmaps = torch.zeros(1, 2, 4, 6)
    heatmaps[0, 0, 1, 5] = heatmaps[0, 0, 2, 0] = 3.0
    heatmaps[0, 1] = -1.0
    decoded, scores = UDPHeatmap(refine='none').decode(heatmaps, (6, 4))
    cells = decoded_cells(decoded, (6, 4), (6, 4))
    assert torch.allclose(cells, torch.tensor([[[5.0, 1.0], [-1.0, -1.0]]]))
    assert scores.tolist() == [[3.0, -1.0]]


def test_moving_the_keypoint_by_whole_cells_moves_the_result():
    codec = UDPHeatmap()
    ratio = torch.tensor([767 / 191, 1023 / 255])
    point = torch.tensor([[[300.4, 411.3]]])
    results = []
    for moved in (0, 13):
        heatmaps, _ = codec.encode(point + moved * ratio, torch.ones(1, 1), INPUT, MAP)
        results.append(decoded_cells(codec.decode(heatmaps, INPUT)[0]))
    assert torch.allclose(results[1] - results[0], torch.tensor(13.0), atol=1e-3)


def test_a_batch_is_its_samples_one_by_one_and_precision_does_not_matter_much():
    codec = UDPHeatmap()
    points = random_keypoints(batch=3)
    heatmaps, _ = codec.encode(points, torch.ones(3, 7), INPUT, MAP)
    heatmaps += 0.01 * torch.rand(heatmaps.shape, generator=torch.Generator().manual_seed(0))
    decoded, scores = codec.decode(heatmaps, INPUT)
    for index in range(3):
        one, score = codec.decode(heatmaps[index, None], INPUT)
        assert torch.allclose(one[0], decoded[index], atol=1e-3) and torch.equal(score[0], scores[index])
    coarse, _ = codec.decode(heatmaps.bfloat16(), INPUT)
    assert coarse.dtype == torch.float32
    assert (
        coarse - decoded
    ).abs().max() < 8  # two cells: bf16 keeps three digits, several cells share the highest value


def test_faint_maps_are_scaled_like_any_other():
    """Clipping at 0.001 sees the map as it is after scaling; a bright spot elsewhere, which blurring flattens, decides it."""
    codec = UDPHeatmap()
    point = torch.tensor([[[400.0, 500.0]]])
    heatmaps, _ = codec.encode(point, torch.ones(1, 1), INPUT, MAP)
    bright = codec.decode(heatmaps, INPUT)[0]
    faint, scores = codec.decode(heatmaps * 1e-2, INPUT)
    assert torch.allclose(bright, faint, atol=1e-2) and scores.item() < 0.011
    buried, _ = codec.decode(heatmaps * 1e-4, INPUT)  # all below the clip: no gradient, so no step
    assert torch.allclose(decoded_cells(buried), cells_of(point).round(), atol=1e-3)


def test_maps_whose_blur_has_no_value_above_zero_are_not_refined():
    """As in transformers. A scale to the peak would be negative and turn the map around."""
    generator = torch.Generator().manual_seed(0)
    heatmaps = -1 - torch.rand(1, 3, 32, 24, generator=generator)
    heatmaps[0, :, 18, 12] = 0.5
    keypoints, scores = UDPHeatmap(sigma=6).decode(heatmaps, INPUT)
    torch.testing.assert_close(decoded_cells(keypoints, INPUT, (24, 32)), torch.tensor([12.0, 18.0]).expand(1, 3, 2))
    assert scores.tolist() == [[0.5] * 3]


def test_to_image_accepts_the_output_of_decode():
    codec = UDPHeatmap(refine='none')
    heatmaps = torch.zeros(1, 2, 256, 192)
    heatmaps[0, 0, 0, 0] = heatmaps[0, 1, 255, 191] = 1
    decoded, _ = codec.decode(heatmaps, INPUT)
    center, scale = torch.tensor([[50.0, 80.0]]), torch.tensor([[30.0, 40.0]])
    corners = codec.to_image(decoded, INPUT, center, scale)
    assert torch.allclose(corners, torch.tensor([[[35.0, 60.0], [65.0, 100.0]]]), atol=1e-4)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(sigma=0), 'sigma=0'),
        (dict(refine='dark'), "refine='dark' is not one of"),
        (dict(blur_kernel_size=10), 'blur_kernel_size=10: expected an odd'),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        UDPHeatmap(**options)
