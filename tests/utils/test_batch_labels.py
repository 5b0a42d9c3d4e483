"""Stacked labels of a batch, and their way from a loader's worker to the trainer."""

import copy
from functools import partial
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from torch.multiprocessing.reductions import reduce_storage
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils.pin_memory import pin_memory

from sapiens.datasets import stack_collate
from sapiens.datasets.transforms.packing import PickledAsArrays
from sapiens.structures import DenseDataSample
from sapiens.utils.batch_labels import Batch, stack_labels

SIZE = (6, 4)  # H, W
CAMERA = np.array([[9.0, 0, 2], [0, 9, 3], [0, 0, 1]])
MAPS = {'gt_sem_seg', 'gt_normal', 'valid_mask'}


def dense(index=0, size=SIZE, **metainfo):
    generator = torch.Generator().manual_seed(index)
    sample = DenseDataSample(
        metainfo=dict(img_path=f'{index}.png', sample_idx=index, intrinsics=CAMERA + index) | metainfo
    )
    sample.gt_sem_seg = torch.randint(0, 4, size, dtype=torch.uint8, generator=generator)
    sample.gt_normal = torch.randn(3, *size, generator=generator)
    sample.valid_mask = torch.rand(size, generator=generator) > 0.5
    sample.note = 'free'
    return sample


def person(index=0, kind=PickledAsArrays, count=5):
    sample = PoseDataSample(metainfo=dict(id=index))
    sample.gt_instances = InstanceData(bboxes=np.float32([[0, 0, 4, 6]]), bbox_scores=np.float32([1]))
    points = torch.arange(2.0 * count).view(1, count, 2) + index
    sample.gt_instance_labels = kind(keypoints=points, keypoint_weights=torch.full((1, count), 1.0 + index))
    return sample


class Samples(Dataset):
    def __init__(self, make, **options):
        self.make, self.options = make, options

    def __len__(self):
        return 4

    def __getitem__(self, index):
        image = torch.full((3, *SIZE), index, dtype=torch.uint8)
        return dict(inputs=image, data_samples=self.make(index, **self.options))


def batches(make, collate=stack_collate, workers=1, **options):
    return list(DataLoader(Samples(make, **options), 2, num_workers=workers, collate_fn=collate))


def storages(batch):
    """Bytes of each piece of shared memory that a batch sends, and what the receiver gets."""
    found = []

    def count(storage):
        found.append(storage.nbytes())
        return reduce_storage(storage)

    ForkingPickler.register(torch.UntypedStorage, count)
    try:
        message = ForkingPickler.dumps(batch)
    finally:
        ForkingPickler.register(torch.UntypedStorage, reduce_storage)
    return found, ForkingPickler.loads(message)


# ---------------------------------------------------------------------- what is stacked


def test_maps_and_cameras_are_stacked_as_they_are():
    samples = [dense(index) for index in range(3)]
    labels = stack_labels(samples, SIZE)
    assert set(labels) == {*MAPS, 'intrinsics'}
    for name in MAPS:
        assert labels[name].dtype == samples[0].get(name).dtype
        assert all(
            torch.equal(stacked, sample.get(name)) for stacked, sample in zip(labels[name], samples, strict=True)
        )
    assert labels['intrinsics'].dtype == torch.float32
    assert torch.equal(labels['intrinsics'], torch.from_numpy(np.stack([CAMERA + i for i in range(3)])).float())


@pytest.mark.parametrize('kind', [PickledAsArrays, InstanceData])
def test_keypoints_are_stacked(kind):
    labels = stack_labels([person(index, kind) for index in range(3)], SIZE)
    assert set(labels) == {'keypoints', 'keypoint_weights'}
    assert labels['keypoints'].shape == (3, 5, 2) and labels['keypoint_weights'].tolist() == [
        [1 + i] * 5 for i in range(3)
    ]
    assert labels['keypoints'][:, 0].tolist() == [[i, i + 1] for i in range(3)]


def test_labels_that_differ_between_samples_stay_in_the_samples():
    # Of the size of the original image, as in evaluation.
    assert stack_labels([dense(0, (12, 8)), dense(1, (12, 8))], SIZE) == {}
    assert stack_labels([dense(0), dense(1, (12, 8))], SIZE) == {}
    changes = dict(
        missing=lambda sample: delattr(sample, 'gt_normal'),
        type=lambda sample: sample.set_field(sample.gt_normal.half(), 'gt_normal'),
        array=lambda sample: sample.set_field(sample.gt_normal.numpy(), 'gt_normal'),
    )
    for change in changes.values():
        samples = [dense(0), dense(1)]
        change(samples[1])
        assert set(stack_labels(samples, SIZE)) == {'gt_sem_seg', 'valid_mask', 'intrinsics'}
    one = dense(1)
    one.set_metainfo(dict(intrinsics=None))
    assert set(stack_labels([dense(0), one], SIZE)) == MAPS
    assert set(stack_labels([person(0), person(1, count=6)], SIZE)) == set()
    several = [person(index, InstanceData) for index in range(2)]
    for sample in several:
        labels = sample.gt_instance_labels
        sample.gt_instance_labels = InstanceData.cat([labels, labels])
    assert stack_labels(several, SIZE) == {}
    for others in ([None, None], [dense(0), None], [], [dict(gt_normal=torch.zeros(3, *SIZE))]):
        assert stack_labels(others, SIZE) == {}


