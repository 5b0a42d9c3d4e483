import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

from sapiens.apis import DepthResult, FeatureResult, NormalResult, PoseResult, SegResult
from sapiens.apis.results import Saving
from sapiens.apis.writers.pose_formats import (
    coco_entries,
    meta_info,
    pose_document,
    read_people,
    write_coco,
    write_csv,
)
from sapiens.metainfo import get_classes, get_skeleton

from .tiny import picture

COCO = get_skeleton('coco17')


def pose(people=2, nan=True):
    rng = np.random.default_rng(0)
    points = rng.uniform(10, 80, (people, 17, 2)).astype(np.float32)
    scores = rng.uniform(0.1, 1, (people, 17)).astype(np.float32)
    if nan and people:
        points[0, 3], scores[0, 3] = np.nan, 0
    boxes = np.array([[5, 6, 70, 110], [1, 2, 30, 40]], np.float32)[:people]
    return PoseResult(
        picture(), 'somewhere/a.jpg', points, scores, boxes, np.array([0.9, 0.4], np.float32)[:people], COCO
    )


def test_json_is_valid_and_equals_the_published_demo():
    result = pose()
    document = json.loads(json.dumps(pose_document(result), allow_nan=False))
    assert set(document) == {'meta_info', 'instance_info'}
    first = document['instance_info'][0]
    assert set(first) == {'keypoints', 'keypoint_scores', 'bbox', 'bbox_score'}
    assert first['bbox'] == [5, 6, 70, 110] and first['bbox_score'] == pytest.approx(0.9)
    assert first['keypoints'][3] == [None, None]
    np.testing.assert_allclose(first['keypoints'][4], result.keypoints[0, 4], atol=1e-4)
    published = pose_document(result, 'published')['instance_info'][0]
    assert published['bbox'] == [[5, 6, 70, 110]] and published['keypoints'] == first['keypoints']
    lite = pose_document(result, 'lite')
    assert set(lite) == {'instance_info'} and set(lite['instance_info'][0]) == {'keypoints', 'keypoint_scores'}
    assert pose_document(pose(0))['instance_info'] == []
    with pytest.raises(ValueError, match="layout='short'"):
        pose_document(result, 'short')


@pytest.mark.parametrize('name', ['coco17', 'wholebody133', 'goliath308'])
def test_meta_info_describes_the_skeleton(name):
    skeleton = get_skeleton(name)
    meta = json.loads(json.dumps(meta_info(skeleton)))
    assert meta['num_keypoints'] == len(skeleton) == len(meta['keypoint_id2name']) == len(meta['sigmas'])
    assert meta['keypoint_id2name']['5'] == skeleton.keypoints[5]
    assert all(meta['flip_indices'][a] == b and meta['flip_indices'][b] == a for a, b in meta['flip_pairs'])
    assert meta['num_skeleton_links'] == len(meta['skeleton_links']) == len(meta['skeleton_link_colors'])


