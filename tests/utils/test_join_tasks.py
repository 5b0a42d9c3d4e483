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
    with pytest.raises(ValueError, match='join_tasks: give at least one config'):
        join_tasks()


def test_a_config_without_evaluation_is_refused(tmp_path):
    path = tmp_path / 'a.py'
    path.write_text("model = dict(type='PoseEstimator', backbone=dict())\ntrain_dataloader = dict(dataset=dict())\n")
    with pytest.raises(ValueError, match='a.py sets no val_dataloader, which a config of several tasks takes from it'):
        join_tasks(pose=path)


NORMAL = 'normal/sapiens2_tiny_synthetic-128x96'
LETTERBOX = dict(type='LoadLetterbox', size=(96, 128), interpolation='published')


@pytest.mark.parametrize(
    ('loading', 'step'),
    [
        (LETTERBOX, dict(type='Letterbox', size=(96, 128))),
        (dict(type='LoadResize', size=(96, 128), keep_ratio=True), dict(type='Letterbox', size=(96, 128))),
        (dict(type='sapiens.LoadResize', size=(96, 128)), dict(type='Resize', size=(96, 128))),
    ],
)
def test_one_loading_of_all_tasks_of_the_whole_image(loading, step):
    """Also in training, where the last step of the geometry changes. Pose keeps its crops of people."""
    joined, own = (join_tasks(*given, pose=POSE, seg=SEG, normal=NORMAL) for given in ((loading,), ()))
    for key in ('train_dataset', 'val_dataset'):
        assert joined[key]['datasets']['pose'] == own[key]['datasets']['pose']
    for task in ('seg', 'normal'):
        train, val = (joined[f'{split}_dataset']['datasets'][task]['pipeline'] for split in ('train', 'val'))
        before, plain = (own[f'{split}_dataset']['datasets'][task]['pipeline'] for split in ('train', 'val'))
        assert [one for one, two in zip(val, plain, strict=True) if one != two] == [loading]
        ((steps, old),) = (
            (one['steps'], two['steps']) for one, two in zip(train, before, strict=True) if 'steps' in one
        )
        assert step in steps and [one for one, two in zip(steps, old, strict=True) if one != two] in ([step], [])
        assert not {'Resize', 'Letterbox'} - {step['type']} & {one['type'] for one in steps}
    assert joined['model'] == own['model'] and joined['val_evaluator'] == own['val_evaluator']


def test_a_loading_without_a_place_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"whole_image={'type': 'LoadPerson'}: expected LoadResize or LoadLetterbox with"
    ):
        join_tasks(dict(type='LoadPerson'), seg=SEG)
    with pytest.raises(ValueError, match=r'whole_image={.*}: expected .* with a size'):
        join_tasks(dict(type='LoadLetterbox'), seg=SEG)
    path = tmp_path / 'a.py'
    path.write_text(
        "model = dict(type='DenseEstimator', backbone=dict())\n"
        'val_dataloader = train_dataloader = dict(dataset=dict(pipeline=[dict(type="PackDense")]))\n'
        "val_evaluator = dict(type='ValLoss')\n"
    )
    with pytest.raises(ValueError, match='a.py: train_dataloader: no step gives the whole image its size'):
        join_tasks(LETTERBOX, seg=path)
