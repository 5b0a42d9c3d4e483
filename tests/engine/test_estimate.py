"""A training step on fake tensors: its operations by hand, its memory against torch's profiler and torch's own tracker."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
from torch.distributed._tools.mem_tracker import MemTracker
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.flop_counter import FlopCounterMode

from sapiens.commands import flops
from sapiens.engine.estimate.arithmetic import PARALLEL, Cluster, peak_bytes, unsharded_bytes
from sapiens.engine.estimate.checkpointing import VARIANTS, apply_variant, own_variant, variants_of
from sapiens.engine.estimate.live_memory import LiveMemory, profile_of
from sapiens.engine.estimate.measure import measure_step
from sapiens.engine.estimate.trace import tasks_of, trace_step
from sapiens.utils.config import load_config

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=128)
MAE = 'configs/mae/sapiens_tiny_synthetic-128x128.py'
SEG = 'configs/seg/sapiens_tiny_synthetic-128x96.py'
POSE = 'configs/pose/sapiens_tiny_synthetic17-128x96.py'


def small(path, **options):
    return load_config(path, {'model.backbone.arch': ARCH, **options})


# ---------------------------------------------------------------------- operations


# In segmentation, the loss resizes the small maps by matrix products.
@pytest.mark.parametrize(('path', 'in_loss'), [(MAE, 0), (SEG, 0.06), (POSE, 0)])
def test_operations_of_a_step(path, in_loss):
    cfg = small(path)
    counts = trace_step(cfg).counts
    model = flops.build(cfg)
    parameters, forward = flops.count(model, *model.backbone.img_size)['all']
    assert counts.parameters == parameters and counts.image == model.backbone.img_size
    assert forward <= counts.forward <= (1 + in_loss) * forward
    # All but the gradient of the images, which nothing needs.
    assert 1.9 * forward < counts.backward <= 2 * counts.forward


@pytest.mark.parametrize('groups', [1, 2, 6])
@pytest.mark.parametrize('kind', [torch.nn.Conv2d, torch.nn.ConvTranspose2d])
def test_the_backward_pass_of_a_convolution_is_twice_its_forward_pass(kind, groups):
    layer, images = kind(6, 12, 3, groups=groups), torch.randn(2, 6, 8, 7, requires_grad=True)
    with FlopCounterMode(display=False) as theirs, LiveMemory() as ours:
        out = layer(images)
        forward = ours.flops
        out.sum().backward()
    assert forward > 0 and ours.flops == 3 * forward
    assert groups > 1 or ours.flops == theirs.get_total_flops()
    with LiveMemory() as ours:
        layer(images.detach()).sum().backward()
    assert ours.flops == 2 * forward  # no gradient of the images


def test_attention_of_cpus_is_counted_where_torch_does_not():
    shape = (2, 3, 7, 8)
    q, k, v = (torch.rand(shape, requires_grad=True) for _ in range(3))
    with FlopCounterMode(display=False) as theirs, LiveMemory() as ours:
        torch.nn.functional.scaled_dot_product_attention(q, k, v).sum().backward()
    assert theirs.get_total_flops() == 0
    assert ours.flops == 3 * 2 * (2 * 2 * 3 * 7 * 7 * 8)


def test_what_checkpointing_computes_again():
    cfg = small(MAE)
    off, encoder, selective, all_parts = (trace_step(apply_variant(cfg, variant)) for variant in VARIANTS)
    assert encoder.counts.forward == off.counts.forward
    tokens, width, hidden = 17, 32, 128
    # A block is computed again up to the input of its last linear layer: the backward pass needs no more.
    again = 2 * tokens * (4 * width**2 + width * hidden) + 4 * tokens**2 * width
    assert encoder.counts.backward - off.counts.backward == ARCH['num_layers'] * again
    for one in (encoder, selective):
        assert all_parts.memory.kept < one.memory.kept < off.memory.kept
    # Products are kept, and the decoder is recomputed too.
    assert selective.counts.step == off.counts.step < encoder.counts.step < all_parts.counts.step


# ---------------------------------------------------------------------- memory


def test_bytes_kept_of_a_block():
    """36 C bytes a token and block under bf16 autocast, next to 4 bytes for each token and head."""
    kept = {}
    for layers in (2, 4):
        cfg = small(SEG, **{'model.backbone.img_size': (512, 384)})
        cfg.model.backbone.arch = dict(ARCH, num_layers=layers)
        kept[layers] = trace_step(cfg).memory.kept
    tokens = 32 * 24
    found = (kept[4] - kept[2]) / 2 / tokens
    heads, norms = 4 * ARCH['num_heads'], 2 * 2 * 4
    assert found == pytest.approx(36 * 32 + heads + norms, rel=1e-3)


def test_short_attention_is_that_of_the_device():
    """CPUs compute it in float32, with copies of queries, keys and values."""
    cpu, gpu = (trace_step(small(MAE), 'bf16', device).memory.kept for device in ('cpu', 'gpu'))
    tokens, width = 17, 32
    assert cpu - gpu >= ARCH['num_layers'] * tokens * width * 3 * (4 - 2)


def test_states_and_copies_of_weights():
    memory, counts = (getattr(trace_step(small(MAE)), name) for name in ('memory', 'counts'))
    assert memory.state == pytest.approx(8 * counts.trained, rel=1e-3)
    assert memory.gradients.max() == 4 * counts.trained
    assert 0.9 * 2 * counts.trained < memory.casts.max() <= 2 * counts.trained
    assert trace_step(small(MAE), 'fp32').memory.casts.max() == 0
    frozen = trace_step(small(MAE, **{'+model.backbone.frozen_stages': 3}))
    assert frozen.counts.trained < counts.trained
    assert frozen.memory.gradients.max() == 4 * frozen.counts.trained


def test_adapters_are_what_is_trained():
    lora = dict(rank=2, alpha=4)
    plain, adapted = trace_step(small(SEG)), trace_step(small(SEG, lora=lora))
    width, hidden, blocks = 32, 128, ARCH['num_layers']
    sizes = [(width, 3 * width), (width, width), (width, hidden), (hidden, width)]
    adapters = blocks * sum(2 * (inputs + outputs) for inputs, outputs in sizes)
    assert adapted.counts.parameters == plain.counts.parameters + adapters
    encoder = sum(value.numel() for value in flops.build(small(SEG)).backbone.parameters())
    assert adapted.counts.trained == plain.counts.parameters - encoder + adapters
    assert adapted.memory.state == pytest.approx(8 * adapted.counts.trained, rel=0.01)
    assert adapted.memory.gradients.max() == 4 * adapted.counts.trained
    # The weights of the encoder have no gradients to compute.
    assert adapted.counts.backward < plain.counts.backward


def test_drop_path_is_part_of_the_step():
    plain, dropping = (
        trace_step(small(SEG, **{'model.backbone.drop_path_rate': rate})).memory.per_image.max() for rate in (0.0, 0.5)
    )
    assert dropping > plain


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
@pytest.mark.parametrize(('path', 'batch', 'options'), [(MAE, 8, {}), (SEG, 12, {}), (SEG, 12, dict(lora=True))])
def test_peak_is_that_of_a_real_step(path, batch, options, precision):
    cfg = small(path, **options)
    measured = measure_step(cfg, batch, precision)
    assert trace_step(cfg, precision, 'cpu').memory.peak(batch) == pytest.approx(measured, rel=0.1)


def test_peak_where_weights_and_states_dominate():
    cfg = load_config(MAE)
    measured, memory = measure_step(cfg, 1), trace_step(cfg, 'fp32', 'cpu').memory
    assert memory.parameters + memory.state > 0.7 * measured
    assert memory.peak(1) == pytest.approx(measured, rel=0.1)


def test_the_batch_is_part_of_the_step():
    per_image = trace_step(small(SEG)).memory.per_image
    assert per_image.min() >= (3 + 1 + 1) * 128 * 96  # image, labels and their validity, a byte each


def test_peak_is_that_of_torchs_tracker():
    model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.GELU(), torch.nn.Linear(256, 8))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    inputs = torch.rand(32, 64)

    def step():
        model(inputs).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    tracker = MemTracker()
    tracker.track_external(model, optimizer, inputs)
    with tracker:
        step()
    theirs = tracker.get_tracker_snapshot('peak')[torch.device('cpu')]['Total']
    with LiveMemory() as live:
        states = [value for state in optimizer.state.values() for value in state.values()]
        live.mark('parameter', [*model.parameters(), *states, inputs])
        begin = live.now + 1
        step()
    assert profile_of(live.spans, begin, live.now + 1).max() == pytest.approx(theirs, rel=0.02)


@pytest.fixture
def eight_processes():
    """A group that sends nothing."""
    dist.init_process_group('fake', store=FakeStore(), rank=0, world_size=8)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize('batch', [2, 64])
def test_shards_take_no_more_than_estimated(eight_processes, batch):
    """torch's tracker of FSDP2. The estimate is an upper bound, since it takes the largest block at every moment."""
    arch = dict(embed_dims=512, num_layers=3, num_heads=8, feedforward_channels=2048)
    cfg = load_config(MAE, {'model.backbone.arch': arch})
    model, mesh = flops.build(cfg).train(), init_device_mesh('cpu', (8,))
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device='cpu')
        for part in (*model.backbone.blocks, *model.neck.decoder_blocks, model):
            fully_shard(part, mesh=mesh)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, fused=True)
        images = torch.zeros(batch, 3, 128, 128)

        def step():
            model(images, mode='loss')['loss'].backward()
            optimizer.step()
            optimizer.zero_grad()

        step()  # which makes the states
        tracker = FSDPMemTracker(model, optimizer)
        tracker.track_inputs((images,))
        with tracker:
            step()
        theirs = tracker.get_tracker_snapshot('peak')[torch.device('cpu')]['Total']
    way = replace(next(way for way in PARALLEL if way.type == 'FSDP2'), param_dtype='fp32')
    traced = trace_step(cfg, 'fp32', 'cpu')
    ours = peak_bytes(traced, way, Cluster(gpus=8), batch) - batch * 3 * 128**2  # the tracker has no uint8 images
    assert 0 <= ours - theirs < unsharded_bytes(traced.counts.blocks, traced.counts.root, way)


