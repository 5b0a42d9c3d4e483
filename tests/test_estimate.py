"""``sapiens estimate``: what is printed, what is written, and what it advises."""

import json

import pytest

from sapiens.commands import estimate
from sapiens.engine.estimate import plan
from sapiens.engine.estimate.advice import advise, settings_of
from sapiens.engine.estimate.arithmetic import PARALLEL, Cluster
from sapiens.engine.estimate.plan import Planner, plan_training
from sapiens.engine.estimate.trace import trace_step
from sapiens.utils.config import load_config

MAE = 'configs/mae/sapiens_tiny_folder-256x256.py'
SEG = 'configs/seg/sapiens_tiny_synthetic-128x96.py'
DDP, DDP_HALF, FSDP, HSDP = PARALLEL
SMALL = {'model.backbone.arch': dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)}


@pytest.fixture(autouse=True, scope='module')
def each_step_is_traced_once():
    """Tests ask about the same steps. The key is the whole config."""
    traces = {}

    def trace(cfg, precision, task):
        key = (repr(cfg), precision, task)
        if key not in traces:
            traces[key] = trace_step(cfg, precision, task=task)
        return traces[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, 'trace_step', trace)
        yield


def small(path=MAE, **options):
    return load_config(path, SMALL | options)


def rows_of(shown):
    lines = [line.split('|')[1:-1] for line in shown.splitlines() if line.startswith('|')]
    return [dict(zip((cell.strip() for cell in lines[0]), map(str.strip, line), strict=True)) for line in lines[2:]]


def test_the_command(capsys, tmp_path):
    file = tmp_path / 'estimate.json'
    estimate.main([MAE, '--gpus', '16', '--memory', '80', '--nic', '400', '--json', str(file)])
    shown = capsys.readouterr().out
    rows, written = rows_of(shown), json.loads(file.read_text())
    names = ['DDP', 'DDP, bf16 sent', 'FSDP2', 'HSDP']
    ways = [(name, mode) for name in names for mode in ('off', 'encoder', 'selective', 'all')]
    assert [(row['parallel'].removesuffix(' *'), row['checkpointing']) for row in rows] == ways
    assert [row['parallel'] for row in rows if '*' in row['parallel']] == ['DDP *']
    assert [(row['parallel'], row['checkpointing']) for row in written['choices']] == ways
    for row, numbers in zip(rows, written['choices'], strict=True):
        assert float(row['state MB']) == pytest.approx(numbers['state'] / 1e6, rel=5e-3)
        assert float(row['step ms']) == pytest.approx((numbers['compute'] + numbers['exposed']) * 1e3, rel=5e-3)
        assert int(row['largest batch']) == numbers['largest'] > 1000
        assert numbers['peak'] >= numbers['state'] and numbers['fits']
    assert f'{written["counts"]["parameters"]:,} parameters' in shown
    # 400 iterations of 8 images on each GPU.
    assert written['total_images'] == 400 * 8 * 16 and 'the 51,200 images of the whole schedule' in shown
    own = written['own']
    assert own['gpu_days'] == pytest.approx(51200 / own['images_per_second'] * 16 / 86400)
    assert own['cost'] == pytest.approx(own['gpu_days'] * 24 * 2.5)
    assert 'The config fits as it is (DDP, checkpointing off, batch 8)' in shown
    assert f'numbers: {file}' in shown and 'currency of --price, 2.5 for an hour' in shown


