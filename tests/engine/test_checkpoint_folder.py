"""Checkpoints as folders: written in the background, opened by any number of processes, sharded or not."""

import io
import logging
import os
import pickle
import re
import signal
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from mmengine.hooks import EMAHook, Hook
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from sapiens.commands.convert import main as convert
from sapiens.engine import CheckpointHook, checkpoint_folder
from sapiens.engine.checkpoint_folder import FolderWriter, is_complete, read_state, read_tensors
from sapiens.engine.checkpoint_io import find_resumable, load_training_state
from sapiens.utils.checkpoint import read_checkpoint
from sapiens.utils.folder_lock import FolderLock

from ..ranks import on_ranks
from .toy import make_runner

FOLDERS = dict(checkpoint=dict(type='CheckpointHook', interval=5, by_epoch=False, format='folder'))
FILES = dict(checkpoint=dict(FOLDERS['checkpoint'], format='file'))


@pytest.fixture(autouse=True)
def no_environment_report(monkeypatch):
    monkeypatch.setattr('sapiens.engine.Runner._log_env', lambda *_: None)


def names(folder):
    return sorted(
        path.name for path in Path(folder).iterdir() if path.name.startswith(('iter', 'epoch', '.iter', 'best'))
    )


def weights_of(path):
    return read_checkpoint(path).state_dict


# ---------------------------------------------------------------------- runs


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    length = dict(train_cfg=dict(type='TrainLoop', max_iters=15))
    make_runner(tmp_path / 'files', default_hooks=FILES, hooks=[EMAHook()], **length).train()
    make_runner(tmp_path / 'run', default_hooks=FOLDERS, hooks=[EMAHook()]).train()
    assert names(tmp_path / 'run') == ['iter_10', 'iter_5']
    # A copy goes on; the run also goes on from files, and from folders to files.
    resumed = make_runner(tmp_path / 'run', default_hooks=FOLDERS, hooks=[EMAHook()], resume=True, **length)
    resumed.train()
    assert names(tmp_path / 'run') == ['iter_10', 'iter_15', 'iter_5']
    file = torch.load(tmp_path / 'files' / 'iter_15.pth', weights_only=True)
    folder = read_tensors(tmp_path / 'run' / 'iter_15', read_state(tmp_path / 'run' / 'iter_15'), {}, [])
    assert file.keys() == folder.keys()
    for part in ('state_dict', 'ema_state_dict'):
        assert file[part].keys() == folder[part].keys()
        assert all(torch.equal(file[part][name], folder[part][name]) for name in file[part])
    for index, state in file['optimizer']['state'].items():
        assert all(torch.equal(value, folder['optimizer']['state'][index][name]) for name, value in state.items())
    assert file['optimizer']['param_groups'] == folder['optimizer']['param_groups']
    assert torch.equal(file['rng'][0]['torch'], folder['rng'][0]['torch']) and file['data'] == folder['data']
    curves = [content['message_hub']['curves'] for content in (file, folder)]
    assert torch.equal(curves[0]['train/loss'][0], curves[1]['train/loss'][0])


def test_old_folders_go_when_a_new_one_is_complete(tmp_path):
    keep = dict(
        checkpoint=dict(FOLDERS['checkpoint'], interval=2, max_keep_ckpts=2, save_best='toy/loss', rule='less')
    )
    runner = make_runner(tmp_path, default_hooks=keep, scores=[3.0, 2.0, 4.0, 5.0, 6.0],
                         train_cfg=dict(type='TrainLoop', max_iters=10, val_interval=2))  # fmt: skip
    runner.train()
    assert names(tmp_path) == ['best_toy_loss_iter_4.pth', 'iter_10', 'iter_8']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_10')
    assert find_resumable(tmp_path, logging.getLogger()).name == 'iter_10'


