from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from sapiens.engine import DataCheckHook
from sapiens.engine.hooks import data_check
from sapiens.metainfo import dataset_metainfo, get_classes, get_skeleton
from sapiens.registry import HOOKS
from sapiens.structures import DenseDataSample

IMAGE = torch.arange(48, dtype=torch.uint8).expand(3, 64, 48)
GEAR = dict(name='gear', classes=['background', 'helmet', 'glove'])


def runner(task='pose', metainfo=None, classes=None):
    model = SimpleNamespace(task_name=task)
    if classes is not None:
        model.task = SimpleNamespace(classes=get_classes(classes))
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=metainfo))
    return SimpleNamespace(bare_model=model, train_dataloader=loader, val_dataloader=loader, test_dataloader=loader)


def batch(*people, box=None):
    """A batch with one sample per person, given as (x, y, weight) of its keypoints in a crop of 48 x 64."""
    samples = []
    for points in people:
        sample = PoseDataSample(metainfo=dict(img_shape=(64, 48)))
        if box is not None:
            sample.set_metainfo(dict(input_scale=np.float32([box, box])))
        numbers = torch.tensor([points], dtype=torch.float32)
        sample.gt_instance_labels = InstanceData(keypoints=numbers[..., :2], keypoint_weights=numbers[..., 2])
        samples.append(sample)
    return dict(inputs=[IMAGE] * len(samples), data_samples=samples)


def maps(image=IMAGE, valid=None, **fields):
    """A batch of one sample with these maps, in the layout of its tensors."""
    sample = DenseDataSample()
    for name, values in fields.items():
        sample.set_field(torch.as_tensor(values), f'gt_{name}')
    size = next((values.shape[-2:] for values in fields.values()), (8, 8))
    sample.set_field(torch.ones(size, dtype=torch.bool) if valid is None else torch.as_tensor(valid), 'valid_mask')
    return dict(inputs=[image], data_samples=[sample])


HIDDEN = [(5, 5, 0), (50, 80, 0)]
OUTSIDE = [(48, 5, 1), (5, 64, 1), (-1, 5, 1), (5, 5, 0)]
SEEN = [(47, 63, 1), (0, 0, 0)]
RAMP = np.linspace(2, 3, 64, dtype=np.float32).reshape(1, 8, 8)


def train(hook, *batches, task='pose'):
    hook.before_train(runner(task))
    for number, one in enumerate(batches):
        hook.before_train_iter(None, number, one)
    hook.after_train(None)


@pytest.fixture
def said(monkeypatch):
    """Record the warnings of the hook."""
    said = []
    monkeypatch.setattr(data_check, 'print_log', lambda text, *_: said.append(text))
    return said


def test_a_run_without_keypoints_is_refused():
    hook = HOOKS.build(dict(type='VisibleKeypointsHook', num_batches=2))
    hook.before_train(runner())
    hook.before_train_iter(None, 0, batch(HIDDEN, HIDDEN))
    with pytest.raises(ValueError, match=r'first 2 batches \(3 samples .* have no labeled keypoint.*sapiens check'):
        hook.before_train_iter(None, 1, batch(HIDDEN))
    with pytest.raises(ValueError, match='6 labeled keypoints, all of them outside the crops'):
        train(DataCheckHook(2), batch(OUTSIDE), batch(OUTSIDE))
    unlabelled = dict(inputs=[IMAGE], data_samples=[PoseDataSample(metainfo=dict(img_shape=(64, 48)))])
    with pytest.raises(ValueError, match='no labeled keypoint'):
        train(DataCheckHook(1), unlabelled)


def test_one_keypoint_is_enough():
    train(DataCheckHook(3), batch(HIDDEN), batch(HIDDEN, SEEN), batch(OUTSIDE), batch(HIDDEN))


def test_only_the_first_batches_of_a_run_count():
    hook = DataCheckHook(2)
    train(hook, batch(SEEN), batch(HIDDEN), batch(HIDDEN), batch(HIDDEN))
    with pytest.raises(ValueError):
        train(hook, batch(HIDDEN), batch(HIDDEN), batch(SEEN))


def test_short_runs_are_judged_at_their_end():
    train(DataCheckHook(5), batch(SEEN))
    with pytest.raises(ValueError, match='first 1 batches'):
        train(DataCheckHook(5), batch(HIDDEN))


def test_ranks_judge_together(monkeypatch):
    def other(points):
        hook = DataCheckHook(2)
        hook.before_train(runner())
        hook.before_train_iter(None, 0, batch(points))
        return hook.rows[None]

    seen, hidden = other(SEEN), other(HIDDEN)
    monkeypatch.setattr(data_check, 'all_gather_object', lambda rows: [rows, seen])
    train(DataCheckHook(1), batch(HIDDEN))
    monkeypatch.setattr(data_check, 'all_gather_object', lambda rows: [rows, hidden])
    with pytest.raises(ValueError, match=r'\(2 samples over all ranks\)'):
        train(DataCheckHook(1), batch(HIDDEN))