def test_epochs_need_the_number_of_images(capsys):
    path = 'configs/mae/sapiens_tiny_synthetic-256x256.py'
    estimate.main([path, '--gpus', '1'])
    shown = capsys.readouterr().out
    assert 'for a million images; --images NUMBER' in shown
    assert [row['parallel'] for row in rows_of(shown)] == ['one GPU *', *['one GPU'] * 3]
    estimate.main([path, '--gpus', '1', '--images', '1000'])
    assert 'the 40,000 images of the whole schedule' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (
            ('--gpu', 'A1000'),
            "--gpu A1000: no peak rate is known; did you mean 'A100'.*known: GB200, B200, .*RTX 4090",
        ),
        (
            ('--gpus', '12'),
            '--gpus 12 do not fill machines of --gpus-per-node 8: .* multiple of 8, or --gpus-per-node 6',
        ),
        (('--json', 'nowhere/x.json'), '--json nowhere/x.json: there is no folder nowhere'),
        (('--cfg-options', 'parallel.type=FSDP3'), "parallel.type='FSDP3' is not one of DDP, FSDP2"),
        (('--cfg-options', 'parallel.type=FSDP2', 'parallel.shard=nod'), "shard='nod' is not one of all, node"),
        (('--cfg-options', 'parallel.reduce_dtype=fp8'), "parallel.reduce_dtype='fp8' is not one of fp32, bf16"),
        (('--images', '9'), '--images 9 has no effect: the config counts iterations .train_cfg.max_iters=400.'),
        (('--cfg-options', 'train_cfg=None'), 'no train_cfg: there is no training'),
    ],
)
def test_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        estimate.main([MAE, *arguments])


def test_what_the_table_does_not_cover(capsys):
    estimate.main([MAE, '--gpus', '1', '--cfg-options', '+compile=True', 'float8.emulate=True'])
    shown = capsys.readouterr()
    assert 'compile=True is not covered: the table is for uncompiled training' in shown.out
    assert "float8={'emulate': True} is not covered" in shown.out
    assert shown.err.startswith(f'tracing 4 training steps of {MAE}\n')


def test_options_are_refused_before_the_config_is_read(capsys):
    with pytest.raises(ValueError, match='--gpus 12'):
        estimate.main(['nowhere.py', '--gpus', '12'])
    with pytest.raises(SystemExit):
        estimate.main(['nowhere.py', '--mfu', '40'])
    assert '--mfu: 40: expected a fraction of the peak rate, at most 1; did you mean 0.4?' in capsys.readouterr().err


@pytest.mark.parametrize('text', ['0', '-1', 'x', 'inf', 'nan'])
def test_numbers_above_zero(text, capsys):
    with pytest.raises(SystemExit):
        estimate.main([MAE, '--memory', text])
    assert f'{text}: expected a number above 0' in capsys.readouterr().err


# ---------------------------------------------------------------------- plans


def test_what_makes_a_config_fit():
    cfg = small(**{'train_dataloader.batch_size': 64})
    planner = Planner(cfg, Cluster(gpus=2))
    off, *others, least = (planner.choose(DDP, variant).peak for variant in planner.variants)
    assert least < min(others) and max(others) < off
    between = (min(others) + least) / 2 / 1e9 / 0.92
    lines = advise(plan_training(cfg, Cluster(gpus=2, memory=between)))
    assert lines[0].startswith('The config does not fit as it is (DDP, checkpointing off, batch 64)')
    assert lines[1] == 'These options make it fit, the fastest first:'
    assert any(line.endswith(': activation_checkpointing=all') for line in lines[2:])
    # Nothing that adds to options that are enough.
    assert not any('activation_checkpointing' in line and 'parallel' in line for line in lines)
    lines = advise(plan_training(cfg, Cluster(gpus=2, memory=least / 2 / 1e9)))
    assert any(line.strip().startswith('train_dataloader.batch_size=') for line in lines)
    lines = advise(plan_training(cfg, Cluster(gpus=2, memory=1e-4)))
    assert lines[-1].startswith('No combination fits a batch of 1')


def test_the_way_of_the_config():
    def own(**parallel):
        cfg = small()
        if parallel:
            cfg.parallel = parallel
        return Planner(cfg, Cluster(gpus=16)).own_parallel

    assert own() == own(type='DDP') == DDP
    assert own(type='DDP', reduce_dtype='bf16') == DDP_HALF
    assert own(type='FSDP2') == FSDP and own(type='FSDP2', shard='node') == HSDP
    half = own(type='FSDP2', reduce_dtype='bf16')
    assert (half.name, half.shard, half.reduce_bytes) == ('FSDP2, bf16 sent', 'all', 2)
    assert not own(type='DDP', gradient_as_bucket_view=False).bucket_view
    assert not own(type='FSDP2', reshard_after_forward=False).reshard


