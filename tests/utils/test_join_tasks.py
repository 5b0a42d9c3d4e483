"""Configs of single tasks joined to one of several."""

import pytest

from sapiens.utils.config import load_config
from sapiens.utils.join_tasks import join_tasks

POSE, SEG = 'pose/sapiens2_tiny_synthetic308-128x96', 'seg/sapiens2_tiny_synthetic-128x96'


def test_parts_of_the_configs():
    joined = join_tasks(pose=POSE, parts=SEG)
    assert set(joined) == {'model', 'train_dataset', 'val_dataset', 'val_evaluator'}
    seg = load_config(SEG).to_dict()
    assert joined['model']['backbone'] == seg['model'].pop('backbone')
    assert joined['model']['tasks']['parts'] == seg['model'] and list(joined['model']['tasks']) == ['pose', 'parts']
    assert joined['val_dataset']['datasets']['parts'] == seg['val_dataloader']['dataset']
    assert joined['val_evaluator']['parts'] == seg['val_evaluator']


def test_encoders_that_differ_are_refused():
    with pytest.raises(
        ValueError, match=r"model.backbone.arch is 'tiny' in pose/.* and '0.4b' in seg/.*share one backbone"
    ):
        join_tasks(pose=POSE, seg='seg/sapiens2_0.4b_goliath-1024x768')
    with pytest.raises(FileNotFoundError, match='no config file seg/none'):
        join_tasks(seg='seg/none')


def test_a_config_without_evaluation_is_refused(tmp_path):
    path = tmp_path / 'a.py'
    path.write_text("model = dict(type='PoseEstimator', backbone=dict())\ntrain_dataloader = dict(dataset=dict())\n")
    with pytest.raises(ValueError, match='a.py sets no val_dataloader, which a config of several tasks takes from it'):
        join_tasks(pose=path)
