import logging
import os
import re
from datetime import timedelta

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict

from sapiens.engine import Runner, checkpoint_io
from sapiens.engine.worker_signals import init_worker

from .toy import Numbers, make_runner

EVERY_FIVE = dict(checkpoint=dict(type='CheckpointHook', interval=5, by_epoch=False))


@pytest.fixture(autouse=True)
def no_environment_report(monkeypatch):
    monkeypatch.setattr('sapiens.engine.Runner._log_env', lambda *_: None)


def logged(work_dir):
    return '\n'.join(path.read_text() for path in sorted(work_dir.glob('*/*.log')))


def types_in(value):
    if isinstance(value, dict):
        return {type(key) for key in value} | set().union(*map(types_in, value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(types_in, value))
    return {type(value)}


def test_checkpoints_hold_plain_values_only(tmp_path):
    make_runner(tmp_path, default_hooks=EVERY_FIVE).train()
    checkpoint = torch.load(tmp_path / 'iter_10.pth', weights_only=True)
    assert set(checkpoint) == {
        'meta', 'state_dict', 'optimizer', 'message_hub', 'rng', 'data', 'hooks'
    }  # fmt: skip
    assert types_in(checkpoint['meta']) <= {str, int, float, bool, type(None)}
    assert checkpoint['meta']['dataset_meta'] == dict(sigmas=[0, 1, 2], names=('a', 'b'))
    assert checkpoint['meta']['iter'] == 10 and checkpoint['meta']['epoch'] == 1
    assert set(checkpoint['rng'][0]) >= {'python', 'numpy', 'torch'} and len(checkpoint['rng']) == 1
    assert 'train/loss' in checkpoint['message_hub']['curves']


def test_lr_follows_the_real_total_batch(tmp_path):
    runner = make_runner(tmp_path, accumulate=4, auto_scale_lr=dict(enable=True, base_batch_size=256))
    runner.train()
    assert runner.optim_wrapper.get_lr()['lr'] == pytest.approx(2 * [0.1 * 8 / 256])
    assert runner.optim_wrapper.get_lr()['base_lr'] == [pytest.approx(0.1 * 8 / 256)]
    assert '2 images x 1 process(es) x 4 accumulated = 8, lr is given for 256' in logged(tmp_path)
    with pytest.raises(ValueError, match='needs base_batch_size'):
        make_runner(tmp_path, auto_scale_lr=dict(enable=True)).train()


def test_load_from_takes_weights_and_refuses_foreign_ones(tmp_path):
    torch.save({'backbone.weight': torch.full((4, 4), 7.0)}, tmp_path / 'ours.pth')
    runner = make_runner(tmp_path, lr=0.0, load_from=str(tmp_path / 'ours.pth'))
    model = runner.train()
    assert model.backbone.weight.eq(7).all() and runner.iter == 10
    assert 'copied' in logged(tmp_path)
    torch.save({'backbone.weight': torch.zeros(8, 8)}, tmp_path / 'foreign.pth')
    with pytest.raises(ValueError, match='of the backbone would be loaded'):
        make_runner(tmp_path, load_from=str(tmp_path / 'foreign.pth')).train()


def test_evaluation_refuses_weights_that_lack_some(tmp_path):
    """A training may start from them. A test would measure random weights."""
    torch.save({'backbone.weight': torch.full((4, 4), 7.0)}, tmp_path / 'some.pth')
    for name in ('val', 'test'):
        runner = make_runner(tmp_path, scores=[1.0], load_from=str(tmp_path / 'some.pth'))
        if name == 'test':
            loop = dict(type='TestLoop')
            runner = make_runner(tmp_path, scores=[1.0], load_from=str(tmp_path / 'some.pth'), test_cfg=loop,
                                 test_dataloader=runner._val_dataloader, test_evaluator=runner._val_evaluator)  # fmt: skip
        with pytest.raises(ValueError, match=r'1 of 2 tensors would stay random, such as backbone\.bias'):
            getattr(runner, name)()


def test_resume_auto_starts_from_weights_until_there_is_a_checkpoint(tmp_path):
    torch.save({'backbone.weight': torch.full((4, 4), 7.0)}, tmp_path / 'weights.pth')
    kwargs = dict(resume='auto', load_from=str(tmp_path / 'weights.pth'), lr=0.0, default_hooks=EVERY_FIVE)
    first = make_runner(tmp_path / 'run', train_cfg=dict(type='TrainLoop', max_iters=5), **kwargs)
    assert first.train().backbone.weight.eq(7).all()
    make_runner(tmp_path / 'run', **kwargs).train()
    assert 'Nothing to resume' in logged(tmp_path / 'run') and 'iter_5.pth: epoch 0, iter' in logged(tmp_path / 'run')


def test_resume_needs_the_same_schedules(tmp_path):
    schedule = [dict(type='ConstantLR', by_epoch=False, begin=0, end=3)]
    make_runner(tmp_path, default_hooks=EVERY_FIVE, param_scheduler=schedule).train()
    with pytest.raises(ValueError, match='the state of 1 schedules, this config has 0'):
        make_runner(tmp_path, resume=True).train()


def test_resume_in_an_epoch_needs_a_sampler_that_can(tmp_path):
    sampler = dict(type='DefaultSampler', shuffle=True)
    every_three = dict(checkpoint=dict(type='CheckpointHook', interval=3, by_epoch=False, save_last=False))
    make_runner(tmp_path, sampler=sampler, default_hooks=every_three).train()
    with pytest.raises(ValueError, match='8 samples of this epoch were consumed, and DefaultSampler cannot'):
        make_runner(tmp_path, sampler=sampler, resume=True).train()


def test_a_resumed_run_keeps_no_page_of_the_file(tmp_path):
    """A mapped file would keep its blocks on the disk after pruning."""
    make_runner(tmp_path, default_hooks=EVERY_FIVE).train()
    runner = make_runner(tmp_path, resume=True, train_cfg=dict(type='TrainLoop', max_iters=12))
    runner.train()
    assert runner.iter == 12
    with open('/proc/self/maps') as maps:
        assert str(tmp_path / 'iter_10.pth') not in maps.read()  # other tests may hold theirs until it is collected


def test_another_number_of_processes_draws_new_random_numbers(tmp_path):
    class Seeds(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            seeds.append(torch.initial_seed())

    seeds = []
    make_runner(tmp_path, default_hooks=EVERY_FIVE, train_cfg=dict(type='TrainLoop', max_iters=10)).train()
    for number in (5, 10):
        checkpoint = torch.load(tmp_path / f'iter_{number}.pth', weights_only=True)
        two = {key: 2 * checkpoint[key] for key in ('rng', 'data', 'hooks')}
        torch.save(dict(checkpoint, **two), tmp_path / f'two_{number}.pth')
        length = dict(type='TrainLoop', max_iters=number + 1)
        kwargs = dict(resume=True, load_from=str(tmp_path / f'two_{number}.pth'), train_cfg=length)
        make_runner(tmp_path / 'new', hooks=[Seeds()], **kwargs).train()
    assert len(seeds) == 2 and len({*seeds, 0, 1}) == 4  # 0 and 1 are what a run starts with
    assert 'was written by 2 process(es)' in logged(tmp_path / 'new')


def test_an_average_of_weights_survives(tmp_path):
    averaged = []
    for name, resume in (('run', False), ('run', True)):
        hook = EMAHook()
        runner = make_runner(
            tmp_path / name, hooks=[hook], resume=resume, default_hooks=EVERY_FIVE,
            train_cfg=dict(type='TrainLoop', max_iters=10)
        )  # fmt: skip
        runner.train()
        averaged.append(hook.ema_model.module.backbone.weight.clone())
    assert torch.equal(*averaged)


def test_a_full_disk_stops_the_run_and_costs_no_older_checkpoint(tmp_path, monkeypatch):
    real = torch.save

    def save(checkpoint, file):
        if checkpoint['meta']['iter'] == 10:
            raise OSError(28, 'No space left on device')
        real(checkpoint, file)

    monkeypatch.setattr(checkpoint_io.torch, 'save', save)
    keep_one = dict(checkpoint=dict(EVERY_FIVE['checkpoint'], max_keep_ckpts=1))
    with pytest.raises(RuntimeError, match='iter_10.pth: the disk .* is full'):
        make_runner(tmp_path, default_hooks=keep_one, train_cfg=dict(type='TrainLoop', max_iters=20)).train()
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_5.pth']
    monkeypatch.undo()
    resumed = make_runner(tmp_path, default_hooks=keep_one, resume=True)
    resumed.train()
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_10.pth']


def test_the_newest_checkpoint_is_chosen_by_iteration_not_by_time(tmp_path):
    by_epoch = dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=True))
    make_runner(tmp_path, default_hooks=by_epoch, train_cfg=dict(type='TrainLoop', max_epochs=2)).train()
    (tmp_path / 'iter_7.pth').write_bytes((tmp_path / 'epoch_1.pth').read_bytes())  # epochs have five iterations
    os.utime(tmp_path / 'epoch_2.pth', (1, 1))
    log = logging.getLogger('test')
    assert checkpoint_io.find_resumable(tmp_path, log).name == 'epoch_2.pth'
    (tmp_path / 'epoch_2.pth').unlink()
    assert checkpoint_io.find_resumable(tmp_path, log).name == 'iter_7.pth'


