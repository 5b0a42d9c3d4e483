import json

import numpy as np
import pytest

from sapiens.datasets import CombinedDataset, Draw, ImageFolder, KeypointDataset
from sapiens.datasets.checks import Findings, check_overlap, check_samples
from sapiens.datasets.statistics import statistics_of
from sapiens.tasks import get_task

from .helpers import encode, smooth_image
from .people import person, write_people

PIPELINE = [
    dict(type='mmpose.GetBBoxCenterScale', padding=1.25),
    dict(type='LoadPerson', size=(24, 32)),
    dict(type='PackPose'),
]


def people(root, annotations, **options):
    file = write_people(root, annotations)
    return KeypointDataset(file, 'coco17', img_prefix=str(root / 'img'), pipeline=PIPELINE, **options)


def found(dataset, **options) -> dict:
    findings = Findings()
    dataset.check(findings, **options)
    return {what: finding.count for what, finding in findings.items()}


def test_good_data(tmp_path):
    assert found(people(tmp_path, [person(0), person(1, image=2)]), read=True) == {}


def test_annotations(tmp_path):
    far = person(4)
    far['keypoints'][6:9] = [300, 20, 2]
    hidden = person(5)
    hidden['keypoints'][6:9] = [300, 20, 0]
    annotations = [
        person(0),
        person(0),  # its id comes twice
        person(1, bbox=[90, 40, 60, 30]),
        person(2, bbox=[200, 40, 60, 30]),
        person(3, image=99),
        far,
        hidden,
        person(6, bbox=[59.5, 39.5, 61, 51]),  # half a pixel more than there is: common
    ]
    dataset = people(tmp_path, annotations)
    assert found(dataset) == {
        'repeated annotation id': 1,
        'box that reaches out of its image': 1,
        'a box that is empty within its image': 1,
        'annotation of an image that is not listed': 1,
        'labeled keypoint outside of its image': 1,
        'keypoints that all lie beside their box': 1,
    }
    findings = Findings()
    dataset.check(findings)
    assert findings.wrong == 6
    assert 'keypoint 2 at [300.0, 20.0]' in findings['labeled keypoint outside of its image'].examples[0]


def test_unused_annotations_are_no_problem(tmp_path):
    findings = Findings()
    people(tmp_path, [person(0), person(1, iscrowd=1), person(2, num_keypoints=0)]).check(findings)
    assert {what: finding.count for what, finding in findings.items()} == {'a crowd': 1, 'no labeled keypoint': 1}
    assert findings.wrong == 0


def test_people_whose_keypoints_all_lie_at_the_origin_are_not_labelled(tmp_path):
    origin = [0, 0, 2]
    changes = ([*origin * 17], [-3, 0, 2] * 17, [0, 0.5, 2, *origin * 16], [0.5, 0, 2, *origin * 16])
    dataset = people(tmp_path, [person(i, keypoints=points) for i, points in enumerate(changes)])
    assert dataset.instances.ids.tolist() == [102, 103] and found(dataset)['no labeled keypoint'] == 2


@pytest.mark.parametrize(('beyond', 'wrong'), [(1.0, 0), (1.25, 1)])
def test_a_pixel_outside_of_the_image_is_common(tmp_path, beyond, wrong):
    """Images of 120 x 90: boxes end at 120 + 1, keypoints may lie at 120 + 1."""
    box = people(tmp_path, [person(0, bbox=[120 + beyond - 80, 5, 80, 70])])
    assert found(box).get('box that reaches out of its image', 0) == wrong
    box = people(tmp_path, [person(0, bbox=[-beyond, 5, 80, 70])])
    assert found(box).get('box that reaches out of its image', 0) == wrong
    for x, y in ((120 + beyond, 20), (-beyond, 20), (20, 90 + beyond), (20, -beyond)):
        changed = person(0)
        changed['keypoints'][:2] = x, y
        assert found(people(tmp_path, [changed])).get('labeled keypoint outside of its image', 0) == wrong


