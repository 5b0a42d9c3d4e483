"""Linear layers of blocks in float8. Without torchao only refusals are tested."""

import sys

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard

from sapiens.commands import test as test_command
from sapiens.engine import Runner
from sapiens.engine.compiling import compile_parts
from sapiens.engine.float8 import use_float8
from sapiens.models import MAE

from ..ranks import on_ranks
from .read_backs import ReadBacks
from .test_compiling import BACKBONE, loss_and_gradients, model
from .test_read_backs import build

EMULATED = dict(emulate=True)
CONFIG = 'mae/sapiens_tiny_synthetic-128x128'


def converted(net):
    return [name for name, layer in net.named_modules() if type(layer).__name__ == 'Float8Linear']


@pytest.fixture
def torchao():
    return pytest.importorskip('torchao.float8')


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of a compute capability."""

    def set_capability(*capability):
        monkeypatch.setattr(torch.version, 'hip', None)
        monkeypatch.setattr(torch.cuda, 'get_device_name', lambda _: 'Some GPU')
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda _: capability)

    return set_capability


@pytest.mark.parametrize('recipe', ['tensorwise', 'rowwise', 'rowwise_with_gw_hp'])
@pytest.mark.parametrize('compiled', [False, True])
def test_blocks_learn_nearly_the_same_in_float8(recipe, compiled, torchao):
    plain, rounded = model(), model()
    weights, names = list(rounded.parameters()), list(rounded.state_dict())
    use_float8(rounded, dict(recipe=recipe, emulate=True))
    if compiled:
        torch._dynamo.reset()
        compile_parts(rounded, dict(backend='eager'))
    assert list(rounded.state_dict()) == names
    assert all(a is b for a, b in zip(rounded.parameters(), weights, strict=True))
    (loss, gradients), (other, others) = loss_and_gradients(plain), loss_and_gradients(rounded)
    assert other.item() == pytest.approx(loss.item(), rel=2e-3) and other.item() != loss.item()
    for name, a, b in zip(names, gradients, others, strict=True):
        if name.endswith('ffn.layers.1.weight'):
            assert 1e-3 < (a - b).norm() / a.norm() < 0.15, name


def test_linear_layers_of_both_sides_of_pretraining_are_converted(torchao):
    """Not those around the blocks, and not those of other sizes."""
    backbone = dict(BACKBONE, patch_padding=0, with_cls_token=True)
    net = MAE(backbone, decoder=dict(num_layers=1, embed_dims=24, num_heads=2, mlp_ratio=2))
    use_float8(net, EMULATED)
    layers = ('attn.qkv', 'attn.proj', 'ffn.layers.0.0', 'ffn.layers.1')
    assert converted(net) == [f'backbone.layers.{index}.{layer}' for index in range(3) for layer in layers]
    net = MAE(backbone, decoder=dict(num_layers=1, embed_dims=32, num_heads=2))
    use_float8(net, EMULATED)
    assert converted(net)[-4:] == [f'neck.decoder_blocks.0.{layer}' for layer in layers]


def test_devices_without_float8_are_refused(gpu, torchao):
    with pytest.raises(
        ValueError, match='float8=True needs a GPU.*capability 8.9 or higher.*Here the device is cpu.*Leave'
    ):
        use_float8(model(), True, 'cpu')
    gpu(8, 6)
    with pytest.raises(ValueError, match='Here Some GPU has compute capability 8.6'):
        use_float8(model(), dict(recipe='rowwise'), 'cuda')
    for capability in ((8, 9), (9, 0), (10, 0)):
        gpu(*capability)
        net = model()
        use_float8(net, True, 'cuda')
        assert len(converted(net)) == 12


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ('yes', r"float8='yes': expected True, False, or dict\(recipe=...\)"),
        (dict(recip='rowwise'), "float8.recip is not an option; did you mean 'recipe'"),
        (dict(recipe='rows'), "float8.recipe='rows' is not one of tensorwise, rowwise"),
        (dict(emulate=1), 'float8.emulate=1: expected True or False'),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        use_float8(model(), options, 'cpu')


def test_models_without_such_layers_are_refused():
    small = dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=40)
    for net in (nn.Linear(16, 16), model(arch=small)):
        with pytest.raises(ValueError, match='has no blocks with linear layers whose sizes are multiples of 16'):
            use_float8(net, EMULATED)


def test_a_missing_torchao_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torchao.float8', None)
    with pytest.raises(ImportError, match=r'float8=.* needs torchao.float8, .*python -m pip install torchao'):
        use_float8(model(), EMULATED)


def test_runs_convert_their_model(tmp_path, torchao):
    reads = ReadBacks()
    runner, _ = build(CONFIG, tmp_path / 'plain', reads)
    names = list(runner.train().state_dict())
    runner, _ = build(CONFIG, tmp_path / 'float8', reads, float8=EMULATED)
    before = runner.model.backbone.layers[0].attn.qkv.weight.detach().clone()
    net = runner.train()
    assert len(converted(net)) == 4 * (len(net.backbone.layers) + len(net.neck.decoder_blocks))
    assert list(net.state_dict()) == names
    assert not torch.equal(net.backbone.layers[0].attn.qkv.weight, before)


@pytest.mark.skipif(torch.cuda.is_available(), reason='CPUs have no float8')
def test_runs_on_cpus_are_refused_before_the_first_step(tmp_path):
    text = 'Here the device is cpu. Leave float8 out to train without it, or set float8.emulate=True'
    with pytest.raises(ValueError, match=text):
        build(CONFIG, tmp_path, ReadBacks(), float8=True)


def test_tests_run_without_float8(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(Runner, 'from_cfg', lambda cfg: found.append(cfg) or sys.exit())
    torch.save({}, tmp_path / 'weights.pth')
    options = ['--work-dir', str(tmp_path / 'run'), '--cfg-options', 'float8=True', 'optim_wrapper.state_dtype=int8']
    with pytest.raises(SystemExit):
        test_command.main(['configs/seg/sapiens_tiny_synthetic-128x96.py', str(tmp_path / 'weights.pth'), *options])
    assert 'float8' not in found[0] and found[0].optim_wrapper.state_dtype == 'int8'


def sharded_loss():
    losses = []
    for shard in (False, True):
        net = model()
        use_float8(net, EMULATED)
        if shard:
            for block in net.backbone.layers:
                fully_shard(block)
            fully_shard(net)
        losses.append(loss_and_gradients(net)[0].item())
    return losses


def test_converted_models_can_be_sharded(tmp_path, torchao):
    for plain, sharded in on_ranks(2, sharded_loss, tmp_path):
        assert sharded == pytest.approx(plain, rel=1e-6)