def test_resume_follows_last_checkpoint_into_another_folder(tmp_path):
    elsewhere = dict(checkpoint=dict(EVERY_FIVE['checkpoint'], out_dir=str(tmp_path / 'elsewhere')))
    make_runner(tmp_path / 'run', default_hooks=elsewhere).train()
    assert not list((tmp_path / 'run').glob('*.pth'))
    found = checkpoint_io.find_resumable(tmp_path / 'run', logging.getLogger('test'))
    assert found == tmp_path / 'elsewhere' / 'run' / 'iter_10.pth'


def test_resume_by_hand_before_training(tmp_path):
    make_runner(tmp_path / 'a', default_hooks=EVERY_FIVE, train_cfg=dict(type='TrainLoop', max_iters=5)).train()
    straight = make_runner(tmp_path / 'b').train()
    runner = make_runner(tmp_path / 'a', default_hooks=EVERY_FIVE)
    runner.resume(tmp_path / 'a' / 'iter_5.pth')
    assert torch.equal(runner.train().backbone.weight, straight.backbone.weight)
    assert 'iter_5.pth: epoch 0, iteration 5' in logged(tmp_path / 'a')
    with pytest.raises(TypeError, match='resume_optimizer'):  # not ignored
        runner.resume(tmp_path / 'a' / 'iter_5.pth', resume_optimizer=False)