def test_coco_results_have_the_published_score(tmp_path):
    result = pose()
    person = pose_document(result)['instance_info'][0]
    (entry,) = coco_entries([person], 7, 'a.jpg')
    scores = result.scores[0]
    assert entry['score'] == pytest.approx(0.9 * scores[scores > 0.2].mean(), abs=1e-4)
    assert entry['bbox'] == [5, 6, 65, 104] and entry['category_id'] == 1 and entry['image_id'] == 7
    keypoints = np.reshape(entry['keypoints'], (17, 3))
    assert keypoints[3].tolist() == [0, 0, 0]
    np.testing.assert_allclose(keypoints[4], [*result.keypoints[0, 4], scores[4]], atol=1e-3)
    nobody = dict(person, keypoint_scores=[0.1] * 17)
    assert next(coco_entries([nobody], 7, 'a.jpg'))['score'] == 0

    files = []
    for index, layout in enumerate(('plain', 'published', 'lite')):
        result.save(tmp_path, str(index), kinds=('json',), json_layout=layout)
        files.append((index, f'{index}.jpg', read_people(tmp_path / f'{index}.json')))
    assert write_coco(tmp_path / 'all.json', files) == 6
    entries = json.loads((tmp_path / 'all.json').read_text())
    assert [entry['image_id'] for entry in entries] == [0, 0, 1, 1, 2, 2]
    assert entries[0]['bbox'] == entries[2]['bbox'] and 'bbox' not in entries[4]
    assert write_coco(tmp_path / 'none.json', []) == 0 and json.loads((tmp_path / 'none.json').read_text()) == []
    assert write_csv(tmp_path / 'all.csv', files, COCO) == 6
    with open(tmp_path / 'all.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]['left_ear_score']) == 0 and rows[0]['left_ear_x'] == '' and rows[4]['x1'] == ''
    assert float(rows[1]['nose_x']) == pytest.approx(result.keypoints[1, 0, 0], abs=1e-3)
    assert rows[3]['person'] == '1' and rows[3]['file_name'] == '1.jpg'


def test_numbers_of_files_are_rounded():
    """Files of 308 keypoints stay small: JSON has four decimals, COCO results three."""
    numbers = np.float32(0.12345678) + np.arange(2, dtype=np.float32)
    result = PoseResult(
        picture(), 'a.jpg', numbers[None, None], numbers[None, :1], np.tile(numbers, (1, 2)), numbers[:1], COCO
    )
    (person,) = pose_document(result)['instance_info']
    assert person['keypoints'] == [[0.1235, 1.1235]] and person['keypoint_scores'] == [0.1235]
    assert person['bbox'] == [0.1235, 1.1235, 0.1235, 1.1235] and person['bbox_score'] == 0.1235
    person = dict(keypoints=[numbers.tolist()], keypoint_scores=[0.98765], bbox=[0.12345, 1.98765, 2.45678, 3.0])
    (entry,) = coco_entries([person], 1, 'a.jpg')
    assert entry['keypoints'] == [0.123, 1.123, 0.988]
    assert entry['bbox'] == [0.123, 1.988, 2.333, 1.012]


def test_pose_is_saved_and_drawn(tmp_path):
    result = pose()
    written = result.save(tmp_path / 'new' / 'folder')
    assert {path.name for path in written} == {'a.json', 'a.jpg'} and written[-1].suffix == '.json'
    assert read_people(tmp_path / 'new/folder/a.json')[1]['bbox'] == [1, 2, 30, 40]
    height, width = np.asarray(Image.open(tmp_path / 'new/folder/a.jpg')).shape[:2]
    assert width == 90 and height > 120, 'a legend below'
    result.save(tmp_path / 'plain', legend=False)
    assert np.asarray(Image.open(tmp_path / 'plain/a.jpg')).shape == result.image.shape
    assert not list(tmp_path.rglob('.*'))
    boxes = result.draw(show_boxes=True, threshold=2)
    assert (boxes != result.image).any() and (result.draw(threshold=2) == result.image).all()
    assert (result.draw(show_indices=True, threshold=2) == result.image).all()
    assert (result.draw(show_indices=True) != result.draw()).any()
    with pytest.raises(ValueError, match='give one'):
        PoseResult(picture(), '', skeleton=COCO).save(tmp_path)
    with pytest.raises(ValueError, match="style='neon'"):
        result.draw(style='neon')


def test_drawings_are_checked_before_there_are_people():
    whole_body = get_skeleton('wholebody133')
    for options in (
        {},
        dict(extra=('face', 'hand', 'heatmaps')),
        dict(kinds=('hand',), style='openpose'),
        dict(show_boxes=True),
    ):
        PoseResult.check(Saving(**options), whole_body)
    PoseResult.check(Saving(kinds=('heatmaps', 'json')), COCO)
    for part, group in (('face', 'face'), ('hand', 'left_hand')):
        with pytest.raises(ValueError, match=f"no group '{group}'"):
            PoseResult.check(Saving(extra=(part,)), COCO)
    with pytest.raises(ValueError, match="style='neon'"):
        PoseResult.check(Saving(style='neon'), COCO)


def test_a_result_of_people_is_empty_at_first():
    nobody = PoseResult(picture(), skeleton=COCO)
    shapes = dict(keypoints=(0, 0, 2), scores=(0, 0), boxes=(0, 4), box_scores=(0,))
    assert {name: getattr(nobody, name).shape for name in shapes} == shapes
    assert {getattr(nobody, name).dtype for name in shapes} == {np.dtype(np.float32)}
    assert len(nobody) == 0 and nobody.track_ids is nobody.heatmaps is nobody.heatmap_transforms is None
    assert pose_document(nobody)['instance_info'] == []


def test_written_files_can_be_selected(tmp_path):
    seg = SegResult(picture(), 'a.jpg', np.zeros((120, 90), np.uint8), get_classes('goliath28'))
    seg.labels[20:60, 30:50] = 3
    assert seg.foreground.sum() == 800
    names = {path.name for path in seg.save(tmp_path, kinds=('mask', 'cutout', 'labels', 'picture'), map_format='png')}
    assert names == {'a.png', 'a_cutout.png', 'a_seg.png', 'a.jpg'}
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'a_seg.png')), seg.labels)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'a.png')) > 0, seg.foreground)
    cutout = np.asarray(Image.open(tmp_path / 'a_cutout.png'))
    np.testing.assert_array_equal(cutout[..., 3] > 0, seg.foreground)
    np.testing.assert_array_equal(cutout[..., :3], seg.image)
    seg.save(tmp_path)
    assert np.load(tmp_path / 'a.npy').dtype == bool
    np.testing.assert_array_equal(np.load(tmp_path / 'a_seg.npy'), seg.labels)
    both = SegResult.paths(tmp_path / 'a', Saving(kinds=('mask', 'picture'), map_format='png', picture_format='png'))
    assert len(set(both.values())) == 2
    picture_of = seg.draw(opacity=1.0, palette='published')
    assert (picture_of[30, 40] == seg.classes.palette[3]).all() and (picture_of[0, 0] == seg.image[0, 0]).all()
    assert seg.draw(legend=True).shape[0] > 120
    for options, text in (
        (dict(kinds=('mesh',)), "'mesh' is not a kind"),
        (dict(json_layout='xml'), "json_layout='xml'"),
        (dict(normal_frame='world'), "normal_frame='world'"),
    ):
        with pytest.raises(ValueError, match=text):
            seg.save(tmp_path, **options)
    with pytest.raises(ValueError, match='none of json'):
        seg.save(tmp_path, kinds=('json',))


