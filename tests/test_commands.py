"""The ``sapiens`` command: its map, its errors, and the wrappers in tools/."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from sapiens.commands import COMMANDS, is_user_error, run
from sapiens.commands.__main__ import describe

from .integration import status_of

ROOT = Path(__file__).parents[1]
CONFIG = 'configs/mae/sapiens_tiny_folder-256x256.py'
POSE = 'configs/pose/sapiens_tiny_synthetic17-128x96.py'


def sapiens(*arguments):
    command = [sys.executable, '-W', 'ignore', '-X', 'importtime', '-m', 'sapiens.commands', *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_help_lists_every_command_without_importing_torch():
    shown = sapiens('--help')
    assert shown.returncode == 0 and 'torch' not in shown.stderr and 'mmengine' not in shown.stderr
    listed = re.findall(r'^  (\w+) +\S', shown.stdout, re.MULTILINE)
    assert tuple(listed) == COMMANDS
    modules = {path.stem for path in (ROOT / 'sapiens/commands').glob('*.py')} - {'__init__', '__main__'}
    assert set(COMMANDS) == modules
    assert all(describe(name).endswith('.') for name in COMMANDS)
    assert max(map(len, shown.stdout.splitlines())) < 100


def test_unknown_command_names_a_near_one():
    refused = sapiens('trian')
    assert refused.returncode == 2 and "no command 'trian'; did you mean 'train'?" in refused.stderr


def test_every_command_has_a_script_in_tools():
    scripts = [path for path in (ROOT / 'tools').rglob('*.py') if path.parent.name != 'benchmark']
    called = [re.search(r"run\('(\w+)'\)", path.read_text()).group(1) for path in scripts]
    assert sorted(called) == sorted(COMMANDS)
    assert all(len(path.read_text().splitlines()) < 10 for path in scripts)


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (('train', 'configs/mae/nowhere.py'), 'no config file configs/mae/nowhere.py'),
        (('train', CONFIG, '--cfg-options', 'model.mask_ration=0.5'), "did you mean 'mask_ratio'"),
        (('train', CONFIG, '--cfg-options', 'model.type=MAEE'), "no model is called 'MAEE'; did you mean 'MAE'?"),
        (('train', CONFIG, '--cfg-options', '+model.maskk=1'), "unexpected keyword argument 'maskk'"),
        (('train', CONFIG, '--cfg-options', '+model.backbone.archh=1'), "unexpected keyword argument 'archh'"),
        (('train', POSE, '--cfg-options', '+model.los=1'), "PoseEstimator has no argument 'los'"),
        (('train', CONFIG), 'DATA_ROOT'),
        (('train', CONFIG, '--cfg-options', 'load_from=nowhere.pth'), 'no checkpoint nowhere.pth'),
        (
            ('train', CONFIG, '--cfg-options', "+model.backbone.init_cfg={'checkpoint':'no.pth'}"),
            'no checkpoint no.pth',
        ),
        (('train', CONFIG, '--resume', 'nowhere.pth'), 'no checkpoint nowhere.pth'),
        (('test', CONFIG, 'nowhere.pth'), 'no checkpoint nowhere.pth'),
        (('test', CONFIG, 'sapiens-pos-1b'), 'sapiens-pos-1b'),
        (('export', 'nowhere.py', '--format', 'onnx'), 'nowhere.py'),
        (('convert', 'inspect', 'nowhere.pth'), 'nowhere.pth'),
        (('verify', 'sapiens-pos-1b', '--image', 'x.png'), 'sapiens-pos-1b'),
        (('infer', 'pose', 'nowhere', '--model', CONFIG, '--out', 'OUT'), 'nowhere is not a file'),
        (('features', 'nowhere.py', 'random', 'images', '--out', 'OUT'), 'nowhere.py'),
        (('features', CONFIG, 'random', 'no_images', '--out', 'OUT'), 'no_images'),
        (('labels', 'nowhere', '--out', 'OUT'), 'no file or folder nowhere'),
        (('curate', 'nowhere', '--out', 'OUT'), 'nowhere is not a file, folder'),
        (('curate', 'x.jpg', '--out', 'OUT', '--cfg-options', 'filters.size.sid=1'), "did you mean 'side'"),
        (('curate', '--out', 'OUT'), 'no SOURCE is given'),
        (('curate', '--out', 'OUT', '--from-table', 'no.parquet'), '--from-table no.parquet: no such file'),
        (('curate', 'x.jpg', '--out', 'OUT', '--address', 'auto'), 'add --engine ray'),
        (('check', 'nowhere.py'), 'nowhere.py'),
        (('check', CONFIG), 'DATA_ROOT'),
        (('check', POSE), 'DATA_ROOT'),
        (('browse', CONFIG, '--out', 'OUT'), 'DATA_ROOT'),
        (('config', CONFIG, '--only', 'nothing'), '--only nothing'),
        (('estimate', 'nowhere.py'), 'nowhere.py'),
        (('estimate', CONFIG, '--gpus', '12'), '--gpus 12 do not fill machines of --gpus-per-node 8'),
        (('curves', 'nowhere', '--keys', 'loss'), 'nowhere'),
        (('score', 'nowhere.json', '--ann-file', 'nowhere.json', '--skeleton', 'coco17'), 'nowhere.json'),
        (('download', 'sapiens-pos-1b'), "did you mean 'sapiens-pose-1b'"),
        (('demo', '--model', 'nowhere.py'), 'nowhere.py'),
        (('quickstart', '--images', 'nowhere'), '--images nowhere'),
        (('quickstart', '--iterations', '20'), '--iterations 20: expected more than 20'),
        (('render', '--out', 'OUT', '--num', '1', '--labels', 'nonsense'), 'nonsense'),
        (('render', '--out', 'OUT', '--num', '1', '--address', 'auto'), 'add --engine ray'),
        (
            ('render', '--out', 'OUT', '--num', '1', '--devices', '0'),
            '--devices has no effect without --scene device=cuda',
        ),
        (('scans', 'nowhere', '--out', 'OUT', '--num', '1', '--engine', 'ray', '--workers', '0'), 'is --engine local'),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else '',
)
def test_a_wrong_path_key_or_value_ends_in_one_line(arguments, text, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'no_data'))
    monkeypatch.chdir(ROOT)
    options = ('--work-dir', tmp_path) if arguments[0] in ('train', 'test') else ()
    arguments = [tmp_path / 'out' if argument == 'OUT' else argument for argument in arguments]
    assert status_of(*arguments, *options) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith('error: ') and text in line and shown.out == ''


def test_verbose_shows_where_an_error_is_from(monkeypatch, capsys):
    monkeypatch.setenv('SAPIENS_VERBOSE', '1')
    assert status_of('train', 'nowhere.py') == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith('Traceback') and lines[-1].startswith('error: no config file nowhere.py')


def raised(function):
    try:
        function()
    except Exception as error:
        return error


def test_bugs_keep_their_traceback():
    assert not is_user_error(raised(lambda: int('x')))
    assert not is_user_error(raised(lambda: {}['x']))
    assert is_user_error(raised(Path('/nowhere/x').read_text))


def test_a_stopped_run_says_so_also_where_the_others_are_gone(monkeypatch, tmp_path):
    def fail():
        raise RuntimeError('Connection closed by peer')

    monkeypatch.setattr('sapiens.commands.hang.main', lambda argv: sys.exit(140))
    monkeypatch.setattr('sapiens.commands._leave_group', fail)
    monkeypatch.setenv('TORCHELASTIC_ERROR_FILE', str(tmp_path / 'error.json'))
    with pytest.raises(RuntimeError):
        run('hang', [])
    assert json.loads((tmp_path / 'error.json').read_text())['kind'] == 'stopped'


@pytest.mark.parametrize(
    ('number', 'kind'), [(errno.ENOENT, 'refused'), (errno.ESTALE, 'failed'), (errno.ENOSPC, 'failed')]
)
def test_a_file_system_that_fails_is_no_wrong_input(number, kind, monkeypatch, tmp_path, capsys):
    """A launcher starts the run again."""

    def fail(argv):
        raise OSError(number, os.strerror(number), 'file')

    monkeypatch.setattr('sapiens.commands.hang.main', fail)
    monkeypatch.setenv('TORCHELASTIC_ERROR_FILE', str(tmp_path / 'error.json'))
    assert status_of('hang', 'x') == 2
    assert json.loads((tmp_path / 'error.json').read_text())['kind'] == kind


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('train_dataloader = dict(batch_sise=3)', "unexpected keyword argument 'batch_sise'"),
        ('model = dict(bakbone=dict())', "unexpected keyword argument 'bakbone'"),
    ],
)
def test_wrong_keys_of_a_child_config_end_in_one_line(text, message, tmp_path, capsys):
    base = ROOT / 'configs/mae/sapiens_tiny_synthetic-256x256.py'
    (tmp_path / 'child.py').write_text(f'_base_ = {str(base)!r}\n{text}\n')
    with pytest.raises(SystemExit) as ended:
        run('train', [str(tmp_path / 'child.py'), '--work-dir', str(tmp_path / 'work')])
    error = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2 and error.startswith('error: ') and message in error


def test_torchrun_shows_the_message_of_an_error(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv('TORCHELASTIC_ERROR_FILE', str(tmp_path / 'error.json'))
    with pytest.raises(SystemExit):
        run('train', ['configs/mae/nowhere.py'])
    failure = ProcessFailure(local_rank=0, pid=1, exitcode=2, error_file=str(tmp_path / 'error.json'))
    shown = capsys.readouterr().err.strip()
    assert failure.message == shown and shown.startswith('error: no config file configs/mae/nowhere.py')
    assert shown in str(ChildFailedError('train.py', {0: failure}))