def test_collate_functions_are_taken_as_they_are():
    def collate(samples):
        return samples

    for given in (collate, dict(type=collate), dict(type='pseudo_collate')):
        loader = Runner.build_dataloader(
            dict(batch_size=2, dataset=Numbers(), sampler=dict(type='DefaultSampler', shuffle=False), collate_fn=given)
        )
        assert len(next(iter(loader))) == 2


def test_several_optimizers_are_refused(tmp_path):
    runner = make_runner(tmp_path)
    wrappers = {
        name: OptimWrapper(torch.optim.SGD(runner.model.parameters(), 0.1)) for name in ('generator', 'discriminator')
    }
    runner.optim_wrapper = OptimWrapperDict(**wrappers)
    with pytest.raises(ValueError, match='the optimizers generator, discriminator: training takes one'):
        runner.train()


def test_other_metainfo_on_resume_is_reported(tmp_path, monkeypatch):
    make_runner(tmp_path, default_hooks=EVERY_FIVE, train_cfg=dict(type='TrainLoop', max_iters=5)).train()
    make_runner(tmp_path, resume=True, train_cfg=dict(type='TrainLoop', max_iters=6)).train()
    assert 'in their metainfo' not in logged(tmp_path)
    monkeypatch.setattr(Numbers, 'metainfo', dict(Numbers.metainfo, names=('b', 'a'), more=1))
    make_runner(tmp_path, resume=True, train_cfg=dict(type='TrainLoop', max_iters=7)).train()
    assert 'iter_6.pth in their metainfo (names)' in logged(tmp_path)


@pytest.fixture
def processes(monkeypatch):
    """Arguments of the start of a process group, and of MMEngine's own set-up."""
    started, seen = [], []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.distributed, 'is_initialized', lambda: bool(started))
    monkeypatch.setattr(
        torch.distributed, 'init_process_group', lambda *arguments, **options: started.append((arguments, options))
    )
    monkeypatch.setattr('mmengine.runner.Runner.setup_env', lambda self, env_cfg: seen.append(env_cfg))
    variables = dict(RANK='1', WORLD_SIZE='2', LOCAL_RANK='1', MASTER_ADDR='127.0.0.1', MASTER_PORT='7')
    for name, value in dict(variables, SLURM_PROCID='1', SLURM_NTASKS='2', SLURM_LOCALID='1').items():
        monkeypatch.setenv(name, value)
    return started, seen


def several(launcher='pytorch', distributed=True):
    runner = object.__new__(Runner)
    runner._distributed, runner._launcher, runner.cfg, runner._work_dir = distributed, launcher, {}, 'absent'
    return runner


def test_processes_on_cpus_use_gloo_and_wait_half_an_hour(processes, monkeypatch):
    started, seen = processes
    several().setup_env(dict(cudnn_benchmark=True))
    assert started == [(('gloo',), dict(timeout=timedelta(seconds=1800)))]
    assert seen == [dict(cudnn_benchmark=True, dist_cfg=dict(backend='gloo', timeout=1800))]
    several().setup_env({})
    assert len(started) == 1, 'once'
    started.clear()
    runner = several()
    runner.setup_env(dict(dist_cfg=dict(backend='mpi', timeout=60, step_timeout=5)))
    assert (runner.timeouts.seconds, runner.timeouts.step_seconds) == (60, 5)
    assert seen[-1] == dict(dist_cfg=dict(backend='mpi', timeout=60))
    assert started == [(('mpi',), dict(timeout=timedelta(seconds=60)))]
    started.clear()
    several('none', False).setup_env(dict(dist_cfg=None))
    assert not started
    for value in (0, '120', None, float('inf'), 1e300, True):
        for key in ('timeout', 'step_timeout'):
            text = re.escape(f'env_cfg.dist_cfg.{key}={value!r}: expected a finite number')
            with pytest.raises(ValueError, match=text):
                several().setup_env(dict(dist_cfg={key: value}))
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '')  # removed at the end
    monkeypatch.setenv('SLURM_STEP_TASKS_PER_NODE', '2')
    task = several('slurm')
    task.setup_env({})
    assert started and task.launcher == 'pytorch' and os.environ['LOCAL_WORLD_SIZE'] == '2'
    started.clear()
    monkeypatch.delenv('RANK')
    with pytest.raises(ValueError, match='--launcher pytorch: RANK not set'):
        several().setup_env({})


