"""``sapiens reproduce`` with tiny models and miniatures of the data in the published layouts."""

import json
import multiprocessing
from dataclasses import replace

import pytest
import torch

from sapiens.checkpoints import ZOO
from sapiens.commands import reproduce as command
from sapiens.commands import test as evaluate_command
from sapiens.known_data import KNOWN
from sapiens.reproduction import evaluate
from sapiens.reproduction.table import read_rows

from ..scripts import fork_spawned_processes
from .stand_in import TASKS, stand_in, write_data, write_weights

NAMES = {name: f'{name}/{next(iter(ZOO[name].published))}' for name in TASKS}


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Data of any number of images, and a working directory of its own."""
    monkeypatch.setitem(KNOWN, 'hi4d', replace(KNOWN['hi4d'], expected={}))
    monkeypatch.chdir(tmp_path)


def run(*arguments, root, table='table.md'):
    return command.main(['--root', str(root), '--table', table, '--batch-size', '4', *map(str, arguments)])


@pytest.mark.parametrize('name', TASKS)
def test_scores_are_those_of_sapiens_test(monkeypatch, tmp_path, capsys, name):
    """In many parts and in one run, each to the last digit of the published table and six more."""
    entry = stand_in(monkeypatch, name, tmp_path)
    write_data(name, tmp_path)
    assert run(NAMES[name], root=tmp_path) == 0
    [target] = command.find_targets(NAMES[name])
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    options = ['test_dataloader.num_workers=0']
    evaluate_command.main(
        [target.config, str(tmp_path / 'checkpoints' / entry.names[0]), '--out', 'm.json', '--work-dir', 'w',
         '--cfg-options', *options]
    )  # fmt: skip
    wanted = target.values(json.loads((tmp_path / 'm.json').read_text()))
    folder = tmp_path / command.default_folder(target, False)
    found = json.loads((folder / 'scores.json').read_text())['values']
    assert found == pytest.approx(wanted, abs=1e-4) and found.keys() == target.scores.keys()
    assert (
        len(list(folder.glob('part-*.pt'))) == len(evaluate.Evaluation(plan_of(target, tmp_path, folder)).blocks) > 4
    )
    text = capsys.readouterr().out
    for score, published in target.scores.items():
        assert f'{score}: ' in text and f'published {published} (' in text
    rows = {row.key: row for row in read_rows(tmp_path / 'table.md')}
    row = rows[name, target.protocol.name, next(iter(found))]
    assert float(row.reproduced) == pytest.approx(next(iter(found.values())), abs=1e-2)
    assert row.device == 'CPU' and row.command == f'`sapiens reproduce {target.name} --batch-size 4`'
    assert torch.__version__ in row.versions and float(row.minutes) >= 0
    assert sum(bool(row.reproduced) for row in rows.values()) == len(target.scores)


def plan_of(target, root, folder, **options):
    checkpoint = root / 'checkpoints' / target.entry.names[0]
    return evaluate.Plan(target.config, checkpoint, root, folder, batch_size=4, workers=0, **options)


def test_a_stopped_run_continues(monkeypatch, tmp_path, capsys):
    name = 'sapiens-seg-0.3b'
    stand_in(monkeypatch, name, tmp_path)
    write_data(name, tmp_path)
    write, count = evaluate.write_part, [0]

    def stop(path, content):
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(evaluate, 'write_part', stop)
    with pytest.raises(KeyboardInterrupt):
        run(name, root=tmp_path)
    folder = tmp_path / 'work_dirs/reproduce/sapiens-seg-0.3b-goliath-parts'
    before = {path: path.stat().st_mtime_ns for path in folder.glob('part-*.pt')}
    assert len(before) == 2 and not (folder / '.lock').exists() and not (tmp_path / 'table.md').exists()
    monkeypatch.setattr(evaluate, 'write_part', write)
    capsys.readouterr()
    assert run(name, '--batch-size', '3', root=tmp_path) == 0  # the memory was full
    assert '32 samples are done already' in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    whole = json.loads((folder / 'scores.json').read_text())['values']
    assert run(name, '--work-dir', 'again', root=tmp_path) == 0
    assert json.loads((tmp_path / 'again/scores.json').read_text())['values'] == pytest.approx(whole, abs=1e-3)
    rows = [row for row in read_rows(tmp_path / 'table.md') if row.reproduced]
    assert len(rows) == 4  # of two scores, from two runs
    # A finished run computes nothing and adds nothing.
    monkeypatch.setattr(evaluate, 'build_model', None)
    assert run(name, root=tmp_path) == 0
    assert [row for row in read_rows(tmp_path / 'table.md') if row.reproduced] == rows


@pytest.mark.slow
def test_two_devices_give_the_same(monkeypatch, tmp_path):
    fork_spawned_processes(monkeypatch)
    name = 'sapiens-seg-0.3b'
    stand_in(monkeypatch, name, tmp_path)
    write_data(name, tmp_path)
    assert run(name, '--work-dir', 'one', '--devices', 'cpu', root=tmp_path) == 0
    assert run(name, '--work-dir', 'two', '--devices', 'cpu,cpu', root=tmp_path) == 0
    one, two = (json.loads((tmp_path / folder / 'scores.json').read_text()) for folder in ('one', 'two'))
    assert one['values'] == two['values']
    # A process is killed: what is done is kept, and the next run goes on.
    [target] = command.find_targets(name)
    evaluation = evaluate.Evaluation(plan_of(target, tmp_path, tmp_path / 'three'))
    evaluation.begin()
    with pytest.raises(ChildProcessError, match='ended with exit code -9.*run the command again'):
        for _ in evaluation.run(['cpu', 'cpu']):
            for child in multiprocessing.active_children():
                child.kill()
    assert 0 < len(evaluation.missing()) < len(evaluation.blocks)
    assert run(name, '--work-dir', 'three', root=tmp_path) == 0
    assert json.loads((tmp_path / 'three/scores.json').read_text())['values'] == one['values']
    write_weights('configs/pose/sapiens_tiny_synthetic17-128x96.py', tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='other.pth'):
        run(name, '--work-dir', 'four', '--devices', 'cpu,cpu', '--checkpoint', 'other.pth', root=tmp_path)


def test_missing_data_and_weights(monkeypatch, tmp_path):
    entry = stand_in(monkeypatch, 'sapiens-pose-0.3b-17', tmp_path)
    (tmp_path / 'checkpoints' / entry.names[0]).unlink()
    with pytest.raises(FileNotFoundError) as raised:
        run('sapiens-pose-0.3b-17', root=tmp_path)
    text = str(raised.value)
    assert 'weights: ' in text and '`sapiens download sapiens-pose-0.3b-17`' in text
    assert 'It is in annotations_trainval2017.zip' in text and f'sapiens prepare coco --root {tmp_path} --only' in text
    write_data('sapiens-pose-0.3b-17', tmp_path)
    (tmp_path / 'coco/val2017/000000000003.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 missing image: .*000000000003.jpg'):
        run('sapiens-pose-0.3b-17', root=tmp_path)
    stand_in(monkeypatch, 'sapiens-normal-0.3b', tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"no folder '.*hi4d'.*\n +`sapiens prepare hi4d --root .* --only val` says what to do"
    ):
        run('sapiens-normal-0.3b/hi4d-normal', root=tmp_path)
    stand_in(monkeypatch, 'sapiens-seg-0.3b', tmp_path)
    with pytest.raises(FileNotFoundError, match='goliath.*\n.*The test images are not public'):
        run('sapiens-seg-0.3b', root=tmp_path)
    assert not (tmp_path / 'work_dirs').exists()


def test_the_number_of_images_is_that_of_the_protocol(monkeypatch, tmp_path):
    monkeypatch.setitem(KNOWN, 'hi4d', replace(KNOWN['hi4d'], expected=dict(test=1195)))
    stand_in(monkeypatch, 'sapiens-depth-0.3b', tmp_path)
    write_data('sapiens-depth-0.3b', tmp_path)
    with pytest.raises(FileNotFoundError, match='66 samples of test, but the published set has 1,195'):
        run('sapiens-depth-0.3b', root=tmp_path)


def test_wrong_weights(monkeypatch, tmp_path):
    name = 'sapiens-seg-0.3b'
    entry = stand_in(monkeypatch, name, tmp_path)
    write_data(name, tmp_path)
    path = tmp_path / 'checkpoints' / entry.names[0]
    write_weights('configs/pose/sapiens_tiny_synthetic17-128x96.py', path)
    with pytest.raises(ValueError, match=path.name):
        run(name, root=tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=path.name):
        run(name, root=tmp_path)
    with pytest.raises(FileNotFoundError, match='no file nowhere.pth'):
        run(name, '--checkpoint', 'nowhere.pth', root=tmp_path)
    assert not (tmp_path / 'table.md').exists()


def test_parts_of_another_evaluation_are_refused(monkeypatch, tmp_path):
    name = 'sapiens-seg-0.3b'
    entry = stand_in(monkeypatch, name, tmp_path)
    write_data(name, tmp_path)
    assert run(name, '--work-dir', 'w', root=tmp_path) == 0
    path = tmp_path / 'w/part-00001.pt'
    content = path.read_bytes()
    path.write_bytes(content[:500])
    with pytest.raises(ValueError, match='part-00001.pt is damaged .*remove it, and run the command again'):
        run(name, '--work-dir', 'w', root=tmp_path)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'holds parts of another evaluation \(data, parts, quick differ\)'):
        run(name, '--work-dir', 'w', '--quick', root=tmp_path)
    with pytest.raises(ValueError, match=r'holds parts of another evaluation \(config differ\)'):
        run(name, '--work-dir', 'w', '--cfg-options', 'model.test_cfg.flip_test=True', root=tmp_path)
    write_weights(entry.config, tmp_path / 'checkpoints' / entry.names[0], seed=1)
    with pytest.raises(ValueError, match=r'holds parts of another evaluation \(weights differ\)'):
        run(name, '--work-dir', 'w', root=tmp_path)
    assert len([row for row in read_rows(tmp_path / 'table.md') if row.reproduced]) == 2


def test_own_weights_are_not_added_to_the_table(monkeypatch, tmp_path, capsys):
    name = 'sapiens-seg-0.3b'
    entry = stand_in(monkeypatch, name, tmp_path)
    write_data(name, tmp_path)
    write_weights(entry.config, tmp_path / 'mine.pth', seed=1)
    assert run(name, '--checkpoint', 'mine.pth', root=tmp_path) == 0
    assert 'mIoU: ' in capsys.readouterr().out and not (tmp_path / 'table.md').exists()


@pytest.mark.parametrize('name', ['sapiens-pose-0.3b-17', 'sapiens-normal-0.3b'])
def test_quick_takes_a_twentieth(monkeypatch, tmp_path, capsys, name):
    stand_in(monkeypatch, name, tmp_path)
    write_data(name, tmp_path, count=60)
    assert run(NAMES[name], '--quick', root=tmp_path) == 0
    text = capsys.readouterr().out
    assert '3 of 60 images, ' in text and ' on 3 images. On all 60 between ' in text and '(95 percent)' in text
    assert not (tmp_path / 'table.md').exists()
    [target] = command.find_targets(NAMES[name])
    quick = evaluate.Evaluation(plan_of(target, tmp_path, tmp_path / 'x', quick=True))
    again = evaluate.Evaluation(plan_of(target, tmp_path, tmp_path / 'y', quick=True))
    assert quick.data.images == again.data.images and len(quick.data.images) == 3
    assert {quick.data.dataset.path(index) for index in quick.data.indices} and len(quick.data.indices) >= 3


def test_names_and_devices(tmp_path, capsys):
    with pytest.raises(ValueError, match='no score of sapiens-pretrain-1b is published'):
        run('sapiens-pretrain-1b', root=tmp_path)
    with pytest.raises(ValueError, match="'coco' does not exist. Known: hi4d-normal, thuman2-normal"):
        run('sapiens-normal-2b/coco', root=tmp_path)
    with pytest.raises(ValueError, match='cannot be reproduced: its test images are not public'):
        run('sapiens2-normal-1b', root=tmp_path)
    with pytest.raises(ValueError, match='--work-dir x is for one evaluation: give one of'):
        run('sapiens-normal-2b', '--work-dir', 'x', root=tmp_path)
    with pytest.raises(ValueError, match='cuda:7'):
        command.parse_devices('cpu,7')
    assert command.parse_devices('cpu, cpu') == ['cpu', 'cpu']
    capsys.readouterr()
    assert command.main(['--root', str(tmp_path), '--table', str(tmp_path / 'none.md')]) == 0
    listed = capsys.readouterr().out
    assert 'sapiens-pose-2b-133/coco-wholebody' in listed and 'not public' in listed and '74.4' in listed


def test_a_model_of_two_protocols_names_the_data_of_both(tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        command.main(['sapiens-normal-0.3b', '--root', str(tmp_path)])
    text = str(raised.value)
    assert text.startswith(
        'sapiens-normal-0.3b/hi4d-normal and sapiens-normal-0.3b/thuman2-normal need what is not here:'
    )
    assert text.count('\n  weights: ') == 1, 'what both need is said once'
    assert 'sapiens prepare hi4d' in text and 'sapiens prepare thuman2' in text