def test_every_kind_of_every_task_is_written(tmp_path):
    image = picture()
    depth = np.linspace(0, 1, 120 * 90, dtype=np.float32).reshape(120, 90)
    normals = np.zeros((120, 90, 3), np.float32)
    normals[..., 2] = -1
    person = pose()
    person.heatmaps, person.heatmap_transforms = [np.random.rand(17, 8, 6)] * 2, np.array([np.eye(3)[:2] * 9] * 2)
    results = [
        person,
        SegResult(image, 'a.jpg', np.ones((120, 90), np.uint8), get_classes('goliath28')),
        DepthResult(image, 'a.jpg', depth),
        NormalResult(image, 'a.jpg', normals),
        FeatureResult(image, 'a.jpg', np.random.rand(5, 4, 3).astype(np.float32)),
    ]
    for result in results:
        kinds = [file.kind for file in result.files if not file.sometimes]
        written = result.save(tmp_path / result.task, kinds=tuple(kinds))
        assert len(written) == len(kinds) and all(path.stat().st_size for path in written)
        assert result.draw().shape == image.shape


def test_normals_from_depth_are_those_of_the_surface():
    y, x = np.mgrid[:60, :80].astype(np.float32)
    result = DepthResult(np.zeros((60, 80, 3), np.uint8), depth=2 * x + y)
    extent = result.depth.max() - result.depth.min()
    normal = result.normals(relief=float(extent))[20:40, 20:60]  # one pixel of depth is one pixel across
    np.testing.assert_allclose(normal.reshape(-1, 3), np.tile([2, 1, -1] / np.sqrt(6), (800, 1)), atol=1e-4)
    flat = DepthResult(np.zeros((60, 80, 3), np.uint8), depth=np.ones((60, 80), np.float32)).normals()
    assert (flat == [0, 0, -1]).all()
    sloped = DepthResult(result.image, depth=np.where(x < 60, result.depth, 1e6).astype(np.float32), mask=x < 60)
    inside = sloped.depth[sloped.mask]
    normal = sloped.normals(relief=float(np.ptp(inside)))[20:40, 20:50]  # the range is that of the mask
    np.testing.assert_allclose(normal.reshape(-1, 3), np.tile([2, 1, -1] / np.sqrt(6), (600, 1)), atol=1e-4)
    result.mask = x < 10
    assert not result.normals()[:, 20:].any() and (result.draw()[:, 20:] == 100).all()
    empty = DepthResult(np.zeros((60, 80, 3), np.uint8), depth=result.depth, mask=np.zeros((60, 80), bool))
    assert not empty.normals().any() and (empty.draw() == 100).all() and len(empty.points()[0]) == 0


