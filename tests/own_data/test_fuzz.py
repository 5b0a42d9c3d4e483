"""Any damage to an export is used, left out, or refused in words; nothing ends in a bare error of Python."""

import json
import random
import time

import pytest

from sapiens.commands import is_user_error
from sapiens.own_data.doubts import Doubts
from sapiens.own_data.pose import look_at_people
from sapiens.own_data.seg import look_at_classes

from .exports import cvat_instances, cvat_keypoints, label_studio, labelme_people, roboflow

VALUES = [
    None,
    True,
    -1,
    0,
    3,
    2.5,
    1e300,
    float('nan'),
    '',
    'x',
    'a\x00b',
    [],
    {},
    [[]],
    [None],
    [1, 2],
    {'id': 1},
    10**30,
]
CASES = {
    'cvat': (cvat_keypoints, look_at_people, {}),
    'label studio': (label_studio, look_at_people, dict(keypoints='nose,left_hand,right_hand')),
    'labelme': (labelme_people, look_at_people, {}),
    'roboflow': (roboflow, look_at_people, dict(boxes='skip')),
    'cvat segments': (cvat_instances, look_at_classes, {}),
}


@pytest.mark.parametrize('case', CASES)
def test_damaged_exports(case, tmp_path):
    write, look, options = CASES[case]
    write(tmp_path / 'data', count=2)
    files = sorted((tmp_path / 'data').rglob('*.json'))
    contents = {path: path.read_text() for path in files}
    rng, refused, end = random.Random(case), 0, time.monotonic() + 20
    for _ in range(150):
        path = rng.choice(files)
        content = json.loads(contents[path])
        node = content
        while isinstance(node, dict | list) and node and (node is content or rng.random() < 0.7):
            parent, key = node, rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            node = node[key]
        parent[key] = rng.choice(VALUES)
        path.write_text(json.dumps(content))
        try:
            look(str(tmp_path / 'data'), 'own', str(tmp_path / 'out'), Doubts(options))
        except Exception as error:
            assert is_user_error(error), f'{type(error).__name__}: {error}; {key!r} became {parent[key]!r}'
            assert str(error)
            refused += 1
        path.write_text(contents[path])
        assert time.monotonic() < end
    assert 0 < refused < 150