def test_storages_end():
    with LiveMemory() as live:
        a = torch.ones(10)
        b = a.view(5, 2)
        assert live.live_bytes() == 40
        c = b + 1
        del a, b
        assert live.live_bytes() == 40
        del c
        assert live.live_bytes() == 0
    assert profile_of(live.spans, 1, live.now + 1).tolist()[-1] == 80


def test_a_trace_changes_nothing_outside():
    torch.manual_seed(3)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    cfg = small(POSE)
    before = copy.deepcopy(cfg.to_dict())
    trace_step(cfg)
    assert torch.equal(torch.get_rng_state(), states[0]) and (np.random.get_state()[1] == states[1]).all()
    assert cfg.to_dict() == before


@pytest.mark.parametrize(
    'path', ['albedo/sapiens2', 'depth/sapiens', 'matting/sapiens2', 'normal/sapiens2', 'pointmap/sapiens2']
)
def test_every_task_has_a_batch(path):
    cfg = load_config(f'configs/{path}_tiny_synthetic-128x96.py')
    assert trace_step(cfg).memory.kept > 1e6


def test_tasks_of_one_model():
    cfg = load_config('configs/multi/sapiens2_tiny_synthetic-128x96.py')
    assert tasks_of(cfg) == ['normal', 'pose', 'seg']
    with pytest.raises(ValueError, match='task=None is not one of the tasks of the model: normal, pose, seg'):
        trace_step(cfg)


# ---------------------------------------------------------------------- variants


def test_variants_of_a_config():
    cfg = small(MAE)
    assert variants_of(cfg) == list(VARIANTS) and own_variant(cfg).name == 'off'
    cfg.model.backbone.activation_checkpointing = 'all'
    assert own_variant(cfg).name == 'encoder'
    off = apply_variant(cfg, VARIANTS[0])
    assert own_variant(off).name == 'off' and own_variant(cfg).name == 'encoder'
    cfg.model.backbone.activation_checkpointing = 2
    names = [variant.name for variant in VARIANTS]
    assert [variant.name for variant in variants_of(cfg)] == [*names, 'as configured']
    for variant in VARIANTS:
        assert own_variant(apply_variant(cfg, variant)) == variant
    assert VARIANTS[1].options == ['activation_checkpointing.backbone=all']
