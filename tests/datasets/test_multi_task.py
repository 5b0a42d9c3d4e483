"""Datasets of several tasks, and the order of their batches."""

from collections import Counter

import numpy as np
import pytest
from mmengine.structures import BaseDataElement

from sapiens.datasets import Draw, MultiTaskDataset, TaskSampler
from sapiens.datasets.base import SampleDataset
from sapiens.datasets.checks import Findings
from sapiens.registry import DATASETS


class Numbers(SampleDataset):
    """Samples that know their number and their random draw."""

    def __init__(self, length, pipeline=None, test_mode=False):
        super().__init__([self.pack] if pipeline is None else pipeline, dict(classes=(length,)), test_mode)
        self.length = length

    def __len__(self):
        return self.length

    def load(self, index):
        return dict(img_path=f'{index}.png', number=index)

    def image_paths(self):
        return (f'{index}.png' for index in range(self.length))

    def check(self, findings, read=False, progress=iter):
        findings.add('few samples', f'{self.length}')

    @staticmethod
    def pack(results):
        return dict(data_samples=BaseDataElement(metainfo=dict(results, drawn=np.random.random())))


def make(**sizes):
    return MultiTaskDataset({name: Numbers(size) for name, size in sizes.items()})


def order(sampler, dataset, epoch=0, start=0):
    """(task, number) of the samples of an epoch."""
    sampler.set_epoch(epoch)
    sampler.set_start(start)
    samples = [dataset[draw]['data_samples'] for draw in sampler]
    return [(sample.task, sample.number, sample.drawn) for sample in samples]


def batches_of(found, size):
    return [found[index : index + size] for index in range(0, len(found), size)]


def test_samples_know_their_task_and_keep_their_draw():
    dataset = make(pose=5, seg=3)
    assert len(dataset) == 8 and dataset.first('seg') == 5
    sample = dataset[Draw(6, 77)]['data_samples']
    assert (sample.task, sample.number) == ('seg', 1)
    assert sample.drawn == Numbers(3)[Draw(1, 77)]['data_samples'].drawn
    assert dataset[Draw(6, 77)]['seeds'] == 77
    assert dataset[4]['data_samples'].task == 'pose'
    for index in (8, -1):
        with pytest.raises(IndexError, match=f'sample {index} of 8'):
            dataset[index]


def test_what_is_known_of_the_datasets():
    dataset = make(pose=5, seg=3)
    assert dataset.metainfo['tasks']['seg']['classes'] == (3,)
    assert [*dataset.image_paths()].count('2.png') == 2
    findings = Findings()
    dataset.check(findings)
    assert set(findings) == {'few samples [pose]', 'few samples [seg]'}
    assert 'pose: ' in repr(dataset)


def test_batches_are_of_one_task_and_the_tasks_take_turns():
    dataset = make(pose=10, seg=4, normal=7)
    sampler = TaskSampler(dataset, batch_size=2, seed=1)
    found = batches_of(order(sampler, dataset), 2)
    assert [batch[0][0] for batch in found] == ['normal', 'pose', 'seg'] * 4
    assert all(len({task for task, *_ in batch}) == 1 for batch in found)
    assert len(sampler) == 24  # the fewest whole rounds with as many samples as there are


def test_the_order_of_the_datasets_does_not_matter():
    one, two = make(pose=5, seg=3), make(seg=3, pose=5)
    assert order(TaskSampler(one, batch_size=2, seed=1), one) == order(TaskSampler(two, batch_size=2, seed=1), two)


def test_each_task_goes_through_all_its_samples_before_one_repeats():
    dataset = make(pose=10, seg=4)
    sampler = TaskSampler(dataset, batch_size=3, seed=1)
    found = [row for epoch in range(6) for row in order(sampler, dataset, epoch)]
    for task, size in (('pose', 10), ('seg', 4)):
        numbers = [number for name, number, _ in found if name == task]
        assert len(numbers) > 2 * size
        for begin in range(0, len(numbers) - size + 1, size):
            assert sorted(numbers[begin : begin + size]) == list(range(size))
        assert numbers[:size] != numbers[size : 2 * size]
    assert len({drawn for *_, drawn in found}) == len(found)


def test_turns_are_spread_over_a_round():
    dataset = make(pose=10, seg=4, normal=7)
    sampler = TaskSampler(dataset, batch_size=1, turns=dict(pose=4, normal=2), seed=0)
    assert Counter(sampler.round) == dict(pose=4, seg=1, normal=2)
    assert all(one != two for one, two in zip(sampler.round, sampler.round[1:], strict=False))
    found = order(sampler, dataset)
    assert [task for task, *_ in found] == sampler.round * (len(found) // 7)


def test_a_resumed_epoch_goes_on_with_the_same_samples():
    dataset = make(pose=10, seg=4, normal=7)
    sampler = TaskSampler(dataset, batch_size=2, turns=dict(seg=2), seed=5)
    whole = order(sampler, dataset, epoch=2)
    for start in (2, 6, 14):
        assert order(TaskSampler(dataset, batch_size=2, turns=dict(seg=2), seed=5), dataset, 2, start) == whole[start:]
    assert order(sampler, dataset, 2) == whole and order(sampler, dataset, 3) != whole


def test_ranks_have_one_task_at_a_time_and_share_its_samples(monkeypatch):
    dataset = make(pose=10, seg=4)
    alone = order(TaskSampler(dataset, batch_size=4, seed=5), dataset)
    parts = []
    for rank in range(2):
        monkeypatch.setattr('sapiens.datasets.multi_task.get_dist_info', lambda rank=rank: (rank, 2))
        parts.append(batches_of(order(TaskSampler(dataset, batch_size=2, seed=5), dataset), 2))
    together = [sorted(one + two) for one, two in zip(*parts, strict=True)]
    assert together == [sorted(batch) for batch in batches_of(alone, 4)]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(turns=dict(pos=2)), "no task 'pos'; did you mean 'pose'"),
        (dict(turns=dict(pose=0)), r'turns.pose=0: expected a whole number, 1 or more'),
        (dict(turns=dict(pose=0.5)), r'turns.pose=0.5'),
    ],
)
def test_wrong_turns_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TaskSampler(make(pose=3), batch_size=1, **options)


def test_wrong_datasets_are_refused():
    with pytest.raises(ValueError, match='takes turns between the tasks of a MultiTaskDataset'):
        TaskSampler(Numbers(3), batch_size=1)
    with pytest.raises(ValueError, match="dataset of 'seg' is empty"):
        TaskSampler(make(pose=1, seg=0), batch_size=1)
    with pytest.raises(ValueError, match='nothing to combine'):
        MultiTaskDataset({})
    with pytest.raises(ValueError, match=r'datasets.seg has no pipeline'):
        MultiTaskDataset(dict(seg=Numbers(3, pipeline=[])))
    with pytest.raises(ValueError, match=r'datasets.seg: .* has no numbered samples'):
        MultiTaskDataset(dict(seg=[1, 2]))
    with pytest.raises(TypeError, match='weights'):
        DATASETS.build(dict(type='MultiTaskDataset', datasets={}, weights=1))
