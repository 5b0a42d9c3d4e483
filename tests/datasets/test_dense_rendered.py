"""Rendered people of a moved camera compared with their moved labels. Slow: it traces rays."""

from dataclasses import replace

import numpy as np
import pytest

from sapiens.datasets.transforms import LoadDense, RandomCrop, RandomFlip, RandomRotate, Resize
from sapiens.metainfo import get_classes

from .scenes import away_from_edges

SIZE = (384, 512)
TABLE = np.asarray(get_classes('goliath28').flip_table)
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def people():
    """Renders one scene through any camera: labels as a dataset gives them, of people only."""
    pytest.importorskip('warp')
    pytest.importorskip('anny')
    from sapiens.synthetic import HumanGenerator

    generator = HumanGenerator(size=SIZE, people=(2, 2), rays=0, occlusion=0)
    scene = generator.scene(np.random.default_rng(5))

    def render(**camera):
        made = generator.render(replace(scene, camera=replace(scene.camera, **camera)), 0)
        mask = made.instance > 0
        return dict(
            img=np.zeros((*mask.shape, 3), np.uint8),
            img_path='rendered',
            gt_sem_seg=made.part,
            gt_depth=made.depth,
            gt_normal=made.normal,
            gt_mask=mask,
            valid_mask=mask & (made.depth > 0),
            flip_table=TABLE,
            intrinsics=np.array(scene.camera.intrinsics),
        )

    return render, scene.camera


def compare(moved, seen):
    inside = moved['valid_mask'] & seen['valid_mask'] & away_from_edges(seen['gt_sem_seg'])
    assert inside.mean() > 0.03
    everywhere = away_from_edges(seen['gt_sem_seg']) & (moved['gt_sem_seg'] != 255)
    share = (moved['gt_sem_seg'] == seen['gt_sem_seg'])[everywhere].mean()
    assert share > 0.99, share
    cosine = (moved['gt_normal'] * seen['gt_normal']).sum(-1)[inside].clip(-1, 1)
    assert np.median(np.degrees(np.arccos(cosine))) < 1
    relative = np.abs(moved['gt_depth'] / np.maximum(seen['gt_depth'], 1e-6) - 1)[inside]
    assert relative.mean() < 0.005 and np.percentile(relative, 95) < 0.005


def test_mirrored(people):
    render, camera = people
    moved = LoadDense([RandomFlip(prob=1)])(render())
    mirror = np.diag([-1.0, 1, 1])
    intrinsics = camera.intrinsics.copy()
    intrinsics[0, 2] = SIZE[0] - 1 - intrinsics[0, 2]
    seen = render(rotation=mirror @ camera.rotation, translation=mirror @ camera.translation, intrinsics=intrinsics)
    compare(moved, dict(seen, gt_sem_seg=TABLE[seen['gt_sem_seg']]))


@pytest.mark.parametrize('seed', [0, 1])
def test_rolled(people, seed):
    render, camera = people
    np.random.seed(seed)
    moved = LoadDense([RandomRotate(60, prob=1)])(render())
    c, s = np.cos(np.radians(moved['rotation'])), np.sin(np.radians(moved['rotation']))
    roll = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    compare(
        moved,
        render(rotation=roll @ camera.rotation, translation=roll @ camera.translation, intrinsics=moved['intrinsics']),
    )


def test_cropped_and_resized(people):
    render, camera = people
    np.random.seed(1)
    moved = LoadDense([RandomCrop((240, 320)), Resize((420, 560))])(render())
    x, y, zoom = *moved['crop'][:2], 420 / 240
    intrinsics = camera.intrinsics.copy()
    intrinsics[:2, :2] *= zoom
    intrinsics[:2, 2] = (intrinsics[:2, 2] - (x, y) + 0.5) * zoom - 0.5
    assert np.allclose(moved['intrinsics'], intrinsics)
    compare(moved, render(intrinsics=intrinsics, width=420, height=560))
