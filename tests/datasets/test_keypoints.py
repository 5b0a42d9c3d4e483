import json
import os
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sapiens.datasets import CombinedDataset, Draw, KeypointDataset, ResumableSampler, stack_collate
from sapiens.metainfo import get_skeleton, match_keypoints
from sapiens.registry import DATASETS
from sapiens.synthetic.annotations import FILES

from .helpers import photographs
from .people import person, write_people

PIPELINE = [
    dict(type='mmpose.GetBBoxCenterScale', padding=1.25),
    dict(type='LoadPerson', size=(48, 64), flip_prob=0.5),
    dict(type='PackPose'),
]


def mmpose_samples(name, **options):
    import mmpose.datasets

    from sapiens.metainfo import build_metainfo

    options.setdefault(
        'metainfo', build_metainfo(dict(CocoDataset='coco17', CocoWholeBodyDataset='wholebody133')[name])
    )
    dataset = getattr(mmpose.datasets, name)(**options)
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def assert_same(ours, theirs, labelled=True):
    assert len(ours) == len(theirs) > 0
    for i, expected in enumerate(theirs):
        found = ours.load(i)
        assert os.path.normpath(found['img_path']) == os.path.normpath(expected['img_path'])
        assert (found['img_id'], found['id']) == (expected['img_id'], expected['id'])
        for key in ('bbox', 'bbox_score', *(('keypoints', 'keypoints_visible') if labelled else ())):
            assert found[key].dtype == np.float32
            assert found[key].shape == expected[key].shape
            assert np.array_equal(found[key], np.float32(expected[key])), (key, i)
        assert found['flip_indices'] == list(expected['flip_indices'])
        assert found['upper_body_ids'] == expected['upper_body_ids']
        assert found['lower_body_ids'] == expected['lower_body_ids']
        assert labelled == ('keypoints' in found)
        if labelled:
            assert found['area'] == np.float32(expected['area']) and found['iscrowd'] == expected['iscrowd'] == 0
            assert found['category_id'] == expected['category_id']


STRANGE = [
    person(0, bbox=[-8.5, -3, 60, 50]),  # clipped
    person(1, image=3, bbox=[80, 40, 70, 90]),
    person(2, iscrowd=1),
    person(3, num_keypoints=0),
    person(4, bbox=[30, 30, 0, 20]),
    person(5, bbox=[130, 30, 20, 20]),  # beside the image
    person(6, image=2, area=None),
    person(7, keypoints=[0, 0, 0] * 17, num_keypoints=0),
    person(8, bbox=None),
    person(9, image=2, keypoints=[30.5, 40.25, 1] + [0, 0, 0] * 16, num_keypoints=1),
    person(10, bbox=[119, 10, 4, 10]),  # a single column of pixels
]


@pytest.mark.parametrize('test_mode', [False, True])
def test_the_people_are_mmposes(tmp_path, test_mode):
    file = write_people(tmp_path, STRANGE)
    theirs = mmpose_samples(
        'CocoDataset', ann_file=file, data_prefix=dict(img=str(tmp_path / 'img')), test_mode=test_mode
    )
    ours = KeypointDataset(file, 'coco17', img_prefix=str(tmp_path / 'img'), test_mode=test_mode)
    assert_same(ours, theirs)
    assert [ours.load(i)['id'] for i in range(len(ours))] == [100, 106, 109, 101]
    counts = {what: finding.count for what, finding in ours.instances.findings.items() if 'reaches' not in what}
    assert counts == {
        'a crowd': 1,
        'no labeled keypoint': 2,
        'a box that is empty within its image': 3,
        'no box': 1,
        'no area: 0.53 of the box is taken': 1,
    }


def coco_root():
    photographs()
    return os.environ['SAPIENS_TEST_DATA'] + '/coco'


