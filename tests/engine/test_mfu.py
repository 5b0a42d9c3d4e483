"""MFUHook and the end of a run without memory, in runs of this process."""

import time
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import Hook
from torch import nn

from sapiens.engine import MFUHook, Runner
from sapiens.engine.device_time import collective_fraction, step_profiler
from sapiens.engine.estimate import advice, out_of_memory
from sapiens.engine.estimate.trace import trace_step
from sapiens.engine.hooks import mfu
from sapiens.engine.peak_rates import RATES, peak_rates
from sapiens.registry import HOOKS
from sapiens.utils.config import load_config

from ..ranks import on_ranks
from .toy import make_runner

MAE = 'configs/mae/sapiens_tiny_folder-256x256.py'
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)


class Record(Hook):
    """Takes what the hook has logged, after each iteration."""

    priority = 'LOWEST'

    def __init__(self):
        self.seen = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        scalars = runner.message_hub.log_scalars
        names = ('tflops', 'mfu', 'slowest_step', 'slowest_rank', 'peak_memory')
        self.seen.append({name: len(scalars[f'train/{name}'].data[0]) for name in names if f'train/{name}' in scalars})


@pytest.fixture
def images(tmp_path, monkeypatch):
    from ..apis.tiny import write_pictures

    write_pictures(tmp_path / 'data', ((60, 80), (90, 40)), '.jpg')
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'data'))
    return tmp_path


def make_mae(folder, **options):
    values = {
        'model.backbone.arch': ARCH,
        'train_dataloader.num_workers': 0,
        'train_dataloader.batch_size': 4,
        'train_cfg.max_iters': 5,
        'val_dataloader': None,
        'val_cfg': None,
        'val_evaluator': None,
        'custom_hooks': [],
        'default_hooks.logger.interval': 2,
        'visualizer.vis_backends': [],
        **options,
    }
    cfg = load_config(MAE, values)
    cfg.work_dir = str(folder / 'work')
    return cfg


def test_rate_of_a_run(images):
    record = Record()
    runner = Runner.from_cfg(make_mae(images, custom_hooks=[dict(type='MFUHook', peak_tflops=0.5)]))
    runner.register_hook(record)
    runner.train()
    # Lines of the log are after the second, the fourth and the last iteration.
    assert [row.get('tflops', 0) for row in record.seen] == [0, 1, 1, 2, 3]
    assert 'slowest_step' not in record.seen[-1] and 'peak_memory' not in record.seen[-1]
    hub = runner.message_hub
    (tflops, _), (mfu, _) = (hub.log_scalars[f'train/{name}'].data for name in ('tflops', 'mfu'))
    assert mfu == pytest.approx(tflops / 0.5)
    cfg = runner.cfg
    operations = trace_step(cfg, 'fp32').counts.step
    seconds = hub.get_scalar('train/time').data[0]
    assert tflops[1] == pytest.approx(4 * operations / seconds[2:4].mean() / 1e12)
    assert tflops[2] == pytest.approx(4 * operations / seconds[4] / 1e12)


def test_recomputed_operations_do_not_count(images):
    operations = {}
    for mode in ('off', 'all'):
        cfg = make_mae(images, **{'activation_checkpointing': mode, 'train_cfg.max_iters': 1})
        cfg.custom_hooks = [dict(type='MFUHook')]
        cfg.experiment_name = f'recomputed_{mode}'
        runner = Runner.from_cfg(cfg)
        runner.train()
        hook = next(hook for hook in runner.hooks if isinstance(hook, MFUHook))
        (operations[mode],) = hook.operations.values()
        assert 'train/mfu' not in runner.message_hub.log_scalars  # a CPU has no known rate
    assert operations['off'] == operations['all'] > 0


def test_the_slowest_process(monkeypatch):
    monkeypatch.setattr(mfu, 'get_world_size', lambda: 3)
    monkeypatch.setattr(mfu, 'all_gather', lambda row: [row, row * 2, row * 0.5])
    assert MFUHook._over_processes(0.25) == dict(slowest_step=0.5)
    # A step takes all processes the same time. The one that waits least in collectives is the slowest.
    monkeypatch.setattr(mfu, 'all_gather', lambda row: [torch.tensor([0.3, share]) for share in (0.5, 0.2, 0.8)])
    assert MFUHook._over_processes(0.3, 0.5) == pytest.approx(
        dict(slowest_step=0.3, slowest_rank=1, collective_share=0.5)
    )


def test_time_that_checkpoints_take(tmp_path, monkeypatch):
    import sapiens.engine.hooks.checkpoint as module

    clock = iter(range(0, 1000, 3))  # a save takes 3 s of this clock
    monkeypatch.setattr(module.time, 'perf_counter', lambda: next(clock))
    runner = make_runner(tmp_path, hooks=[MFUHook()], default_hooks=dict(logger=dict(type='LoggerHook', interval=5),
        checkpoint=dict(type='CheckpointHook', interval=4, by_epoch=False, save_last=False)))  # fmt: skip
    runner.train()
    hub = runner.message_hub
    shares, _ = hub.get_scalar('train/save_share').data
    seconds, _ = hub.get_scalar('train/time').data
    assert shares * [seconds[:5].sum(), seconds[5:].sum()] == pytest.approx([3, 3])  # after 4 and after 8 of 10 steps


class Event:
    def __init__(self, name, begin, end):
        self.name, self.start_ns, self.duration_ns = lambda: name, lambda: begin, lambda: end - begin
        self.device_type = lambda: torch.autograd.DeviceType.CPU


