"""What the data leave open is settled by an option, asked on a terminal, or refused; nothing is guessed in silence."""

import json
import shutil

import numpy as np
import pytest

from sapiens.coco import WHOLEBODY_LISTS
from sapiens.commands import new as command
from sapiens.metainfo import get_skeleton
from sapiens.own_data.coco_files import held_out, split_of
from sapiens.own_data.doubts import Doubts
from sapiens.own_data.sides import mirror_pairs

from ..datasets.folders import write_png
from .exports import (
    SIZE,
    THREE,
    cvat_instances,
    cvat_keypoints,
    cvat_masks,
    label_studio,
    labelme_people,
    picture,
)
from .test_new import new, written


def change(path, edit) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def refused(tmp_path, capsys):
    """Runs the command, which must refuse; returns the message."""

    def run(task, *options):
        assert new(task, tmp_path / 'data', tmp_path, *options) == 2
        last = capsys.readouterr().err
        assert not (tmp_path / 'out').exists()
        return last

    return run


def notes(tmp_path) -> str:
    """The comment of the data set file, as one line."""
    return (tmp_path / 'out/own.py').read_text().replace('\n#  ', '')


def annotations(tmp_path):
    return tmp_path / 'data/annotations/person_keypoints_default.json'


@pytest.mark.parametrize('task', ['depth', 'normal'])
def test_data_that_are_not_there(tmp_path, refused, task):
    assert f'error: no folder {tmp_path / "data"}\n' in refused(task)
    (tmp_path / 'data').write_bytes(b'PK')
    assert f'error: no folder {tmp_path / "data"}: unpack the archive\n' in refused(task)


def test_names_without_sides(tmp_path, refused):
    names = ['top', 'middle', 'bottom']
    cvat_keypoints(tmp_path / 'data')
    change(annotations(tmp_path), lambda content: content['categories'][0].update(keypoints=names))
    assert 'No name of the keypoints says left or right (top, middle, bottom)' in refused('pose')
    assert '--flip top:hat: expected none, or pairs' in refused('pose', '--flip', 'top:hat')
    assert new('pose', tmp_path / 'data', tmp_path, '--flip', 'none') == 0
    assert written(tmp_path)['skeleton']['flip'] is False
    (tmp_path / 'out/own.py').unlink()


def test_names_that_are_not_there(tmp_path, refused):
    cvat_keypoints(tmp_path / 'data')
    change(annotations(tmp_path), lambda content: content['categories'][0].pop('keypoints'))
    assert 'does not name its 3 keypoints' in refused('pose') and '--keypoints' in refused('pose')
    assert '2 names, but' in refused('pose', '--keypoints', 'nose,tail')
    assert new('pose', tmp_path / 'data', tmp_path, '--keypoints', ','.join(THREE)) == 0


def test_files_without_categories(tmp_path, refused):
    cvat_keypoints(tmp_path / 'data')

    def edit(content):
        del content['categories']
        for item in content['annotations']:
            del item['category_id']

    change(annotations(tmp_path), edit)
    assert 'does not name its 3 keypoints' in refused('pose')
    assert new('pose', tmp_path / 'data', tmp_path, '--keypoints', ','.join(THREE)) == 0


def test_paths_with_quotes_and_braces(tmp_path):
    cvat_keypoints(tmp_path / "it's \\t")
    assert new('pose', tmp_path / "it's \\t", tmp_path) == 0
    assert written(tmp_path)['train_dataset']['data_root'] == str(tmp_path / "it's \\t")
    shutil.rmtree(tmp_path / 'out')
    (tmp_path / "it's \\t").rename(tmp_path / '{{x')
    assert new('pose', tmp_path / '{{x', tmp_path) == 2 and not (tmp_path / 'out').exists()


def test_the_order_of_label_studio(tmp_path, refused):
    names = ['right_hand', 'nose', 'left_hand']  # of the labels; the points are in the order of model_index
    label_studio(tmp_path / 'data', names=names)
    assert 'the names in the order of the labels and the points in that of model_index' in refused('pose')
    assert 'calls them right_hand, nose, left_hand' in refused('pose', '--keypoints', 'nose,left,right')
    assert new('pose', tmp_path / 'data', tmp_path, '--keypoints', ','.join(THREE)) == 0
    assert written(tmp_path)['skeleton']['keypoints'] == THREE
    document = json.loads((tmp_path / 'out/annotations/train.json').read_text())
    assert document['categories'][0]['keypoints'] == THREE