def test_strange_keypoints_are_named(said):
    spread = [(5, 5, 1), (20, 30, 1), (40, 60, 1)]
    train(DataCheckHook(1), batch(spread, box=50))
    assert not said
    train(DataCheckHook(1), batch([(5, 5, 1), (5.1, 5.2, 1), (5, 5, 1)]))
    train(DataCheckHook(1), batch(spread, box=0.8))
    train(DataCheckHook(1), batch(SEEN, OUTSIDE, OUTSIDE))
    assert [text.partition(' have ')[2].partition('. ')[0] for text in said] == [
        'keypoints that are all in one place of the crop',
        'boxes of less than 4 pixels, which may be fractions of the image',
        '86% of the labeled keypoints outside the crops',
    ]


@pytest.mark.parametrize(
    ('task', 'fields'),
    [
        ('seg', dict(sem_seg=np.full((8, 8), 255, np.uint8))),
        ('depth', dict(depth=RAMP)),
        ('normal', dict(normal=np.zeros((3, 8, 8), np.float32))),
    ],
)
def test_maps_without_a_label_that_counts_are_refused(task, fields, said):
    nothing = maps(valid=np.zeros((8, 8), bool), **fields)
    with pytest.raises(ValueError, match=rf'no pixel with a known {next(iter(fields))}: there is nothing to learn'):
        train(DataCheckHook(2), nothing, nothing, task=task)
    with pytest.raises(ValueError, match='nothing to learn'):
        train(DataCheckHook(1), dict(inputs=[IMAGE], data_samples=[DenseDataSample()]), task=task)


def test_strange_maps_are_named(said):
    objects = np.zeros((8, 8), np.uint8)
    objects[2:6, 2:6] = 255
    far = RAMP.copy()
    far[0, 0] = 1e10
    ring = RAMP.copy()
    ring[0, 0, :3] = 65.535
    flat = np.float32([0, 0, -1])[:, None, None].repeat(8, 1).repeat(8, 2)
    for task, wrong in (
        ('seg', maps(sem_seg=objects, valid=objects == 0)),
        ('depth', maps(depth=RAMP * 0 + 2)),
        ('depth', maps(depth=far)),
        ('depth', maps(depth=ring)),
        ('normal', maps(normal=flat)),
        ('mae', maps(image=IMAGE * 0)),
    ):
        train(DataCheckHook(2), wrong, wrong, task=task)
    found = [text.partition(' have ')[2].partition(' Check')[0].removesuffix('.') for text in said]
    assert found == [
        'sem_seg 0 as the only value, and 25.0% of the pixels ignored. Is 255, which is ignored, used for the objects?',
        'the same depth on all pixels of an image',
        'depth with a farthest point more than 100 times as far as the median: is it a value for the background?',
        'depth with half of the pixels in the nearest 2% of its range: relative depth is near 0 there',
        'the same normal on all pixels of an image',
        'images of a single color',
    ]


def test_good_maps_are_not_doubted(said):
    labels = np.arange(64, dtype=np.uint8).reshape(8, 8) % 3
    normal = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    for task, good in (
        ('seg', maps(sem_seg=labels)),
        ('depth', maps(depth=RAMP)),
        ('normal', maps(normal=normal)),
        ('mae', maps()),
    ):
        train(DataCheckHook(2), good, good, task=task)
    assert not said


def test_classes_of_data_and_model():
    named = dict(classes=['background', 'helmet'], class_list='pair')
    hook, fitting = DataCheckHook(), dict(classes=GEAR['classes'], class_list='gear')
    hook.before_train(runner('seg', fitting, GEAR))
    hook.before_train(runner('seg', None, GEAR))
    for start in (hook.before_train, hook.before_val, hook.before_test):
        with pytest.raises(ValueError, match=r"data have the 2 classes of 'pair', the model predicts the 3 of 'gear'"):
            start(runner('seg', named, GEAR))
    moved = dict(classes=['background', 'glove', 'helmet'], class_list='moved')
    with pytest.raises(
        ValueError, match="the 3 classes of 'moved', the model predicts the 3 of 'gear', in names or order"
    ):
        hook.before_train(runner('seg', moved, GEAR))


def test_keypoints_of_data_and_model():
    skeleton = get_skeleton('coco17')
    other = runner('pose', dataset_metainfo(get_skeleton(dict(name='own', keypoints=skeleton.keypoints[::-1]))))
    same = runner('pose', dataset_metainfo(skeleton))
    for one in (other, same):
        one.bare_model.skeleton = skeleton
    DataCheckHook().before_train(same)
    for start in (DataCheckHook().before_train, DataCheckHook().before_val, DataCheckHook().before_test):
        with pytest.raises(
            ValueError, match="data have the 17 keypoints of 'own', the model predicts the 17 of 'coco17'"
        ):
            start(other)


def test_wrong_arguments():
    with pytest.raises(ValueError, match='num_batches=0'):
        DataCheckHook(0)
