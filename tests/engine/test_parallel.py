"""Runs of several processes equal the run of one: weights, losses, metrics, checkpoints. They are separate processes (gloo)."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FSDP2 = dict(type='FSDP2')
# All that a run can do at once: two batches a step, of which one is not finite, clipped gradients, a frozen block, layer decay,
# recomputed activations, an average of the weights, figures, and an evaluation in which one process has more batches.
EVERYTHING = dict(
    model='mae', accumulate=2, spoil=5, max_norm=0.1, val=True, paramwise=dict(no_decay_1d=True, layer_decay_rate=0.8),
    backbone=dict(frozen_stages=1), recompute='all',
    hooks=[
        dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=0.1, gamma=10),
        dict(type='ReconstructionHook', interval=8, num_images=2),
    ],
)  # fmt: skip
# A step has gradients for one of three heads. One of them is drawn.
MULTI = dict(
    model='multi', steps=9, saves=False, hooks=[dict(type='DenseFigureHook', task='seg', interval=6, num_images=2)]
)
HEADS = ('pose', 'seg', 'normal', 'pointmap')
# Steps of a head; 20 are a slow test.
STEPS = 10
BF16 = dict(precision='bf16', steps=6, saves=False)


@pytest.fixture(scope='module')
def group(tmp_path_factory):
    """group(processes, runs by name, local=...) does runs; the results are in folder/<name>."""
    folder = tmp_path_factory.mktemp('runs')
    environment = dict(os.environ, OMP_NUM_THREADS='1', SAPIENS_VERBOSE='1')
    server = subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-m', 'tests.engine.parallel_runs'],
        cwd=Path(__file__).parents[2], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout.readline() == 'ready\n'

    def group(processes, runs, local=None):
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        log = folder / f'{next(iter(runs))}.log'
        runs = [dict(request, name=name, work_dir=str(folder / name)) for name, request in runs.items()]
        request = dict(processes=processes, local=local or processes, port=port, log=str(log), runs=runs)
        server.stdin.write(json.dumps(request) + '\n')
        server.stdin.flush()
        statuses = json.loads(server.stdout.readline())
        assert set(statuses) == {0}, log.read_text()[-4000:]
        return folder

    yield group
    server.stdin.close()
    server.wait()


@pytest.fixture(scope='module')
def one(group):
    """Folder of the runs of one process."""
    heads = {head: dict(model=head, steps=STEPS, saves=False) for head in HEADS}
    folder = group(1, dict(mae=dict(model='mae'), everything=EVERYTHING, multi=MULTI, **heads))
    spoilt = torch.load(folder / 'mae/iter_10.pth', weights_only=True)
    spoilt['state_dict']['backbone.layers.2.attn.proj.weight'][-1, -1] = torch.nan  # of the last process
    torch.save(dict(state_dict=spoilt['state_dict'], meta=spoilt['meta']), folder / 'spoilt.pth')
    return folder


@pytest.fixture(scope='module')
def two(group, one):
    """Folder of the runs of two processes."""
    resumed = dict(EVERYTHING, resume=True, load_from=str(one / 'everything/iter_10.pth'))
    sharded = {
        'fsdp_mae': dict(model='mae', saves=False),
        'fsdp_everything': EVERYTHING,
        'fsdp_resumed': dict(resumed, saves=False),
        'fsdp_again': dict(resumed, steps=10, save_again=True),
        'fsdp_loaded': dict(model='mae', steps=1, saves=False, load_from=str(one / 'mae/iter_10.pth')),
        'fsdp_spoilt': dict(model='mae', steps=1, load_from=str(one / 'spoilt.pth'), fails=True),
        'fsdp_compiled': dict(model='mae', steps=4, saves=False, compile=dict(backend='eager')),
        'fsdp_multi': MULTI,
        **{f'fsdp_{head}': dict(model=head, steps=STEPS, saves=False) for head in HEADS},
    }
    runs = {name: dict(run, parallel=FSDP2) for name, run in sharded.items()}
    runs |= {
        'fsdp_bf16': dict(BF16, model='mae', parallel=dict(FSDP2, param_dtype='bf16')),
        'fsdp_bf16_pointmap': dict(
            BF16, model='pointmap', recompute='selective', parallel=dict(FSDP2, param_dtype='bf16')
        ),
        'ddp_bf16': dict(BF16, model='mae'),
        'ddp_bf16_pointmap': dict(BF16, model='pointmap', recompute='selective'),
        'ddp_mae': dict(model='mae', saves=False, parallel=dict(type='DDP', static_graph=True)),
        'ddp_multi': MULTI,
        'ddp_resumed': dict(resumed, saves=False),
    }
    return group(2, runs)


def result(folder, name):
    return torch.load(folder / name / 'result.pt', weights_only=True)


def checkpoint(folder, name, file='iter_10.pth'):
    return torch.load(folder / name / file, weights_only=True)


def assert_equal_runs(one, other, steps=20):
    assert one['losses'] == pytest.approx(other['losses'], abs=1e-5) and len(one['losses']) == steps
    assert one['losses'][-1] < one['losses'][0]
    assert list(one['initial']) == list(other['initial'])
    for name, value in one['initial'].items():
        assert torch.equal(value, other['initial'][name]), name
        assert torch.allclose(one['weights'][name], other['weights'][name], atol=1e-5), name
    assert one['skipped'] == other['skipped']
    for before, after in zip(one['metrics'], other['metrics'], strict=True):
        assert before == pytest.approx(after, abs=1e-5)


def assert_equal_tensors(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_equal_tensors(one[key], other[key])
    elif isinstance(one, list):
        for pair in zip(one, other, strict=True):
            assert_equal_tensors(*pair)
    else:
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize('way', ['ddp', 'fsdp'])
def test_pretraining_equals_that_of_one_process(one, two, way):
    other = result(two, f'{way}_mae')
    assert_equal_runs(result(one, 'mae'), other)
    # The last process has the smaller part of what two do not divide.
    assert other['held'] == other['size'] if way == 'ddp' else 0.5 <= other['held'] / other['size'] < 0.65


@pytest.mark.parametrize('head', HEADS)
def test_finetuning_equals_that_of_one_process(one, two, head):
    assert_equal_runs(result(one, head), result(two, f'fsdp_{head}'), STEPS)


@pytest.mark.parametrize('way', ['ddp', 'fsdp'])
def test_several_tasks_equal_those_of_one_process(one, two, way):
    assert_equal_runs(result(one, 'multi'), result(two, f'{way}_multi'), 9)
    assert len(list((two / f'{way}_multi').rglob('seg_*.png'))) == 2


@pytest.mark.parametrize('name', ['fsdp_everything', pytest.param('fsdp_kept', marks=pytest.mark.slow)])
def test_all_that_a_run_can_do(group, one, two, name):
    if name == 'fsdp_kept':
        group(2, {name: dict(EVERYTHING, parallel=dict(FSDP2, reshard_after_forward=False))})
    first, other = result(one, 'everything'), result(two, name)
    assert_equal_runs(first, other)
    # Gradients of the first of two batches wait, unreduced, in the whole weights.
    assert first['pending'] == [True, False] * 10 and other['pending'] == [False] * 20
    assert first['skipped'] == 1 and len(first['metrics']) == 3
    frozen = [key for key in first['weights'] if key.startswith(('backbone.layers.0.', 'backbone.patch_embed'))]
    assert len(frozen) > 8
    assert all(torch.equal(other['initial'][key], other['weights'][key]) for key in frozen)
    figures = [
        sorted(path.name for path in (folder / run).rglob('*.png'))
        for folder, run in ((one, 'everything'), (two, name))
    ]
    assert figures[0] == figures[1] and len(figures[0]) == 3


def test_a_checkpoint_is_that_of_one_process(one, two):
    first, other = checkpoint(one, 'everything'), checkpoint(two, 'fsdp_everything')
    assert list(first) == list(other)
    assert first['optimizer']['param_groups'] == other['optimizer']['param_groups']
    for key in ('state_dict', 'ema_state_dict'):
        assert list(first[key]) == list(other[key])
        for name, value in first[key].items():
            assert type(other[key][name]) is torch.Tensor
            assert torch.allclose(value.float(), other[key][name].float(), atol=1e-4), name
    assert list(first['optimizer']['state']) == list(other['optimizer']['state'])
    for number, state in first['optimizer']['state'].items():
        for name, value in state.items():
            assert torch.allclose(value, other['optimizer']['state'][number][name], atol=1e-5), (number, name)


def test_a_run_resumes_on_another_number_of_processes(group, one, two):
    """From one process on two, from two sharded ones on one, and what is written at once is what was read."""
    resumed = dict(EVERYTHING, resume=True, load_from=str(two / 'fsdp_everything/iter_10.pth'))
    group(1, dict(one_resumed=resumed, one_again=dict(resumed, steps=10, save_again=True)))
    straight = result(one, 'everything')['losses'][10:]
    for name in ('fsdp_resumed', 'ddp_resumed', 'one_resumed'):
        assert result(two, name)['losses'] == pytest.approx(straight, abs=1e-5) and len(straight) == 10
    for read, written in (
        (checkpoint(one, 'everything'), 'fsdp_again'),
        (checkpoint(two, 'fsdp_everything'), 'one_again'),
    ):
        again = checkpoint(two, written, 'again.pth')
        for key in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'):
            assert_equal_tensors(read[key], again[key])


def test_weights_are_read_in_parts(one, two):
    loaded, file = result(two, 'fsdp_loaded')['initial'], checkpoint(one, 'mae')['state_dict']
    assert_equal_tensors(dict(loaded), dict(file))
    log = (two / 'fsdp_mae.log').read_text()
    assert '100.0% of the backbone loaded from' in log
    errors = [(two / f'fsdp_spoilt/error_{rank}.txt').read_text() for rank in (0, 1)]
    assert errors[0] == errors[1] and 'backbone.layers.2.attn.proj.weight has values that are not finite' in errors[0]


def test_compiled_blocks(one, two):
    compiled = result(two, 'fsdp_compiled')
    assert compiled['losses'] == pytest.approx(result(one, 'mae')['losses'][:4], abs=1e-5)
    assert compiled['graphs'] >= 1


@pytest.mark.parametrize('suffix', ['', '_pointmap'])
def test_weights_gathered_in_bf16_train_as_autocast_does(two, suffix):
    """Autocast rounds the same weights, and those of norms and of the last layers of pointmaps stay in float32."""
    ddp, fsdp = result(two, f'ddp_bf16{suffix}'), result(two, f'fsdp_bf16{suffix}')
    assert ddp['losses'] == fsdp['losses']
    for name, value in ddp['weights'].items():
        assert torch.allclose(value, fsdp['weights'][name], atol=1e-4), name


@pytest.mark.parametrize('name', ['mae', pytest.param('everything', marks=pytest.mark.slow)])
def test_nodes_that_hold_the_same_parts(group, one, name):
    """Two nodes of one process; two nodes of two processes are a slow test."""
    request = dict(dict(model='mae', saves=False) if name == 'mae' else EVERYTHING, parallel=dict(FSDP2, shard='node'))
    folder = group(2, {f'hsdp_{name}': request}, local=1)
    other = result(folder, f'hsdp_{name}')
    assert_equal_runs(result(one, name), other)
    assert other['held'] == other['size']


@pytest.mark.slow
def test_more_processes_and_steps(group):
    models = ('mae', *HEADS)
    folder = group(
        4, {f'four_{name}': dict(model=name, parallel=dict(FSDP2, shard='node')) for name in models}, local=2
    )
    group(4, {f'four_all_{name}': dict(model=name, parallel=FSDP2) for name in models})
    group(4, {f'four_ddp_{name}': dict(model=name) for name in models})
    group(1, {f'whole_{name}': dict(model=name) for name in models})
    group(2, {f'two_{name}': dict(model=name, parallel=FSDP2) for name in models})
    for name in models:
        for way in ('four_', 'four_all_', 'four_ddp_', 'two_'):
            assert_equal_runs(result(folder, f'whole_{name}'), result(folder, f'{way}{name}'))
        assert 0.5 <= result(folder, f'four_{name}')['held'] / result(folder, f'four_{name}')['size'] < 0.65
