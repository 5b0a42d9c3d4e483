"""Sums over samples: each counts once, regardless of the number of processes and repetitions."""

import pickle

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.dist import get_world_size

from sapiens.evaluation import (
    AlbedoMetric,
    DepthMetric,
    MattingMetric,
    NormalMetric,
    PointmapMetric,
    SegMetric,
    StreamingMetric,
    streaming,
)
from sapiens.evaluation.streaming import field_of
from sapiens.structures import DenseDataSample

from ..ranks import on_ranks
from .dense import dense_samples, evaluate


def metrics():
    return [
        SegMetric('lip20', min_share=0.01),
        DepthMetric(),
        DepthMetric('median', average='pixel'),
        NormalMetric(),
        NormalMetric('image', prefix='image'),
        PointmapMetric(),
        PointmapMetric('image', prefix='pointmap_image'),
        AlbedoMetric(),
        AlbedoMetric('linear', 'pixel', prefix='albedo_pixel'),
        MattingMetric(band=0.1),
    ]


class Total(StreamingMetric):
    """Adds up ``value``."""

    default_prefix = 'total'

    def measure(self, sample):
        odd = self.note('are negative', sample) if sample['value'] < 0 else {}
        return dict(value=np.array([sample['value'], 1]), **odd)

    def report(self, sums):
        return dict(value=float(sums['value'][0]), samples=sums['samples'])


@pytest.fixture
def said(monkeypatch):
    said = []
    monkeypatch.setattr(streaming, 'print_log', lambda message, *_: said.append(message))
    return said


def values(*numbers):
    return [dict(sample_idx=index, img_path='a.png', value=number) for index, number in enumerate(numbers)]


def test_each_sample_counts_once_and_sums_are_reset(said):
    metric, samples = Total(), values(1.0, 10.0, 100.0)
    for extra in (0.0, 1000.0):
        samples[1]['value'] += extra
        numbers = evaluate(metric, [*samples, samples[0], samples[2]], size=3)
        assert numbers == {'total/value': 111.0 + extra, 'total/samples': 3}
    samples = values(1.0, 10.0, 100.0)
    assert not said
    # The same position of another dataset of a mix is another sample.
    assert evaluate(Total(prefix='p'), [*samples, dict(samples[0], img_path='b.png')])['p/value'] == 112.0
    assert evaluate(Total(), samples, size=5)['total/samples'] == 3 and said == [
        'total: 3 of 5 samples were evaluated'
    ]


def test_odd_samples_are_counted_and_one_is_named(said):
    evaluate(Total(), values(1.0, -1.0, -2.0))
    assert said == ['total: 2 of 3 samples are negative, among them a.png']


def test_no_samples_and_samples_without_a_name(said):
    assert Total().evaluate(4) == {} and said == ['total: 0 of 4 samples were evaluated']
    with pytest.raises(ValueError, match='neither sample_idx nor img_path'):
        Total().process({}, [dict(value=1.0)])


def test_memory_does_not_grow_with_the_images():
    metric = NormalMetric()
    samples = dense_samples(12)
    metric.process({}, samples[:4])
    before = len(pickle.dumps((metric._settled, metric._waiting)))
    metric.process({}, samples[4:])
    assert len(pickle.dumps((metric._settled, metric._waiting))) < before + 200
    assert len(metric._waiting) == get_world_size() == 1 and metric.results == []


def test_ranks_overlap_only_in_their_last_samples():
    ranks = [Total(), Total()]
    samples = values(1.0, 10.0, 100.0)
    for metric, mine in zip(ranks, ([0, 1, 2], [0, 1, 2]), strict=True):
        metric.process({}, [samples[index] for index in mine])
    parts = [
        dict(seen=m._seen - {m._waiting[0][0]}, settled=m._settled, waiting=list(m._waiting), examples={}, size=3)
        for m in ranks
    ]
    with pytest.raises(ValueError, match='total: 2 samples were evaluated by several processes.*DefaultSampler'):
        ranks[0].compute_metrics(parts)
    # The last of one is among the first of the other; both wait with the same one.
    parts[1] = dict(parts[1], seen=set(), settled={})
    assert ranks[0].compute_metrics(parts) == dict(value=111.0, samples=3)
    parts[0] = dict(parts[0], waiting=[])
    parts[1]['waiting'] = [(next(iter(parts[0]['seen'])), dict(value=np.array([5.0, 1]), samples=1))]
    assert ranks[0].compute_metrics(parts)['value'] == 11.0


