"""What depends on the accelerator, with stand-ins where this machine has none."""

import logging
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sapiens.apis import batch_job
from sapiens.apis.predictors import Predictor
from sapiens.engine.compiling import compile_parts
from sapiens.engine.hooks.throughput import ThroughputHook
from sapiens.engine.optim.optim_wrapper import OptimWrapper
from sapiens.engine.random_state import derived_random_state, get_random_state, set_random_state
from sapiens.utils import device as devices
from sapiens.utils.device import pick_device


@pytest.fixture
def cuda(monkeypatch):
    """Pretends that there is a CUDA device, and records the states of its generator."""
    states = [torch.tensor([1, 2], dtype=torch.uint8)]
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_rng_state', lambda: states[-1])
    monkeypatch.setattr(torch.cuda, 'set_rng_state', states.append)
    return states


@pytest.mark.parametrize(
    ('precision', 'kind', 'supported', 'expected'),
    [
        ('auto', 'cuda', True, True), ('auto', 'cuda', False, False), ('auto', 'cpu', True, False), ('auto', 'mps', True, False),
        ('bf16', 'cpu', False, True), ('bf16', 'cuda', False, True), ('fp32', 'cuda', True, False),
    ],
)  # fmt: skip
def test_bf16_is_the_default_on_gpus_that_have_it(monkeypatch, precision, kind, supported, expected):
    monkeypatch.setattr(OptimWrapper, 'device', torch.device(kind))
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda *_: supported)
    optim = OptimWrapper(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), precision=precision)
    assert bool(optim.uses_bf16) == expected


def test_random_state_of_a_gpu(cuda):
    state = get_random_state()
    assert state['cuda'].tolist() == [1, 2]
    cuda.append(torch.tensor([3], dtype=torch.uint8))
    set_random_state(state)
    assert cuda[-1].tolist() == [1, 2] and cuda[-1] is not state['cuda']
    count = len(cuda)
    set_random_state({key: value for key, value in state.items() if key != 'cuda'})
    assert len(cuda) == count, 'a checkpoint of a run on CPUs'


def test_random_state_of_a_gpu_on_a_machine_without(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.cuda, 'set_rng_state', lambda state: pytest.fail('there is no GPU'))
    state = get_random_state()
    assert 'cuda' not in state
    set_random_state(dict(state, cuda=torch.zeros(1)))
    assert 'cuda' not in derived_random_state(1)


@pytest.mark.parametrize(('cuda', 'mps', 'kind'), [(True, True, 'cuda'), (False, True, 'mps'), (False, False, 'cpu')])
def test_the_automatic_device(monkeypatch, cuda, mps, kind):
    monkeypatch.setattr(devices.torch.cuda, 'is_available', lambda: cuda)
    monkeypatch.setattr(devices.torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(devices.torch.backends.mps, 'is_available', lambda: mps)
    assert pick_device() == torch.device(kind)
    if cuda:
        assert pick_device('cuda:1') == torch.device('cuda:1')


@pytest.mark.parametrize(
    ('kind', 'crop', 'compile'), [('cpu', 'host', False), ('meta', 'device', False), ('cpu', 'host', True)]
)
def test_accelerators_make_their_own_crops(monkeypatch, kind, crop, compile):
    monkeypatch.setattr(Predictor, 'compiled_parts', lambda self: [])
    network = nn.Linear(2, 2, device=kind)
    made = Predictor('x', network, None, compile=compile)
    assert made.crop == crop and made.on_cores == (kind == 'cpu' and not compile) and made.fixed_batch == compile
    assert made.predict_options == {} and made.detector is None
    other = Predictor('x', network, None, crop='device', flip_test=False, batch_size=3)
    assert (other.crop, other.predict_options, other.batch_size) == ('device', dict(flip_test=False), 3)


@pytest.mark.parametrize(
    ('kind', 'has_gpu', 'threads'),
    [('cpu', True, [3]), ('auto', False, [3]), ('auto', True, []), ('cuda:1', True, [])],
)
def test_workers_on_cpus_divide_the_threads(monkeypatch, kind, has_gpu, threads):
    seen, quiet = [], []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: has_gpu)
    monkeypatch.setattr(batch_job.torch, 'set_num_threads', seen.append)
    monkeypatch.setattr(batch_job.cv2, 'setNumThreads', lambda count: None)
    monkeypatch.setattr(batch_job.logging, 'disable', quiet.append)
    monkeypatch.setattr(batch_job, 'work', lambda *_: iter([]))
    batch_job._worker(None, kind, None, 3, False)
    assert seen == threads and quiet == []
    batch_job._worker(None, kind, None, 3, True)
    assert quiet == [logging.INFO]


@pytest.mark.parametrize('has_gpu', [True, False])
def test_speed_and_memory(monkeypatch, has_gpu):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: has_gpu)
    logged, windows = {}, []

    def scalar(name):
        return SimpleNamespace(
            mean=lambda window: windows.append(window) or {'train/time': 0.5, 'train/data_time': 0.1}[name]
        )

    hub = SimpleNamespace(log_scalars={'train/time': 0}, get_scalar=scalar, update_scalar=logged.__setitem__)
    runner = SimpleNamespace(message_hub=hub, train_loop=SimpleNamespace(total_batch=24))
    ThroughputHook().after_train_iter(runner, 0)
    assert (
        logged['train/images_per_s'] == 48 and logged['train/data_share'] == pytest.approx(0.2) and windows == [10, 10]
    )
    assert ('train/memory' in logged) != has_gpu and logged.get('train/memory', 100) < 1e5
    logged.clear()
    hub.log_scalars = {}
    ThroughputHook().after_train_iter(runner, 0)
    assert logged == {}


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.options = []

    def compile(self, **options):
        self.options.append(options)

    def parts_to_compile(self):
        return [self]


def test_parts_are_compiled_with_the_given_options():
    model = nn.Sequential(Part(), nn.ReLU(), nn.Sequential(Part()))
    compile_parts(model, True)
    compile_parts(model, dict(mode='max-autotune'))
    assert model[0].options == model[2][0].options == [{}, dict(mode='max-autotune')]
    for options in (False, 1, 'yes', None):
        with pytest.raises(ValueError, match='expected True, False, or arguments'):
            compile_parts(model, options)
    with pytest.raises(ValueError, match='no part of ReLU'):
        compile_parts(nn.ReLU(), True)
