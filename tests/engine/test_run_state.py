"""State of a run in checkpoints: the layout of the file, and the protocol of its parts."""

import torch
from mmengine.hooks import Hook

from sapiens.checkpoints import recognise
from sapiens.engine import MFUHook, PosePictureHook, run_state
from sapiens.engine.runner_checkpoints import model_facts
from sapiens.models import MAE
from sapiens.visualization import SPEED_AND_MEMORY

from .stub_pose import StubPose
from .toy import make_runner

EVERY_FIVE = dict(checkpoint=dict(type='CheckpointHook', interval=5, by_epoch=False))


def layout(value):
    """Nested keys; of a list the layout of its first entry."""
    if isinstance(value, dict):
        return {key: layout(item) for key, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [layout(value[0])]
    return None


def test_the_layout_of_a_checkpoint(tmp_path):
    """Checkpoints of earlier versions have this layout and must resume."""
    hooks = dict(EVERY_FIVE, bad_data=dict(type='BadDataHook'))
    schedule = [dict(type='ConstantLR', by_epoch=False, begin=0, end=3)]
    make_runner(tmp_path, default_hooks=hooks, param_scheduler=schedule).train()
    found = torch.load(tmp_path / 'iter_5.pth', weights_only=True)
    meta, hub = found['meta'], found['message_hub']
    assert set(meta) >= {
        'epoch', 'iter', 'seed', 'data_seed', 'world_size', 'cfg', 'experiment_name', 'time', 'dataset_meta',
        'sapiens_version', 'mmengine_version',
    }  # fmt: skip
    assert (meta['epoch'], meta['iter'], meta['seed'], meta['data_seed'], meta['world_size']) == (0, 5, 1, 1, 1)
    del found['meta'], found['message_hub']
    rng = found['rng'][0]
    assert set(rng) - {'cuda'} == {'python', 'numpy', 'torch'} and len(rng['numpy']) == 5
    moments = {0: dict.fromkeys(['step', 'exp_avg', 'exp_avg_sq'])}
    assert layout(found['optimizer']['state'])[0] == moments[0]
    assert set(found['optimizer']) == {'state', 'param_groups', 'base_param_settings', 'skipped'}
    assert found['optimizer']['skipped'] == [0, 0]
    assert found['data'] == [dict(samples=10)]
    assert set(found['param_schedulers'][0]) >= {'last_step', '_global_step', 'base_values'}
    counts = dict(dict.fromkeys(['bad', 'opened', 'new', 'samples']), rejected={}, new_rejected={})
    assert layout(found['hooks']) == [dict(BadDataHook=counts)]
    assert set(found) == {'state_dict', 'optimizer', 'param_schedulers', 'rng', 'data', 'hooks'}
    values, counts = hub['curves']['train/loss']
    assert values.dtype == torch.float64 and counts.dtype == torch.int64 and len(values) == 5
    assert set(hub) == {'curves', 'info'} and hub['info']['iter'] == 4


def test_checkpoints_name_task_and_family(tmp_path):
    arch = dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=64)
    model = MAE(dict(type='SapiensViT', arch=arch, img_size=32), dict(num_layers=1, embed_dims=16, num_heads=2))
    assert model_facts(model, model.state_dict()) == dict(task='mae', family='sapiens')
    assert model_facts(StubPose(), StubPose().state_dict()) == dict(task='pose')
    assert recognise(model.state_dict(), dict(task='mae', family='sapiens'))['task'] == 'mae'
    make_runner(tmp_path, default_hooks=EVERY_FIVE).train()
    assert not {'task', 'family'} & set(torch.load(tmp_path / 'iter_5.pth', weights_only=True)['meta'])


