"""Samples taken from metrics and put back, drawn again, and the interval of a whole test set."""

import json
import logging

import numpy as np
import pytest
import torch

from sapiens.evaluation import DepthMetric, KeypointMetric, NormalMetric, SegMetric
from sapiens.reproduction.interval import chosen, interval_of, quiet
from sapiens.reproduction.records import read_part, write_part

from ..known_data import miniatures

CLASSES = dict(name='three', classes=['background', 'left', 'right'])


def seg_samples(count, seed=0):
    """Label maps with predictions that are right in three of five pixels, more or less by image."""
    random = np.random.default_rng(seed)
    for index in range(count):
        label = random.choice(3, (8, 8), p=random.dirichlet((4, 2, 1)))
        right = random.random((8, 8)) < random.uniform(0.3, 0.9)
        pred = np.where(right, label, random.integers(0, 3, (8, 8)))
        yield dict(sample_idx=index, pred_sem_seg=torch.from_numpy(pred), gt_sem_seg=torch.from_numpy(label))


def filled(metric, samples, by_sample=True):
    metric.by_sample = by_sample
    for sample in samples:
        metric.process({}, [sample])
    return metric


def normals(count, seed=0):
    random = np.random.default_rng(seed)
    for index in range(count):
        pair = torch.from_numpy(random.normal(size=(2, 3, 4, 4)))
        yield dict(sample_idx=index, pred_normal=pair[0], gt_normal=pair[1], valid_mask=torch.ones(4, 4).bool())


def depths(count):
    for index in range(count):
        random = np.random.default_rng(index)
        pair = torch.from_numpy(random.uniform(1, 3, (2, 1, 4, 4)))
        mask = torch.full((4, 4), index != 2)  # one image has no person
        yield dict(sample_idx=index, pred_depth=pair[0], gt_depth=pair[1], valid_mask=mask)


@pytest.mark.parametrize(
    ('make', 'samples'),
    [
        (lambda: SegMetric(CLASSES), list(seg_samples(7))),
        (lambda: NormalMetric(average='image'), list(normals(7))),
        (lambda: NormalMetric(), list(normals(7))),
        (lambda: DepthMetric(), list(depths(7))),
    ],
)
def test_samples_pass_through_files(tmp_path, make, samples):
    """Taken in two parts, written, read and put back: the metrics of one run, also of samples that are drawn again."""
    wanted = filled(make(), samples, by_sample=False).evaluate(7)
    metric, paths = make(), [tmp_path / 'a.pt', tmp_path / 'b.pt']
    for path, part in zip(paths, (samples[:3], samples[3:]), strict=True):
        write_part(path, dict(records=filled(metric, part).take(), seconds=1.5))
    assert metric.num_units == 0
    for path in paths:
        content = read_part(path)
        assert content['seconds'] == 1.5
        metric.put(content['records'])
        metric.put(content['records'])  # a sample counts once
    assert metric.num_units == 7
    whole, twice = metric.redrawn([np.arange(7), np.array([0, 0, 4])])
    assert {f'{metric.prefix}/{name}': value for name, value in whole.items()} == pytest.approx(wanted)
    copies = [samples[0], dict(samples[0], sample_idx=9), samples[4]]
    again = filled(make(), copies, by_sample=False).evaluate(3)
    assert {f'{metric.prefix}/{name}': value for name, value in twice.items()} == pytest.approx(again)
    assert metric.evaluate(7) == pytest.approx(wanted)


def people(folder, count, seed=0, copies=()):
    """A COCO file of some images, and predictions with errors. ``copies``: images to take, as often as they are listed."""
    content = miniatures.people([f'{n}.jpg' for n in range(count)], seed=seed)
    random = np.random.default_rng(seed)
    found = []
    for person in content['annotations']:
        points = np.array(person['keypoints'], np.float32).reshape(1, 17, 3)
        error = random.gamma(1.0, 3.0) * random.normal(size=(1, 17, 2))
        if random.random() < 0.9:
            found.append((person['image_id'], (points[..., :2] + error).astype(np.float32), random.random(17)))
    if len(copies):
        images, persons, predicted = [], [], []
        for new, old in enumerate(copies, 1):
            images.append(dict(content['images'][old], id=new))
            persons.append(dict(content['annotations'][old], id=new, image_id=new))
            predicted += [(new, *rest) for image, *rest in found if image == old + 1]
        content, found = dict(content, images=images, annotations=persons), predicted
    path = folder / f'people{len(copies)}.json'
    path.write_text(json.dumps(content))
    metric = KeypointMetric('coco17', str(path))
    for index, (image, points, scores) in enumerate(found):
        instances = dict(keypoints=points, keypoint_scores=scores[None], bbox_scores=np.ones(1))
        metric.process({}, [dict(img_id=image, id=index, pred_instances=instances)])
    return metric


