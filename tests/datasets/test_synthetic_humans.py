import itertools
import pickle

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from torch.utils.data import DataLoader

from sapiens.datasets import (
    CombinedDataset,
    Draw,
    KeypointDataset,
    ResumableSampler,
    SyntheticHumans,
    stack_collate,
)
from sapiens.datasets.transforms import BadImage, LoadRandomResizedCrop, LoadResize, PackImage
from sapiens.metainfo import get_skeleton
from sapiens.registry import DATASETS
from tests.synthetic.fake import FakeGenerator

from .helpers import smooth_image
from .people import person, write_people

FAKE = 'tests.synthetic.fake:FakeGenerator'
MAE = [dict(type='LoadRandomResizedCrop', size=32), dict(type='PackImage')]


def people(length=12, pipeline=(), **options):
    return SyntheticHumans(length, size=(48, 64), pipeline=list(pipeline), generator=FAKE, **options)


class RefuseSome(BaseTransform):
    """Refuses image seeds by their remainder."""

    def transform(self, results):
        if int(results['img_path'].removeprefix('synthetic://')) % 3 == 0:
            raise BadImage('divisible by three')
        return results


class RefuseAll(BaseTransform):
    def transform(self, results):
        raise BadImage('never good')


def test_labels_are_the_generators():
    dataset = people(people=(2, 2), seed=5)
    sample = dataset[Draw(3, 99)]
    made = FakeGenerator((48, 64), (2, 2))(dataset.seed_of(3))
    assert sample['img_path'] == f'synthetic://{made.seed}' and sample['sample_idx'] == 3 and sample['bad'] == []
    assert sample['ori_shape'] == sample['img_shape'] == (64, 48)
    for key, field in (('img', 'image'), ('gt_sem_seg', 'part'), ('gt_depth', 'depth'), ('gt_normal', 'normal'),
                       ('gt_albedo', 'albedo'), ('gt_alpha', 'alpha'), ('gt_foreground', 'foreground'),
                       ('gt_instance', 'instance')):  # fmt: skip
        np.testing.assert_array_equal(sample[key], getattr(made, field))
    assert (people(people=(2, 2), seed=5, classes='lip20')[3]['gt_sem_seg'] == made.lip).all()
    for i, label in enumerate(made.people):
        rows, columns = np.nonzero(made.instance == label.instance)
        assert sample['bbox'][i].tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        points = label.keypoints['goliath308']
        np.testing.assert_array_equal(sample['keypoints'][i], points[:, :2])
        assert (sample['keypoints_visible'][i] == (points[:, 2] > 0)).all()
        assert (sample['keypoints_seen'][i] == (points[:, 2] == 2)).all()
    assert people(skeleton='coco17')[0]['keypoints'].shape[1:] == (17, 2)
    assert 'gt_depth' not in people(labels=False)[0]


def test_fixed_images_ignore_the_draw_and_fresh_ones_follow_it():
    fixed, fresh = people(), people(fixed=False)
    assert fixed[Draw(4, 1)]['img_path'] == fixed[Draw(4, 2)]['img_path'] == fixed[4]['img_path']
    assert fixed[4]['img_path'] != fixed[5]['img_path'] != people(seed=1)[5]['img_path']
    assert fresh[Draw(4, 1)]['img_path'] == fresh[Draw(7, 1)]['img_path'] != fresh[Draw(4, 2)]['img_path']
    assert fresh[4]['img_path'] == fixed[4]['img_path']


def test_refused_images_are_replaced_and_reported():
    dataset = people(length=30, pipeline=[RefuseSome()])
    samples = [dataset[Draw(i, i)] for i in range(30)]
    refused = [i for i in range(30) if dataset.seed_of(i) % 3 == 0]
    assert 3 < len(refused) < 20
    assert [i for i, sample in enumerate(samples) if sample['bad']] == refused
    path, reason = samples[refused[0]]['bad'][0]
    assert path == f'synthetic://{dataset.seed_of(refused[0])}' and reason == 'divisible by three'
    assert samples[refused[0]]['img_path'] == f'synthetic://{dataset.seed_of(samples[refused[0]]["sample_idx"])}'
    assert stack_collate([dict(inputs=torch.zeros(1), bad=samples[refused[0]]['bad'])])['loader'].bad[0][0] == path
    with pytest.raises(ValueError, match='10 files in a row of .* cannot be used'):
        people(pipeline=[RefuseAll()])[0]


def test_a_failing_generator_tells_the_seed():
    dataset = people(fail_at=people().seed_of(2))
    dataset[1]
    with pytest.raises(RuntimeError, match=rf'FakeGenerator.*\({dataset.seed_of(2)}\), sample 2.*does not fit'):
        dataset[2]


def batches(dataset, workers, start=0, count=None):
    sampler = ResumableSampler(dataset, seed=7)
    sampler.set_start(start)
    loader = DataLoader(dataset, 4, sampler=sampler, num_workers=workers, collate_fn=stack_collate)
    return list(itertools.islice(loader, count))


