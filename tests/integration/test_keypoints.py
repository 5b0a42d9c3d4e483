"""sapiens keypoints: result files of every form in another skeleton."""

import csv
import json

import numpy as np
import pytest

from sapiens.apis.results import PoseResult
from sapiens.apis.writers.pose_formats import pose_document, read_people, write_coco, write_csv
from sapiens.metainfo import convert_keypoints, get_skeleton

from . import status_of

SOURCE = get_skeleton('goliath308')


def result(skeleton, seed=0, people=2):
    """People whose left ear and shoulder were not predicted, with coordinates that halve exactly."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 640, (people, len(skeleton), 2)).astype(np.float32)
    scores = rng.integers(1, 64, points.shape[:2]).astype(np.float32) / 64
    points[:, [3, 5]], scores[:, [3, 5]] = np.nan, 0
    boxes, box_scores = np.float32([[1, 2, 30, 40]] * people), np.float32([0.5] * people)
    return PoseResult(
        np.zeros((64, 48, 3), np.uint8),
        keypoints=points,
        scores=scores,
        boxes=boxes,
        box_scores=box_scores,
        skeleton=skeleton,
    )


def converted(before, target):
    target = get_skeleton(target)
    points, scores = convert_keypoints(before.keypoints, before.scores, before.skeleton, target)
    return PoseResult(
        before.image,
        keypoints=points,
        scores=scores,
        boxes=before.boxes,
        box_scores=before.box_scores,
        skeleton=target,
    )


@pytest.fixture
def results(tmp_path):
    """A folder of results as sapiens infer leaves it, of two images, one in a subfolder, and a video."""
    folder, found = tmp_path / 'results', {'a': result(SOURCE), 'deep/b': result(SOURCE, seed=1, people=1)}
    for name, one in found.items():
        write_json(folder / f'{name}.json', one)
    frames = [
        dict(frame=i, time=i / 30, instance_info=pose_document(one)['instance_info'])
        for i, one in enumerate(found.values())
    ]
    header = json.loads((folder / 'a.json').read_text())['meta_info']
    (folder / 'dance.json').write_text(json.dumps(dict(meta_info=header, frames=frames)))
    rows = [(i, f'{name}.jpg', read_people(folder / f'{name}.json')) for i, name in enumerate(found)]
    write_coco(folder / 'keypoints.coco.json', rows)
    write_csv(folder / 'keypoints.csv', rows, SOURCE)
    (folder / '.run.json').write_text('{}')
    (folder / 'camera.json').write_text('{"focal": 50.0}')
    return folder, found


def write_json(path, one, layout='plain'):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(pose_document(one, layout)))


def keypoints(capsys, *arguments):
    return (status_of('keypoints', *arguments), *capsys.readouterr())


@pytest.mark.parametrize('target', ['coco17', 'wholebody133', 'openpose25', 'smplx127'])
def test_a_folder_of_results(results, target, tmp_path, capsys):
    folder, found = results
    out = tmp_path / 'out'
    status, text, error = keypoints(capsys, folder, '--as', target, '--out', out)
    assert (status, error) == (0, '')
    assert f'goliath308 to {target}: ' in text and text.endswith('/out: 5; left out, without keypoints: 1\n')
    names = {path.relative_to(out).as_posix() for path in out.rglob('*') if path.is_file()}
    assert names == {'a.json', 'deep/b.json', 'dance.json', 'keypoints.coco.json', 'keypoints.csv'}
    wanted = {name: pose_document(converted(one, target)) for name, one in found.items()}
    for name, document in wanted.items():
        assert json.loads((out / f'{name}.json').read_text()) == document
    video = json.loads((out / 'dance.json').read_text())
    assert video['meta_info'] == wanted['a']['meta_info'] and video['frames'][1]['time'] == 1 / 30
    assert [frame['instance_info'] for frame in video['frames']] == [one['instance_info'] for one in wanted.values()]
    # COCO results keep the score of the person; the rest is what sapiens infer writes.
    rows = [(i, f'{name}.jpg', wanted[name]['instance_info']) for i, name in enumerate(wanted)]
    write_coco(tmp_path / 'coco.json', rows)
    entries, theirs, before = (
        json.loads(path.read_text())
        for path in (out / 'keypoints.coco.json', tmp_path / 'coco.json', folder / 'keypoints.coco.json')
    )
    assert [one | dict(score=0) for one in entries] == [one | dict(score=0) for one in theirs]
    assert [one['score'] for one in entries] == [one['score'] for one in before]
    write_csv(tmp_path / 'table.csv', rows, get_skeleton(target))
    tables = [list(csv.reader(path.open())) for path in (out / 'keypoints.csv', tmp_path / 'table.csv')]
    assert tables[0] == tables[1]


def test_there_and_back(results, tmp_path, capsys):
    folder, _ = results
    assert keypoints(capsys, folder / 'a.json', '--as', 'coco17', '--out', tmp_path / '17')[0] == 0
    assert keypoints(capsys, tmp_path / '17', '--as', 'goliath308', '--out', tmp_path / '308')[0] == 0
    people = read_people(tmp_path / '308/a.json')
    before = read_people(folder / 'a.json')
    body = [SOURCE.index(name) for name in get_skeleton('coco17').keypoints]
    for new, old in zip(people, before, strict=True):
        assert len(new['keypoints']) == 308 and new['bbox'] == old['bbox']
        for index in range(308):
            kept = index in body
            assert new['keypoints'][index] == (old['keypoints'][index] if kept else [None, None])
            assert new['keypoint_scores'][index] == (old['keypoint_scores'][index] if kept else 0)


def test_files_that_do_not_name_their_keypoints(results, tmp_path, capsys):
    _, found = results
    for layout in ('lite', 'published'):
        write_json(tmp_path / f'{layout}.json', found['a'], layout)
    (tmp_path / 'own.py').write_text("skeleton = dict(name='eyes', keypoints=['left_eye', 'right_eye', 'horn'])\n")
    for name, document in (('lite', None), ('published', 'nested')):
        given = ('--from', 'goliath308') if document is None else ()
        out = tmp_path / f'out_{name}'
        assert keypoints(capsys, tmp_path / f'{name}.json', '--as', tmp_path / 'own.py', '--out', out, *given)[0] == 0
        assert json.loads((out / f'{name}.json').read_text()) == pose_document(
            converted(found['a'], tmp_path / 'own.py'), name
        )
    # An own skeleton is known by the names in the file.
    assert keypoints(capsys, tmp_path / 'out_published', '--as', 'coco17', '--out', tmp_path / 'back')[0] == 0
    person = read_people(tmp_path / 'back/published.json')[0]
    assert person['keypoints'][1] == found['a'].keypoints[0, 1].tolist() and person['keypoints'][0] == [None, None]
    status, _, error = keypoints(capsys, tmp_path / 'lite.json', '--as', 'coco17', '--out', tmp_path / 'x')
    assert (
        status == 2
        and error == f'error: {tmp_path}/lite.json does not name its keypoints: give their skeleton with --from\n'
    )


def test_the_five_lists_of_whole_body_results(tmp_path, capsys):
    rows = np.arange(133 * 3.0)
    parts = np.split(rows, np.cumsum([51, 18, 204, 63]))
    names = ('keypoints', 'foot_kpts', 'face_kpts', 'lefthand_kpts', 'righthand_kpts')
    entry = {name: part.tolist() for name, part in zip(names, parts, strict=True)}
    (tmp_path / 'dump.json').write_text(json.dumps([dict(entry, image_id=4, category_id=1, score=0.7)]))
    assert keypoints(capsys, tmp_path / 'dump.json', '--as', 'openpose135', '--out', tmp_path / 'out')[0] == 0
    (found,) = json.loads((tmp_path / 'out/dump.json').read_text())
    assert found.keys() == {'keypoints', 'image_id', 'category_id', 'score'} and found['score'] == 0.7
    target, source = get_skeleton('openpose135'), get_skeleton('wholebody133')
    values = np.reshape(found['keypoints'], (-1, 3))
    for name in ('nose', 'left_heel', 'face-5'):
        assert values[target.index(name)].tolist() == rows.reshape(-1, 3)[source.index(name)].tolist()
    assert values[target.index('head_top')].tolist() == [0, 0, 0]


def test_damaged_files_are_named_and_others_converted(results, tmp_path, capsys):
    folder, _ = results
    (folder / 'a.json').write_text('{"instance_info": [{"keypoints": [[1, 2]], "keypoint_scores": [1, 1]}]}')
    (folder / 'deep/b.json').write_text('{"meta_info"')
    status, text, error = keypoints(capsys, folder, '--as', 'coco17', '--out', tmp_path / 'out')
    assert status == 1 and '/out: 3; ' in text
    assert [line.split(' is damaged')[0] for line in error.splitlines()] == [
        f'failed: {folder}/a.json', f'failed: {folder}/deep/b.json'
    ]  # fmt: skip
    assert not (tmp_path / 'out/a.json').exists() and (tmp_path / 'out/dance.json').is_file()


def test_wrong_arguments_end_in_one_line(results, tmp_path, capsys):
    folder, _ = results
    out = tmp_path / 'out'
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'one.json').write_text('{"focal": 5}')
    (tmp_path / 'other').mkdir()
    (tmp_path / 'a.json').write_text((folder / 'a.json').read_text())
    write_json(tmp_path / 'short.json', result(get_skeleton('coco17')), 'lite')
    (tmp_path / 'own.py').write_text("skeleton = dict(name='horse', keypoints=['hoof', 'mane'])\n")
    assert keypoints(capsys, folder / 'a.json', '--as', 'coco17', '--out', tmp_path / 'other')[0] == 0
    for arguments, message in (
        ((folder, '--as', 'coco71', '--out', out), "skeleton 'coco71'"),
        ((folder, '--as', 'coco17', '--out', folder / 'x'), 'is in the input'),
        ((folder / 'a.json', '--as', 'coco17', '--out', folder), 'holds the input'),
        ((folder / 'a.json', tmp_path / 'a.json', '--as', 'coco17', '--out', out), 'would both become'),
        ((folder / 'a.json', '--as', 'coco17', '--out', tmp_path / 'a.json'), 'is a file: give the name of a folder'),
        ((folder / 'a.json', '--as', 'coco17', '--out', tmp_path / 'other'), 'a.json exists: add --overwrite'),
        ((tmp_path / 'nowhere', '--as', 'coco17', '--out', out), 'no file or folder'),
        ((tmp_path / 'own.py', '--as', 'coco17', '--out', out), 'expected a file of keypoints'),
        ((tmp_path / 'empty', '--as', 'coco17', '--out', out), 'holds no file that ends in'),
        ((tmp_path / 'one.json', '--as', 'coco17', '--out', out), 'has no keypoints of people'),
        ((folder / 'a.json', '--as', 'coco17', '--from', 'coco17', '--out', out), 'not those of --from coco17'),
        ((folder / 'a.json', '--as', tmp_path / 'own.py', '--out', out), "'goliath308' and 'horse' share no keypoint"),
        ((tmp_path / 'short.json', '--as', 'coco17', '--from', 'goliath308', '--out', out), 'has 17 keypoints, and'),
    ):  # fmt: skip
        status, _, error = keypoints(capsys, *arguments)
        assert status == 2 and error.count('\n') == 1 and message in error, message
    options = ('--as', 'coco17', '--out', tmp_path / 'other', '--overwrite')
    assert keypoints(capsys, folder / 'a.json', *options)[0] == 0
