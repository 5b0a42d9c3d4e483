"""The output folder of a run: where it may lie, and the files that combine all images."""

import json
import os
import time
from dataclasses import replace

import pytest

from sapiens.apis.batch_job import Plan
from sapiens.apis.inputs import Item
from sapiens.apis.masks import Masking
from sapiens.apis.output_dir import check_overwriting, check_places, write_combined
from sapiens.apis.results import Saving
from sapiens.apis.run_record import check_settings, content_of, read_record, write_settings
from sapiens.apis.video.video_job import VideoOptions
from sapiens.apis.writers.files import is_complete

from .test_results import pose


def test_results_are_not_written_among_the_inputs(tmp_path):
    images, out = tmp_path / 'images', tmp_path / 'out'
    images.mkdir()
    apart = [
        Item(str(images / 'a.jpg'), 'a'),
        Item('https://example.org/b.jpg', 'b'),
        Item(f'file://{images}/c.jpg', 'c'),
    ]
    check_places(apart, [str(images)], out)
    for inside in (images, images / 'results'):
        with pytest.raises(ValueError, match='is in a folder of inputs'):
            check_places(apart, [str(images)], inside)
    with pytest.raises(ValueError, match=r'holds the input .*d\.jpg'):
        check_places([*apart, Item(str(out / 'd.jpg'), 'd')], [str(out / 'd.jpg')], out)
    with pytest.raises(ValueError, match=r'holds the input file://.*d\.jpg'):
        check_places([Item(f'file://{out}/d.jpg', 'd')], [], out)
    (images / 'loop.jpg').symlink_to('loop.jpg')
    check_places([Item(str(images / 'loop.jpg'), 'loop'), Item('in/\0.jpg', 'x')], [str(images)], out)
    out.touch()
    with pytest.raises(ValueError, match=r'out is a file: give the name of a folder'):
        check_places(apart, [str(images)], out)


def test_boxes_masks_and_lists_are_not_overwritten(tmp_path):
    out, items = tmp_path / 'out', [Item('in/a.jpg', 'a'), Item('in/seg/b.jpg', 'seg/b')]
    (out / 'seg').mkdir(parents=True)
    pose = Plan(dict(pose={}), out, Saving())
    for name in ('keypoints.coco.json', 'keypoints.csv', '.run.json', 'a.json'):
        with pytest.raises(ValueError, match=rf'{name} would be overwritten by a result'):
            check_overwriting(replace(pose, boxes=str(out / 'seg' / '..' / name)), items, [])
    check_overwriting(replace(pose, boxes=str(out / 'boxes.json')), items, ['in', str(out / 'list.txt')])
    with pytest.raises(ValueError, match=r'failures\.txt would be overwritten'):
        check_overwriting(pose, items, [str(out / 'failures.txt')])
    depth = Plan(dict(depth={}), out, Saving())
    (tmp_path / 'link').symlink_to(out)
    with pytest.raises(ValueError, match=r'a\.npy would be overwritten'):
        check_overwriting(replace(depth, mask_dir=tmp_path / 'link'), items, [])
    check_overwriting(replace(depth, mask_dir=out / 'seg'), items[:1], [])  # no result is in that folder
    check_overwriting(replace(depth, mask_dir=out / 'seg', subfolders=True), items[:1], [])
    with pytest.raises(ValueError, match=r'b\.npy would be overwritten'):
        check_overwriting(replace(depth, mask_dir=out / 'seg'), [Item('in/b.jpg', 'b'), items[1]], [])


