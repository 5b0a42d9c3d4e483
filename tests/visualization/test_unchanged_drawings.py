"""Drawings look as when unchanged_drawings.json was written: colors, sizes, gaps and texts.

After a wanted change: ``python -m tests.visualization.test_unchanged_drawings`` writes the file again.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from sapiens import visualization as show
from sapiens.metainfo import get_classes, get_skeleton
from sapiens.visualization import labels, layout, maps, matting, people, tiles
from sapiens.visualization.depth import depth_limits
from sapiens.visualization.openpose import draw_openpose

FILE = Path(__file__).with_name('unchanged_drawings.json')
SIZE = (96, 128)  # h, w

y, x = np.mgrid[: SIZE[0], : SIZE[1]]
IMAGE = np.stack([x * 2, y * 2, 255 - x - y], -1).astype(np.uint8)
LABELS = ((x // 16 + 3 * (y // 16)) % 30).astype(np.uint8)
VALID = (x - 60) ** 2 + (y - 50) ** 2 < 45**2
DEPTH = (2 + np.sin(x / 20) + y / 60).astype(np.float32)
NORMALS = np.stack([np.sin(x / 15), np.cos(y / 11), np.ones(SIZE)], -1).astype(np.float32)
NORMALS /= np.linalg.norm(NORMALS, axis=-1, keepdims=True)
POINTS = np.dstack([(x - 64) / 100 * DEPTH, (y - 48) / 100 * DEPTH, DEPTH]).astype(np.float32)
ALPHA = np.clip((45 - np.hypot(x - 60, y - 50)) / 8 + 0.5, 0, 1).astype(np.float32)
MAPS = np.exp(-((np.arange(24) - 9) ** 2 + (np.arange(18)[:, None] - 7) ** 2) / 9).astype(np.float32)


def pose(name, count=2, seed=0):
    skeleton, rng = get_skeleton(name), np.random.default_rng(seed)
    size = len(skeleton)
    centers = rng.uniform((35, 30), (95, 65), (count, 1, 2))
    return centers + rng.normal(0, 14, (count, size, 2)), rng.uniform(0.1, 1, (count, size))


def rows():
    noise = np.random.default_rng(1).normal(0, 0.1, SIZE).astype(np.float32)
    coded = IMAGE / np.float32(255)
    foreground = ALPHA[..., None] * coded
    return dict(
        pointmap=[show.DenseRow(IMAGE, np.roll(POINTS, 2, 1), POINTS, VALID, note='note'), show.DenseRow(IMAGE, POINTS)],
        matting=[show.MattingRow(IMAGE, ALPHA, foreground, ALPHA**2, VALID), show.MattingRow(IMAGE, ALPHA, foreground)],
        albedo=[show.DenseRow(IMAGE, 0.85 * coded, coded, VALID)],
        seg=[show.DenseRow(IMAGE, np.roll(LABELS, 3, 1) % 28, np.where(VALID, LABELS % 28, 255), name='a.png')],
        depth=[show.DenseRow(IMAGE, DEPTH + noise, DEPTH, VALID, name='a.png', note='alignment'), show.DenseRow(IMAGE, DEPTH)],
        normal=[show.DenseRow(IMAGE, NORMALS, np.roll(NORMALS, 5, 0), VALID, error=40 * np.abs(noise) + x / 4, name='a.png')],
    )  # fmt: skip


def panel_rows():
    points, scores = pose('coco17', 1)
    heat = np.stack([np.roll(MAPS, index, (0, 1)) for index in range(17)])
    return [show.PosePanelRow(IMAGE, points[0], scores[0], points[0] + 3, np.arange(17) % 3 > 0, heat, 'a.png #3'),
            show.PosePanelRow(IMAGE, points[0], scores[0])]  # fmt: skip


def coco(**options):
    points, scores = pose('coco17')
    options.setdefault('boxes', np.array([[10.0, 12, 70, 80], [60, 5, 140, 60]]))
    return show.draw_people(IMAGE, points, scores, 'coco17', **options)


def visibility():
    points = pose('coco17', 1)[0][0]
    return np.column_stack([points, np.arange(17) % 3])


DRAWINGS = {
    'segmentation': lambda: labels.draw_segmentation(IMAGE, LABELS, get_classes('goliath28').palette),
    'depth': lambda: labels.draw_depth(DEPTH, VALID),
    'depth of a range': lambda: labels.draw_depth(DEPTH, None, (1.5, 3.0)),
    'normals': lambda: labels.draw_normals(NORMALS, VALID),
    'keypoints': lambda: labels.draw_keypoints(IMAGE, visibility(), 'coco17'),
    'large keypoints': lambda: labels.draw_keypoints(IMAGE, visibility(), 'coco17', 5, 3),
    'boxes': lambda: labels.draw_boxes(IMAGE, [[5, 6, 60, 70], [40, 20, 50, 30]], [(255, 0, 0), (0, 0, 255)], ['a', 'bc']),
    'palette': lambda: labels.distinct_palette(64).reshape(8, 8, 3).repeat(4, 0).repeat(4, 1),
    'pose': lambda: show.draw_pose(IMAGE, *pose('coco17'), 'coco17', boxes=np.array([[10.0, 12, 70, 80]])),
    'pose of one size': lambda: show.draw_pose(IMAGE, *pose('coco17'), 'coco17', radius=4, thickness=2, threshold=0.6),
    'pose of 308 keypoints': lambda: show.draw_pose(IMAGE, *pose('goliath308', 1), 'goliath308'),
    'large pose': lambda: show.draw_pose(cv2.resize(IMAGE, (1280, 960)), 10 * pose('wholebody133', 1)[0],
                                         pose('wholebody133', 1)[1], 'wholebody133', boxes=[[100, 120, 800, 700]])[::4, ::4],
    'heatmaps': lambda: show.draw_heatmaps(IMAGE, np.stack([np.roll(MAPS, i) for i in range(17)]), 'coco17'),
    'pose panel': lambda: show.draw_pose_panel(panel_rows(), 'coco17', side=96),
    'people': lambda: coco(show_boxes=True, show_indices=True, ids=np.array([3, 12])),
    'people in openpose': lambda: coco(style='openpose'),
    'openpose': lambda: draw_openpose(IMAGE, *pose('wholebody133', 1), 'wholebody133'),
    'openpose of 17': lambda: draw_openpose(IMAGE, *pose('coco17'), 'coco17', radius=3, thickness=6, opacity=0.5),
    'face': lambda: people.draw_part(IMAGE, *pose('wholebody133', 1), 'wholebody133', 'face', side=128),
    'hands': lambda: people.draw_part(IMAGE, *pose('wholebody133'), 'wholebody133', 'hand', side=96),
    'seg panel': lambda: show.draw_seg_panel(rows()['seg'], 'goliath28', side=96),
    'depth panel': lambda: show.draw_depth_panel(rows()['depth'], side=96),
    'normal panel': lambda: show.draw_normal_panel(rows()['normal'], side=96),
    'map panel': lambda: show.draw_map_panel(rows()['depth'], side=96),
    'labels panel': lambda: show.draw_map_panel(rows()['seg'], side=96, kind='labels'),
    'inverse depth': lambda: show.draw_inverse_depth(DEPTH, VALID),
    'pointmap panel': lambda: show.draw_pointmap_panel(rows()['pointmap'], side=96),
    'matting panel': lambda: show.draw_matting_panel(rows()['matting'], side=96),
    'albedo panel': lambda: show.draw_albedo_panel(rows()['albedo'], side=96),
    'transparency': lambda: matting.checkerboard(SIZE),
    'legend': lambda: show.draw_legend('goliath28', range(1, 12), 300),
    'map': lambda: maps.draw_map(DEPTH, 'values', VALID),
    'map of three channels': lambda: maps.draw_map(NORMALS, 'values', VALID),
    'map of vectors': lambda: maps.draw_map(NORMALS, 'unit_vectors'),
    'reconstructions': lambda: show.draw_reconstructions([IMAGE] * 2, [LABELS[::16, ::16] % 2 > 0] * 2, [255 - IMAGE] * 2, 96),
    'sheet': lambda: layout.contact_sheet([IMAGE[: 20 + 5 * i, : 40 + i] for i in range(8)], 3, [f'no. {i}' for i in range(8)]),
    'bar': lambda: tiles.color_bar(200, 'low', 'high', tiles.DEPTH_COLORS),
    'caption': lambda: layout.caption(120, 'short', 'a line that is longer than its place, so that its middle is left out'),
}  # fmt: skip


def measure(picture: np.ndarray) -> dict:
    """Size, and means and deviations of 8 x 8 parts."""
    height, width = picture.shape[:2]
    found = []
    for part in np.array_split(np.arange(height), 8):
        for other in np.array_split(np.arange(width), 8):
            values = picture[part][:, other].reshape(-1, 3).astype(np.float64)
            found += [*values.mean(0), values.std()]
    return dict(size=[height, width], parts=[round(value, 1) for value in found])


@pytest.mark.parametrize('name', DRAWINGS)
def test_drawings(name):
    before, now = json.loads(FILE.read_text())[name], measure(DRAWINGS[name]())
    assert now['size'] == before['size']
    np.testing.assert_allclose(now['parts'], before['parts'], atol=0.6, rtol=0)


def test_range_of_depth():
    assert depth_limits(DEPTH, VALID) == pytest.approx(np.percentile(DEPTH[VALID], (0.5, 99.5)))


if __name__ == '__main__':
    lines = (f'{json.dumps(name)}: {json.dumps(measure(draw()))}' for name, draw in DRAWINGS.items())
    FILE.write_text('{\n' + ',\n'.join(lines) + '\n}\n')
