"""Heatmaps against mmpose's codec, one sample at a time there and in a batch here."""

import numpy as np
import pytest
import torch

from sapiens.models import UDPHeatmap

INPUT, MAP = (768, 1024), (192, 256)


@pytest.fixture(scope='module')
def judge():
    from mmpose.codecs import UDPHeatmap as Judge

    return Judge(input_size=INPUT, heatmap_size=MAP, sigma=6, blur_kernel_size=11)


@pytest.fixture(scope='module')
def encoded(judge):
    """Keypoints inside, on the borders and outside, with and without weight; and mmpose's maps and weights of them."""
    rng = np.random.default_rng(0)
    points = rng.uniform((-150, -150), (918, 1174), (3, 60, 2)).astype(np.float32)
    points[0, :6] = [[0, 0], [767, 1023], [0, 1023], [-73.9, 500], [839.9, 500], [400, -76.2]]
    points[1, :40] = rng.uniform((100, 100), (668, 924), (40, 2))
    visible = (rng.random((3, 60)) < 0.85).astype(np.float32)
    theirs = [judge.encode(points[index, None], visible[index, None]) for index in range(3)]
    heatmaps = np.stack([encoded['heatmaps'] for encoded in theirs])
    weights = np.concatenate([encoded['keypoint_weights'] for encoded in theirs])
    return torch.from_numpy(points), torch.from_numpy(visible), heatmaps, weights


def test_targets_are_the_same(encoded):
    points, visible, heatmaps, weights = encoded
    ours, our_weights = UDPHeatmap().encode(points, visible, INPUT, MAP)
    assert np.abs(ours.numpy() - heatmaps).max() < 1e-5
    assert np.array_equal(our_weights.numpy(), weights)
    assert 0 < (weights == 0).sum() < weights.size


@pytest.mark.parametrize('noise', [0.0, 0.01])
def test_keypoints_are_the_same(judge, encoded, noise):
    """Predictions: the targets, fainter for some, with noise as of a network; mirrored values below zero too."""
    heatmaps = encoded[2]
    rng = np.random.default_rng(1)
    heatmaps = heatmaps * rng.uniform(0.2, 1.0, (3, 60, 1, 1)).astype(np.float32)
    smooth = torch.nn.functional.interpolate(
        torch.from_numpy(rng.normal(size=(3, 60, 16, 12))), MAP[::-1], mode='bicubic'
    )
    heatmaps = (heatmaps + noise * smooth.numpy()).astype(np.float32)
    ours, our_scores = UDPHeatmap().decode(torch.from_numpy(heatmaps), INPUT)
    compared = 0
    for index in range(3):
        with np.errstate(invalid='ignore'):  # mmpose divides 0 by 0 for an empty map
            theirs, scores = judge.decode(heatmaps[index])
        found = scores[0] > 0
        compared += found.sum()
        assert np.abs(ours[index].numpy() - theirs[0])[found].max() < 1e-3
        assert np.array_equal(our_scores[index].numpy(), scores[0])
    assert compared > (90 if noise == 0 else 179)


def test_back_to_the_image_is_the_plain_mapping():
    """mmpose divides by the input size, not by one less, and its decoding is scaled to fit just this."""
    from mmpose.structures.bbox import get_udp_warp_matrix

    center, scale = np.array([300.0, 400.0]), np.array([450.0, 600.0])
    warp = get_udp_warp_matrix(center, scale, 0, output_size=INPUT)
    points = np.array([[120.0, 200.0], [400.0, 600.0], [300.0, 400.0]])
    in_crop = points @ warp[:, :2].T + warp[:, 2]
    codec = UDPHeatmap()
    heatmaps, _ = codec.encode(torch.tensor(in_crop[None], dtype=torch.float32), torch.ones(1, 3), INPUT, MAP)
    decoded, _ = codec.decode(heatmaps, INPUT)
    found = codec.to_image(decoded, INPUT, torch.tensor(center[None]), torch.tensor(scale[None]))
    assert np.abs(found[0].numpy() - points).max() < 0.2
    plain = decoded[0].numpy() / INPUT * scale + center - scale / 2
    assert np.allclose(found[0].numpy(), plain, atol=1e-3)