@pytest.mark.parametrize(('names', 'ids'), [(('a', 'b', 'c'), [1, 3]), (('10', '20', '30'), [10, 30])])
def test_people_of_all_images_are_combined(tmp_path, names, ids):
    plan = Plan(dict(pose=dict(num_keypoints=17)), tmp_path, Saving(kinds=('json',)))
    items = [Item(f'in/{name}.jpg', name) for name in names]
    for item in (items[0], items[2]):  # the second failed
        pose().write(plan.stem('pose', item.name), plan.saving)
    texts, failed = write_combined(plan, items, coco=True, csv=True)
    assert texts == [
        f'4 people in {tmp_path / "keypoints.coco.json"}',
        f'4 people in {tmp_path / "keypoints.csv"}',
    ]
    assert failed == []
    entries = json.loads((tmp_path / 'keypoints.coco.json').read_text())
    assert [entry['image_id'] for entry in entries] == [ids[0]] * 2 + [ids[1]] * 2
    assert (tmp_path / 'keypoints.csv').read_text().count('\n') == 5
    assert write_combined(Plan(dict(depth={}), tmp_path, plan.saving), items) == ([], [])
    assert write_combined(plan, []) == write_combined(plan, items, coco=False) == ([], [])
    (tmp_path / 'keypoints.csv').unlink()
    assert len(write_combined(plan, items)[0]) == 1 and not (tmp_path / 'keypoints.csv').exists()


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
    with pytest.raises(ValueError, match=r'\(models\.pose\.model was a, is b\)$'):
        check_settings(Plan(dict(pose=dict(model='b')), tmp_path, Saving()))


def test_settings_of_videos_are_kept(tmp_path):
    plan = Plan(dict(pose=dict(model='a')), tmp_path, Saving(), detector=dict(kind='x', if_no_detections='skip'))
    write_settings(plan)
    check_settings(plan, VideoOptions(track=True))  # no video was processed yet
    write_settings(plan, VideoOptions(track=True))
    check_settings(plan)
    write_settings(plan)  # images only
    check_settings(plan, VideoOptions(track=True))
    with pytest.raises(ValueError, match=r'\(video\.track was True, is False\)$'):
        check_settings(plan, VideoOptions())
    record = json.loads((tmp_path / '.run.json').read_text())
    record['detector']['when_nobody'] = record['detector'].pop('if_no_detections')
    del (
        record['saving']['background'],
        record['mask_by'],
        record['mask_classes'],
    )  # of a version that had no such options
    (tmp_path / '.run.json').write_text(json.dumps(record))
    check_settings(plan)
    with pytest.raises(ValueError, match=r'mask_by was None, is seg\)$'):
        check_settings(replace(plan, masking=Masking('seg')))


def test_pictures_of_a_version_with_the_published_colors_only(tmp_path):
    write_settings(Plan(dict(pose=dict(model='a')), tmp_path, Saving()))
    record = json.loads((tmp_path / '.run.json').read_text())
    del record['saving']['palette'], record['saving']['legend']
    (tmp_path / '.run.json').write_text(json.dumps(record))
    with pytest.raises(
        ValueError, match='saving.palette was published, is distinct; saving.legend was False, is True'
    ):
        check_settings(Plan(dict(pose=dict(model='a')), tmp_path, Saving()))
    check_settings(Plan(dict(pose=dict(model='a')), tmp_path, Saving(palette='published', legend=False)))


@pytest.mark.parametrize('changes', [dict(kinds=('json',)), dict(extra=('json',)), dict(threshold=0.5)])
def test_which_files_are_written_is_no_setting(tmp_path, changes):
    write_settings(Plan(dict(pose={}), tmp_path, Saving()))
    later = Plan(dict(pose=dict(batch_size=2, compile=True, heatmaps=True)), tmp_path, Saving(**changes))
    if 'threshold' in changes:
        with pytest.raises(ValueError, match=r'\(saving\.threshold was 0\.3, is 0\.5\)$'):
            check_settings(later)
    else:
        check_settings(later)


def test_a_damaged_result_is_a_failure_of_its_image(tmp_path):
    plan = Plan(dict(pose=dict(num_keypoints=17)), tmp_path, Saving(kinds=('json',)))
    items = [Item(f'in/{name}.jpg', name) for name in 'abcdef']
    for item in items:
        pose().write(plan.stem('pose', item.name), plan.saving)
    damages = dict(
        b='', c='{"instance_info": [5]}', d='[' * 100_000, e='{"instance_info": [{"keypoints": [[1]]}]}', f='\xff'
    )
    for name, text in damages.items():
        (tmp_path / f'{name}.json').write_bytes(text.encode('latin1'))
    texts, failed = write_combined(plan, items, csv=True)
    assert all(text.startswith('2 people') for text in texts) and len(texts) == 2
    assert [outcome.item.name for outcome in failed] == list(damages)
    assert all(f'{outcome.item.name}.json is damaged' in outcome.error for outcome in failed)
    assert [plan.is_done(item.name) for item in items] == [True, False, True, False, True, False]