def test_fields_that_do_not_fit():
    sample = dict(img_path='a.png', pred_depth=np.zeros((1, 4, 4), np.float32), gt_depth=torch.zeros(1, 4, 5))
    pred = field_of(sample, 'pred_depth')
    assert isinstance(pred, torch.Tensor)
    with pytest.raises(ValueError, match=r'a.png: gt_depth is \(4, 5\) \(H, W\), but the prediction is \(4, 4\)'):
        field_of(sample, 'gt_depth', pred)
    with pytest.raises(ValueError, match='a.png has no valid_mask.*gt_depth, img_path, pred_depth'):
        field_of(sample, 'valid_mask', pred)


def test_samples_are_packed_as_the_loop_hands_them_over():
    plain = dense_samples(4)
    packed = []
    for sample in plain:
        meta = {key: sample[key] for key in ('sample_idx', 'img_path')}
        data = {key: value for key, value in sample.items() if key not in meta}
        packed.append(DenseDataSample(metainfo=meta, **data).to_dict())
    for one, other in zip(metrics(), metrics(), strict=True):
        assert evaluate(one, packed) == evaluate(other, plain)


@pytest.mark.gpu
def test_a_gpu_counts_as_the_cpu(monkeypatch):
    samples, mixed = dense_samples(6), []
    for sample in samples:
        # Labels stay where the loader left them; predictions decide where the work is done.
        moved = {key: value.cuda() for key, value in sample.items() if key.startswith('pred')}
        mixed.append({**sample, **moved, 'gt_instance': (sample['gt_sem_seg'] > 2).byte()})
        sample['gt_instance'] = mixed[-1]['gt_instance']
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    torch.use_deterministic_algorithms(True)
    try:
        for one, other in zip(metrics(), metrics(), strict=True):
            assert evaluate(one, mixed) == pytest.approx(evaluate(other, samples), rel=1e-5, abs=1e-5)
    finally:
        torch.use_deterministic_algorithms(False)


def evaluate_on_rank(samples):
    """Numbers of this process, which evaluates together with another one, and what a sample that both have leads to."""
    # As the loader deals them out: by turns, and the first ones again until ranks have equally many.
    mine = (samples + samples[: len(samples) % 2])[dist.get_rank() :: 2]
    numbers = {}
    for metric in metrics():
        for start in range(0, len(mine), 2):
            part = mine[start : start + 2]
            metric.process(dict(inputs=torch.stack([sample['image'] for sample in part])), part)
        numbers |= metric.evaluate(len(samples))
    # A sample that both have in the middle cannot be taken out of their sums.
    metric = NormalMetric()
    metric.process({}, [samples[0], *mine[1:]])
    try:
        metric.evaluate(len(samples))
        shared = None
    except ValueError as error:
        shared = str(error)
    except RuntimeError:  # the other process has gone
        shared = 'gone'
    dist.destroy_process_group()
    return dict(numbers=numbers, shared=shared)


def test_two_processes_evaluate_as_one(tmp_path):
    samples = dense_samples(7)  # an odd number, so that a rank gets one again
    answers = on_ranks(2, evaluate_on_rank, tmp_path, samples)
    alone, twice = {}, {}
    for metric, other in zip(metrics(), metrics(), strict=True):
        alone |= evaluate(metric, samples)
        twice |= evaluate(other, [*samples, dict(samples[0], sample_idx=99)])
    assert len(alone) == len(twice) > 30 and alone != twice  # a sample that counted twice would show
    for answer in answers:
        assert answer['numbers'] == pytest.approx(alone, rel=1e-12)
    assert 'evaluated by several processes' in answers[0]['shared'] and answers[1]['shared'] == 'gone'
