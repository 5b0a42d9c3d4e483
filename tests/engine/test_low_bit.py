"""Optimizers whose moments are bf16 or 8 bits."""

import copy
import logging

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.fsdp import fully_shard

from sapiens.engine.optim import state_formats
from sapiens.engine.optim.low_bit import LowBitAdamW
from sapiens.engine.optim.optim_wrapper import OptimWrapper
from sapiens.engine.optim.param_groups import ParamGroupConstructor
from sapiens.engine.optim.state_formats import MOMENTS, decode, encode, state_bytes, state_format

from ..ranks import on_ranks
from .read_backs import ReadBacks
from .toy import make_runner

KINDS = ['bf16', 'int8']
HYPER = dict(lr=1e-2, betas=(0.9, 0.99), weight_decay=0.1)
LAYERS = ((96, 256), (64, 96))


def model():
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(width, height) for height, width in LAYERS))


def adam(net, kind, **options):
    options = dict(HYPER, **options)
    return (
        torch.optim.AdamW(net.parameters(), fused=True, **options)
        if kind == 'fp32'
        else LowBitAdamW(net.parameters(), state_dtype=kind, **options)
    )


def set_gradients(net, step, factor=1.0):
    generator = torch.Generator().manual_seed(step)
    for index, parameter in enumerate(net.parameters()):
        grad = torch.randn(parameter.shape, generator=generator) * 10.0**-index
        parameter.grad = factor * grad * (step > 0 or index != 3)  # one parameter begins with zeros


def train(net, optimizer, steps):
    for step in steps:
        set_gradients(net, step)
        optimizer.step()
    return [parameter.detach().clone() for parameter in net.parameters()]


def tensors(optimizer):
    return [value for state in optimizer.state.values() for value in state.values()]


@pytest.fixture
def log(caplog, monkeypatch):
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, 'handlers', [caplog.handler])
    logger.setLevel(logging.INFO)
    return caplog


# ---------------------------------------------------------------------- formats