def test_speed_and_memory_are_those_of_the_running_process(tmp_path):
    """No value of them is kept, and none of a checkpoint of an earlier version comes back."""
    hooks = dict(EVERY_FIVE, throughput=dict(type='ThroughputHook'))
    runner = make_runner(tmp_path, hooks=[MFUHook()], default_hooks=hooks)
    runner.train()
    curves = {name: history.data[0] for name, history in runner.message_hub.log_scalars.items()}
    run = {'train/loss', 'train/grad_norm', 'train/lr', 'train/base_lr'}
    measured = {f'train/{name}' for name in SPEED_AND_MEMORY} & set(curves)
    assert set(curves) - measured <= run and measured >= {'train/time', 'train/images_per_s', 'train/save_share'}
    path = tmp_path / 'iter_5.pth'
    checkpoint = torch.load(path, weights_only=True)
    assert (
        not measured & set(checkpoint['message_hub']['curves']) and 'train/loss' in checkpoint['message_hub']['curves']
    )
    old = [torch.full((5,), 77.0, dtype=torch.float64), torch.ones(5, dtype=torch.int64)]
    checkpoint['message_hub']['curves'] |= {'train/tflops': old, 'train/time': old, 'train/memory': old}
    torch.save(checkpoint, path)
    resumed = make_runner(tmp_path / 'resumed', default_hooks=hooks, resume=True, load_from=str(path))
    resumed.train()
    scalars = resumed.message_hub.log_scalars
    assert 'train/tflops' not in scalars and len(scalars['train/time'].data[0]) == 5
    assert len(scalars['train/loss'].data[0]) == 10
    log = '\n'.join(file.read_text() for file in (tmp_path / 'resumed').glob('*/*.log'))
    assert 'tflops' not in log and 'save_share' not in log and 'time: 77' not in log


class Counter(Hook):
    """Counts iterations."""

    name = 'counter'
    state_per_rank = False

    def __init__(self):
        self.count = 0

    def after_train_iter(self, runner, *args, **kwargs):
        self.count += 1

    def state_dict(self):
        return dict(count=self.count)

    def load_state_dict(self, state):
        self.count = state['count']


class RankCounter(Counter):
    state_per_rank = True

    def reshard_state(self, states, rank):
        return dict(count=100 * rank + sum(state['count'] for state in states))


def test_any_hook_with_state_continues(tmp_path):
    for resume, begin in ((False, 0), (True, 10)):
        hooks = [Counter(), RankCounter()]
        kwargs = dict(train_cfg=dict(type='TrainLoop', max_iters=begin + 10), resume=resume)
        make_runner(tmp_path, hooks=hooks, default_hooks=EVERY_FIVE, **kwargs).train()
        assert [hook.count for hook in hooks] == [begin + 10] * 2
    checkpoint = torch.load(tmp_path / 'iter_20.pth', weights_only=True)
    assert checkpoint['hooks'] == [dict(RankCounter=dict(count=20))]
    assert checkpoint['panels'] == dict(counter=dict(count=20))


def test_states_of_another_number_of_processes_are_resharded(tmp_path):
    make_runner(tmp_path, hooks=[RankCounter()], default_hooks=EVERY_FIVE).train()
    checkpoint = torch.load(tmp_path / 'iter_10.pth', weights_only=True)
    two = {key: 2 * checkpoint[key] for key in ('rng', 'data', 'hooks')}
    hook = RankCounter()
    runner = make_runner(tmp_path, hooks=[hook], train_cfg=dict(type='TrainLoop', max_iters=10))
    runner.train()
    run_state.restore_state(runner, {**checkpoint, **two}, 'x')
    assert hook.count == 20


def test_a_hook_that_the_checkpoint_does_not_know_starts_fresh(tmp_path):
    make_runner(tmp_path, default_hooks=EVERY_FIVE).train()
    hooks = [Counter(), RankCounter(), PosePictureHook()]
    make_runner(tmp_path, hooks=hooks, default_hooks=EVERY_FIVE, resume=True).train()
    assert [hook.count for hook in hooks[:2]] == [0, 0] and hooks[2].rows is None


def test_every_hook_of_one_name_gets_the_state(tmp_path):
    class Unnamed(Counter):
        name = property()  # reading it raises AttributeError: the class name is used

    make_runner(tmp_path, hooks=[Counter(), RankCounter(), Unnamed()], default_hooks=EVERY_FIVE).train()
    assert set(torch.load(tmp_path / 'iter_10.pth', weights_only=True)['panels']) == {'counter', 'Unnamed'}
    hooks = [Counter(), Counter(), RankCounter(), RankCounter(), Unnamed()]
    train_cfg = dict(type='TrainLoop', max_iters=12)
    make_runner(tmp_path, hooks=hooks, default_hooks=EVERY_FIVE, train_cfg=train_cfg, resume=True).train()
    assert [hook.count for hook in hooks] == [12] * 5
