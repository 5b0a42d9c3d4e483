"""Directions of metrics."""

import pytest

from sapiens.evaluation import AlbedoMetric, MattingMetric, PointmapMetric, rule_of
from sapiens.evaluation.dense_functional import DEPTH_ERRORS
from sapiens.evaluation.normal import _NAMES
from sapiens.evaluation.oks_average import STATISTICS

GREATER = [
    *(f'coco-wholebody/{name}' for name in STATISTICS),
    *('coco-wholebody/left_hand_AP', 'own/face_AR', 'goliath/foot_AP'),
    *('seg/mIoU', 'seg/mAcc', 'seg/aAcc', 'seg/mIoU@0.001', 'seg/mAcc@0.01'),
    *(f'depth_scale-shift/{name}' for name in DEPTH_ERRORS if name.startswith('delta')),
    *(f'normal/{name}' for name in _NAMES if name.startswith('within')),
    *('PCK', 'accuracy/top1', 'pck/AUC', 'mDice', 'pascal_voc/mAP', 'acc_pose'),
]
BETTER_IF_HIGHER = 'within', 'PSNR', 'SSIM'
SECOND_HALF = [f'new/{name}' for metric in (PointmapMetric, AlbedoMetric, MattingMetric) for name in metric.names]
HIGHER = [name for name in SECOND_HALF if any(part in name for part in BETTER_IF_HIGHER)]
LESS = [
    *(f'depth_relative_none/{name}' for name in DEPTH_ERRORS if not name.startswith('delta')),
    *(f'hi4d/{name}' for name in _NAMES if not name.startswith('within')),
    *('mae/loss', 'val_loss', 'labels/val_loss', 'depth_none/flat_RMSE', 'normal/flat_mean', 'NME', 'loss_ce'),
    *(name for name in SECOND_HALF if name not in HIGHER),
]


@pytest.mark.parametrize(('rule', 'name'), [('greater', n) for n in GREATER + HIGHER] + [('less', n) for n in LESS])
def test_the_metrics_of_this_package_and_usual_ones(rule, name):
    assert rule_of(name) == rule_of(name, rule) == rule
    with pytest.raises(ValueError, match=f'keeps the worst: {rule} is better'):
        rule_of(name, dict(less='greater', greater='less')[rule])


def test_other_metrics_need_a_rule():
    assert rule_of('own/sharpness', 'less') == 'less'
    with pytest.raises(ValueError, match="save_best='own/sharpness': say whether more of it is better"):
        rule_of('own/sharpness')
    with pytest.raises(ValueError, match="rule='max' of monitor='coco/AP' is not"):
        rule_of('coco/AP', 'max', 'monitor')