@pytest.mark.parametrize('fixed', [True, False])
def test_workers_and_resuming_change_nothing(fixed):
    dataset = people(pipeline=MAE, labels=False, fixed=fixed)
    here, elsewhere, resumed = batches(dataset, 0), batches(dataset, 2), batches(dataset, 0, start=8)
    assert len(here) == len(elsewhere) == 3 and len(resumed) == 1
    for one, other in [*zip(here, elsewhere, strict=True), (here[2], resumed[0])]:
        assert torch.equal(one['inputs'], other['inputs']) and one['inputs'].shape == (4, 3, 32, 32)
        assert [s.metainfo for s in one['data_samples']] == [s.metainfo for s in other['data_samples']]
        assert one['loader'].samples == 4 and one['loader'].bad == []
    assert not torch.equal(here[0]['inputs'], here[1]['inputs'])


def test_the_generator_is_built_late_and_never_pickled():
    dataset = DATASETS.build(dict(type='SyntheticHumans', length=2, size=(48, 64), generator=FAKE, pipeline=MAE))
    assert dataset._built is None
    first = dataset[0]['inputs']
    copy = pickle.loads(pickle.dumps(dataset))
    assert dataset._built is not None and copy._built is None
    assert len(copy) == 2 and '48 x 64' in repr(copy)
    assert first.shape == copy[1]['inputs'].shape == (3, 32, 32)


POSE = [
    dict(type='mmpose.GetBBoxCenterScale'),
    dict(type='LoadPerson', size=(24, 32), flip_prob=0.5),
    dict(type='PackPose'),
]


@pytest.mark.parametrize('fixed', [True, False])
def test_rendered_and_annotated_people_in_one_batch(tmp_path, fixed):
    file = write_people(tmp_path, [person(i) for i in range(6)])
    real = dict(type='KeypointDataset', ann_file=file, skeleton='coco17', img_prefix=str(tmp_path / 'img'))
    rendered = dict(type='SyntheticHumans', length=6, size=(48, 64), generator=FAKE, per_person=True, fixed=fixed)
    dataset = CombinedDataset([real, rendered], [1, 1], 12, skeleton='goliath308', pipeline=POSE)
    assert len(get_skeleton(dataset.metainfo)) == 308
    here, elsewhere, resumed = batches(dataset, 0), batches(dataset, 2), batches(dataset, 0, start=8)
    assert len(here) == len(elsewhere) == 3 and len(resumed) == 1
    for one, other in [*zip(here, elsewhere, strict=True), (here[2], resumed[0])]:
        assert torch.equal(one['inputs'], other['inputs']) and one['inputs'].shape == (4, 3, 32, 24)
        for mine, theirs in zip(one['data_samples'], other['data_samples'], strict=True):
            assert mine.img_path == theirs.img_path
            labels = mine.gt_instance_labels
            assert labels.keypoints.shape == (1, 308, 2) and labels.keypoint_weights.shape == (1, 308)
            assert torch.equal(labels.keypoints, theirs.gt_instance_labels.keypoints)
            known = int(labels.keypoint_weights.sum())
            assert known > 0 if mine.img_path.startswith('synthetic://') else known == 17
    paths = [sample.img_path for batch in here for sample in batch['data_samples']]
    assert sum(path.startswith('synthetic://') for path in paths) == 6


def test_one_person_of_an_image_as_files_give_it(tmp_path):
    options = dict(people=(2, 3), skeleton='coco17')
    dataset, whole = people(per_person=True, **options), people(**options)
    file = KeypointDataset(write_people(tmp_path, [person(0)]), 'coco17').load(0)
    numbers = set()
    for index in range(8):
        found, image = dataset.load(index), whole.load(index)
        assert found.keys() == file.keys() | {'img', 'ori_shape', 'img_shape'}
        for key in ('bbox', 'bbox_score', 'keypoints', 'keypoints_visible'):
            assert found[key].shape == file[key].shape and found[key].dtype == file[key].dtype
        numbers.add(found['id'])
        assert np.array_equal(found['keypoints'][0], image['keypoints'][found['id']])
        assert (found['bbox'][0] <= [47, 63, 47, 63]).all() and found['img_path'] == image['img_path']
    assert len(numbers) > 1
    with pytest.raises(ValueError, match='rejected 1000 samples'):
        people(people=(0, 0), per_person=True, pipeline=POSE)[Draw(0, 1)]


@pytest.mark.parametrize(
    'options',
    [
        dict(length=0),
        dict(length=3, classes='goliath'),
        dict(length=3, skeleton='coco'),
        dict(length=3, labels=False, per_person=True),
    ],
)
def test_wrong_arguments_are_refused(options):
    with pytest.raises(ValueError, match='expected'):
        SyntheticHumans(**options)


def test_the_loading_transforms_take_pixels_in_memory():
    from .helpers import encode

    image = smooth_image(80, 60)
    for transform in (LoadRandomResizedCrop((24, 32), flip_prob=0.5), LoadResize((24, 32))):
        for seed in range(4):
            np.random.seed(seed)
            memory = transform(dict(img=image.copy(), img_path='synthetic://1'))
            np.random.seed(seed)
            file = transform(dict(img_bytes=encode(image, 'PNG'), img_path='x.png'))
            np.testing.assert_array_equal(memory['img'], file['img'])
            for key in ('crop', 'flip', 'ori_shape', 'img_shape'):
                assert memory[key] == file[key]
    assert PackImage().transform(memory)['data_samples'].img_path == 'synthetic://1'