def test_repeated_image_ids(tmp_path):
    file = write_people(tmp_path, [person(0)])
    content = json.loads((tmp_path / 'people.json').read_text())
    content['images'].append(content['images'][0])
    (tmp_path / 'people.json').write_text(json.dumps(content))
    assert found(KeypointDataset(file, 'coco17', img_prefix=str(tmp_path / 'img'))) == {'repeated image id': 1}


def test_images(tmp_path):
    dataset = people(tmp_path, [person(i, image=i) for i in (1, 2, 3)])
    (tmp_path / 'img/1.jpg').unlink()
    (tmp_path / 'img/2.jpg').write_bytes(b'')
    (tmp_path / 'img/3.jpg').write_bytes(encode(smooth_image(120, 90))[:-300])
    assert found(dataset) == {'missing image': 1, 'empty image file': 1}
    assert found(dataset, read=True) == {'missing image': 1, 'empty image file': 1, 'unreadable image': 1}
    folder = ImageFolder(str(tmp_path / 'img'))
    assert found(folder) == {'empty image file': 1} and found(folder, read=True)['unreadable image'] == 1
    both = CombinedDataset([folder, ImageFolder(str(tmp_path / 'img'))])
    assert set(found(both)) == {f'empty image file [{folder!r}]'}
    assert f'unreadable image [{folder!r}]' in found(both, read=True)
    (tmp_path / 'img/3.jpg').write_bytes(encode(smooth_image(90, 120)))
    assert 'image of another size than the annotation file states' in found(dataset, read=True)


def test_images_without_people_are_not_checked(tmp_path):
    dataset = people(tmp_path, [person(0)])
    for name in ('2.jpg', '3.jpg'):
        (tmp_path / 'img' / name).unlink()
    assert found(dataset) == {}


def test_skeletons(tmp_path):
    file = write_people(tmp_path, [person(0, count=3)])

    def check(**skeleton):
        skeleton = dict(name='own', keypoints=['left_eye', 'right_eye', 'mouth'], **skeleton)
        return found(KeypointDataset(file, skeleton, img_prefix=str(tmp_path / 'img')))

    assert check() == {}
    assert check(upper=['left_eye']) == {'keypoint of the upper body whose mirror image is not': 1}
    assert check(flip=False) == {'keypoint of one side that is its own mirror image': 2}


def test_images_in_training_and_evaluation(tmp_path):
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
    first = people(tmp_path / 'a', [person(i, image=i) for i in (1, 2, 3)])
    second = people(tmp_path / 'b', [person(i, image=i) for i in (1, 2, 3)])
    (tmp_path / 'b/img/2.jpg').write_bytes(encode(smooth_image(120, 90, seed=77)))
    findings = Findings()
    check_overlap(
        findings, first, CombinedDataset([KeypointDataset(second.ann_file, 'coco17', img_prefix=second.img_root)])
    )
    [(what, finding)] = findings.items()
    assert 'share' in what and finding.count == 2 and 'a/img/1.jpg' in finding.examples[0]


def test_samples(tmp_path):
    hidden = np.array(person(1)['keypoints']).reshape(17, 3)
    hidden[4:, 2] = 0
    away = person(2, keypoints=[500, 500, 2] * 17)
    dataset = people(tmp_path, [person(0), person(1, keypoints=hidden.ravel().tolist()), away])
    findings = Findings()
    text = check_samples(findings, dataset, [Draw(i, i) for i in range(3)], statistics_of(get_task('pose')))
    assert '3 samples' in text and 'Of 12.7 labeled keypoints on average, 7.0 (55%) are inside' in text
    assert '4 in the median sample, 0 at least, 17 at most' in text
    assert {what: finding.count for what, finding in findings.items()} == {'sample without a visible keypoint': 1}
    only = people(tmp_path, [away])
    check_samples(findings, only, [Draw(0, 1)], statistics_of(get_task('pose')))
    assert findings.wrong == 1
    strict = people(tmp_path, [person(0), away])
    strict.pipeline.transforms[1].min_visible = 1
    rejecting = Findings()
    assert 'it rejected 1 of them' in check_samples(
        rejecting, strict, [Draw(i, i) for i in range(2)], statistics_of(get_task('pose'))
    )
    assert rejecting.wrong == 0
    check_samples(rejecting, strict, [Draw(1, 1)], statistics_of(get_task('pose')))
    ((what, finding),) = rejecting.items()
    assert 'all rejected by the pipeline' in what and finding.wrong and 'min_visible=1' in finding.examples[0]


