import gc
import math
import signal
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmengine.hooks import EMAHook, Hook
from mmengine.model import ExponentialMovingAverage, MomentumAnnealingEMA
from torch import nn

from sapiens.engine import GarbageHook, StopHook, agreement
from sapiens.engine.matmul_precision import resolve_matmul_precision
from sapiens.engine.step_values import StepValues
from sapiens.registry import MODELS

from ..ranks import on_ranks
from .toy import make_runner


@pytest.fixture(autouse=True)
def no_environment_report(monkeypatch):
    monkeypatch.setattr('sapiens.engine.Runner._log_env', lambda *_: None)


def test_values_are_read_in_the_order_of_steps():
    values = StepValues()
    values.add(dict(loss=torch.tensor(1 / 3), accuracy=torch.tensor([2.0])))
    values.add({})
    values.add(dict(accuracy=torch.tensor(5, dtype=torch.int64), rate=0.5))
    found = values.read()
    assert found == [dict(loss=torch.tensor(1 / 3).item(), accuracy=2.0), {}, dict(accuracy=5.0, rate=0.5)]
    assert values.read() == []


def read_on_rank():
    rank, values = dist.get_rank(), StepValues()
    values.add(dict(loss=torch.tensor(1.0 + rank), shared=torch.tensor(3.0)))
    # Names in another order, and one that only this rank has.
    own = {f'own{rank}': torch.tensor(10.0 + rank)}
    values.add({**own, 'loss': torch.tensor(4.0 * rank)} if rank else {'loss': torch.tensor(0.0), **own})
    values.add({} if rank else dict(loss=torch.tensor(float('nan'))))
    return values.read()


def test_values_are_means_over_the_ranks_that_have_them(tmp_path):
    one, two = on_ranks(2, read_on_rank, tmp_path)
    assert one[:2] == two[:2] == [dict(loss=1.5, shared=3.0), dict(loss=2.0, own0=10.0, own1=11.0)]
    assert math.isnan(one[2]['loss'])


class Expected(Hook):
    """Records the losses of steps as they happen."""

    priority = 'HIGHEST'

    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())


def test_a_log_line_has_every_step_since_the_last_one(tmp_path):
    expected = Expected()
    hooks = dict(
        logger=dict(type='LoggerHook', interval=4), checkpoint=dict(type='CheckpointHook', interval=3, by_epoch=False)
    )
    runner = make_runner(tmp_path, hooks=[expected], default_hooks=hooks)
    runner.train()
    assert runner.message_hub.get_scalar('train/loss').data[0].tolist() == expected.losses
    assert len(runner.message_hub.get_scalar('train/grad_norm').data[0]) == 10
    # A checkpoint between two lines has the curve up to it.
    saved = torch.load(tmp_path / 'iter_3.pth', weights_only=True)['message_hub']['curves']['train/loss'][0]
    assert saved.tolist() == expected.losses[:3]


