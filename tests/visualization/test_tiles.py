"""Figures fit a screen, whatever the number and the shape of their rows."""

import numpy as np
import pytest

from sapiens.metainfo import get_skeleton
from sapiens.visualization import (
    DenseRow,
    MattingRow,
    PosePanelRow,
    draw_albedo_panel,
    draw_depth_panel,
    draw_matting_panel,
    draw_normal_panel,
    draw_pointmap_panel,
    draw_pose_panel,
    draw_reconstructions,
    draw_seg_panel,
)
from sapiens.visualization.pose import heatmap_limit
from sapiens.visualization.tiles import LIMIT, arrange

COCO = get_skeleton('coco17')


def pose_row(size, peak=1.0):
    maps = np.zeros((17, size[0] // 4, size[1] // 4), np.float32)
    maps[0, 5, 5] = peak
    points = np.random.default_rng(0).uniform(5, 40, (17, 2))
    return PosePanelRow(np.zeros((*size, 3), np.uint8), points, np.ones(17), points, np.ones(17), maps, 'a')


def panels(count, size):
    image, ones = np.full((*size, 3), 90, np.uint8), np.ones((*size, 3), np.float32)
    depth = ones[..., 0] * np.linspace(1, 2, size[1], dtype=np.float32)
    parts = (np.arange(size[0])[:, None] * 29 // size[0]).repeat(size[1], 1).astype(np.uint8)
    points = np.dstack([depth, depth, depth])
    yield draw_pose_panel([pose_row(size)] * count, COCO)
    yield draw_depth_panel([DenseRow(image, depth, depth)] * count, side=640)
    yield draw_seg_panel([DenseRow(image, parts, parts)] * count, 'goliath29')
    yield draw_normal_panel([DenseRow(image, ones, ones, error=depth)] * count)
    yield draw_albedo_panel([DenseRow(image, ones, ones)] * count)
    yield draw_pointmap_panel([DenseRow(image, points, points)] * count)
    yield draw_matting_panel([MattingRow(image, depth - 1, ones, depth - 1)] * count)
    yield draw_reconstructions([image] * count, [np.zeros((8, 8), bool)] * count, [image] * count)


@pytest.mark.parametrize('count, size', [(1, (192, 144)), (16, (128, 96)), (5, (64, 256)), (8, (256, 64))])
def test_figures_have_at_most_2000_pixels(count, size):
    for panel in panels(count, size):
        assert max(panel.shape[:2]) <= LIMIT, panel.shape
        assert max(panel.shape[:2]) > (500 if count == 1 else 1000), 'and use them'


def test_the_arrangement_has_the_largest_tiles():
    portrait = np.zeros((256, 192, 3), np.uint8)
    assert arrange([portrait], 4, 384) == (384, 1), 'small inputs are upsampled'
    assert arrange([portrait] * 4, 4, 384) == (384, 1)
    side, blocks = arrange([portrait] * 16, 4, 384)
    assert blocks > 1 and side > 200, 'rows beside each other'
    assert arrange([portrait] * 8, 4, 64) == (64, 1), 'no more blocks than needed'
    assert arrange([portrait], 6, 640).side < arrange([portrait], 4, 640).side
    assert arrange([portrait] * 4, 4, 640, spare=400).side < arrange([portrait] * 4, 4, 640).side
    assert arrange([portrait, np.zeros((64, 256, 3))], 4, 384).side == arrange([np.zeros((256, 256))] * 2, 4, 384).side
    assert arrange([portrait] * 900, 4, 384).side == 16, 'never nothing'


def test_rows_of_blocks_are_in_order():
    rows = [DenseRow(np.full((64, 48, 3), 10 + index, np.uint8), np.ones((64, 48))) for index in range(16)]
    panel = draw_depth_panel(rows)
    values = panel[..., 0].T.astype(int)  # column by column
    found = values[((panel == panel[..., :1]).all(-1).T) & (values >= 10) & (values < 26)].tolist()
    assert set(found) == set(range(10, 26))
    columns = {value: int(np.flatnonzero((values == value).any(1))[0]) for value in (10, 15, 25)}
    assert columns[10] < columns[25] and columns[10] == columns[15], 'down the first block, then the next one'


def test_heatmaps_are_bright_in_their_own_range():
    weak, strong = pose_row((64, 48), peak=0.05), pose_row((64, 48), peak=1.0)
    a, b = (draw_pose_panel([row], COCO, side=256, threshold=2) for row in (weak, strong))
    tile = np.s_[40:, -192:]
    assert abs(a[tile].astype(int) - b[tile]).max() <= 1, 'the same picture'
    assert (a[:30, -192:] != b[:30, -192:]).any(), 'with another number above it'
    assert heatmap_limit([weak.heatmaps, strong.heatmaps]) == 1 and heatmap_limit([weak.heatmaps]) == np.float32(0.05)
    assert heatmap_limit([]) == heatmap_limit([np.zeros((17, 4, 4))]) == heatmap_limit([-np.ones((1, 2, 2))]) == 1
    assert heatmap_limit([np.array([[[np.nan, 0.2, np.inf]]])]) == 0.2