def test_codes_are_those_of_torchao():
    quantization = pytest.importorskip('torchao.optim.quant_utils')
    for name, signed in MOMENTS.items():
        table = torch.tensor(quantization.create_dynamic_map(signed))
        values = torch.randn(64, 1024) ** (1 if signed else 2)
        values[3, :256] = 0
        scaled, scales = quantization.scale_tensor(values, 256)
        kept = encode('int8', name, values)
        assert torch.equal(kept[name], quantization.quantize_8bit_with_qmap(scaled, table))
        torch.testing.assert_close(
            decode(kept, name), quantization.dequant_with_qmap(kept[name], table, scales), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize('name', MOMENTS)
def test_codes_keep_seven_decades(name):
    sign = torch.tensor([1.0, -1.0 if MOMENTS[name] else 1.0]).repeat(128)
    for decade, error in enumerate((0.08, 0.15, 0.25, 0.4)):
        row = 3.0 * sign * torch.logspace(-decade - 0.95, -decade - 0.05, 256)
        row[0] = 3.0
        found = decode(encode('int8', name, row[None]), name)[0]
        assert ((found - row) / row).abs().max() < error
    zeros = encode('int8', name, torch.zeros(4, 512))
    assert torch.equal(decode(zeros, name), torch.zeros(4, 512))
    assert zeros[f'{name}_scale'].shape == (4, 2) and zeros[name].dtype == torch.uint8


def test_random_rounding_has_the_right_mean_and_keeps_what_bf16_holds():
    noise = torch.Generator().manual_seed(0)
    value = torch.tensor(1 + 0.3 * 2**-7)
    rounded = encode('bf16', 'exp_avg_sq', value.expand(40_000).clone(), noise)['exp_avg_sq']
    assert set(rounded.tolist()) == {1.0, 1 + 2**-7}
    assert (rounded.float().mean() - 1).item() == pytest.approx(0.3 * 2**-7, rel=0.05)
    exact = torch.rand(1000).bfloat16()
    assert torch.equal(encode('bf16', 'exp_avg_sq', exact.float(), noise)['exp_avg_sq'], exact)


def test_a_second_moment_in_bf16_falls():
    """Its change in a step is less than half the distance of two numbers."""
    weight = nn.Parameter(torch.zeros(5000))
    optimizer = LowBitAdamW([weight], state_dtype='bf16', lr=0.0)
    for grad in (10.0, *[1e-3] * 400):
        weight.grad = torch.full_like(weight, grad)
        optimizer.step()
    expected = 0.1 * 0.999**400
    assert optimizer.state[weight]['exp_avg_sq'].float().mean().item() == pytest.approx(expected, rel=0.01)


# ---------------------------------------------------------------------- steps


@pytest.mark.parametrize(('kind', 'tolerance'), [('bf16', 0.03), ('int8', 0.15)])
def test_steps_are_those_of_adamw(kind, tolerance):
    """The first step exactly, since moments are rounded after it; 20 steps within a fraction of their way."""
    ways = []
    for which in ('fp32', kind):
        net = model()
        start = [parameter.detach().clone() for parameter in net.parameters()]
        optimizer = adam(net, which)
        first = train(net, optimizer, range(1))
        last = train(net, optimizer, range(1, 20))
        ways.append((first, [end - begin for begin, end in zip(start, last, strict=True)]))
    (first, way), (other, other_way) = ways
    for a, b in zip(first, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    for a, b in zip(way, other_way, strict=True):
        assert (a - b).norm() < tolerance * a.norm()


def test_eight_bits_are_adamw8bit_of_torchao(monkeypatch):
    torchao = pytest.importorskip('torchao.optim')
    monkeypatch.setattr(torch, 'compile', lambda function, **_: function)
    ended = []
    for kind in (torchao.AdamW8bit, LowBitAdamW):
        torch.manual_seed(0)
        net = nn.Linear(512, 64)  # rows of whole blocks, as all sizes of the models have
        options = dict(state_dtype='int8') if kind is LowBitAdamW else {}
        ended.append(train(net, kind(net.parameters(), **HYPER, **options), range(1, 12)))
    start = (torch.manual_seed(0), nn.Linear(512, 64).weight.detach())[1]
    theirs, ours = (weight for weight, _ in ended)
    # Values next to the limit of two codes may get either.
    assert (theirs - ours).norm() < 2e-3 * (theirs - start).norm()


@pytest.mark.parametrize('kind', KINDS)
def test_every_group_has_its_own_rates(kind):
    net = model()
    groups = [dict(params=[net[0].weight], lr=0.0), dict(params=[net[1].weight], lr=1e-2, weight_decay=0.0)]
    optimizer = LowBitAdamW(groups, lr=1.0, state_dtype=kind)
    before = copy.deepcopy(net)
    set_gradients(net, 1)
    optimizer.step()
    assert torch.equal(net[0].weight, before[0].weight) and torch.equal(net[0].bias, before[0].bias)
    torch.testing.assert_close((before[1].weight - net[1].weight).abs(), torch.full((64, 96), 1e-2), rtol=0.05, atol=0)


@pytest.mark.parametrize('kind', KINDS)
def test_a_skipped_step_changes_nothing(kind):
    net = model()
    optimizer = adam(net, kind)
    wrapper = OptimWrapper(optimizer, precision='fp32', clip_grad=dict(max_norm=0.5))
    x = torch.randn(3, 256)
    wrapper.update_params(net(x).sum() * float('nan'))
    assert all(
        (decode(state, name) == 0).all() and not state['step']
        for state in optimizer.state.values()
        for name in MOMENTS
    )
    for _ in range(2):
        wrapper.update_params(net(x).square().sum())
    kept = [value.clone() for value in (*net.parameters(), *tensors(optimizer))]
    wrapper.update_params(net(x).sum() * float('inf'))
    assert wrapper.skips.read() == (2, 1)
    assert all(torch.equal(a, b) for a, b in zip(kept, (*net.parameters(), *tensors(optimizer)), strict=True))
    wrapper.update_params(net(x).square().sum())
    assert {state['step'].item() for state in optimizer.state.values()} == {3}
    assert all(not torch.equal(a, b) for a, b in zip(kept, net.parameters(), strict=False))


@pytest.mark.parametrize('kind', KINDS)
def test_clipping_divides_gradients(kind):
    ended = []
    for factor, divisor in ((1.0, 50.0), (1 / 50, None)):
        net = model()
        optimizer = adam(net, kind, eps=1e-2)
        for step in range(3):
            set_gradients(net, step, factor)
            optimizer.grad_scale = torch.tensor(divisor) if divisor else None
            optimizer.step()
        ended.append(list(net.parameters()))
    for a, b in zip(*ended, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_a_step_reads_nothing_back(kind):
    net, reads = model(), ReadBacks()
    wrapper = OptimWrapper(adam(net, kind), precision='fp32', clip_grad=dict(max_norm=0.5))
    x = torch.randn(3, 256)
    wrapper.update_params(net(x).square().sum())
    with reads.counting():
        wrapper.update_params(net(x).square().sum())
    assert reads.found == []


@pytest.mark.parametrize('kind', KINDS)
def test_large_models_are_updated_in_pieces(kind, monkeypatch):
    whole, pieces = model(), model()
    train(whole, adam(whole, kind), range(4))
    monkeypatch.setattr('sapiens.engine.optim.low_bit.CHUNK', 7000)
    train(pieces, adam(pieces, kind), range(4))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), pieces.parameters(), strict=True))