def test_collectives_that_nothing_hides():
    events = [Event('aten::mm', 0, 40), Event('gloo:all_reduce', 20, 60), Event('aten::add', 60, 70),
              Event('autograd::wait', 0, 90), Event('gloo:broadcast', 85, 100), Event('aten::mul', 90, 95)]  # fmt: skip
    results = SimpleNamespace(kineto_results=SimpleNamespace(events=lambda: events))
    # 40 to 60, 85 to 90 and 95 to 100 of 100.
    assert collective_fraction(SimpleNamespace(profiler=results)) == pytest.approx(0.3)
    events.clear()
    assert collective_fraction(SimpleNamespace(profiler=results)) == 0


def wait_for_a_slow_process():
    layer = nn.parallel.DistributedDataParallel(nn.Linear(4, 4))
    profiler = step_profiler()
    profiler.start()
    end = time.perf_counter() + 0.5 * dist.get_rank()
    while time.perf_counter() < end:
        torch.ones(99, 99) @ torch.ones(99, 99)
    layer(torch.ones(2, 4)).sum().backward()
    profiler.stop()
    return collective_fraction(profiler)


def test_a_wait_for_a_slow_process_is_time_of_collectives(tmp_path):
    fast, slow = on_ranks(2, wait_for_a_slow_process, tmp_path)
    assert fast > 0.5 > slow


def test_a_step_of_every_tenth_line_is_profiled(tmp_path, monkeypatch):
    monkeypatch.setattr(mfu, 'get_world_size', lambda: 2)
    monkeypatch.setattr(mfu, 'all_gather', lambda row: [row, row])
    lines = dict(logger=dict(type='LoggerHook', interval=2))
    runner = make_runner(tmp_path, hooks=[MFUHook(profile_interval=2)], default_hooks=lines)
    runner.train()
    assert runner.iter == 10
    shares, _ = runner.message_hub.get_scalar('train/collective_share').data
    assert shares.tolist() == [0, 0, 0]  # lines 1, 3 and 5; there is no group


def test_a_model_of_ones_own_has_no_operations(tmp_path):
    runner = make_runner(tmp_path, hooks=[MFUHook()])
    runner.train()
    assert 'train/tflops' not in runner.message_hub.log_scalars


def test_refused():
    for value in (0, 'x', float('inf'), True):
        with pytest.raises(ValueError, match=f'peak_tflops={value!r}: expected a finite number above 0'):
            MFUHook(peak_tflops=value)
    with pytest.raises(ValueError, match='profile_interval=-1'):
        MFUHook(profile_interval=-1)


@pytest.mark.parametrize(
    ('name', 'bf16'),
    [
        ('NVIDIA H100 80GB HBM3', 989),
        ('NVIDIA H100 PCIe', 756),
        ('NVIDIA A100-SXM4-80GB', 312),
        ('NVIDIA A10', 125),
        ('NVIDIA L40S', 362),
        ('NVIDIA GH200 480GB', 989),
        ('AMD Instinct MI300X', 1307),
    ],
)
def test_rates_by_name(name, bf16):
    assert peak_rates(name).bf16 == bf16


def test_unknown_devices_have_no_rate():
    assert all(peak_rates(name) is None for name in ('Tesla T4', 'NVIDIA RTX A1000', 'cpu'))
    assert all(peak_rates(name) == rates for name, rates in RATES.items())


# ---------------------------------------------------------------------- out of memory


class Fail(Hook):
    def __init__(self, error):
        self.error = error

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        raise self.error


def test_the_end_of_a_run_without_memory(images, monkeypatch):
    monkeypatch.setattr(advice.psutil, 'virtual_memory', lambda: type('Memory', (), dict(total=2 * 10**9)))
    original = torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')
    runner = Runner.from_cfg(make_mae(images))
    runner.register_hook(Fail(original))
    with pytest.raises(torch.OutOfMemoryError) as caught:
        runner.train()
    assert caught.value.__cause__ is original
    lines = str(caught.value).splitlines()
    assert lines[0] == str(original)
    assert lines[1].startswith('Estimate for this config on 1 GPU(s) of 2.0 GB') and 'at batch 4' in lines[1]
    options = [line.split(':')[0].strip() for line in lines[3:]]
    assert sorted(options) == [
        'activation_checkpointing=all',
        'activation_checkpointing=selective',
        'train_dataloader.batch_size=2 optim_wrapper.accumulative_counts=2',
    ]


def test_the_command_line_adds_the_hook():
    path = 'configs/mae/sapiens_tiny_synthetic-128x128.py'
    before, cfg = load_config(path), load_config(path, ["+default_hooks.mfu=dict(type='MFUHook')"])
    assert cfg.custom_hooks == before.custom_hooks and cfg.custom_hooks
    assert cfg.default_hooks == {**before.default_hooks, 'mfu': dict(type='MFUHook')}
    assert isinstance(HOOKS.build(cfg.default_hooks.mfu), MFUHook)


def test_several_processes_may_share_the_weights(images):
    cfg = Config(dict(make_mae(images, **{'train_dataloader.batch_size': 2})))
    lines = advice.explain_out_of_memory(cfg, 8).splitlines()
    assert len(lines) == 2 + advice.SHOWN
    saved = [float(line.split('saves ')[1].split(' MB')[0]) for line in lines[2:]]
    assert saved == sorted(saved, reverse=True)
    assert any("parallel=dict(type='FSDP2',shard='all')" in line for line in lines)


def test_errors_of_cpus_and_others():
    cfg = Config(dict(model=dict(type='Unknown')))
    text = (
        "[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
    )
    explained = out_of_memory.explain_memory_errors
    with pytest.raises(torch.OutOfMemoryError, match='There is no estimate for this config'), explained(cfg, 1):
        raise RuntimeError(text)
    with pytest.raises(RuntimeError, match='^shapes$') as caught, explained(cfg, 1):
        raise RuntimeError('shapes')
    assert not isinstance(caught.value, torch.OutOfMemoryError)
