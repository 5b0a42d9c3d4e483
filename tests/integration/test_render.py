"""Parts of ``sapiens render``: its workers, and the previews of labels, by their values."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from sapiens.commands import render
from sapiens.metainfo import get_classes, get_skeleton
from sapiens.metainfo.palettes import with_palette
from sapiens.visualization import labels as draw


def test_a_worker_refuses_other_backgrounds_than_those_of_the_command(tmp_path):
    found = ['/photos/a.jpg', '/photos/b.jpg']
    writer = render.folders.SampleWriter(tmp_path, ['mask'])
    maker = render.ImageMaker(lambda: SimpleNamespace(backgrounds=list(found)), writer, 0)
    vars(maker).update(maker.__getstate__())  # what pickling leaves
    assert maker.generator is None
    found.pop()
    with pytest.raises(ValueError, match='sees other files in --backgrounds or --environments'):
        maker(0)


def test_gpus_of_a_worker():
    def count(options, **given):
        return render.gpus_of(SimpleNamespace(**dict(dict(gpus_per_worker=None, devices=None), **given)), options)

    there = dict(device='cuda:1')
    assert (count(there), count(there, gpus_per_worker=0.25), count(there, devices=['0', '1'])) == (1, 0.25, 1)
    for options in (dict(), dict(device='cpu')):
        assert count(options) == 0
        with pytest.raises(ValueError, match='--gpus-per-worker has no effect without --scene device=cuda'):
            count(options, gpus_per_worker=0.25)


def labels_of(size=(30, 20), **labels):
    """Labels of an image of (w, h) without people."""
    image = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return dict(entry=dict(people=[]), rgb=image, **labels)


def test_albedo_is_shown_in_the_curve_of_srgb():
    """Stored linear in 16 bits. Figures of IEC 61966-2-1: linear 0.5 is 187.5 of 255, 0.18 is 117.6, and 0.002 is 6.6."""
    linear = np.array([0, 0.002, 0.0031308, 0.18, 0.5, 1])
    albedo = np.rint(np.tile(linear, (4, 1))[..., None] * [65535] * np.ones(3)).astype(np.uint16)
    tile = render.preview_tiles(labels_of((6, 4), albedo=albedo))['albedo']
    assert tile.dtype == np.uint8 and tile.shape == (4, 6, 3)
    assert (tile == np.array([0, 7, 10, 118, 188, 255])[:, None]).all()


def test_previews_of_maps():
    labels = labels_of(
        mask=np.zeros((20, 30), np.uint8),
        alpha=np.tile(np.arange(30, dtype=np.uint8), (20, 1)),
        depth=np.tile(np.linspace(0, 3, 30, dtype=np.float32), (20, 1)),
        normal=np.tile(np.float32([0, 0.6, 0.8]), (20, 30, 1)),
        seg=np.full((20, 30), 3, np.uint8),
        seg29=np.full((20, 30), 28, np.uint8),
        lip=np.full((20, 30), 19, np.uint8),
        instance=np.full((20, 30), 20, np.uint8),
    )
    labels['mask'][5:15] = 255
    tiles, image = render.preview_tiles(labels), labels['rgb']
    assert set(tiles) == {*labels, 'pose17', 'pose133', 'pose308'} - {'entry'}
    np.testing.assert_array_equal(tiles['rgb'], image)
    for kind in ('mask', 'alpha'):
        np.testing.assert_array_equal(tiles[kind], np.repeat(labels[kind][..., None], 3, -1))
    np.testing.assert_array_equal(
        tiles['depth'], draw.draw_depth(labels['depth'], (labels['depth'] > 0) & (labels['mask'] > 0))
    )
    assert (tiles['normal'] == [128, 204, 230]).all()
    colours = dict(seg=('goliath28', 3), seg29=('goliath29', 28), lip=('lip20', 19))
    colours = {
        kind: (with_palette(get_classes(name), 'distinct').palette[index], 0.7)
        for kind, (name, index) in colours.items()
    }
    for kind, (colour, opacity) in dict(colours, instance=(draw.distinct_palette(21)[20], 0.6)).items():
        np.testing.assert_allclose(tiles[kind], (1 - opacity) * image + opacity * colour.astype(float), atol=1.01)
    del labels['mask']
    np.testing.assert_array_equal(render.preview_tiles(labels)['depth'], draw.draw_depth(labels['depth']))


def test_people_are_drawn_where_they_are_in_the_small_image():
    """An image of 840 x 630 is shown in half its size. Pixel centers are at whole numbers in both."""
    labels = labels_of((840, 630))
    labels['rgb'][:] = 0
    keypoints = {name: np.zeros((len(get_skeleton(name)), 3)) for name in render.FILES}
    for points in keypoints.values():
        points[0] = 400.5, 300.5, 2
    labels['entry']['people'] = [dict(bbox=[100, 60, 200, 120], keypoints=keypoints)]
    tiles = render.preview_tiles(labels)
    assert all(tile.shape == (315, 420, 3) for tile in tiles.values())
    for tile, name, radius in (
        ('pose17', 'coco17', 3),
        ('pose133', 'wholebody133', 1.3),
        ('pose308', 'goliath308', 1.3),
    ):
        points = np.where(keypoints[name] == keypoints[name][0], [200, 150, 2], 0)
        expected = draw.draw_keypoints(np.zeros((315, 420, 3), np.uint8), points, name, radius)
        np.testing.assert_array_equal(tiles[tile][120:], expected[120:])
    box = draw.draw_boxes(np.zeros((315, 420, 3), np.uint8), np.array([[50.0, 30.0, 100.0, 60.0]]), thickness=1)
    np.testing.assert_array_equal(tiles['pose17'][:120], box[:120])
    assert not tiles['pose133'][:120].any() and not tiles['pose308'][:120].any(), 'boxes are drawn once'


def test_sheets_have_eight_columns_and_the_numbers_of_their_images(monkeypatch, tmp_path):
    read = []

    def read_labels(root, index):
        read.append((root, index))
        return labels_of((40, 30), **(dict(alpha=np.full((30, 40), 200, np.uint8)) if index else {}))

    monkeypatch.setattr(render.folders, 'read_labels', read_labels)
    paths = render.draw_previews(tmp_path, 30)
    assert read == [(tmp_path, index) for index in range(24)]
    kinds = ('rgb', 'pose17', 'pose133', 'pose308', 'alpha')
    assert sorted(paths) == sorted(tmp_path / f'preview_{kind}.png' for kind in kinds)
    sheet = cv2.imread(str(tmp_path / 'preview_rgb.png'))[..., ::-1]
    assert sheet.shape[1] == 8 * 44 - 4
    np.testing.assert_array_equal(sheet[:30, :40], labels_of((40, 30))['rgb'])
