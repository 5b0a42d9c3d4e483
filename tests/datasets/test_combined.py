import numpy as np
import pytest
import torch

from sapiens.datasets import (
    CombinedDataset,
    Draw,
    ImageFolder,
    KeypointDataset,
    MultiTaskDataset,
    ResumableSampler,
    TarShards,
)
from sapiens.metainfo import get_skeleton
from sapiens.registry import DATASETS

from .helpers import write_shard
from .people import person, write_people

PIPELINE = [
    dict(type='mmpose.GetBBoxCenterScale', padding=1.25),
    dict(type='LoadPerson', size=(24, 32)),
    dict(type='PackPose'),
]


@pytest.fixture
def body(tmp_path):
    """Ten people with 17 keypoints: ids 100 to 109."""
    return KeypointDataset(
        write_people(tmp_path, [person(i) for i in range(10)], name='body.json'),
        'coco17',
        img_prefix=str(tmp_path / 'img'),
    )


@pytest.fixture
def goliath(tmp_path):
    """Four people with 308: ids 120 to 123."""
    return dict(
        type='KeypointDataset',
        ann_file=write_people(tmp_path, [person(20 + i, count=308) for i in range(4)], name='goliath.json'),
        skeleton='goliath308',
        img_prefix=str(tmp_path / 'img'),
    )


def ids(dataset, epoch=0):
    sampler = ResumableSampler(dataset, seed=1)
    sampler.set_epoch(epoch)
    return [dataset[draw]['data_samples'].id for draw in sampler]


def test_one_after_the_other(body, goliath):
    dataset = DATASETS.build(
        dict(type='CombinedDataset', datasets=[body, goliath], skeleton='goliath308', pipeline=PIPELINE)
    )
    assert len(dataset) == 14 and not dataset.test_mode
    assert [dataset.load(i)['id'] for i in range(14)] == [*range(100, 110), *range(120, 124)]
    assert [dataset.load(i)['sample_idx'] for i in range(14)] == list(range(14))
    assert sorted(ids(dataset)) == [*range(100, 110), *range(120, 124)]
    for index in (-1, 14):
        with pytest.raises(IndexError, match=f'sample {index} of 14'):
            dataset.load(index)


def test_keypoints_are_mapped_by_name(body, goliath):
    dataset = CombinedDataset([body, goliath], skeleton='goliath308', pipeline=PIPELINE)
    mapped, plain = dataset.load(3), body.load(3)
    source, target = get_skeleton('coco17'), get_skeleton('goliath308')
    assert mapped['keypoints'].shape == (1, 308, 2) and mapped['keypoints'].dtype == np.float32
    assert mapped['keypoints_visible'].sum() == 17 and mapped['keypoints_visible'].dtype == np.float32
    for name in source.keypoints:
        assert np.array_equal(mapped['keypoints'][0, target.index(name)], plain['keypoints'][0, source.index(name)])
    assert mapped['flip_indices'] == target.flip_indices.tolist() and mapped['upper_body_ids'] == target.upper.tolist()
    assert dataset.load(12)['keypoints_visible'].sum() == 308
    down = CombinedDataset([body, goliath], skeleton='coco17')
    assert down.load(12)['keypoints'].shape == (1, 17, 2) and down.load(12)['keypoints_visible'].all()
    assert get_skeleton(down.metainfo).keypoints == source.keypoints


@pytest.mark.parametrize('weights, counts', [((1, 3), (5, 15)), ((0.5, 0.5), (10, 10)), ((2, 1), (13, 7))])
def test_mixing_ratios_are_exact_and_even(body, goliath, weights, counts):
    dataset = CombinedDataset([body, goliath], weights, 20, 'goliath308', PIPELINE)
    assert len(dataset) == 20
    seen = np.zeros(124, int)
    for epoch in range(6):
        found = ids(dataset, epoch)
        assert (sum(i < 120 for i in found), sum(i >= 120 for i in found)) == counts
        np.add.at(seen, found, 1)
    for part, count, size in ((seen[100:110], counts[0], 10), (seen[120:], counts[1], 4)):
        assert part.sum() == 6 * count
        assert part.min() > 0 and abs(part - 6 * count / size).max() <= 4
    if counts[0] == 10:
        assert (seen[100:110] == 6).all()  # as many places as people: each once an epoch


def test_a_length_alone_keeps_the_sizes(body, goliath):
    dataset = CombinedDataset([body, goliath], length=7, skeleton='coco17', pipeline=PIPELINE)
    assert sum(i < 120 for i in ids(dataset)) == 5
    assert len({*ids(dataset), *ids(dataset, 1), *ids(dataset, 2)}) > 10  # other people in other epochs


