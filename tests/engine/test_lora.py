"""LoRA of the encoder: what is trained, equal values at the start and after merging, exact resume."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from sapiens.checkpoints import recognise
from sapiens.datasets import ResumableSampler
from sapiens.engine import Runner
from sapiens.engine.compiling import compile_parts
from sapiens.engine.lora import add_lora, describe_lora, lora_options, plain_layers, reset_lora
from sapiens.engine.optim.param_groups import make_param_groups
from sapiens.engine.recomputing import recompute_activations
from sapiens.utils.checkpoint import read_checkpoint
from sapiens.utils.checkpoint.adapters import merge_adapters, original_names

from ..integration import status_of
from .test_recomputing import BACKBONES, CASES, learn

pytest.importorskip('peft')
SMALL = dict(rank=2, alpha=3)


def build(case, setting=SMALL, learned=False):
    """A model with random weights, and a batch. With adapters unless ``setting`` is None; their B is 0 unless ``learned``."""
    torch.manual_seed(0)
    model, batch = CASES[case]()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.15)
    if setting is not None:
        add_lora(model, setting)
        reset_lora(model, 0)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters() if learned else ():
            if 'lora_B' in name:
                parameter.copy_(torch.randn(parameter.shape) * 0.5)
    return model.train(), batch


@torch.no_grad()
def features(model, batch):
    return model.eval().backbone(batch[0])[-1]


@pytest.mark.parametrize('case', CASES)
def test_the_start_computes_what_the_base_does(case):
    plain, batch = build(case, None)
    model, _ = build(case)
    assert torch.equal(learn(model, batch)[0], learn(plain, batch)[0])
    assert torch.equal(features(model, batch), features(plain, batch))
    other, _ = build(case, learned=True)
    assert (features(other, batch) - features(plain, batch)).abs().max() > 1e-3


@pytest.mark.parametrize('case', CASES)
def test_only_adapters_and_what_is_outside_of_the_encoder_are_trained(case):
    plain, batch = build(case, None)
    model, _ = build(case, learned=True)
    wanted = {name for name in learn(plain, batch)[1] if not name.startswith('backbone.')}
    layers = [name for name, module in plain.backbone.named_modules() if 'ln' not in name and '.' in name
              and isinstance(module, nn.Linear) and not name.startswith('tokenizer')]  # fmt: skip
    wanted |= {f'backbone.{layer}.lora_{one}.default.weight' for layer in layers for one in 'AB'}
    gradients = learn(model, batch)[1]
    assert set(gradients) == wanted
    assert all(value.isfinite().all() for value in gradients.values())
    assert any(value.any() for name, value in gradients.items() if 'lora_A' in name)
    assert len(layers) == (3 * 6 if 'sapiens2' in case else 12 if case == 'pointmap' else 3 * 4)
    groups = make_param_groups(model, 1e-3, 0.1, layer_decay_rate=0.5, no_decay=('lora_B',))
    assert {id(value) for group in groups for value in group['params']} == {
        id(value) for value in model.parameters() if value.requires_grad
    }


@pytest.mark.parametrize('case', ['mae', 'mae, sapiens2', 'pose', 'normal, sapiens2', 'depth', 'pointmap'])
def test_merged_weights_predict_the_same_under_the_original_names(case):
    plain, batch = build(case, None)
    model, _ = build(case, learned=True)
    merged = merge_adapters(model.state_dict(), dict(lora=lora_options(model)), 'x.pth')
    assert list(merged) == original_names(model.state_dict())
    before, wanted = features(plain, batch), features(model, batch)
    plain.load_state_dict(merged)
    torch.testing.assert_close(features(plain, batch), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(learn(plain, batch)[0], learn(model, batch)[0], rtol=1e-5, atol=1e-5)
    assert (before - wanted).abs().max() > 1e-3
    layer = 'backbone.' + next(name for name, module in plain.backbone.named_modules() if name.endswith('proj'))
    base, down, up = (model.state_dict()[f'{layer}.{name}.weight'] for name in
                      ('base_layer', 'lora_A.default', 'lora_B.default'))  # fmt: skip
    torch.testing.assert_close(merged[f'{layer}.weight'], base + 3 / 2 * up @ down)


def test_layer_decay_reads_the_depth_of_adapters():
    model, _ = build('mae')
    groups = make_param_groups(model.backbone, 1.0, 0.0, layer_decay_rate=0.5)
    rates = {id(value): group['lr'] for group in groups for value in group['params']}
    found = {name: rates[id(value)] for name, value in model.backbone.named_parameters() if 'lora_A' in name}
    assert found['layers.2.attn.qkv.lora_A.default.weight'] == 0.5
    assert found['layers.0.ffn.layers.1.lora_A.default.weight'] == 0.125


@pytest.mark.parametrize(
    ('case', 'targets', 'wanted'),
    [
        ('mae', 'qkv', ['attn.qkv']),
        ('mae', ('proj', 'ffn'), ['attn.proj', 'ffn.layers.0.0', 'ffn.layers.1']),
        ('mae, sapiens2', ('wq', 'wv'), ['attn.wq', 'attn.wv']),
        ('mae, sapiens2', ('w12', 'ffn.w3'), ['ffn.w12', 'ffn.w3']),
    ],
)
def test_targets(case, targets, wanted):
    model, _ = build(case, dict(targets=targets))
    found = [name for name, module in model.backbone.blocks[1].named_modules() if hasattr(module, 'base_layer')]
    assert found == wanted
    assert model.backbone.blocks[1].get_submodule(found[0]).r == {'default': 16}


def test_norms_and_frozen_blocks():
    torch.manual_seed(0)
    model, _ = CASES['mae']()
    backbone = type(model.backbone)(**{k: v for k, v in BACKBONES['sapiens'].items() if k != 'type'}, frozen_stages=2)
    model.backbone = backbone
    add_lora(model, dict(norms=True))
    trained = {name for name, value in backbone.named_parameters() if value.requires_grad}
    assert {name.split('.')[1] for name in trained if name.startswith('layers')} == {'2'}
    assert {name for name in trained if 'lora' not in name} == {
        *(f'layers.2.ln{i}.{kind}' for i in (1, 2) for kind in ('weight', 'bias')), 'ln1.weight', 'ln1.bias'
    }  # fmt: skip
    assert describe_lora(model).startswith('rank 16, alpha 32, beside 4 linear layers')
    frozen = type(backbone)(**{k: v for k, v in BACKBONES['sapiens'].items() if k != 'type'}, frozen_stages=3)
    model.backbone = frozen
    with pytest.raises(ValueError, match=r'all 3 blocks of the encoder are frozen \(model.backbone.frozen_stages=3\)'):
        add_lora(model, True)


@pytest.mark.parametrize('setting', ['all', 'selective'])
@pytest.mark.parametrize('case', ['mae', 'seg, sapiens2'])
def test_recomputed_activations(case, setting):
    model, batch = build(case, dict(SMALL, dropout=0.3), learned=True)
    loss, gradients = learn(model, batch)
    recompute_activations(model, setting)
    model.zero_grad()
    found = learn(model, batch)
    assert torch.equal(found[0], loss)
    assert all(torch.equal(found[1][name], value) for name, value in gradients.items())


def test_compiled_blocks():
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    model, batch = build('mae, sapiens2', learned=True)
    wanted = learn(model, batch)
    model.zero_grad()
    compile_parts(model, dict(backend='aot_eager'))
    counters.clear()
    found = learn(model, batch)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert not counters['graph_break']


def test_autocast_keeps_no_copy_of_inputs_in_float32():
    model, _ = build('mae')
    layer, seen = model.backbone.blocks[0].attn.qkv, []
    layer.lora_A['default'].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].dtype))
    with torch.autocast('cpu', torch.bfloat16):
        layer(torch.randn(1, 2, 32, dtype=torch.bfloat16))
    assert seen == [torch.bfloat16]


def test_initial_weights_follow_the_seed_alone():
    def matrices(seed):
        torch.manual_seed(torch.seed())
        model, _ = build('mae', None)
        state = torch.get_rng_state()
        add_lora(model, SMALL)
        reset_lora(model, seed)
        assert torch.equal(torch.get_rng_state(), state)
        return {name: value for name, value in model.named_parameters() if 'lora_' in name}

    first, again, other = matrices(0), matrices(0), matrices(1)
    downs = [name for name in first if 'lora_A' in name]
    for name in first:
        assert torch.equal(first[name], again[name])
        assert torch.equal(first[name], other[name]) == ('lora_B' in name) == (not first[name].any())
    bound = 1 / 32**0.5
    values = torch.cat([first[name].flatten() for name in downs if first[name].shape[1] == 32])
    assert 0.95 * bound < values.abs().max() <= bound and abs(values.mean()) < 0.1 * bound
    assert len({first[name][0, 0].item() for name in downs}) == len(downs)


# ------------------------------------------------------------------ runs


class Noise(Dataset):
    metainfo = {}

    def __len__(self):
        return 8

    def __getitem__(self, draw):
        index = getattr(draw, 'index', draw)
        return torch.randint(0, 256, (3, 64, 48), generator=torch.Generator().manual_seed(index), dtype=torch.uint8)


def collate(samples):
    return dict(inputs=torch.stack(samples))


def make_run(work_dir, iters=6, setting=SMALL, family='sapiens', hooks=(), lr=0.05, **kwargs):
    """A runner of pretraining that writes a checkpoint every three iterations."""
    options = dict(patch_padding=0, with_cls_token=True, drop_path_rate=0.5) if family == 'sapiens' else {}
    backbone = dict(BACKBONES[family], **options, **kwargs.pop('backbone', {}))
    model = dict(
        type='MAE', backbone=backbone, decoder=dict(num_layers=1, embed_dims=16, num_heads=2), mask_ratio=0.75
    )
    config = dict(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2, dataset=Noise(), collate_fn=dict(type=collate), sampler=dict(type=ResumableSampler)
        ),
        train_cfg=dict(type='TrainLoop', max_iters=iters),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=lr, weight_decay=0.1, fused=True),
            constructor='ParamGroupConstructor',
            paramwise_cfg=dict(no_decay_1d=True),
        ),
        default_hooks=dict(
            sampler_seed=None, stop=dict(type='StopHook'),
            checkpoint=dict(type='CheckpointHook', interval=3, by_epoch=False),
        ),
        custom_hooks=list(hooks),
        default_scope='sapiens',
        experiment_name=f'{work_dir.name}{torch.seed()}',
        randomness=dict(seed=1),
        log_processor=dict(by_epoch=False),
    )  # fmt: skip
    config = {**config, **kwargs}
    return Runner(**config, cfg=dict(lora=setting) if setting else {})


def saved(path):
    return torch.load(path, weights_only=True)


def test_a_run_trains_resumes_and_merges(tmp_path):
    hook = dict(type='EMAHook')
    make_run(tmp_path / 'plain', iters=1, setting=None, lr=0.0).train()
    straight = make_run(tmp_path / 'a', hooks=[hook]).train()
    make_run(tmp_path / 'b', iters=3, hooks=[hook]).train()
    make_run(tmp_path / 'b', hooks=[hook], resume=True).train()
    one, other = saved(tmp_path / 'a/iter_6.pth'), saved(tmp_path / 'b/iter_6.pth')
    for key in ('state_dict', 'ema_state_dict'):
        assert list(one[key]) == list(other[key])
        assert all(torch.equal(value, other[key][name]) for name, value in one[key].items())
    for number, state in one['optimizer']['state'].items():
        assert all(torch.equal(value, other['optimizer']['state'][number][key]) for key, value in state.items())

    # State of the optimizer: of what is trained only. The base stays as it was at the start, and the decoder starts alike.
    trained = [name for name, value in straight.named_parameters() if value.requires_grad]
    assert len(one['optimizer']['state']) == len(trained) < len(list(straight.parameters()))
    start = saved(tmp_path / 'plain/iter_1.pth')['state_dict']
    for name, value in start.items():
        layer, _, last = name.rpartition('.')
        kept = one['state_dict'].get(f'{layer}.base_layer.{last}', one['state_dict'].get(name))
        if name.startswith('backbone.'):
            assert torch.equal(kept, value), name
    assert any(value.any() for name, value in one['ema_state_dict'].items() if 'lora_B' in name)
    assert one['meta']['lora'] == dict(rank=2, alpha=3, dropout=0.0, targets=['attn', 'ffn'], norms=False)
    assert one['meta']['family'] == 'sapiens'

    # Reading merges.
    checkpoint = read_checkpoint(tmp_path / 'a/iter_6.pth')
    assert list(checkpoint.state_dict) == list(start)
    found = recognise(checkpoint.state_dict, checkpoint.meta)
    assert (found['family'], found['task'], found['num_layers']) == ('sapiens', 'mae', 3)
    layer = 'backbone.layers.1.ffn.layers.1.weight'
    assert not torch.equal(checkpoint.state_dict[layer], start[layer])


def test_an_encoder_with_random_weights_is_reported(tmp_path):
    for name, setting, resume, expected in (('a', SMALL, False, 1), ('a', SMALL, True, 1), ('b', None, False, 0)):
        make_run(tmp_path / name, iters=3, setting=setting, resume=resume).train()
        log = '\n'.join(file.read_text() for file in (tmp_path / name).glob('*/*.log'))
        text = 'lora trains adapters of an encoder with random weights, which it keeps: set load_from=CHECKPOINT'
        assert log.count(text) == expected


def test_convert_writes_an_ordinary_checkpoint(tmp_path, capsys):
    make_run(tmp_path / 'a', iters=3).train()
    out = tmp_path / 'plain.pth'
    assert not status_of('convert', 'convert', tmp_path / 'a/iter_3.pth', out)
    written, read = saved(out), read_checkpoint(tmp_path / 'a/iter_3.pth').state_dict
    assert 'lora' not in written['meta'] and list(written['state_dict']) == list(read)
    assert not any('lora' in name or 'base_layer' in name for name in read)
    assert all(torch.equal(value, written['state_dict'][name]) for name, value in read.items())
    capsys.readouterr()
    assert not status_of('convert', 'inspect', tmp_path / 'a/iter_3.pth')
    shown = 'adapters      LoRA of rank 2, alpha 3, dropout 0.0, on attn, ffn (merged when commands read it)'
    assert shown in capsys.readouterr().out.splitlines()
    assert not status_of('convert', 'inspect', out) and 'adapters' not in capsys.readouterr().out


@pytest.mark.parametrize('family', BACKBONES)
def test_a_run_starts_from_weights_by_their_original_names(tmp_path, family):
    make_run(tmp_path / 'plain', iters=3, setting=None, family=family).train()
    path = tmp_path / 'plain/iter_3.pth'
    start = saved(path)['state_dict']
    for name, options in (
        ('load_from', dict(load_from=str(path))),
        ('init_cfg', dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=str(path))))),
    ):
        runner = make_run(tmp_path / name, iters=1, family=family, lr=0.0, **options)
        runner.train()
        with plain_layers(runner.model):
            state = copy.deepcopy(runner.model.state_dict())
        same = [key for key in start if torch.equal(state[key], start[key])]
        assert set(same) >= {key for key in start if key.startswith('backbone.') or name == 'load_from'}
        assert list(state) == list(start)
        drawn = copy.deepcopy(runner.model)
        reset_lora(drawn, 1)
        assert all(torch.equal(value, drawn.state_dict()[key]) for key, value in runner.model.state_dict().items())
        log = next((tmp_path / name).glob('*/*.log')).read_text()
        assert 'encoder with random weights' not in log
        assert '100.0% of the' in log and 'lora' in log and 'of them fixed' in log
        assert (
            f'{sum(value.numel() for key, value in runner.model.named_parameters() if "lora_" in key):,} parameters'
            in log
        )

    # Adapters of a file become part of the weights, and new ones begin.
    make_run(tmp_path / 'first', iters=3, family=family).train()
    runner = make_run(
        tmp_path / 'second', iters=1, family=family, lr=0.0, load_from=str(tmp_path / 'first/iter_3.pth')
    )
    runner.train()
    merged = read_checkpoint(tmp_path / 'first/iter_3.pth').state_dict
    with plain_layers(runner.model):
        state = runner.model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in merged.items())
    assert not any(value.any() for name, value in runner.model.named_parameters() if 'lora_B' in name)


def test_resume_needs_the_same_adapters(tmp_path):
    make_run(tmp_path, iters=3).train()
    make_run(tmp_path, iters=4, setting=dict(SMALL, dropout=0.1), resume=True).train()
    for setting in (None, dict(SMALL, alpha=4), dict(SMALL, targets='qkv')):
        with pytest.raises(
            ValueError, match=r"is of a run with lora=\{'rank': 2.*resume with the config of the first run"
        ):
            make_run(tmp_path, iters=6, setting=setting, resume=True).train()


def test_processes_draw_the_same_matrices(tmp_path, monkeypatch):
    found = []
    for rank in (0, 1):
        runner = make_run(
            tmp_path / str(rank), iters=1, randomness=dict(seed=1 if rank == 0 else 2, diff_rank_seed=True)
        )
        assert runner.seed == 1 + rank  # as set_randomness makes it
        monkeypatch.setattr('sapiens.engine.runner_checkpoints.get_rank', lambda rank=rank: rank)
        found.append(runner._seed_of_all)
        monkeypatch.undo()
    assert found == [1, 1]
