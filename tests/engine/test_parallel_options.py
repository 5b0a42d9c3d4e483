"""The key ``parallel`` of a config: what it takes and what it refuses."""

import copy
from inspect import signature

import pytest
import torch
from mmengine.config import Config
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sapiens.engine.optim.optim_wrapper import OptimWrapper
from sapiens.engine.parallel import DDP, FSDP2, build_parallel
from sapiens.engine.parallel.units import copy_weights, link_units, parameters_in_fp32, units_of
from sapiens.models.heads.pixel_shuffle import PixelShuffleHead
from sapiens.registry import MODELS, STRATEGIES
from sapiens.utils.config import load_config
from sapiens.utils.shards import gather
from tests.models import multi_task
from tests.models.test_sapiens2_tasks import model as sapiens2_model

from ..ranks import on_ranks
from .test_runner import logged
from .toy import make_runner

TINY = 'configs/mae/sapiens_tiny_synthetic-128x128.py'


def test_ddp_is_the_default():
    for cfg in ({}, dict(parallel=None), dict(parallel=dict(type='DDP')), dict(parallel=dict(type=DDP))):
        assert type(build_parallel(cfg)) is DDP
    assert build_parallel({}).gradient_as_bucket_view and not build_parallel({}).find_unused_parameters
    assert build_parallel(dict(find_unused_parameters=True)).find_unused_parameters
    assert STRATEGIES.get('FSDP2') is FSDP2


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (dict(parallel='FSDP2'), r"parallel='FSDP2': expected a dict such as dict\(type='DDP'\)"),
        (
            dict(parallel=dict(type='FSDP')),
            r"parallel.type='FSDP' is not one of DDP, FSDP2; did you mean 'FSDP2'\?$",
        ),
        (dict(parallel=dict(type='FSDPStrategy')), "type='FSDPStrategy' is not one of DDP, FSDP2"),
        (dict(parallel=dict(shard='node')), "DDP has no option 'shard': it needs parallel.type=FSDP2 "),
        (
            dict(parallel=dict(type='FSDP2', reshard=True)),
            r"FSDP2 has no option 'reshard'.*known: shard, reshard_after_forward, param_dtype, reduce_dtype, cpu_offload\)",
        ),
        (dict(parallel=dict(static_grap=True)), r"DDP has no option 'static_grap'; did you mean 'static_graph'"),
        (dict(parallel=dict(type='FSDP2', shard='nodes')), r"parallel.shard='nodes' is not one of \('all', 'node'\)"),
        (dict(parallel=dict(type='FSDP2', param_dtype='fp16')), "parallel.param_dtype='fp16' is not one of"),
        (
            dict(parallel=dict(type='FSDP2', reshard_after_forward=2)),
            'reshard_after_forward=2: expected True or False',
        ),
        (
            dict(parallel=dict(type='FSDP2', reshard_after_forward=1)),
            'reshard_after_forward=1: expected True or False',
        ),
        (dict(parallel=dict(type='FSDP2', cpu_offload='no')), "parallel.cpu_offload='no': expected True or False"),
        (dict(parallel=dict(type=['FSDP2'])), r"parallel.type=\['FSDP2'\] is not one of DDP, FSDP2"),
        (dict(parallel=dict(static_graph='no')), "parallel.static_graph='no': expected True or False"),
        (dict(parallel=dict(gradient_as_bucket_view=1)), 'parallel.gradient_as_bucket_view=1: expected True or False'),
        (
            dict(parallel=dict(find_unused_parameters='no')),
            "parallel.find_unused_parameters='no': .* or None for what",
        ),
        (dict(find_unused_parameters='no'), "^find_unused_parameters='no': expected True or False"),
        (dict(parallel=dict(reduce_dtype='fp16')), "parallel.reduce_dtype='fp16' is not one of"),
        (
            dict(parallel=dict(type='FSDP2'), find_unused_parameters=True),
            r"find_unused_parameters=True has no effect with parallel=\{'type': 'FSDP2'\}: leave it out",
        ),
        (
            dict(parallel=dict(type='DDP', static_graph=True), model_wrapper_cfg=dict(broadcast_buffers=True)),
            'model_wrapper_cfg=.* has no effect with parallel',
        ),
    ],
)
def test_what_is_refused(cfg, message):
    with pytest.raises(ValueError, match=message):
        build_parallel(cfg)


def test_torch_is_given_the_option_that_it_does_not_warn_of():
    configs = []
    DDP().wrap(torch.nn.Linear(1, 1), lambda config, model: configs.append(config))
    names = {'broadcast_buffers', 'forward_sync_buffers'} & set(signature(DistributedDataParallel).parameters)
    used = [name for name in names if name in configs[0]]
    assert used == ['forward_sync_buffers' if len(names) == 2 else 'broadcast_buffers'] and not configs[0][used[0]]


@pytest.mark.skipif(torch.cuda.is_available(), reason='is right on a GPU')
def test_options_that_need_a_gpu():
    for options in (dict(type='FSDP2', cpu_offload=True), dict(type='DDP', reduce_dtype='bf16')):
        with pytest.raises(ValueError, match='GPU'):
            build_parallel(dict(parallel=options))