def test_a_point_cloud_projects_to_its_pixels(tmp_path):
    image = picture((60, 80))
    depth = np.random.default_rng(0).uniform(0, 1, (60, 80)).astype(np.float32)
    result = DepthResult(image, 'a.jpg', depth, mask=depth > 0.2)
    points, colors = result.points(fov=60, distance=3, extent=2)
    np.testing.assert_allclose(points[:, 2], 3 + 2 * depth[result.mask], rtol=1e-6)
    focal = 40 / np.tan(np.radians(30))
    y, x = np.nonzero(result.mask)
    np.testing.assert_allclose(points[:, 0] / points[:, 2] * focal + 39.5, x, atol=1e-3)
    np.testing.assert_allclose(points[:, 1] / points[:, 2] * focal + 29.5, y, atol=1e-3)
    np.testing.assert_array_equal(colors, image[result.mask])
    metric = DepthResult(image, 'a.jpg', depth, relative=False).points()[0]
    np.testing.assert_allclose(metric[:, 2], depth.ravel())
    (path,) = result.save(tmp_path, kinds=('ply',), distance=3, extent=2, fov=60)
    header, _, body = path.read_bytes().partition(b'end_header\n')
    assert f'element vertex {len(points)}\n'.encode() in header and len(body) == 15 * len(points)
    rows = np.frombuffer(body, np.dtype([('xyz', '<f4', 3), ('rgb', 'u1', 3)]))
    np.testing.assert_array_equal(rows['xyz'], points)
    np.testing.assert_array_equal(rows['rgb'], colors)
    with pytest.raises(ValueError, match='fov=200'):
        result.points(fov=200)


def test_normals_are_saved_in_the_frame_that_is_asked_for(tmp_path):
    normals = np.zeros((4, 5, 3), np.float32)
    normals[:] = [0.6, 0.48, -0.64]
    result = NormalResult(np.zeros((4, 5, 3), np.uint8), 'a.jpg', normals)
    result.save(tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / 'a.npy')[0, 0], [0.6, -0.48, 0.64])
    result.save(tmp_path, normal_frame='camera')
    np.testing.assert_allclose(np.load(tmp_path / 'a.npy')[0, 0], [0.6, 0.48, -0.64])
    assert result.draw()[0, 0].tolist() == [204, 66, 209]
    result.mask = np.zeros((4, 5), bool)
    assert (result.draw() == 100).all() and (result.normals == normals).all()


def test_depth_visualizations_can_use_one_range():
    image = np.zeros((4, 5, 3), np.uint8)
    near = DepthResult(image, depth=np.full((4, 5), 0.1, np.float32))
    far = DepthResult(image, depth=np.full((4, 5), 0.9, np.float32))
    near_picture, far_picture = near.draw((0, 1)), far.draw((0, 1))
    assert near_picture.sum() > far_picture.sum() and (near.draw() == far.draw()).all()


def test_pictures_of_frames_and_options_of_saving():
    depth = DepthResult(picture((4, 5)), depth=np.linspace(0.2, 0.8, 20, dtype=np.float32).reshape(4, 5))
    np.testing.assert_array_equal(depth.frame_picture(Saving()), depth.draw((0.0, 1.0)))
    np.testing.assert_array_equal(depth.frame_picture(Saving(depth_limits=(0.1, 2.0))), depth.draw((0.1, 2.0)))
    np.testing.assert_array_equal(depth.picture(Saving(depth_limits=(0.1, 2.0)))[:4], depth.draw((0.1, 2.0)))
    np.testing.assert_array_equal(depth.picture(Saving(legend=False)), depth.draw())
    depth.relative = False
    np.testing.assert_array_equal(depth.frame_picture(Saving()), depth.draw())
    seg = SegResult(picture((4, 5)), '', np.full((4, 5), 3, np.uint8), get_classes('goliath28'))
    np.testing.assert_array_equal(seg.picture(Saving(opacity=0.9))[:4], seg.draw(0.9))
    np.testing.assert_array_equal(seg.frame_picture(Saving()), seg.draw(0.5))
    assert (seg.picture(Saving(opacity=0.9))[:4] != seg.draw()).any()
    person = pose()
    options = dict(style='openpose', threshold=0.5, radius=3, thickness=2, show_indices=True)
    np.testing.assert_array_equal(
        person.picture(Saving(show_boxes=True, **options)), person.draw(show_boxes=True, **options)
    )
    assert person.frame_header() == dict(meta_info=meta_info(COCO)) and seg.frame_header() == {}
    assert person.frame_record(Saving(json_layout='lite')) == dict(
        instance_info=pose_document(person, 'lite')['instance_info']
    )