@pytest.mark.parametrize('split', ['train', 'val'])
@pytest.mark.parametrize(
    'name, skeleton, file',
    [
        ('CocoDataset', 'coco17', 'person_keypoints_{}2017.json'),
        ('CocoWholeBodyDataset', 'wholebody133', 'coco_wholebody_{}_v1.0.json'),
    ],
)
def test_the_people_of_coco_are_mmposes(name, skeleton, file, split):
    root, file = coco_root(), f'annotations/{file.format(split)}'
    theirs = mmpose_samples(name, data_root=root, ann_file=file, data_prefix=dict(img=f'{split}2017/'))
    assert_same(KeypointDataset(file, skeleton, root, f'{split}2017'), theirs)


def test_detected_people_are_mmposes():
    root, file = coco_root(), 'annotations/person_keypoints_val2017.json'
    boxes = 'person_detection_results/COCO_val2017_detections_AP_H_70_person.json'
    for score_thr in (0.0, 0.3):
        theirs = mmpose_samples(
            'CocoDataset', data_root=root, ann_file=file, data_prefix=dict(img='val2017/'), test_mode=True,
            bbox_file=f'{root}/{boxes}', filter_cfg=dict(bbox_score_thr=score_thr)
        )  # fmt: skip
        ours = KeypointDataset(file, 'coco17', root, 'val2017', boxes=boxes, score_thr=score_thr, test_mode=True)
        assert_same(ours, theirs, labelled=False)


def test_detections_of_other_categories_and_images(tmp_path):
    file = write_people(tmp_path, [person(0)])
    box = [1.5, 2, 30, 40]
    detections = [
        dict(image_id=1, category_id=2, bbox=box, score=0.9),
        dict(image_id=2, category_id=1, bbox=box, score=0.9),
        dict(image_id=77, category_id=1, bbox=box, score=0.9),
        dict(image_id=1, category_id=1, bbox=[-5, 2, 300, 40], score=0.4),
    ]
    (tmp_path / 'boxes.json').write_text(json.dumps(detections))
    dataset = KeypointDataset(file, 'coco17', str(tmp_path), boxes='boxes.json', test_mode=True)
    assert [dataset.load(i)['id'] for i in range(2)] == [0, 2] and len(dataset) == 2
    assert dataset.load(1)['bbox'].tolist() == [[-5, 2, 295, 42]]  # not clipped
    assert dataset.instances.findings['detection in an image that is not listed'].count == 1
    with pytest.raises(ValueError, match=r'none of the detections.*3 with a score below 0\.95'):
        KeypointDataset(file, 'coco17', boxes=str(tmp_path / 'boxes.json'), score_thr=0.95, test_mode=True)


def test_308_keypoints_of_both_fields(tmp_path):
    ours = person(0, count=308)
    theirs = dict(person(1, count=17), goliath_wholebody_kpts=person(1, count=308)['keypoints'])
    dataset = KeypointDataset(write_people(tmp_path, [ours, theirs]), 'goliath308')
    for i, annotation in enumerate([ours['keypoints'], theirs['goliath_wholebody_kpts']]):
        points = np.float32(annotation).reshape(308, 3)
        assert np.array_equal(dataset.load(i)['keypoints'][0], points[:, :2])
        assert dataset.load(i)['keypoints_visible'].all()
    assert FILES['goliath308'].endswith('.json')  # the file that rendered people come with has the first form


def test_another_skeleton_is_mapped_by_name(tmp_path):
    labels = np.array(person(0)['keypoints']).reshape(17, 3)
    labels[3, 2], labels[5, 2] = 0, 1
    file = write_people(tmp_path, [person(0, keypoints=labels.ravel().tolist())])
    loaded = KeypointDataset(file, 'goliath308', source_skeleton='coco17').load(0)
    body, goliath = get_skeleton('coco17'), get_skeleton('goliath308')
    for number, name in enumerate(goliath.keypoints):
        known = name in body and labels[body.index(name), 2] > 0
        assert loaded['keypoints_visible'][0, number] == known
        expected = labels[body.index(name), :2] if name in body else (0, 0)
        assert np.allclose(loaded['keypoints'][0, number], expected, atol=1e-5)
    assert loaded['keypoints_visible'].sum() == 16
    assert loaded['flip_indices'] == goliath.flip_indices.tolist()