def test_images_of_people_are_drawn_again(tmp_path):
    metric = people(tmp_path, 12)
    draw = np.array([3, 3, 7, 0, 11, 5, 5, 5])
    whole, drawn = metric.redrawn([np.arange(12), draw])
    copied = people(tmp_path, 12, copies=draw)
    assert drawn == pytest.approx(copied.compute_metrics(copied.results), nan_ok=True)
    assert 0.1 < whole['AP'] < 0.9 and drawn['AP'] != whole['AP']
    taken = metric.take()
    assert not metric.results
    metric.put(taken)
    assert metric.compute_metrics(metric.results) == pytest.approx(whole, nan_ok=True)


def test_only_some_images_count(tmp_path):
    metric, images = people(tmp_path, 12), [2, 3, 9]
    metric.keep_images(images)
    metric.results = [result for result in metric.results if result[0] in images]
    copied = people(tmp_path, 12, copies=[image - 1 for image in images])
    assert metric.num_units == 3
    assert metric.compute_metrics(metric.results) == pytest.approx(copied.compute_metrics(copied.results), nan_ok=True)


def test_the_part_is_fixed():
    names = [f'images/{n}.jpg' for n in range(1000)]
    part = chosen(names)
    assert len(part) == 50 and part == chosen(names[::-1]) == chosen([*names, *names])
    # A random part: every tenth of the list has some, and other names give others.
    assert len({int(name[7:-4]) // 100 for name in part}) > 7
    assert len(chosen(names[:21])) == 2 and chosen(['a']) == ['a']


def test_width_of_an_interval(caplog):
    """Of a mean over images: that of the central limit theorem, with the correction for a finite set."""
    metric = filled(NormalMetric(average='image'), normals(60))
    values = [float(sums['errors'][0, 0]) for _, sums in metric._waiting]
    with caplog.at_level(logging.INFO):
        [interval] = interval_of([metric], lambda found: dict(mean=found['normal/mean']), 80, draws=400).values()
    error = 1.96 * np.std(values) / np.sqrt(60) * np.sqrt(1 - 60 / 80)
    assert np.mean(interval) == pytest.approx(np.mean(values)) and np.ptp(interval) / 2 == pytest.approx(
        error, rel=0.1
    )
    assert not caplog.records
    whole = interval_of([metric], lambda found: dict(mean=found['normal/mean']), 60, draws=5)['mean']
    assert whole[0] == whole[1] == pytest.approx(np.mean(values))
    with pytest.raises(ValueError, match='1 of 20 images: an interval needs two or more'):
        interval_of([filled(SegMetric(CLASSES), seg_samples(1))], dict, 20)


def test_quiet_ends():
    with pytest.raises(KeyError), quiet():
        raise KeyError
    assert not logging.root.manager.disable


@pytest.mark.slow
def test_coverage(tmp_path):
    """The interval of a random fifth holds the score of all images about 95 times in 100."""
    random = np.random.default_rng(0)
    every = filled(SegMetric(CLASSES), seg_samples(500))
    records, truth = every.take(), None
    held = 0
    for _ in range(100):
        part = SegMetric(CLASSES)
        part.put([records[i] for i in random.permutation(500)[:100]])
        low, high = interval_of([part], lambda found: dict(mIoU=found['seg/mIoU']), 500, draws=60)['mIoU']
        if truth is None:
            every.put(records)
            with quiet():
                truth = every.evaluate(500)['seg/mIoU']
        held += low <= truth <= high
    assert held >= 88
    metric = people(tmp_path, 300)
    everyone, results = metric.people, metric.results
    with quiet():
        truth = metric.compute_metrics(results)['AP']
    held = 0
    for _ in range(40):
        images = set((1 + random.permutation(300)[:60]).tolist())
        metric.people, metric.results = everyone, [one for one in results if one[0] in images]
        metric.keep_images(images)
        low, high = interval_of([metric], lambda found: dict(AP=found['coco/AP']), 300, draws=40)['AP']
        held += low <= truth <= high
    assert held >= 34
