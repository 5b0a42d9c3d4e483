import contextlib
import itertools
import random
import types

import mmengine
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from sapiens.datasets import ResumableSampler
from sapiens.engine import Runner, TrainLoop
from sapiens.engine.random_state import derived_random_state, get_random_state, set_random_state
from sapiens.engine.training_data import TrainingData
from sapiens.engine.worker_signals import init_worker

from .toy import Linear, Numbers, make_runner


@pytest.fixture(autouse=True)
def no_environment_report(monkeypatch):
    monkeypatch.setattr('sapiens.engine.Runner._log_env', lambda *_: None)


class Recorder(Hook):
    def __init__(self):
        self.events = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        assert set(data_batch) == {'inputs'}
        self.events.append(batch_idx)

    def after_train_epoch(self, runner):
        self.events.append(f'epoch {runner.epoch}')

    def after_val_epoch(self, runner, metrics=None):
        self.events.append('val')


@pytest.mark.parametrize(
    ('length', 'expected'),
    [
        (dict(max_epochs=2), [0, 1, 2, 'epoch 0', 'val', 0, 1, 2, 'epoch 1', 'val']),
        (dict(max_epochs=2, val_interval=2), [0, 1, 2, 'epoch 0', 0, 1, 2, 'epoch 1', 'val']),
        (dict(max_iters=4, val_interval=3), [0, 1, 2, 'val', 'epoch 0', 0, 'val']),
        (dict(max_epochs=2, val_interval=1, val_begin=2), [0, 1, 2, 'epoch 0', 0, 1, 2, 'epoch 1', 'val']),
    ],
)
def test_order_of_events(tmp_path, length, expected):
    recorder = Recorder()
    runner = make_runner(
        tmp_path, length=7, hooks=[recorder], scores=(1, 2, 3), train_cfg=dict(type='TrainLoop', **length)
    )
    runner.train()
    assert recorder.events == expected
    assert runner.model.seen.count(2) == len(runner.model.seen)  # of 7 samples one is dropped


@pytest.mark.parametrize('length', [{}, dict(max_epochs=1, max_iters=1)])
def test_exactly_one_length(tmp_path, length):
    with pytest.raises(ValueError, match='max_epochs or max_iters'):
        make_runner(tmp_path, train_cfg=dict(type='TrainLoop', **length)).train()


def test_too_few_samples_for_a_batch(tmp_path):
    with pytest.raises(ValueError, match=r'no batch: 3 samples, batch size 4 on 1 process'):
        make_runner(tmp_path, length=3, batch=4).train()


def test_a_hook_may_end_training_after_validation(tmp_path):
    class Stop(Recorder):
        def after_val_epoch(self, runner, metrics=None):
            runner.train_loop.stop_training = True

    hook = Stop()
    make_runner(
        tmp_path, hooks=[hook], scores=(1,), train_cfg=dict(type='TrainLoop', max_iters=10, val_interval=2)
    ).train()
    assert hook.events == [0, 1]


def test_every_epoch_has_its_own_order(tmp_path):
    class Epochs(Hook):
        def __init__(self):
            self.seen = []

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            self.seen += data_batch['inputs'][:, -1].int().tolist()

    hook = Epochs()
    make_runner(tmp_path, length=20, hooks=[hook], train_cfg=dict(type='TrainLoop', max_epochs=2)).train()
    first, second = hook.seen[:20], hook.seen[20:]
    assert sorted(first) == sorted(second) == list(range(1, 21)) and first != second


def test_the_last_iterations_make_a_step_too(tmp_path):
    # Epochs of five batches, of which the run does seven; steps over 4, 1 and 2 of them.
    runner = make_runner(tmp_path, accumulate=4, train_cfg=dict(type='TrainLoop', max_iters=7))
    runner.train()
    steps = {int(state['step']) for state in runner.optim_wrapper.optimizer.state.values()}
    assert steps == {3}