def test_lists_of_the_whole_body(tmp_path, refused):
    body = list(get_skeleton('coco17').keypoints)
    cvat_keypoints(tmp_path / 'data')

    def edit(content):
        content['categories'][0]['keypoints'] = body
        for item in content['annotations']:
            item |= {name: [20, 20, 2] * count for name, count in WHOLEBODY_LISTS.items()}

    change(annotations(tmp_path), edit)
    assert 'learn all 133 keypoints, or the 17 of the body (wholebody133 or coco17)' in refused('pose')
    assert new('pose', tmp_path / 'data', tmp_path, '--keypoints', 'wholebody133') in (
        0,
        1,
    )  # all in one place: judged
    assert written(tmp_path)['skeleton'] == 'wholebody133'


def test_people_without_boxes(tmp_path, refused):
    labelme_people(tmp_path / 'data', boxed=False)
    assert 'People without a box: 4 in' in refused('pose')
    assert '--boxes none: expected one of keypoints, skip' in refused('pose', '--boxes', 'none')
    assert new('pose', tmp_path / 'data', tmp_path, '--boxes', 'keypoints') == 0
    document = json.loads((tmp_path / 'out/annotations/train.json').read_text())
    assert document['annotations'][0]['bbox'] == [14.0, 8.0, 32.0, 28.0]  # the points with a margin of 4 pixels
    assert '4 boxes made from keypoints' in notes(tmp_path)


def test_several_categories(tmp_path, refused):
    cvat_keypoints(tmp_path / 'data')

    def edit(content):
        content['categories'].append(dict(content['categories'][0], id=2, name='child'))
        content['annotations'][0]['category_id'] = 2

    change(annotations(tmp_path), edit)
    assert 'keypoints of several categories' in refused('pose') and 'child, person' in refused('pose')
    assert '--category dog' in refused('pose', '--category', 'dog')
    assert new('pose', tmp_path / 'data', tmp_path, '--category', 'person') == 0
    assert '1 annotations of other categories left out' in notes(tmp_path)


def test_images_that_are_elsewhere_or_incomplete(tmp_path, refused):
    cvat_keypoints(tmp_path / 'data')
    photos = tmp_path / 'data/images/default'
    (photos / '3.jpg').unlink()
    text = refused('pose')
    assert 'only 3 of its 4 images' in text and "'3.jpg' is not" in text
    photos.rename(tmp_path / 'photos')
    assert "its images, such as '0.jpg', are not in" in refused('pose') and '--images' in refused('pose')
    picture(tmp_path / 'photos/3.jpg')
    assert new('pose', tmp_path / 'data', tmp_path, '--images', tmp_path / 'photos') == 0
    assert written(tmp_path)['train_dataset']['img_prefix'] == str(tmp_path / 'photos')


def test_file_names_with_folders_of_another_machine(tmp_path):
    cvat_keypoints(tmp_path / 'data')

    def edit(content):
        for image in content['images']:
            image['file_name'] = 'C:\\data\\upload\\' + image['file_name']

    change(annotations(tmp_path), edit)
    assert new('pose', tmp_path / 'data', tmp_path) == 0
    assert 'file names shortened to their last part' in notes(tmp_path)


def test_several_files_for_one_purpose(tmp_path, refused):
    cvat_keypoints(tmp_path / 'data')
    again = annotations(tmp_path).with_name('person_keypoints_second.json')
    again.write_text(annotations(tmp_path).read_text())
    text = refused('pose')
    assert 'Which file is for training' in text and 'person_keypoints_second.json' in text and '--train' in text
    assert 'Which file is for validation (split: a part' in refused('pose', '--train', annotations(tmp_path))
    assert 'is not one COCO file with labeled keypoints' in refused('pose', '--train', tmp_path / 'data/annotations')
    options = ('--train', annotations(tmp_path), '--val', 'split')
    assert new('pose', tmp_path / 'data', tmp_path, *options) == 0


def test_nothing_that_fits(tmp_path, refused):
    cvat_instances(tmp_path / 'data')
    text = refused('pose')
    assert (
        'no COCO or Labelme file with labeled keypoints' in text
        and "'coat': 0 with keypoints, 4 with segments" in text
    )
    assert 'no folder of images' in refused('depth')


def test_segments_beside_masks(tmp_path, refused):
    cvat_instances(tmp_path / 'data')
    for split in ('train', 'val'):
        for i in range(4):
            write_png(tmp_path / f'data/masks/{split}/{i}.png', np.zeros(SIZE[::-1], np.uint8))
    text = refused('seg')
    assert 'COCO files with segments, such as' in text and '--train FILE or --labels FOLDER' in text
    assert 'the values 0 (100.0%)' in refused('seg', '--labels', 'masks')
    train, val = (tmp_path / f'data/annotations/instances_{split}.json' for split in ('train', 'val'))
    assert new('seg', tmp_path / 'data', tmp_path, '--train', train, '--val', val) == 0