def test_a_skipped_step_leaves_no_gradient_norm(tmp_path):
    class Spoil(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 2:
                data_batch['inputs'] *= float('nan')

    runner = make_runner(tmp_path, hooks=[Spoil()], default_hooks=dict(logger=dict(type='LoggerHook', interval=5)))
    runner.train()
    assert len(runner.message_hub.get_scalar('train/grad_norm').data[0]) == 9
    assert runner.message_hub.get_scalar('train/skipped_steps').current() == 1


# ---------------------------------------------------------------------- the stop flag


def stop_on_rank(seconds, per_step, received_at):
    now = [0.0]
    agreement.time = SimpleNamespace(monotonic=lambda: now[0])
    hook, stopped, exchanges = StopHook(seconds), [], []
    logger = SimpleNamespace(warning=lambda text: None)
    wrapper = SimpleNamespace(should_update=lambda: True)
    runner = SimpleNamespace(optim_wrapper=wrapper, hooks=[], logger=logger, train_loop=SimpleNamespace(), iter=0)
    hook.before_train(runner)
    real = hook.agreement.exchange
    hook.agreement.exchange = lambda value: exchanges.append(runner.iter + 1) or real(value)
    for runner.iter in range(60):
        now[0] += per_step * (1 + dist.get_rank())
        if runner.iter + 1 == received_at and dist.get_rank():
            hook.received = int(signal.SIGUSR1)
        hook.after_train_iter(runner, 0)
        if getattr(runner.train_loop, 'stop_training', False):
            stopped.append((runner.iter + 1, runner.exit_status))
            break
    hook.restore()
    return exchanges, stopped


def test_a_signal_stops_all_ranks_after_the_same_step(tmp_path):
    # The slower rank takes 0.25 s a step, so ranks talk every eight steps.
    one, two = on_ranks(2, stop_on_rank, tmp_path, 2.0, 0.125, 12)
    assert one == two == ([1, 9, 17], [(17, 128 + signal.SIGUSR1)])


def test_ranks_may_talk_after_every_step(tmp_path):
    one, two = on_ranks(2, stop_on_rank, tmp_path, 0, 0.1, 3)
    assert one == two == ([1, 2, 3], [(3, 128 + signal.SIGUSR1)])


# ---------------------------------------------------------------------- averages of weights


@pytest.mark.parametrize('interval', [1, 3])
@pytest.mark.parametrize('update_buffers', [False, True])
@pytest.mark.parametrize(
    ('name', 'reference', 'options'),
    [
        ('ExponentialMovingAverage', ExponentialMovingAverage, dict(momentum=0.1)),
        ('MomentumAnnealingEMA', MomentumAnnealingEMA, dict(momentum=0.1, gamma=5)),
    ],
)
def test_averages_equal_those_of_mmengine(name, reference, options, interval, update_buffers):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    model[0].bias.requires_grad_(False)
    options = dict(options, interval=interval, update_buffers=update_buffers)
    ours = MODELS.build(dict(type=name, model=model, **options))
    assert type(ours).__module__.startswith('sapiens')
    theirs = reference(model, **options)
    for step in range(12):
        with torch.no_grad():
            for value in [*model.parameters(), model[1].running_mean]:
                if value.requires_grad or value is model[1].running_mean:
                    value += torch.randn(value.shape)
        if step == 6:  # a resumed run
            fresh = MODELS.build(dict(type=name, model=model, **options))
            fresh.load_state_dict(ours.state_dict())
            ours = fresh
        ours.update_parameters(model)
        theirs.update_parameters(model)
    one, two = ours.state_dict(), theirs.state_dict()
    assert list(one) == list(two)
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-6, atol=1e-6)


def test_the_hook_of_mmengine_takes_them(tmp_path):
    hook = EMAHook(ema_type='MomentumAnnealingEMA')
    make_runner(tmp_path, hooks=[hook]).train()
    assert type(hook.ema_model).__module__ == 'sapiens.engine.averaging' and hook.ema_model._updates == 10


# ---------------------------------------------------------------------- garbage, products


def test_garbage_is_collected_at_fixed_iterations(tmp_path, monkeypatch):
    collected = []

    class Watch(Hook):
        priority = 'LOWEST'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            assert not gc.isenabled()
            collected.append((runner.iter + 1, [call for call in calls if call == (1,)]))
            calls.clear()

    calls, real = [], gc.collect
    monkeypatch.setattr(gc, 'collect', lambda *args: calls.append(args) or real(*args))
    make_runner(tmp_path, hooks=[Watch()], default_hooks=dict(garbage=dict(type='GarbageHook', interval=4))).train()
    assert [iteration for iteration, found in collected if found] == [4, 8]
    assert gc.isenabled()


def test_garbage_is_collected_again_after_a_failure(tmp_path):
    class Fail(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            raise KeyError

    with pytest.raises(KeyError):
        make_runner(tmp_path, hooks=[Fail()], default_hooks=dict(garbage=dict(type='GarbageHook'))).train()
    assert gc.isenabled()
    with pytest.raises(ValueError, match='interval=-1'):
        GarbageHook(-1)


def test_matrix_products(tmp_path, monkeypatch):
    seen = []

    class Watch(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            seen.append(torch.get_float32_matmul_precision())

    make_runner(tmp_path, hooks=[Watch()], train_cfg=dict(type='TrainLoop', max_iters=1)).train()
    options = dict(env_cfg=dict(matmul_precision='high'), cfg=dict(env_cfg=dict(matmul_precision='high')))
    make_runner(tmp_path / 'b', hooks=[Watch()], train_cfg=dict(type='TrainLoop', max_iters=1), **options).train()
    assert seen == ['highest', 'high'] and torch.get_float32_matmul_precision() == 'highest'
    with pytest.raises(ValueError, match="matmul_precision='hgih' is not one of .*; did you mean 'high'"):
        resolve_matmul_precision('hgih', 'fp32')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda: True)
    assert [resolve_matmul_precision('auto', precision) for precision in ('fp32', 'bf16', 'auto')] == [
        'high', 'highest', 'highest'
    ]  # fmt: skip
