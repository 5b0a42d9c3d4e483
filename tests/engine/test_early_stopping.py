"""Early stopping, and the direction of the best checkpoint."""

import pytest
import torch

from sapiens.engine import CheckpointHook, EarlyStoppingHook
from sapiens.registry import HOOKS

from .toy import make_runner

EVERY = dict(type='TrainLoop', max_iters=10, val_interval=1)


def run(folder, scores, **options):
    hook = dict(type='EarlyStoppingHook', monitor='toy/loss', **options)
    runner = make_runner(folder, scores=scores, hooks=[hook], train_cfg=EVERY)
    runner.train()
    return runner


def test_a_run_ends_after_evaluations_without_improvement(tmp_path):
    assert run(tmp_path / 'a', (5, 4, 4.5, 4.2, *[1] * 6), patience=2).iter == 4
    assert run(tmp_path / 'b', [5 - 0.01 * number for number in range(10)], patience=2).iter == 10  # small steps count
    assert run(tmp_path / 'c', [5 - 0.01 * number for number in range(10)], patience=2, min_delta=0.1).iter == 3


def test_a_resumed_run_continues_to_count(tmp_path):
    hook = dict(type='EarlyStoppingHook', monitor='toy/loss', patience=3)
    checkpoint = dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False))
    options = dict(hooks=[hook], default_hooks=checkpoint)
    cfg = dict(type='TrainLoop', max_iters=3, val_interval=1)
    make_runner(tmp_path, scores=(1, 2, 2), train_cfg=cfg, **options).train()
    again = make_runner(tmp_path, scores=[2] * 9, train_cfg=EVERY, resume=True, **options)
    again.train()
    assert again.iter == 4  # the third evaluation without improvement, as without a break


def test_a_checkpoint_of_the_best_metric_counts_its_evaluation(tmp_path):
    hook = dict(type='EarlyStoppingHook', monitor='toy/loss', patience=3)
    checkpoint = dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False, save_best='toy/loss'))
    cfg = dict(type='TrainLoop', max_iters=1, val_interval=1)
    make_runner(tmp_path, scores=(0.5,), train_cfg=cfg, hooks=[hook], default_hooks=checkpoint).train()
    state = torch.load(tmp_path / 'iter_1.pth', weights_only=True)
    assert state['panels']['early_stopping'] == dict(best_score=0.5, wait_count=0)


def test_a_metric_that_is_not_reported_is_refused(tmp_path):
    runner = make_runner(
        tmp_path, scores=[1] * 9, hooks=[dict(type='EarlyStoppingHook', monitor='toy/los_loss')], train_cfg=EVERY
    )
    with pytest.raises(ValueError, match="monitor='toy/los_loss' is not among the metrics; did you mean 'toy/loss'"):
        runner.train()


@pytest.mark.parametrize('name', ['coco/AP', 'depth_scale-shift/RMSE', 'normal/within_30', 'seg/mIoU', 'val_loss'])
def test_hooks_know_the_direction_of_the_metrics(name):
    rule = 'less' if name.endswith(('RMSE', 'loss')) else 'greater'
    stopping = HOOKS.build(dict(type='EarlyStoppingHook', monitor=name))
    assert isinstance(stopping, EarlyStoppingHook) and stopping.rule == rule
    assert CheckpointHook(save_best=name).rules == [rule]
    assert CheckpointHook(save_best=['mae/loss', name]).rules == ['less', rule]
    with pytest.raises(ValueError, match='keeps the worst'):
        CheckpointHook(save_best=name, rule='less' if rule == 'greater' else 'greater')


def test_the_first_metric_is_the_best_one_by_itself(tmp_path):
    checkpoint = dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False, save_best='auto'))
    make_runner(tmp_path, scores=(3, 1, *[2] * 8), default_hooks=checkpoint, train_cfg=EVERY).train()
    assert [path.name for path in tmp_path.glob('best*')] == ['best_toy_loss_iter_2.pth']
