"""Weights of samples: from annotations and tables to the labels of a batch."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sapiens.datasets import (
    CombinedDataset,
    Draw,
    GeometryDataset,
    KeypointDataset,
    MattingDataset,
    SegmentationDataset,
    stack_collate,
)
from sapiens.utils.batch_labels import SAMPLE_WEIGHTS

from .folders import write_geometry, write_labels, write_png
from .helpers import smooth_image
from .people import person, write_people

POSE = [
    dict(type='mmpose.GetBBoxCenterScale', padding=1.25),
    dict(type='LoadPerson', size=(24, 32)),
    dict(type='PackPose'),
]
# A pipeline of mmpose packs no weight.
OTHER = [
    *POSE[:1], dict(type='mmpose.LoadImage'), dict(type='mmpose.TopdownAffine', input_size=(24, 32)),
    dict(type='mmpose.PackPoseInputs'),
]  # fmt: skip
MAPS = [
    dict(type='LoadLabels'),
    dict(type='Resize', size=(24, 32)),
    dict(type='PackDense'),
]
WEIGHTS = [0.5, 2, 0]


def weights_of(dataset):
    samples = [dataset[Draw(index, index)] for index in range(len(dataset))]
    return [sample['data_samples'].metainfo['weight'] for sample in samples], stack_collate(samples)


def write_table(path, names, weights=WEIGHTS):
    if path.suffix == '.parquet':
        pq.write_table(pa.table(dict(image=names, weight=pa.array(weights, pa.float32()), other=names)), path)
    else:
        lines = [f'{name},{weight}' for name, weight in zip(names, weights, strict=True)]
        path.write_text('\n'.join(['image,weight', *lines, '']))
    return path.name


# ---------------------------------------------------------------------- people


@pytest.mark.parametrize('pipeline', [POSE, OTHER])
def test_people_have_the_weight_of_their_annotation(tmp_path, pipeline):
    people = [person(0, score=0.25), person(1, score=0), person(2), person(3, image=2, score=3)]
    path = write_people(tmp_path, people)
    options = dict(skeleton='coco17', img_prefix=str(tmp_path / 'img'), pipeline=pipeline)
    dataset = KeypointDataset(path, weight='score', **options)
    found = [dataset[Draw(index, 5)]['data_samples'].metainfo['weight'] for index in range(4)]
    assert found == [0.25, 0, 1, 3]
    assert 'weight' not in KeypointDataset(path, **options)[0]['data_samples'].metainfo
    second = KeypointDataset(path, weight='score', part=(0.5, 1), **options)
    assert [second[0]['data_samples'].metainfo['weight']] == [3]


def test_labels_of_a_batch_have_weights_if_one_sample_has(tmp_path):
    path = write_people(tmp_path, [person(0, score=0.25), person(1)])
    options = dict(skeleton='coco17', img_prefix=str(tmp_path / 'img'), pipeline=POSE)
    weighted, plain = KeypointDataset(path, weight='score', **options), KeypointDataset(path, **options)
    batch = stack_collate([weighted[0], plain[1]])
    assert batch['labels'][SAMPLE_WEIGHTS].tolist() == [0.25, 1]
    assert SAMPLE_WEIGHTS not in stack_collate([plain[0], plain[1]])['labels']


@pytest.mark.parametrize(
    ('value', 'shown'), [(-1, '-1'), (float('nan'), 'nan'), ('much', "'much'"), (True, 'True'), (1e31, '1e\\+31')]
)
def test_wrong_weights_of_people_name_file_and_annotation(tmp_path, value, shown):
    path = write_people(tmp_path, [person(0), person(1, score=value)])
    with pytest.raises(ValueError, match=rf"people.json.*annotation 101 has the weight {shown} in 'score': expected"):
        KeypointDataset(path, 'coco17', weight='score')


def test_weights_that_mean_nothing_are_refused(tmp_path):
    path = write_people(tmp_path, [person(0, score=0.0), person(1, score=0)])
    with pytest.raises(ValueError, match="no annotation has the field 'weight'"):
        KeypointDataset(path, 'coco17', weight='weight')
    with pytest.raises(ValueError, match="the weights 'score' of all 2 people are 0"):
        KeypointDataset(path, 'coco17', weight='score')
    with pytest.raises(ValueError, match="weight='score' in test mode"):
        KeypointDataset(path, 'coco17', weight='score', test_mode=True)


# ---------------------------------------------------------------------- maps


def seg(root, **options):
    write_labels(root)
    classes = [f'c{i}' for i in range(int(write_labels(root).max()) + 1)]
    names = [f'images/{i:06d}.jpg' for i in range(3)]
    return names, lambda: SegmentationDataset(dict(name='some', classes=classes), str(root), pipeline=MAPS, **options)


def geometry(root, **options):
    write_geometry(root)
    names = [f'rgb/{i:06d}.png' for i in range(3)]
    return names, lambda: GeometryDataset(str(root), ['depth', 'normal'], pipeline=MAPS, **options)


def alpha(root, **options):
    for i in range(3):
        write_png(root / 'rgb' / f'{i}.png', smooth_image(40, 30, seed=i))
        write_png(root / 'alpha' / f'{i}.png', np.full((30, 40), 255, np.uint8))
    return [f'rgb/{i}.png' for i in range(3)], lambda: MattingDataset(str(root), pipeline=MAPS, **options)


def alpha_list(root, **options):
    alpha(root)
    entries = [dict(image=f'rgb/{i}.png', mask=f'alpha/{i}.png') for i in range(4) if i < 3]
    (root / 'list.json').write_text(json.dumps(entries))
    return [entry['image'] for entry in entries], lambda: MattingDataset(
        str(root), 'list.json', pipeline=MAPS, **options
    )


def segments(root, **options):
    boxes = [person(i, image=i + 1, segmentation=[[5, 5, 60, 5, 60, 60]]) for i in range(3)]
    path = write_people(root, boxes)
    classes = dict(name='two', classes=['background', 'person'])
    given = dict(images='img', ann_file=path, pipeline=MAPS)
    return ['1.jpg', '2.jpg', '3.jpg'], lambda: SegmentationDataset(classes, str(root), **given, **options)


KINDS = [seg, geometry, alpha, alpha_list, segments]


@pytest.mark.parametrize('suffix', ['.csv', '.parquet'])
@pytest.mark.parametrize('kind', KINDS)
def test_images_have_the_weights_of_a_table(tmp_path, kind, suffix):
    names, build = kind(tmp_path, weights=f'w{suffix}')
    write_table(tmp_path / f'w{suffix}', ['other.png', *names[::-1]], [7, *WEIGHTS[::-1]])
    found, batch = weights_of(build())
    assert found == WEIGHTS and batch['labels'][SAMPLE_WEIGHTS].tolist() == WEIGHTS


@pytest.mark.parametrize('kind', KINDS)
def test_weights_in_test_mode_are_refused(tmp_path, kind):
    names, build = kind(tmp_path, weights='w.csv', test_mode=True)
    write_table(tmp_path / 'w.csv', names)
    with pytest.raises(ValueError, match='in test mode'):
        build()


@pytest.mark.parametrize(
    ('names', 'weights', 'message'),
    [
        (['{}', '{}', '{}'], [1, -2, 1], r"w.csv': image 'rgb/000001.png' has the weight '-2': expected a number, 0"),
        (['{}', '{}', '{}'], [1, 'nan', 1], "image 'rgb/000001.png' has the weight 'nan'"),
        (['{}', '{}', '{}'], [1, 'much', 1], "image 'rgb/000001.png' has the weight 'much'"),
        (['{}', '{}', '{}'], [1, '', 1], "image 'rgb/000001.png' has the weight ''"),
        (['{}', '{}', '{}'], [0, 0, 0], 'the weights of all 3 samples are 0'),
        (
            ['{}', 'a.png', '{}'],
            [1, 1, 1],
            "has no weight of 1 of 3 images, such as 'rgb/000001.png'. Its names, such as",
        ),
        (['{}', '{}', '{}', 'rgb/000001.png'], [1, 1, 1, 1], "has two weights of 'rgb/000001.png'"),
    ],
)
def test_wrong_tables_name_file_and_image(tmp_path, names, weights, message):
    known, build = geometry(tmp_path, weights='w.csv')
    write_table(tmp_path / 'w.csv', [name.format(*known[i : i + 1]) for i, name in enumerate(names)], weights)
    with pytest.raises(ValueError, match=message):
        build()


def test_tables_of_another_form(tmp_path):
    _, build = geometry(tmp_path, weights='w.csv')
    with pytest.raises(FileNotFoundError, match=r'no table of weights .*w.csv'):
        build()
    (tmp_path / 'w.csv').write_text('path,score\na,1\n')
    with pytest.raises(ValueError, match=r"has no column 'image' and 'weight' \(columns: path, score\)"):
        build()
    (tmp_path / 'w.csv').write_bytes(b'image,weight\na,1,2\n')
    with pytest.raises(ValueError, match=r'w.csv.* cannot be read'):
        build()
    (tmp_path / 'w.parquet').write_bytes(b'nothing')
    with pytest.raises(ValueError, match=r'w.parquet.* cannot be read'):
        geometry(tmp_path, weights='w.parquet')[1]()
    with pytest.raises(ValueError, match=r"w.txt' ends in none of .csv, .parquet"):
        (tmp_path / 'w.txt').write_text('')
        geometry(tmp_path, weights='w.txt')[1]()


# ---------------------------------------------------------------------- several data sets


def test_of_several_data_sets_all_samples_have_weights_or_none(tmp_path):
    path = write_people(tmp_path, [person(0, score=0.25), person(1, score=0.5)])
    options = dict(skeleton='coco17', img_prefix=str(tmp_path / 'img'))
    plain, weighted = KeypointDataset(path, **options), KeypointDataset(path, weight='score', **options)
    both = CombinedDataset([plain, weighted], pipeline=POSE)
    assert [both[Draw(i, i)]['data_samples'].metainfo['weight'] for i in range(4)] == [1, 1, 0.25, 0.5]
    nested = CombinedDataset([CombinedDataset([plain, weighted]), plain], pipeline=POSE)
    assert [nested[Draw(i, i)]['data_samples'].metainfo['weight'] for i in range(6)] == [1, 1, 0.25, 0.5, 1, 1]
    assert 'weight' not in CombinedDataset([plain, plain], pipeline=POSE)[0]['data_samples'].metainfo