def test_processes_on_gpus_use_nccl(processes, monkeypatch):
    started, seen = processes
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    several('slurm').setup_env(dict(dist_cfg=dict(backend='auto')))
    assert not started and seen == [dict(dist_cfg=dict(backend='nccl', timeout=1800))]
    offloaded = several('slurm')
    offloaded.cfg = dict(parallel=dict(type='FSDP2', cpu_offload=True))
    offloaded.setup_env({})
    assert seen[-1] == dict(dist_cfg=dict(backend='cpu:gloo,cuda:nccl', timeout=1800))


def test_settings_of_loaders(monkeypatch):
    def build(*arguments, **options):
        options = dict(batch_size=2, dataset=Numbers(), sampler=dict(type='DefaultSampler', shuffle=False)) | options
        return Runner.build_dataloader(options, *arguments)

    loader = build(5, persistent_workers=True)
    assert loader.generator.initial_seed() == 5 and not loader.persistent_workers and loader.num_workers == 0
    assert loader.pin_memory == torch.cuda.is_available() and loader.worker_init_fn.func is init_worker
    assert build().generator.initial_seed() == 0 and build(pin_memory=True).pin_memory is True
    assert build(num_workers=1, persistent_workers=True).persistent_workers
    assert Runner.build_dataloader(loader) is loader
    with pytest.raises(
        ValueError, match='sampler.repeat=100 is no option of ShardSampler, which orders the samples of TarS'
    ):
        build(dataset=dict(type='TarShards', shards='s'), sampler=dict(type='ResumableSampler', repeat=100))
    monkeypatch.setattr('sapiens.engine.runner_builds.get_rank', lambda: 3)
    assert build(5, True).generator.initial_seed() == 2 and build(5).generator.initial_seed() == 5

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([torch.ones(1)] * 4)

    stream = build(dataset=Stream())
    assert len(list(stream)) == 2


def test_a_given_loader_decides_the_learning_rate(tmp_path):
    runner = make_runner(tmp_path)
    runner._train_dataloader = torch.utils.data.DataLoader(Numbers(), batch_size=6)
    wrapper = OptimWrapper(torch.optim.SGD(runner.model.parameters(), 0.1))
    for setting in (None, {}, dict(enable=False, base_batch_size=3), dict(base_batch_size=3)):
        runner.scale_lr(wrapper, setting)
        assert wrapper.get_lr()['lr'] == [0.1]
    runner.scale_lr(wrapper, dict(enable=True, base_batch_size=3))
    assert wrapper.get_lr()['lr'] == pytest.approx([0.2])


def test_one_run_at_a_time_in_a_work_dir(tmp_path):
    class Second(Hook):
        def after_train_iter(self, runner, *args, **kwargs):
            with pytest.raises(
                ValueError, match=r'is in use by process \d+ on .*: wait for that run, stop it .*--work-dir'
            ):
                make_runner(tmp_path).train()
            make_runner(tmp_path / 'other', train_cfg=dict(type='TrainLoop', max_iters=1)).train()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_runner(tmp_path, hooks=[Second()]).train()
    assert make_runner(tmp_path).train() and not (tmp_path / '.lock').exists()


def test_a_run_whose_work_dir_was_taken_over_writes_nothing(tmp_path):
    class TakeOver(Hook):
        def before_train_iter(self, runner, *args, **kwargs):
            runner._lock.is_lost = True

    with pytest.raises(RuntimeError, match='was taken over by another process'):
        make_runner(tmp_path, hooks=[TakeOver()]).train()
    assert not list(tmp_path.glob('*.pth'))


def test_a_work_dir_that_cannot_be_written_is_refused_on_every_rank(tmp_path, monkeypatch):
    def acquire(self):
        raise PermissionError(13, 'Permission denied', str(self.path))

    monkeypatch.setattr('sapiens.utils.folder_lock.FolderLock.acquire', acquire)
    with pytest.raises(ValueError, match=r'Permission denied: .*\.lock'):
        make_runner(tmp_path).train()