def test_the_ways_of_a_cluster():
    def names(gpus, **parallel):
        cfg = small()
        cfg.parallel = dict(type='DDP', **parallel)
        return [way.name for way in Planner(cfg, Cluster(gpus=gpus)).ways()]

    assert names(1) == ['DDP']
    assert names(8) == ['DDP', 'DDP, bf16 sent', 'FSDP2']
    assert names(16) == ['DDP', 'DDP, bf16 sent', 'FSDP2', 'HSDP']
    assert names(8, gradient_as_bucket_view=False) == ['DDP', 'DDP', 'DDP, bf16 sent', 'FSDP2']


def test_averages_and_accumulation_take_memory():
    plain = Planner(small(), Cluster(gpus=1))
    counts = plain.model_counts
    base = plain.choose(DDP, plain.variants[0])
    averaged = small()
    averaged.custom_hooks = [dict(type='EMAHook')]
    assert Planner(averaged, Cluster(gpus=1)).choose(DDP, plain.variants[0]).peak - base.peak == pytest.approx(
        4 * counts.parameters, rel=0.01
    )
    accumulated = Planner(small(**{'optim_wrapper.accumulative_counts': 4}), Cluster(gpus=1))
    other = accumulated.choose(DDP, plain.variants[0])
    assert other.peak > base.peak and other.compute == pytest.approx(4 * base.compute)
    assert other.images_per_second == pytest.approx(base.images_per_second)


def test_settings_are_those_of_a_command_line():
    planner = Planner(small(), Cluster(gpus=16))
    off, encoder, *_ = planner.variants
    own = planner.choose(DDP, off)
    other = planner.choose(HSDP, encoder, batch=4, accumulated=2)
    assert settings_of(own, own) == []
    assert settings_of(other, own) == [
        "\"parallel=dict(type='FSDP2',shard='node')\"",
        'activation_checkpointing.backbone=all',
        'train_dataloader.batch_size=4',
        'optim_wrapper.accumulative_counts=2',
    ]
    planner = Planner(small(**{'+train_dataloader.total_batch_size': 128}), Cluster(gpus=16))
    own = planner.choose(DDP, off)
    assert own.batch == 8
    assert settings_of(planner.choose(DDP, off, batch=4), own) == ['train_dataloader.total_batch_size=64']


def test_several_tasks_on_one_encoder():
    planner = Planner(load_config('configs/multi/sapiens2_tiny_synthetic-128x96.py'), Cluster(gpus=1))
    joined = planner.trace(planner.variants[0])
    one = trace_step(planner.cfg, task='pose')
    assert joined.memory.peak(8) >= one.memory.peak(8) and joined.counts.parameters == one.counts.parameters
    assert len(joined.memory.fixed) > 2 * len(one.memory.fixed)


@pytest.mark.parametrize('kind', ['bf16', 'int8'])
def test_states_in_fewer_bytes(kind):
    full, small_states = (
        Planner(load_config(SEG, {'optim_wrapper.state_dtype': dtype}), Cluster(gpus=1)) for dtype in ('fp32', kind)
    )
    counts = full.model_counts
    before, after = (planner.trace(planner.variants[0]).memory.state for planner in (full, small_states))
    assert before == pytest.approx(8 * counts.trained, rel=1e-3)
    assert after == pytest.approx(dict(bf16=4, int8=2)[kind] * counts.trained, rel=0.1)
    states = [planner.choose(DDP, planner.variants[0]).state for planner in (full, small_states)]
    assert states[1] < 0.95 * states[0]


def test_fp32_keeps_no_copies_of_weights():
    half, full = (
        Planner(small(SEG, **{'optim_wrapper.precision': precision}), Cluster(gpus=1))
        for precision in ('auto', 'fp32')
    )
    assert (half.precision, full.precision) == ('bf16', 'fp32')
    assert full.trace(full.variants[0]).memory.casts.max() == 0 < half.trace(half.variants[0]).memory.casts.max()