def test_masks_of_0_and_255(tmp_path, refused):
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[10:40, 8:40] = 255
    for i in range(4):
        picture(tmp_path / f'data/images/{i}.jpg', seed=i)
        write_png(tmp_path / f'data/masks/{i}.png', mask)
    text = refused('seg')
    assert 'values 0 (68.8%), 255 (31.2%): what does each mean' in text and '--values 0=background,255=person' in text
    assert 'does not say what 255 mean' in refused('seg', '--values', '0=background')
    assert 'values 0' in refused('seg', '--classes', 'background,person')
    assert new('seg', tmp_path / 'data', tmp_path, '--values', '0=background,255=person') == 0
    assert written(tmp_path)['train_dataset']['values'] == {0: 'background', 255: 'person'}
    assert written(tmp_path)['train_dataset']['part'] == (0, 0.75)


def test_masks_of_ids_need_names(tmp_path, refused):
    for i in range(4):
        picture(tmp_path / f'data/img_dir/train/{i}.jpg', seed=i)
        picture(tmp_path / f'data/img_dir/val/{i}.jpg', seed=i + 9)
        for split in ('train', 'val'):
            write_png(tmp_path / f'data/ann_dir/{split}/{i}.png', np.full(SIZE[::-1], i, np.uint8))
    assert 'the values 0 (25.0%), 1 (25.0%)' in refused('seg')
    assert 'the values 0 (25.0%)' in refused('seg', '--classes', 'background,coat')  # 2 and 3 would be no class
    assert new('seg', tmp_path / 'data', tmp_path, '--classes', 'background,left_shoe,right_shoe,hat') == 0
    assert 'mirror pairs, by name: left_shoe / right_shoe' in (tmp_path / 'out/own.py').read_text()


def test_colors_need_a_table(tmp_path, refused):
    cvat_masks(tmp_path / 'data')
    (tmp_path / 'data/labelmap.txt').rename(tmp_path / 'names.txt')
    text = refused('seg')
    assert 'The masks are in colors (0,0,0; 250,50,83; 51,221,255' in text and '--colors labelmap.txt' in text
    assert new('seg', tmp_path / 'data', tmp_path, '--colors', tmp_path / 'names.txt') == 0


@pytest.mark.parametrize(
    ('content', 'text'),
    [(b'', 'not a readable image'), (np.zeros((6, 8), np.uint16), '16-bit labels: expected 8 bits')],
)
def test_masks_that_cannot_be_read_are_not_colors(tmp_path, refused, content, text):
    for index in range(4):
        picture(tmp_path / f'data/images/{index}.png', index)
        write_png(tmp_path / f'data/masks/{index}.png', np.arange(48, dtype=np.uint8).reshape(6, 8) % 2)
    if isinstance(content, bytes):
        (tmp_path / 'data/masks/2.png').write_bytes(content)
    else:
        write_png(tmp_path / 'data/masks/2.png', content)
    message = refused('seg', '--classes', 'background,hat')
    assert 'masks/2.png' in message and text in message


def test_images_without_masks(tmp_path, refused):
    cvat_masks(tmp_path / 'data')
    picture(tmp_path / 'data/JPEGImages/unlabeled.jpg')
    assert '1 images have no mask, such as' in refused('seg') and '--unlabeled skip' in refused('seg')
    assert new('seg', tmp_path / 'data', tmp_path, '--unlabeled', 'skip') == 0
    assert written(tmp_path)['train_dataset']['partial'] is True


def test_what_is_refused_late_leaves_nothing_behind(tmp_path, refused):
    cvat_masks(tmp_path / 'data')
    picture(tmp_path / 'data/JPEGImages/frame_9.jpg')
    write_png(tmp_path / 'data/SegmentationClass/frame_9.png', np.full((*SIZE[::-1], 3), 9, np.uint8))
    assert 'the color (9, 9, 9) has no class' in refused('seg')


def test_axes_of_normals_that_are_not_clear(tmp_path, refused):
    rng = np.random.default_rng(0)
    for i in range(4):
        picture(tmp_path / f'data/images/{i}.jpg', seed=i)
        normal = rng.normal(size=(*SIZE[::-1], 3)).astype(np.float32)
        (tmp_path / 'data/normals').mkdir(exist_ok=True)
        np.save(tmp_path / f'data/normals/{i}.npy', normal / np.linalg.norm(normal, axis=-1, keepdims=True))
    assert 'the axes are not clear' in refused('normal') and '--normal-frame published|camera' in refused('normal')
    assert 'masks of people: where are they' in refused('normal', '--normal-frame', 'camera')
    assert new('normal', tmp_path / 'data', tmp_path, '--normal-frame', 'camera', '--masks', 'none') in (0, 1)
    assert written(tmp_path)['train_dataset']['mask'] == ''