@pytest.mark.parametrize('kind', KINDS)
def test_rounding_takes_no_random_numbers_of_the_run(kind):
    net = model()
    optimizer = adam(net, kind)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    train(net, optimizer, range(2))
    assert torch.equal(torch.rand(4), expected)


# ---------------------------------------------------------------------- bytes


@pytest.mark.parametrize(('kind', 'each'), [('fp32', 8), ('bf16', 4), ('int8', 2.03)])
def test_bytes_of_states(kind, each):
    """As counted, as computed, and without memory on fake tensors."""
    net = nn.Sequential(nn.Linear(512, 1024), nn.LayerNorm(1024))
    shapes = [tuple(parameter.shape) for parameter in net.parameters()]
    config = dict(optimizer=dict(type='AdamW'), state_dtype=kind)
    expected = state_bytes(config, shapes)
    assert expected / sum(parameter.numel() for parameter in net.parameters()) == pytest.approx(each, rel=0.02)
    state_formats._TABLES.clear()
    for mode in (FakeTensorMode(allow_non_fake_inputs=True), None):
        if mode:
            with mode:
                fake = nn.Sequential(nn.Linear(512, 1024), nn.LayerNorm(1024))
                optimizer = adam(fake, kind)
                set_gradients(fake, 1)
                optimizer.step()
        else:
            optimizer = adam(net, kind)
            train(net, optimizer, range(1))
        assert sum(value.nbytes for value in tensors(optimizer)) == expected


def test_only_large_tensors_with_long_rows_have_codes():
    assert state_format('int8', (64, 256)) == state_format('int8', (1280, 3, 16, 16)) == 'int8'
    assert (
        state_format('int8', (15, 256)) == state_format('int8', (5120,)) == state_format('int8', (999, 99)) == 'fp32'
    )
    assert state_format('bf16', (5,)) == 'bf16'
    with pytest.raises(ValueError, match="'SGD'.*expected AdamW or Adam"):
        state_bytes(dict(optimizer=dict(type='SGD', lr=1)), [(4,)])


