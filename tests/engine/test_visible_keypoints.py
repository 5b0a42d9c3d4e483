from types import SimpleNamespace

import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from sapiens.engine import VisibleKeypointsHook
from sapiens.engine.hooks import visible_keypoints
from sapiens.registry import HOOKS

RUNNER = SimpleNamespace(optim_wrapper=SimpleNamespace(device=torch.device('cpu')))


def batch(*people):
    """A batch with one sample per person, given as (x, y, weight) of its keypoints in a crop of 48 x 64."""
    samples = []
    for points in people:
        sample = PoseDataSample(metainfo=dict(img_shape=(64, 48)))
        numbers = torch.tensor([points], dtype=torch.float32)
        sample.gt_instance_labels = InstanceData(keypoints=numbers[..., :2], keypoint_weights=numbers[..., 2])
        samples.append(sample)
    return dict(data_samples=samples)


HIDDEN = [(5, 5, 0), (50, 80, 0)]
OUTSIDE = [(48, 5, 1), (5, 64, 1), (-1, 5, 1), (5, 5, 0)]
SEEN = [(47, 63, 1), (0, 0, 0)]


def train(hook, *batches):
    hook.before_train(RUNNER)
    for number, one in enumerate(batches):
        hook.before_train_iter(RUNNER, number, one)
    hook.after_train(RUNNER)


def test_a_run_without_keypoints_is_refused():
    hook = HOOKS.build(dict(type='VisibleKeypointsHook', num_batches=2))
    hook.before_train_iter(RUNNER, 0, batch(HIDDEN, HIDDEN))
    with pytest.raises(RuntimeError, match=r'first 2 batches \(3 samples .* have no labelled keypoint.*sapiens check'):
        hook.before_train_iter(RUNNER, 1, batch(HIDDEN))
    with pytest.raises(RuntimeError, match='6 labelled keypoints, all of them outside the crops'):
        train(VisibleKeypointsHook(2), batch(OUTSIDE), batch(OUTSIDE))
    with pytest.raises(RuntimeError, match='no labelled keypoint'):
        train(VisibleKeypointsHook(1), dict(data_samples=[PoseDataSample(metainfo=dict(img_shape=(64, 48)))]))


def test_one_keypoint_is_enough():
    train(VisibleKeypointsHook(3), batch(HIDDEN), batch(HIDDEN, SEEN), batch(OUTSIDE), batch(HIDDEN))


def test_only_the_first_batches_of_a_run_count():
    hook = VisibleKeypointsHook(2)
    train(hook, batch(SEEN), batch(HIDDEN), batch(HIDDEN), batch(HIDDEN))
    with pytest.raises(RuntimeError):
        train(hook, batch(HIDDEN), batch(HIDDEN), batch(SEEN))


def test_short_runs_are_judged_at_their_end():
    train(VisibleKeypointsHook(5), batch(SEEN))
    with pytest.raises(RuntimeError, match='first 1 batches'):
        train(VisibleKeypointsHook(5), batch(HIDDEN))


def test_ranks_judge_together(monkeypatch):
    monkeypatch.setattr(visible_keypoints, 'all_reduce', lambda counts: counts.add_(torch.tensor([1, 4, 4])))
    train(VisibleKeypointsHook(1), batch(HIDDEN))
    monkeypatch.setattr(visible_keypoints, 'all_reduce', lambda counts: counts.add_(torch.tensor([1, 0, 0])))
    with pytest.raises(RuntimeError, match=r'\(2 samples over all ranks\)'):
        train(VisibleKeypointsHook(1), batch(HIDDEN))


def test_wrong_arguments():
    with pytest.raises(ValueError, match='num_batches=0'):
        VisibleKeypointsHook(0)
