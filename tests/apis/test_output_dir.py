"""The output folder of a run: where it may lie, and the files that combine all images."""

import json
from dataclasses import replace

import pytest

from sapiens.apis.batch_job import Plan
from sapiens.apis.inputs import Item
from sapiens.apis.output_dir import check_places, check_settings, write_combined, write_settings
from sapiens.apis.results import Saving
from sapiens.apis.video.video_job import VideoOptions

from .test_results import pose


def test_results_are_not_written_among_the_inputs(tmp_path):
    images, out = tmp_path / 'images', tmp_path / 'out'
    images.mkdir()
    apart = [
        Item(str(images / 'a.jpg'), 'a'),
        Item('https://example.org/b.jpg', 'b'),
        Item(f'file://{out}/c.jpg', 'c'),
    ]
    check_places(apart, [str(images)], out)
    for inside in (images, images / 'results'):
        with pytest.raises(ValueError, match='is in a folder of inputs'):
            check_places(apart, [str(images)], inside)
    with pytest.raises(ValueError, match=r'holds the input .*d\.jpg'):
        check_places([*apart, Item(str(out / 'd.jpg'), 'd')], [str(out / 'd.jpg')], out)


@pytest.mark.parametrize(('names', 'ids'), [(('a', 'b', 'c'), [1, 3]), (('10', '20', '30'), [10, 30])])
def test_people_of_all_images_are_combined(tmp_path, names, ids):
    plan = Plan(dict(pose=dict(num_keypoints=17)), tmp_path, Saving(kinds=('json',)))
    items = [Item(f'in/{name}.jpg', name) for name in names]
    for item in (items[0], items[2]):  # the second failed
        pose().write(plan.stem('pose', item.name), plan.saving)
    assert write_combined(plan, items, coco=True, csv=True) == [
        f'4 people in {tmp_path / "keypoints.coco.json"}',
        f'4 people in {tmp_path / "keypoints.csv"}',
    ]
    entries = json.loads((tmp_path / 'keypoints.coco.json').read_text())
    assert [entry['image_id'] for entry in entries] == [ids[0]] * 2 + [ids[1]] * 2
    assert (tmp_path / 'keypoints.csv').read_text().count('\n') == 5
    assert write_combined(Plan(dict(depth={}), tmp_path, plan.saving), items) == []
    assert write_combined(plan, []) == [] and write_combined(plan, items, coco=False) == []
    (tmp_path / 'keypoints.csv').unlink()
    assert len(write_combined(plan, items)) == 1 and not (tmp_path / 'keypoints.csv').exists()


def test_several_tasks_have_a_folder_each(tmp_path):
    plan = Plan(dict(pose=dict(num_keypoints=17), depth={}), tmp_path, Saving(kinds=('json',)), subfolders=True)
    item = Item('in/a.jpg', 'a')
    pose().write(plan.stem('pose', 'a'), plan.saving)
    write_combined(plan, [item], csv=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['pose']
    assert sorted(path.name for path in (tmp_path / 'pose').iterdir()) == [
        'a.json',
        'keypoints.coco.json',
        'keypoints.csv',
    ]
    assert 'left_ankle' in (tmp_path / 'pose/keypoints.csv').read_text().split('\n')[0]


def test_ids_of_images_are_unique(tmp_path):
    """Numbers of two folders are equal. An image that the boxes file lacks takes no id of the file."""
    plan = Plan(dict(pose=dict(num_keypoints=17)), tmp_path / 'out', Saving(kinds=('json',)))
    items = [Item(f'in/{name}.jpg', name) for name in ('cam1/0001', 'cam2/0001', '0002')]
    for item in items:
        pose().write(plan.stem('pose', item.name), plan.saving)
    write_combined(plan, items)
    entries = json.loads((plan.out / 'keypoints.coco.json').read_text())
    assert [entry['image_id'] for entry in entries] == [1, 1, 2, 2, 3, 3]
    names = ['cam1/0001.jpg', 'cam2/0001.jpg', '0002.jpg']
    assert [entry['file_name'] for entry in entries] == [name for name in names for _ in range(2)]
    boxes = tmp_path / 'boxes.json'
    boxes.write_text(json.dumps([dict(image_id=1, file_name='cam2/0001.jpg', bbox=[0, 0, 9, 9])]))
    write_combined(replace(plan, boxes=str(boxes)), items)
    entries = json.loads((plan.out / 'keypoints.coco.json').read_text())
    assert [entry['image_id'] for entry in entries[::2]] == [2, 1, 3]


def test_results_of_other_settings_are_refused(tmp_path):
    plan = Plan(dict(pose=dict(model='a', batch_size=8)), tmp_path, Saving())
    check_settings(plan)  # nothing was written yet
    write_settings(plan)
    check_settings(Plan(dict(pose=dict(model='a', batch_size=4)), tmp_path, Saving()))
    with pytest.raises(ValueError, match=r"models was .*'a'.*, is .*'b'"):
        check_settings(Plan(dict(pose=dict(model='b')), tmp_path, Saving()))


def test_settings_of_videos_are_kept(tmp_path):
    plan = Plan(dict(pose=dict(model='a')), tmp_path, Saving(), detector=dict(kind='x', if_no_detections='skip'))
    write_settings(plan)
    check_settings(plan, VideoOptions(track=True))  # no video was processed yet
    write_settings(plan, VideoOptions(track=True))
    check_settings(plan)
    write_settings(plan)  # images only
    check_settings(plan, VideoOptions(track=True))
    with pytest.raises(ValueError, match="video was .*'track': True.*, is .*'track': False"):
        check_settings(plan, VideoOptions())
    record = json.loads((tmp_path / '.run.json').read_text())
    record['detector']['when_nobody'] = record['detector'].pop('if_no_detections')
    (tmp_path / '.run.json').write_text(json.dumps(record))
    check_settings(plan)


@pytest.mark.parametrize('changes', [dict(kinds=('json',)), dict(extra=('json',)), dict(threshold=0.5)])
def test_which_files_are_written_is_no_setting(tmp_path, changes):
    write_settings(Plan(dict(pose={}), tmp_path, Saving()))
    later = Plan(dict(pose=dict(batch_size=2, compile=True, heatmaps=True)), tmp_path, Saving(**changes))
    if 'threshold' in changes:
        with pytest.raises(ValueError, match='saving was'):
            check_settings(later)
    else:
        check_settings(later)