# ---------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize('before', ['fp32', *KINDS])
@pytest.mark.parametrize('after', ['fp32', *KINDS])
def test_checkpoints_continue_in_any_format(before, after, tmp_path, log):
    """Bit for bit in the same format; otherwise the moments are those of the file, rounded."""
    net = model()
    wrapper = OptimWrapper(adam(net, before), precision='fp32')
    wrapper.optimizer.param_groups[0]['initial_lr'] = 0.5
    train(net, wrapper.optimizer, range(5))
    torch.save(dict(weights=net.state_dict(), optimizer=wrapper.state_dict()), tmp_path / 'file.pth')
    saved = torch.load(tmp_path / 'file.pth', weights_only=True, mmap=True)
    assert all(
        type(value) is torch.Tensor for state in saved['optimizer']['state'].values() for value in state.values()
    )
    other = model()
    other.load_state_dict(saved['weights'])
    resumed = OptimWrapper(adam(other, after, lr=1.0), precision='fp32')
    resumed.load_state_dict(saved['optimizer'])
    group = resumed.optimizer.param_groups[0]
    assert (group['lr'], group['initial_lr'], group['weight_decay']) == (1e-2, 0.5, 0.1)
    converted = f'Optimizer states converted from {before} to {after}'
    assert (converted in log.text) == (before != after)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        old, new = wrapper.optimizer.state[a], resumed.optimizer.state[b]
        kept = state_format(after, b.shape)
        for name in MOMENTS:
            expected = encode(kept, name, decode(old, name))
            if state_format(before, a.shape) == kept:
                expected = {key: old[key] for key in expected}
            assert all(
                torch.equal(new[key], value) and new[key].dtype == value.dtype for key, value in expected.items()
            )
    assert set(resumed.state_dict()) == set(wrapper.state_dict())
    ended = train(net, wrapper.optimizer, range(5, 9)), train(other, resumed.optimizer, range(5, 9))
    for a, b in zip(*ended, strict=True):
        assert torch.equal(a, b) if before == after else (a - b).abs().max() < 0.02
    if after == 'fp32':
        assert group['fused'] is True and 'calls' not in group


@pytest.mark.parametrize('kind', KINDS)
def test_a_resumed_run_equals_one_without_a_stop(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(state_formats, 'MIN_VALUES', 1)
    monkeypatch.setattr(state_formats, 'MIN_BLOCK', 1)
    ended = {}
    for name, lengths in dict(whole=[10], parts=[5, 10]).items():
        for length in lengths:
            runner = make_runner(
                tmp_path / name,
                resume=length != lengths[0],
                train_cfg=dict(type='TrainLoop', max_iters=length),
                default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=5, by_epoch=False)),
            )
            runner.optim_wrapper = dict(runner.optim_wrapper, state_dtype=kind)
            runner.train()
        assert isinstance(runner.optim_wrapper.optimizer, LowBitAdamW)
        ended[name] = [*runner.model.parameters(), *tensors(runner.optim_wrapper.optimizer)]
    expected = torch.uint8 if kind == 'int8' else torch.bfloat16
    assert expected in {value.dtype for value in ended['parts']}
    assert all(torch.equal(a, b) for a, b in zip(ended['whole'], ended['parts'], strict=True))


def test_states_of_other_optimizers_are_refused():
    net = model()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    train(net, sgd, range(1))
    with pytest.raises(ValueError, match='have momentum_buffer and no step.*not those of AdamW'):
        adam(net, 'bf16').load_state_dict(sgd.state_dict())


# ---------------------------------------------------------------------- shards


def sharded_steps(kind, folder):
    """Train as shards of rows, and save and load in the middle as whole tensors."""
    ended = []
    for shard in (False, True):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(256, 67), nn.Linear(67, 64))
        net.pos_embed = nn.Parameter(torch.zeros(1, 64, 128))  # one process holds no row of it
        if shard:
            fully_shard(net)
        optimizer = adam(net, kind)
        for step in range(6):
            for index, parameter in enumerate(net.parameters()):
                generator = torch.Generator().manual_seed(10 * step + index)
                grad = torch.randn(parameter.shape, generator=generator)
                if shard:
                    grad = torch.distributed.tensor.distribute_tensor(
                        grad, parameter.device_mesh, parameter.placements
                    )
                parameter.grad = grad
            if step == 3 and shard:
                saved = optimizer.state_dict()
                for state in saved['state'].values():
                    state.update(
                        {key: getattr(value, 'full_tensor', lambda v=value: v)() for key, value in state.items()}
                    )
                optimizer = adam(net, kind)
                optimizer.load_state_dict(saved)
            optimizer.step()
        whole = [
            getattr(value, 'full_tensor', lambda v=value: v)() for value in (*net.parameters(), *tensors(optimizer))
        ]
        ended.append([value.detach().float() for value in whole])
    return [(a - b).abs().max().item() for a, b in zip(*ended, strict=True)], [
        a.shape == b.shape for a, b in zip(*ended, strict=True)
    ]