def test_a_draw_decides(body, goliath):
    dataset = CombinedDataset([body, goliath], (1, 1), skeleton='goliath308', pipeline=PIPELINE)
    draws = list(ResumableSampler(dataset, seed=3))
    expected = [dataset[draw] for draw in draws]
    np.random.seed(99)
    for draw, sample in reversed(list(zip(draws, expected, strict=True))):
        again = dataset[draw]
        assert torch.equal(again['inputs'], sample['inputs'])
        assert again['data_samples'].id == sample['data_samples'].id and again['seeds'] == draw.seed


def test_bad_files_are_replaced_from_the_mixture(body, goliath, tmp_path):
    for person_ in range(1, 4):
        (tmp_path / f'img/{person_}.jpg').write_bytes(b'damaged')
    good = write_people(tmp_path / 'img', [person(50)], name='good.json')
    good = KeypointDataset(good, 'coco17', img_prefix=str(tmp_path / 'img/img'))
    dataset = CombinedDataset([body, good], (1, 9), length=20, pipeline=PIPELINE)
    sample = dataset[Draw(0, 1)]
    assert sample['data_samples'].id == 150 and len(sample['bad']) >= 1
    assert all(path == str(tmp_path / 'img/1.jpg') for path, _ in sample['bad'])


def test_without_keypoints(tmp_path, body):
    write_people(tmp_path, [person(0)], images=4)
    (tmp_path / 'more').mkdir()
    write_people(tmp_path / 'more', [person(0)], images=2)
    folders = [ImageFolder(str(tmp_path / 'img')), ImageFolder(str(tmp_path / 'more/img'))]
    steps = [dict(type='LoadResize', size=8), dict(type='PackImage')]
    dataset = CombinedDataset(folders, pipeline=steps)
    assert len(dataset) == 6 and dataset[5]['data_samples'].img_path.endswith('more/img/2.jpg')
    assert dataset[5]['data_samples'].sample_idx == 5
    with pytest.raises(ValueError, match='none of the datasets has keypoints'):
        CombinedDataset(folders, skeleton='coco17')
    with pytest.raises(ValueError, match='has no keypoints, the others have'):
        CombinedDataset([body, folders[0]])


def test_test_mode_is_that_of_the_parts(tmp_path, body):
    file = write_people(tmp_path, [person(0), person(1, image=2)])
    parts = [KeypointDataset(file, 'coco17', img_prefix=str(tmp_path / 'img'), test_mode=True) for _ in range(2)]
    dataset = CombinedDataset(parts, pipeline=PIPELINE)
    assert dataset.test_mode and [dataset[i]['data_samples'].id for i in range(4)] == [100, 101, 100, 101]
    (tmp_path / 'img/2.jpg').unlink()
    with pytest.raises(ValueError, match='no other sample takes its place'):
        dataset[3]
    with pytest.raises(ValueError, match='draw samples at random, which test mode does not allow'):
        CombinedDataset(parts, length=3)
    with pytest.raises(ValueError, match='some of the datasets have test_mode'):
        CombinedDataset([body, parts[0]])


def test_incompatible_datasets(tmp_path, body, goliath):
    with pytest.raises(ValueError, match='nothing to combine'):
        CombinedDataset([])
    with pytest.raises(ValueError, match=r"different skeletons \('coco17', 'goliath308'\): give skeleton="):
        CombinedDataset([body, goliath])
    with pytest.raises(ValueError, match='has a pipeline, which would not be used'):
        CombinedDataset([dict(goliath, pipeline=PIPELINE)])
    shard = tmp_path / 'a.tar'
    write_shard(shard, ['a'])
    with pytest.raises(ValueError, match='TarShards.*cannot be combined.*in the order of ShardSampler'):
        CombinedDataset([TarShards(shard)])
    with pytest.raises(ValueError, match='datasets.a: TarShards.* read in the order of ShardSampler'):
        MultiTaskDataset(dict(a=TarShards(shard, pipeline=[dict(type='PackImage')])))
    for weights in ((1,), (1, -1), (1, 0), (1, float('nan'))):
        with pytest.raises(ValueError, match='expected 2 positive numbers'):
            CombinedDataset([body, body], weights)
    with pytest.raises(ValueError, match=r'length=2 gives the datasets \[2, 0\]'):
        CombinedDataset([body, body], (1000, 1), 2)
    with pytest.raises(ValueError, match='length=0'):
        CombinedDataset([body, body], (1, 1), 0)
