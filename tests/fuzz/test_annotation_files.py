"""Damaged annotation files: every annotation is used, left out with a reason that is counted, or the file is refused."""

import json
import warnings

import numpy as np
import pytest

from sapiens.coco import images_without_people, read_segments
from sapiens.datasets import KeypointDataset, SegmentationDataset
from sapiens.datasets.checks import Findings
from sapiens.datasets.transforms import BadImage, LoadLabels
from sapiens.evaluation import KeypointMetric

from ..datasets.people import person, write_people
from .mutations import damage_json

# Findings about annotations that are used nevertheless, or about the file.
NOTES = (
    'repeated annotation id', 'repeated image id', 'box that reaches out', 'labeled keypoint outside', 'no area',
    'keypoints that all', 'keypoints that are all', 'boxes of less', 'the same', 'missing image', 'empty image',
    'unreadable image', 'image of another size',
)  # fmt: skip
SQUARE = [[10, 10, 40, 10, 40, 40, 10, 40]]
RUNS = {'size': [90, 120], 'counts': [1000, 200, 9600]}


def people() -> list:
    annotations = [person(i, image=1 + i % 3) for i in range(4)]
    annotations[1].update(segmentation=SQUARE)
    annotations[2].update(iscrowd=1, segmentation=RUNS)
    parts = dict(foot_kpts=6, face_kpts=68, lefthand_kpts=21, righthand_kpts=21)
    annotations[3].update({name: [9, 9, 2] * count for name, count in parts.items()}, area=None)
    return annotations


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('fuzz')
    file = write_people(root, people())
    content = json.loads((root / 'people.json').read_text())
    content['categories'][0].update(keypoints=[f'k{i}' for i in range(17)])
    content['categories'].append(dict(id=2, name='dog'))
    (root / 'people.json').write_text(json.dumps(content))
    return root, file, content


OWN = dict(name='own', keypoints=[f'k{i}' for i in range(17)])


def refusal(action, file: str):
    """What an action returns, or the message of the error with which it refuses the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error', RuntimeWarning)
            return action(), None
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
        assert file in message, message
        assert type(error) in (ValueError, FileNotFoundError) and '\n' not in message, repr(error)
        return None, message


def damaged(root, number: int) -> tuple[str, object]:
    _, file, content = root
    changed = damage_json(content, np.random.default_rng(number))
    with open(file, 'w', encoding='utf-8', errors='surrogatepass') as opened:
        json.dump(changed, opened)
    return file, changed


def check_people(root, number: int) -> str:
    """Read a damaged file of people in every way; returns what became of it."""
    file, changed = damaged(root, number)
    options = dict(ann_file=file, skeleton=OWN, img_prefix=str(root[0] / 'img'))
    dataset, refused = refusal(lambda: KeypointDataset(**options), file)
    test, _ = refusal(lambda: KeypointDataset(**options, test_mode=True), file)
    metric, metric_refused = refusal(lambda: KeypointMetric(OWN, file), file)
    assert test is None or metric is not None, metric_refused  # what the dataset takes, the metric takes
    assert dataset is not None or test is None, refused
    if dataset is None:
        return 'refused'
    findings = Findings()
    with warnings.catch_warnings():
        warnings.simplefilter('error', RuntimeWarning)
        dataset.check(findings, read=False)
        samples = [dataset.load(index) for index in range(len(dataset))]
    left_out = sum(finding.count for what, finding in findings.items() if not what.startswith(NOTES))
    assert len(dataset) + left_out == len(changed['annotations']), findings.counts()
    for sample in samples:
        assert np.isfinite(sample['keypoints']).all() and np.isfinite(sample['bbox']).all() and sample['area'] > 0
        assert sample['keypoints_visible'].any() and (sample['bbox'][0, 2:] > sample['bbox'][0, :2]).all()
    if metric is not None:
        assert (metric.people.areas > 0).all() and np.isfinite(metric.people.keypoints).all()
    return 'used' if left_out <= 1 else 'left out'  # the crowd


def check_segments(root, number: int) -> str:
    """Read a damaged file of segments; returns what became of it."""
    file, changed = damaged(root, number)
    segments, _ = refusal(lambda: read_segments(file), file)
    if segments is None:
        return 'refused'
    left_out = sum(map(len, segments.left_out.values()))
    painted = sum(len(json.loads(item)) for item in segments.items)
    assert painted + left_out == len(changed['annotations'])
    options = dict(classes=dict(name='c', classes=['background', 'person', 'dog']), images='img', ann_file=file)
    dataset, _ = refusal(
        lambda: SegmentationDataset(data_root=str(root[0]), pipeline=[LoadLabels()], **options), str(root[0])
    )
    for index in range(len(dataset) if dataset is not None else 0):
        try:
            dataset[index]
        except (BadImage, ValueError) as error:
            assert 'img/' in str(error)
    return 'used' if left_out <= 2 else 'left out'  # two have no segment


def check_nobody(root, number: int) -> None:
    """Look for images without people in a damaged file."""
    file, changed = damaged(root, number)
    names, _ = refusal(lambda: images_without_people(file), file)
    if names is not None:
        assert set(names) <= {image['file_name'] for image in changed['images']}


def test_images_without_people(root):
    for number in range(300):
        check_nobody(root, number)


@pytest.mark.parametrize('check', [check_people, check_segments])
def test_every_annotation_is_used_counted_or_refused(check, root):
    outcomes = [check(root, number) for number in range(400)]
    # All three happen: the damage is neither too small nor too large.
    assert min(outcomes.count(outcome) for outcome in ('used', 'left out', 'refused')) > 3


@pytest.mark.slow
@pytest.mark.parametrize('check', [check_people, check_segments, check_nobody])
def test_more_damage(check, root):
    for number in range(1000, 11000):
        check(root, number)
