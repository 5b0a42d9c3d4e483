"""Percentage of correct keypoints."""

import numpy as np
import pytest
from mmengine.structures import InstanceData

from sapiens.evaluation import PCKMetric, reported_names, rule_of


def sample(distances, visible=None, box=(10, 20, 50, 100)):
    """A person with keypoints at places, and predictions so many pixels away from them."""
    count = len(distances)
    truth = np.stack([np.linspace(12, 48, count), np.linspace(25, 95, count)], -1)[None]
    away = np.asarray(distances, float)[:, None] * (0.6, -0.8)
    person = InstanceData(
        bboxes=np.array([box], np.float32),
        keypoints=truth,
        keypoints_visible=np.ones((1, count)) if visible is None else np.array([visible], np.float32),
    )
    return dict(pred_instances=InstanceData(keypoints=truth + away), gt_instances=person)


def evaluated(metric, *samples):
    for one in samples:
        metric.process({}, [one])
    return metric.evaluate(len(samples))


def test_keypoints_within_a_fraction_of_the_longer_side_count():
    # The longer side is 80: 0.1 is 8 pixels, 0.05 is 4.
    found = evaluated(PCKMetric(), sample([0, 3.9, 4.1, 7.9, 8.1]), sample([7.9, 1000.0]))
    assert found == {'PCK@0.1': pytest.approx(5 / 7), 'PCK@0.05': pytest.approx(2 / 7)}
    wide = sample([7.9, 8.1], box=(0, 0, 160, 20))
    assert evaluated(PCKMetric([0.05]), wide) == {'PCK@0.05': 0.5}


def test_unlabeled_keypoints_do_not_matter_and_missing_ones_are_wrong():
    assert evaluated(PCKMetric(), sample([0, 50, 0], visible=[1, 0, 2])) == {'PCK@0.1': 1.0, 'PCK@0.05': 1.0}
    assert evaluated(PCKMetric([0.1]), sample([0, np.nan])) == {'PCK@0.1': 0.5}


def test_detected_people_are_skipped_and_padding_is_dropped():
    detected = dict(
        pred_instances=InstanceData(keypoints=np.ones((1, 3, 2))), gt_instances=InstanceData(bboxes=np.ones((1, 4)))
    )
    assert evaluated(PCKMetric([0.1]), detected, sample([0, 50])) == {'PCK@0.1': 0.5}
    assert evaluated(PCKMetric(), detected) == {}
    metric = PCKMetric([0.1])
    metric.process({}, [detected, sample([0.0]), sample([50.0])])
    assert metric.evaluate(2) == {'PCK@0.1': 1.0}


def test_names_and_rule():
    metric = PCKMetric([0.2, 0.05], prefix='photographs')
    assert (
        list(evaluated(metric, sample([0.0])))
        == reported_names([metric])
        == ['photographs/PCK@0.2', 'photographs/PCK@0.05']
    )
    assert rule_of('PCK@0.1') == rule_of('photographs/PCK@0.05') == 'greater'
    for wrong in ((), (0.1, 0.0)):
        with pytest.raises(ValueError, match='PCKMetric: fractions=.* above 0'):
            PCKMetric(wrong)