def test_results_from_before_another_record_do_not_count(tmp_path):
    """--overwrite replaces the settings: what it did not compute again is of the former ones."""
    plan = Plan(dict(pose=dict(num_keypoints=17)), tmp_path, Saving(kinds=('json',)))
    items = [Item(f'in/{name}.jpg', name) for name in 'ab']
    for item in items:
        pose().write(plan.stem('pose', item.name), plan.saving)
    assert write_settings(plan) == 0 and plan.is_done('a', 0)
    assert write_settings(plan, overwrite=True) == 0, 'the same settings'
    other = replace(plan, saving=Saving(kinds=('json',), json_layout='lite'))
    with pytest.raises(ValueError, match='other settings'):
        write_settings(other)
    since = write_settings(other, overwrite=True)
    assert since == write_settings(other) == read_record(tmp_path)['since'] > 0
    os.utime(tmp_path / 'b.json', ns=(since - 1, since - 1))
    os.utime(tmp_path / 'a.json', ns=(since, since))
    assert other.is_done('a', since) and not other.is_done('b', since)
    assert write_combined(other, items, since=since)[0][0].startswith('2 people')
    for name in 'ab':  # files of an archive without times
        os.utime(tmp_path / f'{name}.json', ns=(0, 0))
        assert plan.is_done(name) and is_complete(tmp_path / f'{name}.json')
    assert write_combined(plan, items)[0][0].startswith('4 people'), 'any time counts where none is given'


@pytest.mark.parametrize('ahead', [10**9 * 3600, 10**400], ids=['hour', 'damaged'])
def test_a_clock_that_was_set_back(tmp_path, ahead):
    """Results that are written now count, although the record is from later."""
    plan = Plan(dict(pose={}), tmp_path, Saving(kinds=('json',)))
    write_settings(plan)
    record = read_record(tmp_path)
    (tmp_path / '.run.json').write_text(json.dumps(record | dict(since=time.time_ns() + ahead)))
    since = write_settings(plan)
    pose().write(plan.stem('pose', 'a'), plan.saving)
    assert plan.is_done('a', since)
    assert write_combined(plan, [Item('a.jpg', 'a')], since=since)[0][0].startswith('2 people')
    assert write_settings(plan) == since == read_record(tmp_path)['since']


def test_other_content_of_the_same_files_is_noticed(tmp_path):
    plan = Plan(
        dict(pose=dict(model='a')), tmp_path, Saving(), content={'weights of pose': '1', 'config of pose': '2'}
    )
    write_settings(plan)
    check_settings(plan)
    check_settings(replace(plan, content={}))  # another version of the package
    with pytest.raises(ValueError, match='weights of pose: its content has changed'):
        check_settings(replace(plan, content={'weights of pose': '3', 'config of pose': '2'}))
    random = replace(plan, content={'weights of pose': 'random'}, out=tmp_path / 'random')
    random.out.mkdir()
    write_settings(random)
    with pytest.raises(ValueError, match='weights of pose: they are random'):
        check_settings(random)
    write_settings(random, overwrite=True)
    record = read_record(tmp_path)
    del record['content']
    (tmp_path / '.run.json').write_text(json.dumps(record))
    check_settings(plan)  # of a version that did not record it