# ---------------------------------------------------------------------- the way to the trainer


@pytest.mark.parametrize('workers', [0, 1])
def test_a_batch_arrives_with_labels_and_whole_samples(workers):
    for number, batch in enumerate(batches(dense, workers=workers)):
        assert type(batch) is Batch and set(batch) == {'inputs', 'data_samples', 'labels', 'loader'}
        assert batch['inputs'][:, 0, 0, 0].tolist() == [2 * number, 2 * number + 1] and batch['loader'].samples == 2
        for row, sample in enumerate(batch['data_samples']):
            expected = dense(2 * number + row)
            assert type(sample) is DenseDataSample and set(sample.keys()) == set(expected.keys())
            assert set(sample.metainfo) == set(expected.metainfo) and sample.note == 'free'
            for name in MAPS:
                assert (
                    torch.equal(sample.get(name), expected.get(name))
                    and sample.get(name).dtype == expected.get(name).dtype
                )
                assert torch.equal(batch['labels'][name][row], expected.get(name))


@pytest.mark.parametrize('workers', [0, 1])
def test_a_batch_of_persons_arrives_whole(workers):
    for number, batch in enumerate(batches(person, workers=workers)):
        for row, sample in enumerate(batch['data_samples']):
            expected, index = person(2 * number + row), 2 * number + row
            labels = sample.gt_instance_labels
            assert type(labels) is PickledAsArrays and set(labels.keys()) == {'keypoints', 'keypoint_weights'}
            assert torch.equal(labels.keypoints, expected.gt_instance_labels.keypoints) and sample.id == index
            assert torch.equal(labels.keypoint_weights, expected.gt_instance_labels.keypoint_weights)
            assert torch.equal(batch['labels']['keypoints'][row], labels.keypoints[0])
            assert sample.gt_instances.bbox_scores.tolist() == [1]


def test_labels_travel_once():
    samples = [dict(inputs=torch.zeros(3, *SIZE, dtype=torch.uint8), data_samples=dense(index)) for index in range(4)]
    pixels, plain = SIZE[0] * SIZE[1], stack_collate(samples, labels=False)
    before, _ = storages(plain)
    assert sorted(before) == sorted([4 * 3 * pixels] + 4 * [pixels, pixels, 12 * pixels])
    batch = stack_collate(samples)
    after, received = storages(batch)
    assert sorted(after) == sorted([4 * 3 * pixels, 4 * 9 * 4, *(4 * size * pixels for size in (1, 1, 12))])
    # The trainer's samples are views, and those of the worker stay whole.
    for row, sample in enumerate(received['data_samples']):
        for name in MAPS:
            assert sample.get(name).data_ptr() == received['labels'][name][row].data_ptr()
            assert torch.equal(batch['data_samples'][row].get(name), sample.get(name))
    persons = stack_collate([dict(inputs=torch.zeros(3, *SIZE), data_samples=person(index)) for index in range(4)])
    found, received = storages(persons)
    assert sorted(found) == sorted([4 * 3 * pixels * 4, 4 * 5 * 2 * 4, 4 * 5 * 4])
    labels = received['data_samples'][3].gt_instance_labels
    assert labels.keypoints.data_ptr() == received['labels']['keypoints'][3].data_ptr()


def test_evaluation_and_other_collate_functions_keep_labels_in_the_samples():
    of_original_size = batches(dense, size=(12, 8))
    assert all('labels' not in batch for batch in of_original_size)
    assert of_original_size[1]['data_samples'][1].gt_normal.shape == (3, 12, 8)
    for collate in (partial(stack_collate, labels=False), pseudo_collate):
        batch = batches(dense, collate)[1]
        assert 'labels' not in batch and torch.equal(batch['data_samples'][0].gt_normal, dense(2).gt_normal)


def test_pinning_reaches_every_tensor_once(monkeypatch):
    pinned = []

    def pin(self, device=None):
        pinned.append(self)
        return self.clone()

    monkeypatch.setattr(torch.Tensor, 'pin_memory', pin)
    for make, names in ((dense, {*MAPS, 'intrinsics'}), (person, {'keypoints', 'keypoint_weights'})):
        (batch, _), pinned[:] = batches(make), []
        batch['seeds'] = torch.arange(2)
        found = pin_memory(batch)
        assert type(found) is Batch and set(found) == set(batch) and set(found['labels']) == names
        assert len(pinned) == 2 + len(names) and found['loader'] is batch['loader']
        sample, labels = found['data_samples'][1], found['labels']
        part = sample.gt_instance_labels.keypoints if make is person else sample.gt_normal
        # The memory of the worker is free again.
        assert part.data_ptr() == labels['keypoints' if make is person else 'gt_normal'][1].data_ptr()
        assert torch.equal(
            labels['keypoints' if make is person else 'gt_normal'],
            batch['labels'].get('keypoints', labels.get('gt_normal')),
        )


def test_a_copied_batch_is_whole_and_its_own():
    batch = batches(dense, workers=0)[0]
    copied = copy.deepcopy(batch)
    copied['labels']['gt_normal'].zero_()
    assert not copied['data_samples'][1].gt_normal.any() and batch['data_samples'][1].gt_normal.any()
    plain = copy.deepcopy(stack_collate([dict(inputs=torch.zeros(3, *SIZE))] * 2))
    assert type(plain) is Batch and plain['data_samples'] == [None, None] and 'labels' not in plain