def test_examples_are_few():
    findings = Findings()
    for number in range(100):
        findings.add('thing', number, wrong=number < 0)
    assert findings['thing'].count == 100 and findings['thing'].examples == ['0', '1', '2', '3', '4']
    assert findings.counts() == '100 with thing'


@pytest.mark.parametrize('wrong', [False, True])
def test_parts_of_a_mixture_are_distinguished(tmp_path, wrong):
    good = KeypointDataset(write_people(tmp_path, [person(0)]), 'coco17', img_prefix=str(tmp_path / 'img'))
    file = write_people(tmp_path, [person(0), person(1, bbox=[300, 1, 2, 2]) if wrong else person(1)], name='b.json')
    dataset = CombinedDataset([good, KeypointDataset(file, 'coco17', img_prefix=str(tmp_path / 'img'))])
    assert [what for what in found(dataset) if 'b.json' in what] == list(found(dataset)) and len(
        found(dataset)
    ) == wrong


def test_sizes_of_images_are_compared_without_decoding(tmp_path):
    dataset = people(tmp_path, [person(0)])
    (tmp_path / 'img/1.jpg').write_bytes(encode(smooth_image(90, 120)))
    assert found(dataset) == {'image of another size than the annotation file states': 1}


def test_keypoints_that_contradict_their_box(tmp_path):
    def moved(number, scale, offset, **changes):
        points = np.array(person(number)['keypoints']).reshape(17, 3)
        points[:, :2] = points[:, :2] * scale + offset
        return person(number, keypoints=points.ravel().tolist(), **changes)

    # Keypoints of another person, and as fractions of the image.
    beside = moved(1, 1, 0, bbox=[100, 70, 10, 10])
    fractions = moved(2, 1 / 120, 0)
    assert found(people(tmp_path, [person(0), beside, fractions])) == {
        'keypoints that all lie beside their box': 1,
        'keypoints that are all in one place': 1,
    }
    file = write_people(tmp_path, [moved(i, 1 / 120, 0, bbox=[0.1, 0.1, 0.5, 0.5]) for i in range(3)])
    assert found(KeypointDataset(file, 'coco17', img_prefix=str(tmp_path / 'img'))) == {
        'boxes of less than 4 pixels: are they fractions of the image?': 1,
    }


def test_labels_that_all_people_share(tmp_path):
    same = [dict(person(0, bbox=[10, 5, 40, 40]), id=i) for i in range(12)]
    assert found(people(tmp_path, same)) == {'the same box for all people': 1, 'the same keypoints for all people': 1}
    # People who fill their images have equal boxes.
    whole = [dict(person(i, bbox=[0, 0, 120, 90]), id=i) for i in range(12)]
    assert found(people(tmp_path, whole)) == {}


def test_people_in_detected_boxes_have_no_labels_and_need_none(tmp_path):
    boxes = tmp_path / 'boxes.json'
    boxes.write_text(json.dumps([dict(image_id=1, category_id=1, bbox=[5, 5, 40, 60], score=0.5)]))
    dataset = people(tmp_path, [person(0)], boxes=str(boxes), test_mode=True)
    findings = Findings()
    text = check_samples(findings, dataset, [Draw(0, 0)], statistics_of(get_task('pose')))
    assert text == '1 samples went through the pipeline; none has labels' and not findings