def test_floats_that_are_not_meters(tmp_path, refused):
    for i in range(4):
        picture(tmp_path / f'data/images/{i}.jpg', seed=i)
        (tmp_path / 'data/depth').mkdir(exist_ok=True)
        depth = np.linspace(800, 3200, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE[::-1])
        np.save(tmp_path / f'data/depth/{i}.npy', depth)
    assert 'farther than people in meters would be (float32 from 8' in refused('depth', '--masks', 'none')
    assert new('depth', tmp_path / 'data', tmp_path, '--masks', 'none', '--depth-scale', '0.001') in (0, 1)
    assert written(tmp_path)['train_dataset']['depth_scale'] == 0.001


def test_options_without_effect_and_existing_files(tmp_path, refused, capsys):
    cvat_keypoints(tmp_path / 'data')
    assert '--depth-scale 0.001 has no effect' in refused('pose', '--depth-scale', 0.001)
    assert new('pose', tmp_path / 'data', tmp_path) == 0
    assert new('pose', tmp_path / 'data', tmp_path) == 2
    assert 'exists, and may have been changed' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main(['--task', 'pose', str(tmp_path), '--name', 'coco17'])
    assert 'not the name of a skeleton' in capsys.readouterr().err


def test_a_problem_in_the_data_is_the_exit_status(tmp_path, capsys):
    cvat_keypoints(tmp_path / 'data')
    change(annotations(tmp_path), lambda content: content['annotations'][0].update(bbox=[900, 6, 36, 34]))
    assert new('pose', tmp_path / 'data', tmp_path) == 1
    shown = capsys.readouterr().out
    assert 'a box that is empty within its image' in shown and 'The check found problems' in shown
    assert not (tmp_path / 'out/batch.png').exists()


def test_questions_on_a_terminal(tmp_path, monkeypatch):
    cvat_keypoints(tmp_path / 'data')
    change(annotations(tmp_path), lambda content: content['categories'][0].update(keypoints=['a', 'b', 'c']))
    asked, answers = [], iter(['', 'b:c'])
    monkeypatch.setattr('sys.stdin.isatty', lambda: True, raising=False)
    monkeypatch.setattr('builtins.input', lambda text: (asked.append(text), next(answers))[1])
    assert new('pose', tmp_path / 'data', tmp_path) == 0
    assert len(asked) == 2 and 'No name of the keypoints says left or right' in asked[0]  # asked again after no answer
    text = (tmp_path / 'out/own.py').read_text()
    assert '--flip b:c' in text.splitlines()[0] and written(tmp_path)['skeleton']['flip'] == {
        'a': 'a',
        'b': 'c',
        'c': 'b',
    }


@pytest.mark.parametrize(
    ('names', 'flip'),
    [
        (['nose', 'left_hand', 'right_hand'], True),
        (['Nose', 'LeftHand', 'RightHand'], {'LeftHand': 'RightHand', 'RightHand': 'LeftHand'}),
        (['nose', 'handLeft', 'handRight'], {'handLeft': 'handRight', 'handRight': 'handLeft'}),
        (['nose', 'LHand', 'RHand'], {'LHand': 'RHand', 'RHand': 'LHand'}),
        (['nose'], True),
        (['Leftover', 'nose', 'left hand', 'right hand'], True),
    ],
)
def test_mirror_pairs_by_name(names, flip):
    assert mirror_pairs(names, Doubts({}), 'keypoints', True)[0] == flip


def test_a_side_without_its_partner_is_a_doubt():
    with pytest.raises(ValueError, match="'left_eye' of the keypoints has no partner 'right_eye'"):
        mirror_pairs(['nose', 'left_eye'], Doubts({}), 'keypoints', True)
    assert mirror_pairs(['coat', 'hat'], Doubts({}), 'classes', False)[0] is True


def test_splits_and_held_out_images():
    paths = (
        'train/_annotations.json',
        'annotations/person_keypoints_train2017.json',
        'valid/x.json',
        'instances_val2017.json',
    )
    assert [split_of(path) for path in paths] == ['train', 'train', 'val', 'val']
    assert [split_of(path) for path in ('default.json', 'trainer/x.json', 'test/a.json')] == ['', '', 'test']
    assert held_out([f'{i}.jpg' for i in range(30)]) == {'7.jpg', '8.jpg', '9.jpg'}
    copies = [f'{i}_jpg.rf.{copy}.jpg' for i in range(4) for copy in ('0a', '1b', '2c')]
    assert held_out(copies) == set(copies[-3:])
    with pytest.raises(ValueError, match='nothing to hold out'):
        held_out(copies[:3])