def test_the_content_of_all_files_that_decide_the_results(tmp_path):
    """The weights and the config of each model, the boxes, and the files in the name of a detector."""
    model, weights, files = (
        tmp_path / 'own.py',
        tmp_path / 'own.pth',
        [tmp_path / name for name in ('a.onnx', 'b.json')],
    )
    model.write_text("model = dict(type='PoseEstimator')\nwork_dir = 'x'\n")
    for index, file in enumerate((weights, *files)):
        file.write_text(str(index))
    models = dict(pose=dict(model=str(model), checkpoint=str(weights)), seg=dict(model=str(model), checkpoint=None))
    boxes = Plan(models, tmp_path, Saving(), boxes=str(files[1]))
    detector = Plan(models, tmp_path, Saving(), detector=dict(text=f'own:{files[0]},{files[1]}:{tmp_path}'))
    found = content_of(boxes), content_of(detector)
    of_models = {f'{what} of {task}' for what in ('config', 'weights') for task in ('pose', 'seg')}
    assert set(found[0]) == of_models | {str(files[1])} and set(found[1]) == of_models | set(map(str, files))
    assert found[0]['weights of seg'] == 'random' and found[0]['config of seg'] == found[0]['config of pose']
    assert found[0][str(files[1])] == found[1][str(files[1])] != found[1][str(files[0])]
    for detector in (None, dict(text='whole-image'), {}):
        assert set(content_of(Plan(models, tmp_path, Saving(), detector=detector))) == of_models

    def changed(file, text):
        before = file.read_text()
        file.write_text(text)
        now = content_of(boxes)
        file.write_text(before)
        return {key for key in now if now[key] != found[0][key]}

    assert changed(weights, '9') == {'weights of pose'} and changed(files[1], '9') == {str(files[1])}
    assert changed(model, "model = dict(type='MAE')\n") == {'config of pose', 'config of seg'}
    assert changed(model, model.read_text() + "load_from = 'y'\n") == set(), 'it does not change results'
    weights.unlink()
    assert content_of(boxes)['weights of pose'] == '', 'loading tells that it is missing'


@pytest.mark.parametrize('damage', ['', '{', '[]', '5', 'null', '{"detector": "x"}', '{"models": []}', '{"since": "1"}',
                                    '\xff\xfe', '[' * 100_000])  # fmt: skip
def test_a_damaged_record_is_named(tmp_path, damage):
    plan = Plan(dict(pose=dict(model='a')), tmp_path, Saving())
    (tmp_path / '.run.json').write_bytes(damage.encode('latin1'))
    for refused in (check_settings, write_settings):
        with pytest.raises(ValueError, match=r'\.run\.json.* is damaged .*: choose another --out, or --overwrite'):
            refused(plan)
    assert write_settings(plan, overwrite=True) > 0
    check_settings(plan)


def test_a_change_of_several_tasks_is_told_once(tmp_path):
    """Also what follows from it: the content of files that another setting names, a background that is not chosen."""
    options = dict(model='a', checkpoint='x', flip_test=True)
    content = {
        'config of pose': '1',
        'weights of pose': '2',
        'config of seg': '1',
        'weights of seg': '2',
        'b of c.json': '3',
    }
    plan = Plan(dict(pose=options, seg=options), tmp_path, Saving(), content=content)
    write_settings(plan)

    def message(**changes):
        with pytest.raises(ValueError) as refused:
            check_settings(replace(plan, **changes))
        return str(refused.value).partition('--overwrite ')[2]

    other = dict(options, model='b')
    both = dict(models=dict(pose=other, seg=other))
    new = {key: f'{value}0' for key, value in content.items()}
    assert message(content=new) == (
        '(config of pose/seg: its content has changed; weights of pose/seg: its content has changed; '
        'b of c.json: its content has changed)'
    )
    assert message(**both, content=dict(new, **{'b of c.json': '3'})) == '(models.pose/seg.model was a, is b)'
    one = dict(pose=options, seg=dict(options, checkpoint='y'))
    assert message(models=one, content=dict(content, **{'config of seg': '10', 'weights of seg': '20'})) == (
        '(models.seg.checkpoint was x, is y; config of seg: its content has changed)'
    )
    assert message(masking=Masking('seg')) == '(mask_by was None, is seg)'
    assert message(masking=Masking('seg'), saving=Saving(background='white')) == (
        '(saving.background was gray, is white; mask_by was None, is seg)'
    )