def test_options_that_do_not_fit_the_run():
    with pytest.raises(ValueError, match="param_dtype='bf16' needs bf16 autocast.*optim_wrapper.precision='bf16'"):
        FSDP2(param_dtype='bf16').prepare(uses_bf16=False, accumulates=False)
    with pytest.raises(ValueError, match='static_graph=True does not work with optim_wrapper.accumulative_counts'):
        DDP(static_graph=True).prepare(uses_bf16=False, accumulates=True)
    with pytest.raises(ValueError, match='static_graph=True: a step of MultiTaskEstimator'):
        DDP(static_graph=True).wrap(MODELS.build(multi_task.config()), None)


def accumulate_over_two_heads():
    """The largest difference of weights between shards and a whole model after one step; the third head never runs."""
    torch.manual_seed(0)
    whole = MODELS.build(multi_task.config()).train()
    parallel = FSDP2()
    parallel.prepare(uses_bf16=False, accumulates=True)
    sharded = parallel.wrap(copy.deepcopy(whole), None)
    for model in (whole, sharded):
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=2)
        for index, task in enumerate(('pose', 'seg')):
            wrapper.enter_batch(index, 2)
            with wrapper.optim_context(model):
                losses = model(multi_task.images(), multi_task.samples(task), mode='loss')
            wrapper.update_params(model.parse_losses(losses)[0])
    weights = gather(sharded.state_dict(), True)
    return max((weights[name] - value).abs().max().item() for name, value in whole.state_dict().items())


def test_shards_accumulate_gradients_of_some_heads(tmp_path):
    assert max(on_ranks(2, accumulate_over_two_heads, tmp_path)) < 1e-6


def test_the_command_line_changes_it():
    options = ['parallel.type=FSDP2', 'parallel.shard=node', 'parallel.reshard_after_forward=False']
    parallel = build_parallel(load_config(TINY, options))
    assert type(parallel) is FSDP2 and parallel.shard == 'node' and parallel.reshard_after_forward is False
    with pytest.raises(ValueError, match="FSDP2 has no option 'sharde'; did you mean 'shard'"):
        build_parallel(load_config(TINY, ['parallel.type=FSDP2', 'parallel.sharde=node']))


def test_one_process_without_a_launcher_has_whole_weights(tmp_path):
    runner = make_runner(tmp_path, cfg=Config(dict(parallel=dict(type='FSDP2'))))
    runner.train()
    assert type(runner.model.backbone.weight) is nn.Parameter
    assert "parallel.type='FSDP2' has no effect in one process without a launcher" in logged(tmp_path)


def test_units_are_blocks_and_heads():
    model = MODELS.build(multi_task.config())
    names = {module: name for name, module in model.named_modules()}
    assert [names[unit] for unit in units_of(model)] == [
        'backbone.blocks.0', 'backbone.blocks.1', 'tasks.normal.decode_head', 'tasks.pose.decode_head', 'tasks.seg.decode_head',
    ]  # fmt: skip
    with pytest.raises(ValueError, match='no part of Linear has a method parts_to_compile'):
        units_of(nn.Linear(2, 2))


class Linked(nn.Linear):
    def __init__(self, name):
        super().__init__(1, 1)
        self.name, self.next = name, {}

    def set_modules_to_forward_prefetch(self, modules):
        self.next['forward'] = [module.name for module in modules]

    def set_modules_to_backward_prefetch(self, modules):
        self.next['backward'] = [module.name for module in modules]


class Chain(nn.ModuleList):
    def parts_to_compile(self):
        return list(self)


@pytest.mark.parametrize('several', [False, True])
def test_units_gather_their_neighbors(several):
    encoder, head = Chain(map(Linked, 'abc')), Chain([Linked('d')])
    encoder[0].requires_grad_(False)  # the backward pass ends behind it
    model = nn.ModuleList([encoder, head])
    model.name, model.has_unused_parameters = 'model', several
    link_units(model)
    links = {unit.name: unit.next for unit in units_of(model)}
    # Of several heads a step runs one.
    assert [links[name].get('forward') for name in 'abcd'] == [['b'], ['c'], None if several else ['d'], None]
    assert [links[name]['backward'] for name in 'abcd'] == [['model'], ['model'], ['b'], ['c']]


def test_weights_that_autocast_does_not_round():
    model = sapiens2_model('pointmap')
    kept = parameters_in_fp32(units_of(model))
    names = {name for name, parameter in model.named_parameters() if parameter in kept}
    block = ['ln1.weight', 'ln2.weight', 'attn.q_norm.weight', 'attn.k_norm.weight', 'attn.gamma.weight']
    last = [name for name, _ in model.named_parameters() if 'conv_pointmap' in name or 'scale_final_layer' in name]
    assert names == {f'backbone.blocks.{index}.{name}' for index in range(2) for name in block} | set(last)
    assert len(last) == 6
    head = PixelShuffleHead(8, 3, (8,))
    assert not parameters_in_fp32([head])  # autocast rounds the last layer of a map


def test_a_copy_of_weights_has_their_names():
    model = sapiens2_model('matting')
    model.same = model.decode_head
    copied = copy_weights(model, {})
    assert list(copied.state_dict()) == list(model.state_dict())
    for (name, value), (other, own) in zip(copied.named_parameters(), model.named_parameters(), strict=True):
        assert name == other and value is not own and torch.equal(value, own)
    assert [name for name, _ in copied.named_buffers()] == [name for name, _ in model.named_buffers()]
    assert copied.same is copied.decode_head
    copy.deepcopy(copied)