def test_points_that_are_called_otherwise(tmp_path):
    own = dict(name='own', keypoints=['head', 'left_eye', 'right_eye'])
    file = write_people(tmp_path, [person(0)])
    loaded = KeypointDataset(file, own, source_skeleton='coco17', names=dict(head='nose')).load(0)
    assert np.array_equal(loaded['keypoints'][0], KeypointDataset(file, 'coco17').load(0)['keypoints'][0, :3])
    with pytest.raises(ValueError, match='give source_skeleton'):
        KeypointDataset(file, own, names=dict(head='nose'))


def test_min_keypoints_counts_keypoints_of_the_skeleton(tmp_path):
    few = np.array(person(0)['keypoints']).reshape(17, 3)
    few[4:, 2] = 0
    file = write_people(tmp_path, [person(0, keypoints=few.ravel().tolist()), person(1)])
    assert len(KeypointDataset(file, 'coco17', min_keypoints=4)) == 2
    assert len(KeypointDataset(file, 'coco17', min_keypoints=5)) == 1
    assert len(KeypointDataset(file, 'coco17', min_keypoints=5, test_mode=True)) == 2
    legs = dict(name='legs', keypoints=['left_knee', 'right_knee'])
    assert len(KeypointDataset(file, legs, source_skeleton='coco17')) == 1


def test_five_points_of_ones_own(tmp_path):
    own = dict(name='own5', keypoints=['nose', 'left_hand', 'right_hand', 'left_foot', 'right_foot'], upper=['nose'])
    dataset = DATASETS.build(
        dict(
            type='KeypointDataset',
            ann_file=write_people(tmp_path, [person(i, count=5) for i in range(3)]),
            img_prefix=str(tmp_path / 'img'),
            skeleton=own,
            pipeline=PIPELINE,
        )
    )
    for seed in range(8):
        sample = dataset[Draw(1, seed)]['data_samples']
        order = [0, 2, 1, 4, 3] if sample.flip else [0, 1, 2, 3, 4]
        given = dataset.load(1)['keypoints'][0, order]
        scale = np.array([47, 63]) / sample.input_scale
        shown = (given - sample.input_center) * scale * ([-1, 1] if sample.flip else [1, 1]) + [23.5, 31.5]
        assert np.allclose(sample.gt_instance_labels.keypoints[0], shown, atol=1e-4)
    assert get_skeleton(dataset.metainfo).keypoints == tuple(own['keypoints'])


def test_samples_do_not_depend_on_the_workers(tmp_path):
    file = write_people(tmp_path, [person(i, image=i % 3 + 1) for i in range(9)])
    (tmp_path / 'img/2.jpg').write_bytes(b'damaged')
    dataset = KeypointDataset(file, 'coco17', img_prefix=str(tmp_path / 'img'), pipeline=PIPELINE)

    def epoch(workers, context=None):
        loader = DataLoader(
            dataset, 4, sampler=ResumableSampler(dataset, seed=2), num_workers=workers, collate_fn=stack_collate,
            multiprocessing_context=context
        )  # fmt: skip
        batches = list(loader)
        samples = [sample for batch in batches for sample in batch['data_samples']]
        return (
            torch.cat([batch['inputs'] for batch in batches]),
            torch.cat([sample.gt_instance_labels.keypoints for sample in samples]),
            [sample.id for sample in samples],
            [entry for batch in batches for entry in batch['loader'].bad],
        )

    expected = epoch(0)
    assert len(expected[2]) == 9 and {path for path, _ in expected[3]} == {str(tmp_path / 'img/2.jpg')}
    assert len(expected[3]) >= 3
    for workers, context in ((2, 'fork'), (1, 'spawn')):
        found = epoch(workers, context)
        assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])
        assert found[2:] == expected[2:]