def test_summaries():
    depth = DepthResult(picture((4, 5)), depth=np.linspace(0.2, 0.8, 20).reshape(4, 5))
    assert depth.summary() == 'depth 0.20 to 0.80'
    depth.relative = False
    assert depth.summary() == 'depth 0.20 to 0.80 m'
    labels = np.zeros((4, 5), np.uint8)
    labels[0] = 1
    assert SegResult(picture((4, 5)), '', labels).summary() == '25 % foreground'
    assert pose(1).summary() == '1 person, 17 keypoints each' and pose(0).summary() == '0 people, 17 keypoints each'
    assert FeatureResult(picture((4, 5)), '', np.zeros((7, 3, 2))).summary() == 'features 7 x 3 x 2'


def test_what_is_not_finite_has_no_depth():
    values = np.linspace(1, 2, 20, dtype=np.float32).reshape(4, 5)
    values[0, 0], values[1, 1] = np.nan, np.inf
    depth = DepthResult(picture((4, 5)), depth=values)
    assert depth.valid.sum() == 18 and len(depth.points()[0]) == 18
    depth.mask = np.arange(20).reshape(4, 5) > 9
    assert depth.valid.sum() == 10
    for fov in (0, 180, -1):
        with pytest.raises(ValueError, match=f'fov={fov}: expected degrees between 0 and 180'):
            depth.points(fov=fov)


@pytest.mark.parametrize('wrong', [
    dict(radius=-1.0), dict(radius=0.0), dict(radius=math.nan), dict(thickness=-1), dict(opacity=3.0), dict(opacity=-0.1),
])  # fmt: skip
def test_sizes_and_opacities_that_draw_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=f'{next(iter(wrong))}=.*: expected'):
        Saving(**wrong)


def test_maps_are_cut_out_by_their_mask():
    mask = np.arange(20).reshape(4, 5) > 9
    values = np.linspace(1, 2, 20, dtype=np.float32).reshape(4, 5)
    depth, normal = (
        DepthResult(picture((4, 5)), depth=values),
        NormalResult(picture((4, 5)), normals=np.ones((4, 5, 3))),
    )
    for result in (depth, normal):
        result.cut_out()  # without a mask
        result.mask = mask
    assert np.isfinite(depth.depth).all() and np.isfinite(normal.normals).all()
    before = [result.draw() for result in (depth, normal)]
    for result, picture_before in zip((depth, normal), before, strict=True):
        result.cut_out()
        np.testing.assert_array_equal(result.draw(), picture_before)
        for name, level in dict(gray=100, black=0, white=255).items():
            drawn = result.picture(Saving(background=name, legend=False))
            assert (drawn[~mask] == level).all()
            np.testing.assert_array_equal(drawn[mask], picture_before[mask])
            assert (result.frame_picture(Saving(background=name))[~mask] == level).all()
    np.testing.assert_array_equal(np.isfinite(depth.depth), mask)
    np.testing.assert_array_equal(depth.depth[mask], values[mask])
    np.testing.assert_array_equal(np.isfinite(normal.normals).all(-1), mask)
    assert depth.summary() == 'depth 1.53 to 2.00' and len(depth.points()[0]) == 10
    depth.mask = np.zeros((4, 5), bool)
    depth.cut_out()
    assert depth.summary() == 'no depth' and (depth.draw() == 100).all()
    for limits in ((5.0, 1.0), (2.0, 2.0), (float('nan'), 1.0), (0.5, float('inf'))):
        with pytest.raises(ValueError, match=r'depth_limits=\(.*\): expected two numbers, the nearest depth first'):
            Saving(depth_limits=limits)
    with pytest.raises(ValueError, match="background='red' is not one of"):
        Saving(background='red')


def test_normals_of_depth_are_written_as_colours(tmp_path):
    flat = DepthResult(
        picture((20, 30)), 'a.jpg', np.ones((20, 30), np.float32), mask=np.arange(30) > 9 + np.zeros((20, 1))
    )
    (path,) = flat.save(tmp_path, kinds=('normals',))
    colors = np.asarray(Image.open(path))
    assert path.name == 'a_normals.png' and (colors[:, :10] == 100).all() and (colors[:, 10:] == [128, 128, 255]).all()


