"""A killed and resumed run equals an uninterrupted one, bit for bit. Runs are separate processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sapiens.commands.index import main as write_index
from sapiens.utils.folder_lock import FolderLock

TOY = Path(__file__).with_name('toy.py')
KILLED = -signal.SIGKILL


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    random = np.random.default_rng(0)
    for index in range(30):
        pixels = random.integers(0, 256, (40 + index, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{index:03}.png')
    return folder


@pytest.fixture(scope='module')
def shards(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp('shards')
    files = sorted(images.iterdir())
    for number in range(5):
        with tarfile.open(folder / f's-{number}.tar', 'w') as archive:
            for file in files[number * 6 : number * 6 + 6]:
                archive.add(file, arcname=file.name)
    return f'{folder}/s-{{0..4}}.tar'


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """run(work_dir, images, *options, processes=1) -> status (of rank 0), statuses and log."""
    logs = tmp_path_factory.mktemp('logs')
    environment = dict(os.environ, OMP_NUM_THREADS='1', SAPIENS_VERBOSE='1')  # the whole log
    server = subprocess.Popen(
        [sys.executable, '-W', 'ignore', TOY, '--serve'],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout.readline() == 'ready\n'

    def run(work_dir, images, *options, processes=1):
        log = logs / f'{len(list(logs.iterdir()))}.log'
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        arguments = [str(argument) for argument in (work_dir, images, *options)]
        server.stdin.write(json.dumps(dict(arguments=arguments, processes=processes, port=port, log=str(log))) + '\n')
        server.stdin.flush()
        statuses = json.loads(server.stdout.readline())
        return SimpleNamespace(status=statuses[0], statuses=statuses, log=log.read_text())

    yield run
    server.stdin.close()
    server.wait()


@pytest.fixture(scope='module')
def succeed(run):
    def succeed(*args, **kwargs):
        result = run(*args, **kwargs)
        assert set(result.statuses) == {0}, result.log[-4000:]
        return result

    return succeed


@pytest.fixture(scope='module')
def straight(succeed, images, tmp_path_factory):
    """Work dir of a run of 20 iterations (2.9 epochs) without a break."""
    work_dir = tmp_path_factory.mktemp('straight')
    succeed(work_dir, images)
    return work_dir


@pytest.fixture(scope='module')
def straight_stream(succeed, images, shards, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('straight_stream')
    succeed(work_dir, shards, '--shards', '--val-images', images, '--workers', 2)
    return work_dir


def losses(work_dir):
    """Step -> logged loss over all runs of a work dir; later runs override earlier ones."""
    found = {}
    for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json'), key=lambda file: file.stat().st_mtime_ns):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if 'loss' in row:
                found[row['step']] = row['loss']
    return found


def differences(a, b, where=''):
    """Places where two nested states differ."""
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) else [where]
    if isinstance(a, dict):
        if set(a) != set(b):
            return [f'{where}: keys']
        return [place for key in a for place in differences(a[key], b[key], f'{where}.{key}')]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [f'{where}: length']
        return [
            place
            for index, (x, y) in enumerate(zip(a, b, strict=True))
            for place in differences(x, y, f'{where}.{index}')
        ]
    return [] if a == b else [where]


def assert_same_end(straight, resumed, name='iter_20.pth', parts=('rng', 'data')):
    one = torch.load(straight / name, weights_only=True)
    two = torch.load(resumed / name, weights_only=True)
    for part in ('state_dict', 'optimizer', 'param_schedulers', 'hooks', *parts):
        assert differences(one[part], two[part], part) == []
    curves = [key for key in one['message_hub']['curves'] if 'loss' in key or 'lr' in key or 'norm' in key]
    assert {'train/loss', 'train/lr', 'train/grad_norm'} <= set(curves)
    for key in curves:
        assert differences(one['message_hub']['curves'][key], two['message_hub']['curves'][key], key) == []
    assert losses(straight) == losses(resumed) and len(losses(straight)) >= 20


# The checkpoint at 7 is written during validation, those at 10 and 15 in the middle of an epoch of 7 iterations.
@pytest.mark.parametrize(('workers', 'kill', 'used'), [(0, 13, 10), (2, 13, 10), (0, 9, 7)])
def test_kill_9_and_resume(run, succeed, straight, images, tmp_path, workers, kill, used):
    assert run(tmp_path, images, '--workers', workers, '--kill', f'SIGKILL:{kill}:0').status == KILLED
    assert not (tmp_path / 'iter_15.pth').exists()
    resumed = succeed(tmp_path, images, '--workers', workers, '--resume')
    assert f'iter_{used}.pth: epoch {int(used > 7)}, iteration {used}' in resumed.log
    assert 'its lock is taken over' in resumed.log and not (tmp_path / '.lock').exists()
    assert_same_end(straight, tmp_path)


def test_kill_9_in_a_validation_and_resume(run, succeed, straight, images, tmp_path):
    assert run(tmp_path, images, '--kill-validation', 20).status == KILLED
    resumed = succeed(tmp_path, images, '--resume')
    assert (
        'iter_20.pth: epoch 2, iteration 20' in resumed.log and resumed.log.count('Iter(val)') == 4
    )  # 3 batches and the metrics
    assert_same_end(straight, tmp_path)
    names = [sorted(path.name for path in folder.glob('*.pth')) for folder in (straight, tmp_path)]
    assert names[0] == names[1] and any(name.startswith('best') for name in names[0])


def test_validation_does_not_touch_training(succeed, straight, images, tmp_path):
    succeed(tmp_path, images, '--no-val')
    assert losses(straight) == losses(tmp_path)


def test_kill_9_and_resume_between_epochs_with_accumulation(run, succeed, images, tmp_path):
    # Epochs of 7 iterations end with a step over one of them.
    options = ('--max-epochs', 3, '--accumulate', 2)
    succeed(tmp_path / 'straight', images, *options)
    assert run(tmp_path / 'resumed', images, *options, '--kill', 'SIGKILL:17:0').status == KILLED
    assert 'epoch 2, iteration 14' in succeed(tmp_path / 'resumed', images, *options, '--resume').log
    assert_same_end(tmp_path / 'straight', tmp_path / 'resumed', 'epoch_3.pth')


def test_nothing_is_saved_between_the_halves_of_a_step(run, succeed, images, tmp_path):
    options = ('--accumulate', 2)
    succeed(tmp_path / 'straight', images, *options)
    # Steps end at 2, 4, 6, 7 (the end of an epoch), 9, 11, 13, 14: what is due at 5 and 10 waits.
    stopped = run(tmp_path / 'resumed', images, *options, '--kill', 'SIGTERM:12:0')
    assert stopped.status == 128 + signal.SIGTERM and 'Stopped by SIGTERM after iteration 13' in stopped.log
    names = {'iter_6.pth', 'iter_7.pth', 'iter_11.pth', 'iter_13.pth', 'best_mae_loss_iter_7.pth'}
    assert {path.name for path in (tmp_path / 'resumed').glob('*.pth')} == names
    succeed(tmp_path / 'resumed', images, *options, '--resume')
    assert_same_end(tmp_path / 'straight', tmp_path / 'resumed')


@pytest.mark.parametrize('kill', [5, 13])
def test_kill_9_and_resume_of_a_stream(run, succeed, images, shards, straight_stream, tmp_path, kill):
    options = ('--shards', '--val-images', images, '--workers', 2)
    stopped = run(tmp_path, shards, *options, '--kill', f'{"SIGKILL" if kill > 5 else "SIGUSR1"}:{kill}:0')
    assert stopped.status == (KILLED if kill > 5 else 128 + signal.SIGUSR1)
    succeed(tmp_path, shards, *options, '--resume')
    assert_same_end(straight_stream, tmp_path)


def test_shards_are_one_run_on_one_and_two_processes_and_resume_on_another_number(
    run, succeed, images, shards, straight_stream, tmp_path
):
    """With the same global batch. Two workers each, or none."""
    one = losses(straight_stream)
    options = (shards, '--shards', '--val-images', images)
    two = tmp_path / 'two'
    stopped = run(two, *options, '--batch', 2, '--workers', 2, '--kill', 'SIGUSR1:8:0', processes=2)
    assert set(stopped.statuses) == {128 + signal.SIGUSR1} and sorted(losses(two)) == list(range(1, 9))
    result = succeed(two, *options, '--resume')
    assert 'was written by 2 process(es), this run has 1' in result.log
    assert losses(two) == pytest.approx(one, rel=1e-5)


def test_a_lost_shard_ends_as_max_share_says(run, succeed, images, shards, tmp_path):
    """Each of its samples counts. The log has one line."""
    folder = tmp_path / 'shards'
    folder.mkdir()
    for shard in Path(shards).parent.glob('*.tar'):
        (folder / shard.name).write_bytes(shard.read_bytes())
    write_index([str(folder / 's-{0..4}.tar')])
    (folder / 's-3.tar').unlink()
    options = (folder / 'index.safetensors', '--shards', '--val-images', images, '--no-val')
    result = succeed(tmp_path / 'goes_on', *options, '--max-bad-share', 0.5)
    assert result.log.count('s-3.tar: the shard is missing') == 1
    assert (tmp_path / 'goes_on/iter_20.pth').is_file()
    bad = torch.load(tmp_path / 'goes_on/iter_20.pth', weights_only=False)['hooks'][0]['BadDataHook']['bad']
    assert 12 <= bad <= 18, 'six samples in each of two passes and a part'
    stopped = run(tmp_path / 'stops', *options, '--max-bad-share', 0.01, processes=1)
    assert stopped.status == 1 and 'files could not be used, more than the allowed fraction of 0.01' in stopped.log


def test_two_processes_of_which_one_gets_a_stop_signal(run, succeed, images, tmp_path):
    options = ('--batch', 2)
    succeed(tmp_path / 'straight', images, *options, processes=2)
    stopped = run(tmp_path / 'resumed', images, *options, '--kill', 'SIGUSR1:12:1', processes=2)
    assert set(stopped.statuses) == {128 + signal.SIGUSR1} and 'Stopped by SIGUSR1 after iteration 12' in stopped.log
    succeed(tmp_path / 'resumed', images, *options, '--resume', processes=2)
    assert_same_end(tmp_path / 'straight', tmp_path / 'resumed')


@pytest.mark.parametrize(('spoil', 'words'), [('add', 'loss inf on rank 1'), ('multiply', 'loss nan on rank 1')])
def test_two_processes_skip_a_step_together(succeed, images, tmp_path, spoil, words):
    result = succeed(tmp_path, images, '--no-val', '--spoil', spoil, processes=2)
    assert f'Step of iteration 4 skipped: {words}, gradient norm ' in result.log
    assert result.log.count(' skipped: ') == 1  # rank 0 logs
    assert torch.load(tmp_path / 'iter_20.pth', weights_only=True)['optimizer']['skipped'] == [1, 0]


def test_a_work_dir_in_use_is_refused_by_every_process(run, images, tmp_path):
    with FolderLock(tmp_path, ''):
        refused = run(tmp_path, images, '--resume', processes=2)
    assert refused.statuses == [1, 1]
    assert refused.log.count(f'ValueError: {tmp_path} is in use by process {os.getpid()} on ') == 2
    assert not list(tmp_path.glob('*.pth'))


def test_one_process_continues_the_data_of_two(run, succeed, images, straight, tmp_path):
    """Both train on the same batches of 4, in halves or whole, and draw the same masks for them."""
    assert run(tmp_path, images, '--batch', 2, '--kill', 'SIGKILL:12:0', processes=2).status == KILLED
    resumed = succeed(tmp_path, images, '--resume')
    assert 'was written by 2 process(es), this run has 1' in resumed.log and 'iteration 10' in resumed.log
    one, two = (torch.load(path / 'iter_20.pth', weights_only=True) for path in (straight, tmp_path))
    assert one['data'] == two['data'] and one['param_schedulers'] == two['param_schedulers']
    rest, continued = (file['message_hub']['curves']['train/loss'][0][-10:].tolist() for file in (one, two))
    assert continued == pytest.approx(rest, rel=1e-5)  # of steps 11 to 20
    assert differences(one['rng'][0]['torch'], two['rng'][0]['torch']) != []  # of code that draws by process


@pytest.mark.parametrize(('name', 'status'), [('SIGTERM', 143), ('SIGINT', 130)])
def test_a_stop_signal_writes_a_checkpoint_and_logs_how_to_resume(
    run, succeed, images, straight, tmp_path, name, status
):
    """The whole process group gets the signal, loader workers too."""
    stopped = run(tmp_path, images, '--workers', 2, '--kill', f'{name}:8:0')
    assert stopped.status == status
    assert 'Traceback' not in stopped.log and 'Error' not in stopped.log
    assert stopped.log.count('received: finishing this step') == 1  # nothing from the workers
    assert f'Stopped by {name} after iteration 8' in stopped.log and '--resume' in stopped.log
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_8.pth')
    succeed(tmp_path, images, '--resume')
    assert_same_end(straight, tmp_path)


def test_damaged_newest_checkpoint_is_reported_and_the_one_before_used(run, succeed, images, straight, tmp_path):
    assert run(tmp_path, images, '--kill', 'SIGKILL:18:0').status == KILLED
    names = sorted(int(path.stem.split('_')[1]) for path in tmp_path.glob('iter_*.pth'))
    newest, before = tmp_path / f'iter_{names[-1]}.pth', f'iter_{names[-2]}.pth'
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    newest.write_bytes(content)
    resumed = succeed(tmp_path, images, '--resume')
    assert 'Checkpoint skipped' in resumed.log and newest.name in resumed.log
    assert f'Resumed from {tmp_path / before}' in resumed.log
    assert_same_end(straight, tmp_path)

    (tmp_path / 'copy.pth').write_bytes(content)
    explicit = run(tmp_path, images, '--resume', tmp_path / 'copy.pth')
    assert explicit.status == 1 and 'copy.pth' in explicit.log and 'cannot be read' in explicit.log


def test_a_few_checkpoints_are_kept_over_a_resume(run, succeed, images, tmp_path):
    assert run(tmp_path, images, '--no-val', '--keep', 2, '--kill', 'SIGTERM:12:0').status == 143
    assert {path.name for path in tmp_path.glob('*.pth')} == {'iter_10.pth', 'iter_12.pth'}
    succeed(tmp_path, images, '--no-val', '--keep', 2, '--resume')
    assert {path.name for path in tmp_path.glob('*.pth')} == {'iter_15.pth', 'iter_20.pth'}
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_20.pth')


def test_bad_files_are_listed_and_too_many_stop_the_run(run, succeed, images, tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for index, file in enumerate(sorted(images.iterdir())):
        (folder / file.name).write_bytes(file.read_bytes()[: 60 if index < 3 else None])
    options = ('--max-bad-share', 0.5, '--val-images', images)
    result = succeed(tmp_path / 'few', folder, *options)
    listed = {line.split('\t')[0] for line in (tmp_path / 'few' / 'bad_files.txt').read_text().splitlines()}
    assert listed == {str(folder / f'{index:03}.png') for index in range(3)}
    assert 'Bad file 1 skipped' in result.log
    # Stopped between two reports of the hook, which come every third iteration.
    assert run(tmp_path / 'resumed', folder, *options, '--kill', 'SIGTERM:11:0').status == 143
    succeed(tmp_path / 'resumed', folder, *options, '--resume')
    assert_same_end(tmp_path / 'few', tmp_path / 'resumed')
    one, two = ((tmp_path / name / 'bad_files.txt').read_text() for name in ('few', 'resumed'))
    assert one == two
    stopped = run(tmp_path / 'many', folder, '--val-images', images)
    assert stopped.status == 1 and 'more than the allowed fraction of 0.01' in stopped.log
    assert 'default_hooks.bad_data.max_share' in stopped.log