def test_a_resumed_accumulation_begins_at_its_checkpoint(tmp_path):
    """Five batches an epoch: by two, steps end after 2, 4, 5, 7, ... By three from the second on, after 5, 8, 10."""
    options = dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False)))
    whole = make_runner(tmp_path / 'whole', accumulate=2, **options).train()
    start = tmp_path / 'whole/iter_2.pth'
    resumed = make_runner(tmp_path / 'resumed', accumulate=2, resume=True, load_from=str(start), **options).train()
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())
    make_runner(tmp_path / 'other', accumulate=3, resume=True, load_from=str(start), **options).train()
    assert {file.name for file in (tmp_path / 'other').glob('*.pth')} == {'iter_5.pth', 'iter_8.pth', 'iter_10.pth'}


class Samples(Hook):
    """Records the samples of each batch, counted from 1."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append(data_batch['inputs'][:, -1].int().tolist())


def in_order(folder, iters, batch=2, **kwargs):
    """Train on five batches of two (or with another batch size) in order; the samples of each batch, and the log."""
    hook, sampler = Samples(), kwargs.pop('sampler', dict(type='ResumableSampler', shuffle=False))
    make_runner(
        folder, batch=batch, sampler=sampler, hooks=[hook], train_cfg=dict(type='TrainLoop', max_iters=iters),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False)), **kwargs
    ).train()  # fmt: skip
    return hook.seen, '\n'.join(file.read_text() for file in sorted(folder.glob('*/*.log')))


def test_a_resumed_epoch_begins_after_consumed_batches(tmp_path):
    assert in_order(tmp_path, 3)[0] == [[1, 2], [3, 4], [5, 6]]
    seen, log = in_order(tmp_path, 7, resume=True)
    assert seen == [[7, 8], [9, 10], [1, 2], [3, 4]]
    assert 'used again' not in log


def test_whole_epochs_need_no_resumable_sampler(tmp_path):
    seen, _ = in_order(tmp_path, 10, sampler=dict(type='DefaultSampler', shuffle=False))
    assert seen == 2 * [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]


def test_a_remainder_smaller_than_the_new_batch_is_reused_and_reported(tmp_path):
    in_order(tmp_path, 4)
    seen, log = in_order(tmp_path, 5, batch=5, resume=True)
    assert seen == [[6, 7, 8, 9, 10]]
    assert '8 samples of this epoch were consumed' in log and 'the last 3 of them are used again' in log


@pytest.mark.parametrize(('iters', 'epochs'), [(4, 1), (5, 1), (6, 2), (7, 2), (10, 2)])
def test_the_last_epoch_counts_though_it_is_left_early(tmp_path, iters, epochs):
    runner = make_runner(tmp_path, train_cfg=dict(type='TrainLoop', max_iters=iters))
    runner.train()
    assert (runner.max_epochs, runner.max_iters, runner.iter) == (epochs, iters, iters)


class Noise(Numbers):
    """A dataset that does not seed its samples."""

    def __getitem__(self, draw):
        return torch.randint(10**9, ())


def collate(samples):
    return dict(inputs=torch.stack(samples)[:, None].expand(-1, 4).float(), loader=None)


def test_workers_draw_differently_in_each_epoch_and_equally_in_a_resumed_one(tmp_path):
    class Inputs(Hook):
        def __init__(self):
            self.seen = []

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            self.seen.append(data_batch['inputs'][:, 0].tolist())

    def seen(folder, epochs, **kwargs):
        hook = Inputs()
        runner = make_runner(folder, hooks=[hook], train_cfg=dict(type='TrainLoop', max_epochs=epochs), **kwargs)
        loader = dict(runner._train_dataloader, dataset=Noise(4), collate_fn=dict(type=collate), num_workers=1)
        runner._train_dataloader = loader
        runner.build_train_loop(runner._train_loop)
        runner._train_loop = dict(runner.cfg.get('train_cfg') or dict(type='TrainLoop', max_epochs=epochs))
        runner.train()
        return hook.seen

    straight = seen(tmp_path / 'a', 3)
    assert len({tuple(batch) for batch in straight}) == len(straight) == 6
    assert seen(tmp_path / 'b', 1) + seen(tmp_path / 'b', 3, resume=True) == straight


def test_loaders_are_built_for_the_engine():
    loader = Runner.build_dataloader(
        dict(batch_size=2, dataset=Numbers(), sampler=dict(type='DefaultSampler'), persistent_workers=True), seed=5
    )
    assert isinstance(loader, DataLoader) and loader.worker_init_fn.func is init_worker
    assert not loader.persistent_workers  # there are no workers
    before = torch.get_rng_state()
    next(iter(loader))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(('rank', 'epoch', 'seed'), [(0, 0, 1_000_004), (3, 1, 2_000_007 + 30_021)])
def test_seeds_of_workers_follow_from_rank_and_epoch(rank, epoch, seed):
    """They are those of earlier versions: a run that is resumed draws what it would have drawn."""

    loader = DataLoader(Numbers(), generator=torch.Generator())
    loop = object.__new__(TrainLoop)
    loop._runner, loop.data = types.SimpleNamespace(seed=1, rank=rank), TrainingData(loader, 1, None)
    loop._epoch = epoch
    loop._open_data()
    assert loader.generator.initial_seed() == seed


class Seeded(Numbers):
    def __getitem__(self, draw):
        return dict(inputs=super().__getitem__(draw), seeds=draw.seed)


class TakesSeeds(Linear):
    def forward(self, inputs, loader=None, mode='tensor', seeds=None):
        self.seeds = [*getattr(self, 'seeds', []), *seeds.tolist()]
        return super().forward(inputs, mode=mode)


@pytest.mark.parametrize('kind', [Linear, TakesSeeds])
def test_models_that_take_the_seeds_of_samples_get_them(tmp_path, kind):
    runner = make_runner(tmp_path, train_cfg=dict(type='TrainLoop', max_iters=3))
    loader = dict(
        batch_size=2,
        dataset=Seeded(6),
        sampler=dict(type='ResumableSampler', seed=4),
        collate_fn=dict(type=default_collate),
    )
    runner._train_dataloader, runner.model = loader, kind()
    runner.train()
    drawn = [draw.seed for draw in ResumableSampler(Seeded(6), seed=4)]
    assert sum(runner.model.seen) == 6 and getattr(runner.model, 'seeds', drawn) == drawn


def test_derived_random_states_are_those_of_earlier_versions():
    before = get_random_state()
    derived = derived_random_state(1, 2)
    assert torch.equal(get_random_state()['torch'], before['torch'])
    assert get_random_state()['python'] == before['python']
    set_random_state(derived)
    drawn = random.random(), np.random.rand(), torch.rand(()).item()
    set_random_state(before)
    assert drawn == (0.4445909587580523, 0.6279203220639707, 0.517205536365509)


def test_dynamic_intervals_of_validation(tmp_path):
    recorder = Recorder()
    length = dict(max_iters=10, val_interval=4, dynamic_intervals=[[6, 3], [9, 1]])
    make_runner(
        tmp_path, length=40, hooks=[recorder], scores=range(9), train_cfg=dict(type='TrainLoop', **length)
    ).train()
    assert recorder.events == [0, 1, 2, 3, 'val', 4, 5, 'val', 6, 7, 'val', 8, 'val', 9, 'val']  # as in MMEngine
    for wrong in (dict(val_interval=0), dict(dynamic_intervals=[(5, 1), (2, 1)])):
        with pytest.raises(ValueError, match='val_interval=.*dynamic_intervals='):
            make_runner(tmp_path, train_cfg=dict(type='TrainLoop', max_iters=10, **wrong)).train()


@pytest.mark.parametrize(
    'length',
    [
        dict(type='EpochBasedTrainLoop', max_epochs=2),
        dict(by_epoch=True, max_epochs=2),
        dict(type='IterBasedTrainLoop', max_iters=10),
        dict(by_epoch=False, max_iters=10, val_interval=5, dynamic_intervals=None),
    ],
)
def test_loops_of_mmengine_are_ours(tmp_path, length):
    checkpoint = dict(checkpoint=dict(type='CheckpointHook', interval=5, by_epoch=False))
    runner = make_runner(tmp_path, default_hooks=checkpoint, train_cfg=length)
    runner.train()
    assert runner.iter == 10 and isinstance(runner.train_loop, TrainLoop)
    assert (tmp_path / 'iter_10.pth').is_file()


def test_loops_without_a_state_are_refused(tmp_path):
    class Custom(mmengine.runner.IterBasedTrainLoop):
        pass

    for kind in (Custom, 'mmengine.EpochBasedTrainLoop'):
        length = dict(type=kind, **(dict(max_iters=3) if kind is Custom else dict(max_epochs=1)))
        with pytest.raises(ValueError, match="TrainLoop, whose state.*type='TrainLoop'|Custom, whose state"):
            make_runner(tmp_path, train_cfg=length).train()


class Plain(Dataset):
    """A data set as users of torch write it."""

    def __init__(self, length=10):
        self.rows = [f'{index}.png' for index in range(length)]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        assert self.rows[index] == f'{index}.png' and {7: 'x'}.get(index, '') == 'x' * (index == 7)
        return torch.linspace(-1, 1, 4) * (index + 1)


@pytest.mark.parametrize('workers', [0, 1])
def test_a_plain_dataset_of_torch_trains_and_resumes(tmp_path, workers):
    def seen(folder, iters, **kwargs):
        hook = Samples()
        runner = make_runner(
            folder, hooks=[hook], train_cfg=dict(type='TrainLoop', max_iters=iters),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=3, by_epoch=False)), **kwargs
        )  # fmt: skip
        runner._train_dataloader.update(dataset=Plain(), collate_fn=plain_collate, num_workers=workers)
        runner.train()
        return hook.seen

    assert seen(tmp_path / 'a', 3) + seen(tmp_path / 'a', 8, resume=True) == seen(tmp_path / 'b', 8)


def plain_collate(samples):
    return dict(inputs=torch.stack(samples))


@pytest.mark.parametrize('shuffle', [True, False])
def test_a_sampler_without_an_end_goes_on_over_epochs_and_resumes(tmp_path, shuffle):
    sampler = dict(type='InfiniteSampler', shuffle=shuffle, seed=5)
    straight, _ = in_order(tmp_path / 'a', 13, sampler=sampler)
    assert [sorted(itertools.chain(*straight[i : i + 5])) for i in (0, 5)] == 2 * [list(range(1, 11))]
    first, _ = in_order(tmp_path / 'b', 7, sampler=sampler)
    second, _ = in_order(tmp_path / 'b', 13, sampler=dict(sampler, seed=6), resume=True)
    assert first + second == straight
    with pytest.raises(ValueError, match=r'max_epochs with InfiniteSampler.*max_iters'):
        make_runner(tmp_path, sampler=sampler, train_cfg=dict(type='TrainLoop', max_epochs=2)).train()


class Short(torch.utils.data.Sampler):
    def __init__(self, dataset, seed):
        pass

    def __len__(self):
        return 10

    def __iter__(self):
        return iter(range(7))


class Stream(IterableDataset):
    def __init__(self, length=10):
        self.length = length

    def __iter__(self):
        return iter(torch.linspace(-1, 1, 4) * (index + 1) for index in range(self.length))


class SizedStream(Stream):
    def __len__(self):
        return 10


def test_data_that_end_early_are_named(tmp_path):
    with pytest.raises(ValueError, match='ended after 3 of the 5 batches of an epoch: Short gave fewer'):
        make_runner(tmp_path, sampler=dict(type=Short)).train()


def streamed(folder, dataset, iters, **kwargs):
    hook = Samples()
    runner = make_runner(
        folder, hooks=[hook], train_cfg=dict(type='TrainLoop', max_iters=iters),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=3, by_epoch=False)), **kwargs
    )  # fmt: skip
    runner._train_dataloader.update(dataset=dataset, collate_fn=plain_collate)
    runner.train()
    return hook.seen


def test_a_stream_with_an_end_begins_again(tmp_path):
    epoch = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert streamed(tmp_path / 'a', SizedStream(), 7) == epoch + epoch[:2]
    assert streamed(tmp_path / 'a', SizedStream(), 8, resume=True) == epoch[:1]
    assert 'SizedStream gives no positions to resume from: its data begin again' in next(
        log for log in (file.read_text() for file in (tmp_path / 'a').glob('*/*.log')) if 'Resumed' in log
    )
    with pytest.raises(ValueError, match='ended after 4 of the 5 batches'):
        streamed(tmp_path / 'b', SizedStream(8), 7)
    with pytest.raises(ValueError, match='Stream has no length'):
        streamed(tmp_path / 'b', Stream(), 7)


def test_batch_samplers_are_refused(tmp_path):
    runner = make_runner(tmp_path)
    data = Plain()
    batches = torch.utils.data.BatchSampler(torch.utils.data.SequentialSampler(data), 2, True)
    runner._train_dataloader = DataLoader(data, batch_sampler=batches)
    with pytest.raises(ValueError, match='has the batch sampler BatchSampler'):
        runner.train()


@pytest.mark.parametrize(
    ('length', 'by_epoch'), [(dict(max_iters=7, val_interval=3), False), (dict(max_epochs=2), True)]
)
def test_a_validation_that_was_interrupted_is_made_up_for(tmp_path, length, by_epoch):
    class Kill(Hook):
        def before_val_iter(self, runner, batch_idx, data_batch=None):
            raise KeyboardInterrupt

    def run(folder, scores, hooks=(), **kwargs):
        recorder = Recorder()
        checkpoint = dict(
            type='CheckpointHook', interval=1 if by_epoch else 3, by_epoch=by_epoch, save_best='toy/loss'
        )
        runner = make_runner(
            folder, hooks=[recorder, *hooks], scores=scores, train_cfg=dict(type='TrainLoop', **length),
            default_hooks=dict(checkpoint=checkpoint), **kwargs
        )  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):
            runner.train()
        return recorder.events, runner

    straight, whole = run(tmp_path / 'a', (3.0, 2.0, 1.0))
    killed, _ = run(tmp_path / 'b', (), [Kill()])
    assert 'val' not in killed
    resumed, runner = run(tmp_path / 'b', (3.0, 2.0, 1.0), resume=True)
    assert killed + resumed == straight and resumed[0] == 'val'
    names = [sorted(path.name for path in (tmp_path / name).glob('*.pth')) for name in 'ab']
    assert names[0] == names[1] and any(name.startswith('best') for name in names[0])
    for one, two in zip(whole.model.parameters(), runner.model.parameters(), strict=True):
        assert torch.equal(one, two)
    assert run(tmp_path / 'b', (), resume=True)[0] == []  # nothing is made up for twice


@pytest.mark.parametrize('resumable', [True, False])
def test_a_checkpoint_at_the_end_of_an_epoch_needs_no_resumable_sampler(tmp_path, resumable):
    sampler = dict(type='ResumableSampler' if resumable else 'DefaultSampler', shuffle=False)
    assert len(in_order(tmp_path, 5, sampler=sampler)[0]) == 5
    (tmp_path / 'iter_4.pth').unlink()
    seen, _ = in_order(tmp_path, 7, sampler=sampler, resume=True)
    assert seen == [[1, 2], [3, 4]]