def test_features_are_drawn_by_their_principal_components():
    y, x = np.mgrid[:12, :10]
    features = np.zeros((6, 12, 10), np.float32)
    features[2], features[4], features[5] = 9 * x, -4 * y, (x + y) % 3
    result = FeatureResult(np.full((48, 40, 3), 200, np.uint8), features=features)
    shown = result.draw(opacity=1)
    assert shown.shape == (48, 40, 3)
    red, green = shown[..., 0].astype(int), shown[..., 1].astype(int)
    # The strongest component is x, the next y against its sign, so that its largest entry is positive.
    assert (np.diff(red[0]) >= 0).all() and red[0, 0] == 0 and red[0, -1] == 255
    assert np.diff(red[0]).max() < 12, 'smooth: a step between patches is 28 levels'
    assert np.diff(green[:, 0]).max() <= 40 and green[0, 0] > 200 and green[-1, 0] < 60
    # Over the gray image.
    assert (result.draw(opacity=0) == 200).all()
    half = result.draw(opacity=0.5).astype(int)
    assert abs(half - (shown.astype(int) + 200) / 2).max() <= 1
    np.testing.assert_array_equal(result.picture(Saving(opacity=0.5)), half)
    two = FeatureResult(np.zeros((4, 4, 3), np.uint8), features=np.random.default_rng(0).random((2, 4, 4))).draw(1)
    assert (two[..., 2] == 0).all() and two[..., :2].std() > 20


def test_files_of_an_image_that_lacks_some(tmp_path):
    written = pose(0).save(tmp_path, 'x', kinds=('json', 'picture'), picture_format='png')
    assert [path.name for path in written] == ['x.png', 'x.json'] and written[-1].name == 'x.json'
    assert pose().save(tmp_path / 'deep', kinds=('json',), name='y')[0] == tmp_path / 'deep/y.json'
    chosen = {file.kind for file in SegResult.chosen(Saving(extra=('cutout',)))}
    assert chosen == {'labels', 'mask', 'picture', 'cutout'}
    assert {file.kind for file in SegResult.chosen(Saving(kinds=(), extra=('cutout',)))} == {'cutout'}


def test_tracks_and_scores_of_published_formats(tmp_path):
    person = pose()
    person.track_ids = np.array([7, 3])
    document = pose_document(person)
    assert [one['track_id'] for one in document['instance_info']] == [7, 3]
    entries = list(coco_entries(document['instance_info'], 'x', 'a.jpg'))
    assert [entry['track_id'] for entry in entries] == [7, 3]
    write_csv(tmp_path / 'a.csv', [(5, 'a.jpg', document['instance_info'])], COCO)
    rows = list(csv.reader((tmp_path / 'a.csv').read_text().splitlines()))
    assert rows[0][:8] == ['image_id', 'file_name', 'person', 'x1', 'y1', 'x2', 'y2', 'bbox_score']
    assert rows[0][8:11] == ['nose_x', 'nose_y', 'nose_score'] and len(rows[0]) == 8 + 3 * 17
    assert rows[1][:8] == ['5', 'a.jpg', '7', '5.0', '6.0', '70.0', '110.0', '0.9'] and rows[2][2] == '3'
    bare = dict(keypoints=[[1, 2]] * 3, keypoint_scores=[0.2, 0.21, 0.9])
    assert next(coco_entries([bare], 1, 'a'))['score'] == pytest.approx((0.21 + 0.9) / 2)


def test_the_text_of_a_result_has_no_pixels():
    image = picture((12, 16))
    maps = np.ones((12, 16), np.float32)
    results = [
        (pose(), "PoseResult('somewhere/a.jpg', 90 x 120: 2 people, 17 keypoints each)"),
        (PoseResult(image), "PoseResult('array', 16 x 12: 0 people, 0 keypoints each)"),
        (DepthResult(image, 'b.png', maps), "DepthResult('b.png', 16 x 12: depth 1.00 to 1.00)"),
        (NormalResult(image, 'c.png', np.ones((12, 16, 3))), "NormalResult('c.png', 16 x 12: one normal per pixel)"),
        (FeatureResult(image, 'd.png', np.ones((3, 2, 4))), "FeatureResult('d.png', 16 x 12: features 3 x 2 x 4)"),
    ]
    for result, text in results:
        assert repr(result) == text