def test_in_test_mode_nothing_is_replaced(tmp_path):
    file = write_people(tmp_path, [person(0), person(1, image=2)])
    (tmp_path / 'img/2.jpg').unlink()
    options = dict(img_prefix=str(tmp_path / 'img'), pipeline=PIPELINE)
    assert KeypointDataset(file, 'coco17', **options)[1]['bad'][0][0].endswith('img/2.jpg')
    dataset = KeypointDataset(file, 'coco17', test_mode=True, **options)
    dataset[0]
    with pytest.raises(ValueError, match=r'sample 1 of .*img/2\.jpg: FileNotFoundError.*no other sample'):
        dataset[1]


def test_rejected_samples_are_drawn_again_and_are_no_bad_files(tmp_path):
    pipeline = [PIPELINE[0], dict(PIPELINE[1], min_visible=4), PIPELINE[2]]
    few = person(0, keypoints=[30, 30, 2] * 3 + [0, 0, 0] * 14, num_keypoints=3)
    file = write_people(tmp_path, [few, person(1), person(2)])
    dataset = KeypointDataset(file, 'coco17', img_prefix=str(tmp_path / 'img'), pipeline=pipeline)
    samples = [dataset[Draw(0, seed)] for seed in range(12)]
    assert {sample['data_samples'].id for sample in samples} == {101, 102}
    assert all(sample['bad'] == [] for sample in samples)
    assert dataset[Draw(0, 5)]['data_samples'].id == samples[5]['data_samples'].id
    hopeless = KeypointDataset(
        write_people(tmp_path, [few]), 'coco17', img_prefix=str(tmp_path / 'img'), pipeline=pipeline
    )
    with pytest.raises(ValueError, match='rejected 1000 samples.*3 labeled keypoints inside the crop, min_visible=4'):
        hopeless[Draw(0, 1)]


def test_more_visible_keypoints_than_the_skeleton_has_are_refused(tmp_path):
    three = dict(name='three', keypoints=['nose', 'left_hand', 'right_hand'])
    pipeline = [PIPELINE[0], dict(PIPELINE[1], min_visible=4), PIPELINE[2]]
    options = dict(img_prefix=str(tmp_path / 'img'))
    file = write_people(tmp_path, [person(0, count=3)])
    wanted = (
        r"min_visible=4\) of the pipeline rejects every sample: skeleton 'three' has 3 keypoints. Set min_visible=1"
    )
    with pytest.raises(ValueError, match=wanted):
        KeypointDataset(file, three, pipeline=pipeline, **options)
    with pytest.raises(ValueError, match=wanted):
        CombinedDataset([KeypointDataset(file, three, **options)], pipeline=pipeline)
    pipeline[1]['min_visible'] = 3
    assert KeypointDataset(file, three, pipeline=pipeline, **options)[0]['bad'] == []


def test_a_million_people_are_tensors(tmp_path):
    dataset = KeypointDataset(write_people(tmp_path, [person(i) for i in range(50)]), 'coco17')
    per_person = sum(
        tensor.element_size() * tensor[0].numel()
        for tensor in vars(dataset.instances).values()
        if isinstance(tensor, torch.Tensor) and len(tensor) == 50
    )
    assert per_person == 17 * 9 + 48
    held = [value for value in vars(dataset.instances).values() if isinstance(value, (list, tuple))]
    assert held == []
    sample = dataset.load(0)
    sample['keypoints'] += 1000
    sample['bbox'] += 1000
    assert dataset.load(0)['keypoints'].max() < 200 and dataset.load(0)['bbox'].max() < 200
    assert pickle.loads(pickle.dumps(dataset)).load(7)['id'] == 107