@pytest.mark.parametrize('kind', KINDS)
def test_shards_of_rows_are_the_same_training(kind, tmp_path):
    """67 rows over two processes. Codes and scales are equal; random rounding differs, as each process draws its own."""
    for distances, same in on_ranks(2, sharded_steps, tmp_path, kind, str(tmp_path)):
        assert all(same)
        assert max(distances) == 0 if kind == 'int8' else max(distances[:5]) < 3e-3


# ---------------------------------------------------------------------- configs


@pytest.mark.parametrize('kind', ['fp32', *KINDS])
def test_one_option_selects_the_format(kind):
    config = dict(
        type='OptimWrapper', state_dtype=kind,
        optimizer=dict(type='AdamW', fused=True, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1),
    )  # fmt: skip
    wrapper = ParamGroupConstructor(config, dict(no_decay_1d=True))(model())
    assert isinstance(wrapper.optimizer, torch.optim.AdamW if kind == 'fp32' else LowBitAdamW)
    found = [
        (group['lr'], group['betas'], group['weight_decay'], group['eps']) for group in wrapper.optimizer.param_groups
    ]
    assert found == [(1e-3, (0.9, 0.95), 0.0, 1e-8), (1e-3, (0.9, 0.95), 0.1, 1e-8)]


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(state_dtype='int4'), "state_dtype='int4' is not one of fp32, bf16, int8; did you mean 'int8'"),
        (
            dict(state_dtype='int8', optimizer=dict(type='SGD', lr=1, weight_decay=0)),
            "is for optimizer.type=AdamW.*'SGD'",
        ),
        (
            dict(state_dtype='bf16', optimizer=dict(type='AdamW', lr=1, weight_decay=0, amsgrad=True)),
            "is for optimizer.type=AdamW with lr, betas, eps and weight_decay.*'amsgrad'",
        ),
    ],
)
def test_other_settings_are_refused(config, message):
    config = dict(dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1, weight_decay=0)), **config)
    with pytest.raises(ValueError, match=message):
        ParamGroupConstructor(config)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="state_dtype='fp32'.*expected 'bf16' or 'int8'"):
        LowBitAdamW(model().parameters(), state_dtype='fp32')
    with pytest.raises(ValueError, match=r'float32 parameters, got torch.bfloat16'):
        LowBitAdamW(model().bfloat16().parameters(), state_dtype='bf16')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(lr=-1), 'lr=-1'),
        (dict(lr=float('nan')), 'lr=nan'),
        (dict(betas=(2, 0.9)), r'betas=\(2, 0.9\) must lie in'),
        (dict(betas=(0.9, 1.0)), r'betas=\(0.9, 1.0\) must lie in'),
        (dict(betas=(-0.1, 0.9)), 'betas=-0.1'),
        (dict(betas=(0.9,)), 'expected two numbers'),
        (dict(betas=0.9), 'betas=0.9: expected two numbers'),
        (dict(eps=-1), 'eps=-1'),
        (dict(weight_decay=None), 'weight_decay=None'),
    ],
)
def test_wrong_numbers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        adam(model(), 'int8', **options)
    with pytest.raises(ValueError, match=message):  # of a group
        LowBitAdamW([dict(params=model().parameters(), **options)], state_dtype='bf16')
    with pytest.raises(ValueError, match="state_dtype='int8' is for optimizer.type=AdamW"):
        ParamGroupConstructor(dict(optimizer=dict(lr=1e-3, weight_decay=0.0), state_dtype='int8'))
