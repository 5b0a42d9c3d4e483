"""Keypoints of lower precision: near ties of heatmaps do not count, wrong decoders do."""

import importlib

import pytest
import torch

from sapiens.apis import build_model
from sapiens.apis.export import ExportError, ExportOptions, export_model
from sapiens.apis.export.compare import Reference, compare
from sapiens.apis.export.graph import WholeMapUDPHeatmap
from sapiens.apis.export.near_ties import find_near_ties
from sapiens.apis.export.options import TOLERANCES
from sapiens.models import UDPHeatmap

from .export_models import config

module = importlib.import_module('sapiens.apis.export.export_model')
SIZE, CELLS = (96, 128), (24, 32)  # (w, h)
RECIPES = dict(sapiens='pose/sapiens_tiny_coco-128x96', sapiens2='pose/sapiens2_tiny_synthetic308-128x96')


def peaks(*heights, places=((30.0, 40.0), (60.0, 90.0))):
    """One map with a peak of each height."""
    points = torch.tensor([places[: len(heights)]])
    maps, _ = UDPHeatmap(sigma=2.0).encode(points, torch.ones(1, len(heights)), SIZE, CELLS)
    return (maps * torch.tensor(heights)[None, :, None, None]).sum(1, keepdim=True)


def one_cell(value, others):
    return torch.where(torch.arange(CELLS[0] * CELLS[1]).view(1, 1, *CELLS[::-1]) == 300, value, others)


@pytest.mark.parametrize(
    ('maps', 'difference', 'tied'),
    [
        (peaks(1.0, 0.9), 0.04, False),
        (peaks(1.0, 0.9), 0.06, True),
        (peaks(1.0), 0.06, False),  # the neighbors are as high, and show the same place
        (one_cell(-0.01, -20.0), 0.005, False),  # nothing above 0
        (one_cell(-0.01, -20.0), 0.015, True),  # perhaps
        (torch.ones(1, 1, 32, 24), 0.01, True),
        (one_cell(1.0, 0.98), 0.005, False),
        (one_cell(1.0, 0.98), 0.011, True),  # a plateau
    ],
)
def test_a_keypoint_is_determined_if_all_candidates_show_one_place(maps, difference, tied):
    found = find_near_ties(UDPHeatmap(sigma=2.0), maps, torch.tensor([[difference]]), SIZE, radius=0.5)
    assert found.tolist() == [[tied]]


def test_each_map_has_its_own_difference():
    maps = peaks(1.0, 0.9).repeat(1, 3, 1, 1)
    found = find_near_ties(UDPHeatmap(sigma=2.0), maps, torch.tensor([[0.0, 0.06, 0.04]]), SIZE, radius=0.5)
    assert found.tolist() == [[False, True, False]]


@pytest.mark.parametrize('difference', [0.06, 1e9])
def test_only_near_ties_are_left_out(difference):
    """Of heatmaps that differ by more than the tolerance, keypoints count as those of the largest difference that it allows."""
    model = build_model(config('pose'), None, 'cpu')
    maps = torch.cat([peaks(1.0, 0.9)] + [peaks(1.0, 0.5)] * 4, dim=1)
    points, scores = model.codec.decode(maps, SIZE)
    reference = Reference(maps, dict(keypoints=points, scores=scores), SIZE[::-1])
    reference.heatmap_difference = torch.full((1, 5), difference)

    def judged(index):
        moved = points.clone()
        moved[0, index] += 30
        outputs = dict(keypoints=moved, scores=scores)
        return compare(model, [reference] * 2, [outputs] * 2, TOLERANCES['bf16'], decode=True)

    keypoints, found_scores = judged(0)
    assert keypoints.passed and keypoints.compared == pytest.approx(0.8) and keypoints.near_ties == 2
    assert '80% of them certain enough to compare, 2 left out as near ties' in str(keypoints)
    assert found_scores.compared == 1 and found_scores.near_ties == 0
    assert not judged(3)[0].passed
    reference.heatmap_difference = None  # float32
    assert not judged(0)[0].passed


def export(family, folder, dtype='bf16'):
    torch.manual_seed(0)
    return export_model(
        RECIPES[family], None, ExportOptions('torchscript', dtype=dtype, decode=True), folder / 'x.pt2'
    )


@pytest.mark.parametrize('family', RECIPES)
def test_random_weights_in_bf16(tmp_path, family):
    keypoints, scores = export(family, tmp_path).differences
    assert keypoints.passed and scores.passed and keypoints.near_ties > 0
    assert 0.5 < keypoints.compared < scores.compared < 1  # 10 of 17 on some processors, whose sums round otherwise


def test_without_the_measurement_a_tie_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'measure_heatmaps', lambda *_: None)
    with pytest.raises(ExportError, match=r'keypoints: largest difference \d\d, .* FAILED'):
        export('sapiens2', tmp_path)


def test_a_wrong_decoder_is_still_found(tmp_path, monkeypatch):
    """Of the graph, by a third of a cell: 1.3 pixels."""
    decode = WholeMapUDPHeatmap.decode_at

    def shifted(self, heatmaps, cells, peaks, size):
        points, scores = decode(self, heatmaps, cells, peaks, size)
        return points + torch.tensor([size[0] / 3 / (heatmaps.shape[-1] - 1), 0.0]), scores

    monkeypatch.setattr(WholeMapUDPHeatmap, 'decode_at', shifted)
    with pytest.raises(
        ExportError, match=r'keypoints: largest difference 1.4, mean 1.4 .* FAILED.*left out as near ties'
    ):
        export('sapiens', tmp_path)


def test_float32_is_compared_without_a_measurement(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'measure_heatmaps', lambda *_: pytest.fail('measured'))
    assert export('sapiens', tmp_path, 'fp32').differences[0].near_ties == 0