class Slow(Hook):
    """Records whether a save runs after each iteration."""

    priority = 'LOWEST'

    def __init__(self):
        self.running = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.running.append(not runner.folder_writer.is_done)


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    gate, real, active = threading.Event(), dcp.FileSystemWriter.write_data, []

    def write(self, *args):
        active.append(1)
        assert sum(active) == 1  # two saves never overlap
        gate.wait(10)
        result = real(self, *args)
        active.append(-1)
        return result

    monkeypatch.setattr(dcp.FileSystemWriter, 'write_data', write)

    class Open(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter == 8:
                gate.set()

    slow = Slow()
    runner = make_runner(tmp_path, default_hooks=FOLDERS, hooks=[slow, Open()])
    runner.train()
    assert slow.running[4:8] == [True] * 4 and names(tmp_path) == ['iter_10', 'iter_5']
    # The copy is that of iteration 5, though the weights changed before it was written.
    straight = make_runner(tmp_path / 'straight', default_hooks=FILES)
    straight.train()
    assert torch.equal(
        weights_of(tmp_path / 'iter_5')['backbone.weight'],
        weights_of(tmp_path / 'straight/iter_5.pth')['backbone.weight'],
    )


def test_a_save_whose_other_processes_are_lost_does_not_hold_the_end(tmp_path, monkeypatch, caplog):
    ended = threading.Event()
    monkeypatch.setattr(checkpoint_folder, 'PATIENCE', 0.01)
    monkeypatch.setattr(checkpoint_folder, '_end_process', ended.set)
    writer = FolderWriter(logging.getLogger('saves'))
    writer.give_up()
    assert not ended.is_set(), 'nothing runs'
    writer._path, writer._running = tmp_path / 'iter_5', Future()
    writer.give_up()
    assert ended.wait(60) and 'iter_5 cannot be completed' in caplog.text
    writer.close()  # does not wait


def test_a_full_disk_costs_no_older_checkpoint(tmp_path, monkeypatch):
    real = dcp.FileSystemWriter.write_data

    def write(self, *args):
        if 'iter_10' in str(self.path):
            raise OSError(28, 'No space left on device')
        return real(self, *args)

    monkeypatch.setattr(dcp.FileSystemWriter, 'write_data', write)
    keep = dict(checkpoint=dict(FOLDERS['checkpoint'], max_keep_ckpts=1))
    with pytest.raises(RuntimeError, match='iter_10: the disk .* is full'):
        make_runner(tmp_path, default_hooks=keep, train_cfg=dict(type='TrainLoop', max_iters=20)).train()
    assert names(tmp_path) == ['iter_5'] and is_complete(tmp_path / 'iter_5')
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_5')
    monkeypatch.undo()
    make_runner(tmp_path, default_hooks=keep, resume=True).train()
    assert names(tmp_path) == ['iter_10']


@pytest.mark.parametrize('stage', ['tensors', 'metadata', 'state'])
def test_a_save_that_dies_leaves_nothing_that_looks_complete(tmp_path, monkeypatch, stage):
    """A killed process cannot tidy up: what it leaves is not opened, and removed by the next run."""
    for name in ('run', 'killed'):
        make_runner(tmp_path / name, default_hooks=FOLDERS, train_cfg=dict(type='TrainLoop', max_iters=5)).train()
    partial = tmp_path / 'run' / f'.iter_10.{"0" * 12}.tmp'
    (tmp_path / 'killed' / 'iter_5').rename(partial)
    tmp_path = tmp_path / 'run'
    for name in dict(tensors=['.metadata', 'state.pt'], metadata=['state.pt'], state=[])[stage]:
        (partial / name).unlink()
    # A folder that lacks nothing but its name gets it.
    assert find_resumable(tmp_path, logging.getLogger()).name == ('iter_10' if stage == 'state' else 'iter_5')
    make_runner(tmp_path, default_hooks=FOLDERS, resume=True).train()
    assert names(tmp_path) == ['iter_10', 'iter_5'] and not partial.exists()


def test_a_save_that_dies_while_it_replaces_a_folder_loses_nothing(tmp_path, monkeypatch):
    once = dict(checkpoint=dict(FOLDERS['checkpoint'], max_keep_ckpts=1))
    make_runner(tmp_path, default_hooks=once).train()
    rename = Path.rename

    def die(path, target):
        if path.name.startswith('.iter'):  # the second of two renames
            raise OSError(5, 'gone')
        return rename(path, target)

    monkeypatch.setattr(Path, 'rename', die)
    runner = make_runner(tmp_path / 'other', default_hooks=once)
    writer = FolderWriter(logging.getLogger())
    checkpoint = dict(meta=dict(iter=10), state_dict=runner.model.state_dict(), optimizer={}, rng=[], data={})
    writer.start(checkpoint, tmp_path / 'iter_10', lambda: None)
    writer.close()
    monkeypatch.undo()
    assert not (tmp_path / 'iter_10').exists()
    assert find_resumable(tmp_path, logging.getLogger()) == tmp_path / 'iter_10'


def test_a_run_that_fails_keeps_its_work_dir_until_the_save_is_done(tmp_path, monkeypatch):
    gate, real, order = threading.Event(), dcp.FileSystemWriter.write_data, []

    def write(self, *args):
        gate.wait(10)
        return real(self, *args)

    class Fail(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter == 6:
                threading.Timer(0.2, gate.set).start()
                raise ArithmeticError

    def complete(*args):
        order.append('complete')

    monkeypatch.setattr(dcp.FileSystemWriter, 'write_data', write)
    monkeypatch.setattr(CheckpointHook, '_complete', staticmethod(complete))
    monkeypatch.setattr(FolderLock, 'release', lambda self: order.append('released'))
    with pytest.raises(ArithmeticError):
        make_runner(tmp_path, default_hooks=FOLDERS, hooks=[Fail()]).train()
    assert order == ['complete', 'released'] and names(tmp_path) == ['iter_5']


def test_folders_need_a_disk_that_all_share(tmp_path, monkeypatch):
    """The main process looks for what the others wrote before a folder gets its name."""
    real = dcp.FileSystemWriter.finish

    def finish(self, metadata, results):
        real(self, metadata, results)
        next(Path(self.path).glob('*.distcp')).unlink()  # on the disk of another node

    monkeypatch.setattr(dcp.FileSystemWriter, 'finish', finish)
    with pytest.raises(RuntimeError, match='file system that all nodes share; .*format=file'):
        make_runner(tmp_path, default_hooks=FOLDERS).train()
    assert names(tmp_path) == []


def test_published_keys_need_files(tmp_path):
    publish = dict(checkpoint=dict(FOLDERS['checkpoint'], published_keys=['state_dict']))
    with pytest.raises(ValueError, match='published_keys=.* needs checkpoints in files: set format=file'):
        make_runner(tmp_path, default_hooks=publish).train()


def test_a_checkpoint_after_some_minutes(tmp_path, monkeypatch):
    import sapiens.engine.hooks.checkpoint as module

    now = [0.0]
    monkeypatch.setattr(module.time, 'monotonic', lambda: now[0])

    class Clock(Hook):
        priority = 'HIGHEST'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            now[0] += 40

    minutes = dict(
        checkpoint=dict(type='CheckpointHook', interval=6, by_epoch=False, interval_minutes=2, max_keep_ckpts=-1)
    )
    make_runner(tmp_path, default_hooks=minutes, hooks=[Clock()]).train()
    # Two minutes after the start, after iteration 3 and so on; that of 6 is also due.
    assert names(tmp_path) == ['iter_10.pth', 'iter_3.pth', 'iter_6.pth', 'iter_9.pth']
    with pytest.raises(ValueError, match='interval_minutes=0'):
        CheckpointHook(interval_minutes=0)
    (log,) = tmp_path.glob('*/*.log')
    saves = re.findall(r'Saving checkpoint \S*/(\w+)\.pth(.*)', log.read_text())
    reason = ' (2 min after the one before)'
    assert saves == [('iter_3', reason), ('iter_6', ''), ('iter_9', reason), ('iter_10', '')]
    with pytest.raises(
        ValueError, match="checkpoint.format='foldr' is not one of auto, file, folder; did you mean 'folder'"
    ):
        CheckpointHook(format='foldr')


# ---------------------------------------------------------------------- what a folder may hold


@pytest.fixture
def folder(tmp_path):
    make_runner(tmp_path, default_hooks=FOLDERS, train_cfg=dict(type='TrainLoop', max_iters=5)).train()
    return tmp_path / 'iter_5'


class Attack:
    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_a_malicious_folder_runs_nothing(folder, tmp_path):
    attack, target = Attack(), tmp_path / 'executed'
    Attack.target = str(target)
    pickle.loads(pickle.dumps(attack))
    assert target.exists()
    target.rmdir()
    about = (folder / '.metadata').read_bytes()
    metadata = pickle.loads(about)
    metadata.planner_data = attack
    (folder / '.metadata').write_bytes(pickle.dumps(metadata))
    with pytest.raises(ValueError, match='asks to run code'):
        load_training_state(folder)
    (folder / '.metadata').write_bytes(about)
    state = (folder / 'state.pt').read_bytes()
    with open(folder / 'state.pt', 'wb') as file:
        torch.save(dict(meta=attack), file)
    with pytest.raises(ValueError, match='asks to run code'):
        load_training_state(folder)
    (folder / 'state.pt').write_bytes(state)
    # A tensor replaced by an object, which torch's reader would unpickle.
    metadata = pickle.loads(about)
    name = next(iter(metadata.state_dict_metadata))
    metadata.state_dict_metadata[name] = dcp.metadata.BytesStorageMetadata()
    (folder / '.metadata').write_bytes(pickle.dumps(metadata))
    with pytest.raises(ValueError, match='is not a tensor'):
        load_training_state(folder)
    # The same with the attributes of a tensor's entry: only the class of the real object differs.
    metadata = pickle.loads(about)
    entry = metadata.state_dict_metadata[name]
    metadata.state_dict_metadata[name] = disguised = dcp.metadata.BytesStorageMetadata()
    disguised.__dict__.update(vars(entry))
    (folder / '.metadata').write_bytes(pickle.dumps(metadata))
    with pytest.raises(ValueError, match='is not a tensor'):
        load_training_state(folder)
    metadata = pickle.loads(about)
    metadata.state_dict_metadata[name].size = torch.Size([10**12])
    (folder / '.metadata').write_bytes(pickle.dumps(metadata))
    with pytest.raises(ValueError, match='describes tensors of 4,000,000,'):
        load_training_state(folder)
    metadata = pickle.loads(about)
    metadata.planner_data = None
    (folder / '.metadata').write_bytes(pickle.dumps(metadata))
    with pytest.raises(ValueError, match='has no keys'):
        load_training_state(folder)
    # Bytes of an object in the place of those of a tensor.
    (folder / '.metadata').write_bytes(about)
    content = io.BytesIO()
    torch.save(attack, content)
    shard = next(folder.glob('*.distcp'))
    size = shard.stat().st_size
    info = next(iter(pickle.loads(about).storage_data.values()))
    data = bytearray(shard.read_bytes())
    data[info.offset : info.offset + info.length] = content.getvalue().ljust(info.length, b'\0')[: info.length]
    shard.write_bytes(bytes(data)[:size].ljust(size, b'\0'))
    with pytest.raises(BaseException):  # noqa: B017  (DCP's own exception)
        read_tensors(folder, read_state(folder), {}, [])
    assert not target.exists()


def test_a_checkpoint_removes_no_folder_outside_of_the_run(tmp_path):
    precious = tmp_path / 'precious' / 'iter_1'
    precious.mkdir(parents=True)
    runner = make_runner(tmp_path / 'run', default_hooks=FOLDERS, train_cfg=dict(type='TrainLoop', max_iters=5))
    runner.message_hub.update_info('kept_checkpoints', [str(precious), '../precious', '../precious/iter_1'])
    runner.train()
    keep = dict(checkpoint=dict(FOLDERS['checkpoint'], interval=1, max_keep_ckpts=1))
    make_runner(tmp_path / 'run', default_hooks=keep, resume=True).train()
    assert precious.is_dir() and names(tmp_path / 'run') == ['iter_10']


def test_a_damaged_folder_is_skipped_by_name(folder, tmp_path, caplog):
    shard = next(folder.glob('*.distcp'))
    data = shard.read_bytes()
    shard.write_bytes(data[:-10])
    with pytest.raises(ValueError, match=f'{shard.name} is truncated'):
        load_training_state(folder)
    damaged = bytearray(data)
    damaged[data.index(weights_of(folder)['backbone.weight'].numpy().tobytes())] ^= 1
    shard.write_bytes(damaged)
    load_training_state(folder, verify=False)
    with pytest.raises(ValueError, match=f'part {shard.name} is damaged'):
        load_training_state(folder)
    shard.unlink()
    with pytest.raises(ValueError, match=f'part {shard.name} is missing'):
        load_training_state(folder)
    shard.write_bytes(data)
    (folder / 'state.pt').unlink()
    with pytest.raises(ValueError, match='not a checkpoint'):
        load_training_state(folder)
    with pytest.raises(ValueError, match='has no tensor absent.weight of the model'):
        (folder / 'state.pt').write_bytes(b'')
        read_tensors(folder, {}, {'absent.weight': torch.zeros(1)}, [])


def test_parts_of_two_saves_are_not_mixed(tmp_path, caplog):
    make_runner(tmp_path, default_hooks=FOLDERS).train()
    old, new = tmp_path / 'iter_5', tmp_path / 'iter_10'
    state = (new / 'state.pt').read_bytes()
    (new / 'state.pt').write_bytes((old / 'state.pt').read_bytes())
    with pytest.raises(ValueError, match='iter_10 cannot be read: its state.pt and its parts are of two saves'):
        load_training_state(new)
    damaged = bytearray(state)
    damaged[len(state) // 2] ^= 1
    for content, message in ((state[:-20], 'its state.pt is truncated'), (damaged, 'damaged')):
        (new / 'state.pt').write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load_training_state(new)
    (new / 'state.pt').write_bytes(state)
    load_training_state(new)
    (part,) = new.glob('*.distcp')
    (other,) = old.glob('*.distcp')
    part.unlink()
    other.rename(new / other.name)
    with pytest.raises(ValueError, match=f'its part {part.name} is missing'):
        load_training_state(new)


def test_what_torch_cannot_read_is_named(folder):
    """The older checkpoint is used by then; a run that names this one gets one line."""
    (part,) = folder.glob('*.distcp')
    part.write_bytes(b'\0' * part.stat().st_size)
    state = load_training_state(folder, verify=False)
    with pytest.raises(ValueError, match='iter_5 cannot be read: '):
        read_tensors(folder, state, {}, [])


def test_weights_of_a_folder_open_as_those_of_a_file(folder):
    checkpoint = read_checkpoint(folder)
    assert set(checkpoint.state_dict) == {'backbone.weight', 'backbone.bias'} and checkpoint.meta['iter'] == 5


def test_a_folder_becomes_a_file_that_a_run_resumes_from(folder, tmp_path, capsys):
    convert(['convert', str(folder), str(tmp_path / 'one.pth'), '--to', 'training'])
    assert 'iteration 5' in capsys.readouterr().out
    ended = []
    for start in (tmp_path / 'one.pth', folder):
        runner = make_runner(tmp_path / start.stem, default_hooks=FILES, resume=True, load_from=str(start))
        runner.train()
        ended.append(runner.bare_model.backbone.weight)
    assert torch.equal(*ended)
    with pytest.raises(ValueError, match='is not a checkpoint folder'):
        convert(['convert', str(tmp_path / 'one.pth'), str(tmp_path / 'two.pth'), '--to', 'training'])


# ---------------------------------------------------------------------- several processes


def build(seed, sharded, steps):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 7), nn.Linear(7, 5))
    model.register_buffer('table', torch.arange(3.0))
    model[1].bias.requires_grad_(False)
    if sharded:
        world = dist.get_world_size()
        shape = (2, world // 2) if sharded == 'node' else (world,)
        mesh = init_device_mesh('cpu', shape, mesh_dim_names=('replicate', 'shard')[-len(shape) :])
        for layer in model:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(steps):
        model(torch.linspace(-1, 1, 16).view(2, 8)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def save(path, sharded):
    model, optimizer = build(0, sharded, 3)
    completed = []
    writer = FolderWriter(logging.getLogger())
    checkpoint = dict(
        meta=dict(iter=3), state_dict=model.state_dict(), optimizer=optimizer.state_dict(), rng=[torch.ones(2)]
    )
    writer.start(checkpoint, Path(path), lambda: completed.append(1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()  # training goes on
    writer.wait()
    writer.close()
    return len(completed)


def whole(value):
    return value.full_tensor() if isinstance(value, DTensor) else value


def load(path, sharded):
    model, optimizer = build(1, sharded, 1)
    parameters = [parameter for group in optimizer.param_groups for parameter in group['params']]
    checkpoint = read_tensors(Path(path), read_state(Path(path)), model.state_dict(), parameters)
    model.load_state_dict(checkpoint['state_dict'])
    optimizer.load_state_dict(checkpoint['optimizer'])
    states = optimizer.state_dict()['state']
    return (
        {name: whole(value).detach() for name, value in model.state_dict().items()},
        {index: {name: whole(value) for name, value in state.items()} for index, state in states.items()},
        checkpoint['meta'],
    )


@pytest.mark.parametrize(
    ('writers', 'sharded', 'largest'),
    [(4, 'all', (2, 'all')), (4, 'node', (2, 'all')), (2, False, (2, 'all')), (1, False, (4, 'all'))],
)
def test_a_folder_opens_on_any_number_of_processes(tmp_path, writers, sharded, largest):
    path = tmp_path / 'iter_3'
    if writers == 1:
        assert save(path, False) == 1
    else:
        assert on_ranks(writers, save, tmp_path, path, sharded) == [1] + [0] * (writers - 1)
    files = {file.name.rpartition('_')[0][-2:] or file.name for file in path.iterdir()}
    assert files == {'.metadata', 'state.pt', *(f'_{rank}' for rank in range(writers))}
    weights = {name: value for name, value in weights_of(path).items()}
    states = None
    for readers, kind in ((1, False), largest, (2, False)):
        found = [load(path, False)] if readers == 1 else on_ranks(readers, load, tmp_path, path, kind)
        for loaded, moments, meta in found:
            assert meta == dict(iter=3)
            assert all(torch.equal(loaded[name], weights[name]) for name in weights)
            states = states or moments
            assert [state['step'].item() for state in moments.values()] == [3.0] * 3
            for index, state in moments.items():
                assert all(torch.equal(value, states[index][name]) for name, value in state.items())
    single, _ = build(0, False, 3)
    for name, value in single.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-5, atol=1e-6)


def fail_on_one_rank(path):
    def write(self, *args):
        raise OSError(30, 'Read-only file system')

    if dist.get_rank() == 1:
        dcp.FileSystemWriter.write_data = write
    try:
        save(path, 'all')
    except RuntimeError as error:
        return str(error)


def test_a_rank_that_cannot_write_fails_the_save_on_all(tmp_path):
    found = on_ranks(2, fail_on_one_rank, tmp_path, tmp_path / 'iter_3')
    assert all('iter_3: ' in text and 'Read-only file system' in text for text in found)
    assert not [path for path in tmp_path.iterdir() if 'iter' in path.name]


def die_on_one_rank(path):
    def write(self, *args):
        os.kill(os.getpid(), signal.SIGKILL)

    if dist.get_rank() == 1:
        dcp.FileSystemWriter.write_data = write
    try:
        save(path, 'all')
    except RuntimeError as error:
        return str(error)


def test_a_rank_that_is_killed_in_a_save_leaves_nothing_that_looks_complete(tmp_path):
    found, _ = on_ranks(2, die_on_one_rank, tmp_path, tmp_path / 'iter_3', killed=(1,))
    assert 'Cannot write the checkpoint' in found and 'Older checkpoints are intact' in found
    assert not [path for path in tmp_path.iterdir() if 'iter' in path.name]
