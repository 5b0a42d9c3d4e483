"""Metrics say what they report, and a wrong save_best is refused before the first step."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sapiens.evaluation import (
    AlbedoMetric,
    DepthMetric,
    KeypointMetric,
    MattingMetric,
    NormalMetric,
    PointmapMetric,
    ReconstructionLoss,
    SegMetric,
    ValLoss,
    refuse_unreported,
)
from sapiens.evaluation.reported import reported_names

from ..datasets.people import person, write_people
from .dense import dense_samples

CLASSES = dict(name='two', classes=['background', 'hat'])
SKELETON = dict(
    name='hands_and_feet',
    keypoints=['nose', 'left_hand', 'right_hand'],
    groups=dict(hands=['left_hand', 'right_hand']),
)


def evaluated(metric, *samples) -> list[str]:
    for sample in samples:
        metric.process({}, [sample])
    return list(metric.evaluate(len(samples)))


def test_dense_metrics_report_what_they_say():
    valid = torch.ones(4, 4, dtype=torch.bool)
    labels = torch.arange(16).reshape(4, 4) % 2
    for share in (None, 0.1):
        metric = SegMetric(CLASSES, min_share=share)
        sample = dict(pred_sem_seg=labels, gt_sem_seg=labels, img_path='a')
        assert sorted(evaluated(metric, sample)) == sorted(reported_names([metric]))
    depth = torch.rand(1, 4, 4) + 1
    metric = DepthMetric(target='relative')
    sample = dict(pred_depth=depth, gt_depth=depth, valid_mask=valid, img_path='a')
    assert sorted(evaluated(metric, sample)) == sorted(reported_names([metric]))
    normal = torch.nn.functional.normalize(torch.rand(3, 4, 4), dim=0)
    metric = NormalMetric()
    sample = dict(pred_normal=normal, gt_normal=normal, valid_mask=valid, img_path='a')
    assert sorted(evaluated(metric, sample)) == sorted(reported_names([metric]))
    for metric in (PointmapMetric(), AlbedoMetric(), MattingMetric()):
        sample = dense_samples(1, size=(20, 20))[0]
        sample['valid_mask'][:] = True
        metric.process(dict(inputs=[sample['image']]), [sample])
        assert sorted(metric.evaluate(1)) == sorted(reported_names([metric]))
    assert evaluated(ReconstructionLoss(), dict(reconstruction_loss=1.0)) == ['mae/loss']
    assert reported_names([ReconstructionLoss(), ValLoss()]) == ['mae/loss', 'val_loss']
    assert evaluated(ValLoss(), dict(loss=1.0)) == ['val_loss']


def test_keypoints_report_what_they_say(tmp_path):
    path = write_people(tmp_path, [person(1, count=3)], pictures=False)
    for groups in (None, ['whole'], ['hands']):
        metric = KeypointMetric(SKELETON, path, groups=groups)
        found = dict(keypoints=np.ones((1, 3, 2)), keypoint_scores=np.ones((1, 3)), bboxes=np.ones((1, 4)))
        assert sorted(evaluated(metric, dict(img_id=1, id=101, pred_instances=found))) == sorted(
            reported_names([metric])
        )


def test_another_name_is_refused_with_the_near_one(tmp_path):
    path = write_people(tmp_path, [person(1, count=3)], pictures=False)

    def loop(*metrics):
        return SimpleNamespace(evaluator=SimpleNamespace(metrics=metrics))

    own = loop(KeypointMetric(SKELETON, path), ValLoss())
    refuse_unreported('hands-and-feet/AP', own, 'save_best')
    refuse_unreported('val_loss', own, 'save_best')
    for wrong, near in (('coco/AP', ''), ('hands_and_feet/AP', "; did you mean 'hands-and-feet/AP'")):
        with pytest.raises(
            ValueError, match=f"save_best='{wrong}' is not among the metrics{near}.*hands-and-feet/AP .5"
        ):
            refuse_unreported(wrong, own, 'save_best')
    with pytest.raises(ValueError, match='the run has no validation'):
        refuse_unreported('coco/AP', None, 'save_best')
    # A metric of another package does not say what it reports.
    refuse_unreported('coco/AP', loop(SimpleNamespace(prefix='coco'), ValLoss()), 'save_best')
