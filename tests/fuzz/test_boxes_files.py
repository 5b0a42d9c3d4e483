"""Damaged files of boxes and results: every entry is used, left out with a reason that is counted, or the file is refused."""

import json

import numpy as np
import pytest

from sapiens.apis.detectors.boxes_file import BoxesFile
from sapiens.datasets import KeypointDataset
from sapiens.evaluation import KeypointMetric

from ..datasets.people import person, write_people
from .mutations import damage_json

RESULTS = [
    dict(
        image_id=1 + i % 3,
        category_id=1 + i // 4,
        bbox=[5, 6, 40.5, 50],
        score=0.9 - i / 10,
        keypoints=[9.5, 8, 1] * 17,
    )
    for i in range(5)
]


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """(annotation file, file of results)."""
    root = tmp_path_factory.mktemp('boxes')
    return write_people(root, [person(i, image=1 + i) for i in range(3)], pictures=False), root / 'results.json'


def attempt(action, file):
    """What an action returns; None where it refuses the file with one line that names it."""
    try:
        return action()
    except ValueError as error:
        assert type(error) is ValueError and str(file) in str(error) and '\n' not in str(error), repr(error)
        return None


def check(files, number: int) -> str:
    people, file = files
    changed = damage_json(RESULTS, np.random.default_rng(number))
    file.write_text(json.dumps(changed))
    options = dict(ann_file=people, skeleton='coco17', boxes=str(file), test_mode=True)
    dataset = attempt(lambda: KeypointDataset(**options), file)
    if dataset is not None:
        left_out = sum(
            finding.count
            for what, finding in dataset.instances.findings.items()
            if what != 'detection outside of its image'
        )
        assert len(dataset) + left_out == len(changed)
        boxes = np.stack([dataset.load(index)['bbox'][0] for index in range(len(dataset))])
        assert np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    metrics = attempt(lambda: KeypointMetric('coco17', people).rescore(str(file)), file)
    assert metrics is None or all(-1 <= value <= 1 for value in metrics.values())
    boxes = attempt(lambda: BoxesFile(file), file)
    if boxes is not None:
        assert sum(map(len, boxes.boxes.values())) + sum(boxes.left_out.values()) == len(changed)
    return 'refused' if dataset is None or boxes is None else 'used'


def test_every_entry_is_used_counted_or_refused(files):
    outcomes = [check(files, number) for number in range(150)]
    assert outcomes.count('used') > 10 and outcomes.count('refused') > 10


@pytest.mark.slow
def test_more_damage(files):
    for number in range(1000, 6000):
        check(files, number)