def test_missing_and_foreign_files(tmp_path, monkeypatch):
    monkeypatch.setenv('DATA_ROOT', '/somewhere')
    with pytest.raises(FileNotFoundError, match=r'none\.json.*DATA_ROOT is /somewhere.*data/README\.md'):
        KeypointDataset('none.json', 'coco17', data_root=str(tmp_path))
    file = tmp_path / 'other.json'
    for text, message in [
        ('{"images": [], ', 'is not JSON'),
        ('[1, 2]', "expected an object with 'images' and 'annotations', found a list"),
        ('{"a": 1, "images": []}', "found an object with 'a', 'images', without a list of annotations"),
        ('[{"image_id": 1, "score": 1}]', 'a list of objects with .*Detections belong in boxes='),
        ('{"images": [{"id": 1, "file_name": "a"}], "annotations": []}', 'image 1 has no height, width'),
        ('{"images": [], "annotations": []}', 'none of the annotations can be used; there are none'),
        ('{"images": [], "annotations": [{"id": "x"}]}', 'has no integer id'),
    ]:
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            KeypointDataset(str(file), 'coco17')
    good = write_people(tmp_path, [person(0)])
    with pytest.raises(ValueError, match="boxes='gt' uses those of ann_file"):
        KeypointDataset(good, 'coco17', boxes=good, test_mode=True)
    with pytest.raises(ValueError, match='1 with a crowd'):
        KeypointDataset(write_people(tmp_path, [person(0, iscrowd=1)]), 'coco17')


def test_another_number_of_keypoints(tmp_path):
    file = write_people(tmp_path, [person(0)])
    with pytest.raises(
        ValueError, match=r"annotation 100 of .*keypoints has 17 keypoints \(51 numbers\).*'goliath308' has 308"
    ):
        KeypointDataset(file, 'goliath308')
    with pytest.raises(ValueError, match="Did you mean skeleton='coco17'.*source_skeleton='coco17'"):
        KeypointDataset(file, 'wholebody133')
    parts = {
        f'{name}_kpts': [1, 1, 2] * count for name, count in dict(foot=6, face=68, lefthand=21, righthand=21).items()
    }
    file = write_people(tmp_path, [dict(person(0), **parts)])
    with pytest.raises(ValueError, match="Did you mean skeleton='coco17' or 'wholebody133'"):
        KeypointDataset(file, 'goliath308')
    assert KeypointDataset(file, 'wholebody133').load(0)['keypoints'][0, 17:].tolist() == [[1, 1]] * 116
    with pytest.raises(ValueError, match='keypoints has 3 keypoints.*add_a_dataset'):
        KeypointDataset(write_people(tmp_path, [person(0, count=3)]), 'coco17')


@pytest.mark.parametrize(
    'options, text',
    [
        (dict(boxes='x.json'), 'test_mode=True'),
        (dict(score_thr=0.3), 'annotated boxes have no scores'),
        (dict(min_keypoints=0), 'min_keypoints=0'),
        (dict(skeleton='coco18'), "'coco18'"),
    ],
)
def test_wrong_arguments(tmp_path, options, text):
    with pytest.raises(ValueError, match=text):
        KeypointDataset(**{'ann_file': write_people(tmp_path, [person(0)]), 'skeleton': 'coco17', **options})


def test_numbers_that_are_not_finite_are_left_out(tmp_path):
    bad = person(1)
    bad['keypoints'][4] = float('nan')
    dataset = KeypointDataset(
        write_people(tmp_path, [person(0), bad, person(2, bbox=[1, 2, float('inf'), 4])]), 'coco17'
    )
    findings = dataset.instances.findings
    assert len(dataset) == 1 and findings['numbers that are not finite'].count == 1
    assert findings['a box that is not finite'].count == 1


def test_common_names_with_wholebody_are_the_published_ones():
    assert (match_keypoints('wholebody133', 'goliath308') >= 0).sum() == 53


def test_a_part_of_the_images_takes_all_of_their_people(tmp_path):
    people = [person(0), person(1, image=2), person(2), person(3, image=3)]
    file = write_people(tmp_path, people)
    whole, first, rest = (KeypointDataset(file, 'coco17', part=part) for part in ((0, 1), (0, 0.34), (0.34, 1)))
    ids = [[one.load(i)['id'] for i in range(len(one))] for one in (whole, first, rest)]
    assert ids == [[100, 102, 101, 103], [100, 102], [101, 103]]
    assert rest.load(0)['bbox'].tolist() == whole.load(2)['bbox'].tolist() and rest.path(1) == whole.path(3)
    with pytest.raises(ValueError, match='in test mode: the metric expects all people'):
        KeypointDataset(file, 'coco17', part=(0, 0.5), test_mode=True)
