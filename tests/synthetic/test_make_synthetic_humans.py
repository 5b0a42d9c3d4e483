import json
import os
import signal
import subprocess
import sys
import time
from collections import namedtuple

import cv2
import pytest

from sapiens.commands import render as tool
from sapiens.datasets.draw import hash63

from ..scripts import ROOT, fork_spawned_processes

SMALL = ['--generator', 'tests.synthetic.fake:FakeGenerator', '--size', '40x56']


def make(out, *options, workers=0):
    tool.main(['--out', str(out), '--workers', str(workers), *SMALL, *map(str, options)])


def content(root):
    files = (
        path for path in root.rglob('*') if path.is_file() and path.name[0] != '.'
    )  # a killed run leaves half a file
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_bytes_do_not_depend_on_workers_or_interruptions(tmp_path, monkeypatch):
    fork_spawned_processes(monkeypatch)
    make(tmp_path / 'here', '--num', 7, '--seed', 3)
    make(tmp_path / 'workers', '--num', 7, '--seed', 3, workers=2)
    make(tmp_path / 'parts', '--num', 2, '--seed', 3)
    make(tmp_path / 'parts', '--num', 7, '--seed', 3)
    here = content(tmp_path / 'here')
    assert len(here) == 7 * 15 + 6
    assert here == content(tmp_path / 'workers') == content(tmp_path / 'parts')
    make(tmp_path / 'other', '--num', 7, '--seed', 4)
    assert here['rgb/000000.png'] != content(tmp_path / 'other')['rgb/000000.png'] != here['rgb/000001.png']


@pytest.mark.parametrize(
    'how, workers, code', [(signal.SIGKILL, 1, -9), (signal.SIGINT, 1, 130), (signal.SIGTERM, 0, 130)]
)
def test_a_stopped_run_goes_on(tmp_path, how, workers, code):
    options = ['--num', '10', '--scene', 'delay=0.2']
    command = [
        sys.executable,
        '-W',
        'ignore',
        'tools/data/make_synthetic_humans.py',
        '--out',
        tmp_path / 'stopped',
        *SMALL,
    ]
    run = subprocess.Popen(
        [*command, *options, '--workers', str(workers)],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell's background job starts with Ctrl-C ignored, and the tests may be part of one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    third, deadline = tmp_path / 'stopped/labels/000002.json', time.monotonic() + 120
    while not third.exists() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(how)
    output = run.communicate(timeout=60)[0]  # ends when no worker holds the pipe any more
    assert run.returncode == code, output
    assert ('the same command continues' in output) == (how != signal.SIGKILL)
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / 'stopped/rgb').iterdir()}
    complete = len(list((tmp_path / 'stopped/labels').glob('*.json')))
    assert 3 <= complete < 10 and not (tmp_path / 'stopped/annotations').exists()
    make(tmp_path / 'stopped', *options)
    make(tmp_path / 'whole', *options)
    assert content(tmp_path / 'stopped') == content(tmp_path / 'whole')
    again = [path for path, when in done.items() if path.stat().st_mtime_ns != when]
    assert len(again) <= 1  # what was being written when it stopped


def test_a_folder_of_the_same_seed_beside_it_is_named(tmp_path, capsys):
    (tmp_path / 'foreign').mkdir()
    (tmp_path / 'foreign/dataset_card.json').write_text('[1]')
    make(tmp_path / 'train', '--num', 2)
    assert 'same --seed' not in capsys.readouterr().err
    make(tmp_path / 'train', '--num', 3)  # continues itself
    make(tmp_path / 'val', '--num', 1, '--seed', 1)
    assert 'same --seed' not in capsys.readouterr().err
    make(tmp_path / 'test', '--num', 1)
    assert f'warning: {tmp_path}/train was rendered with the same --seed 0' in capsys.readouterr().err


def test_options_that_contradict_the_folder_are_refused(tmp_path):
    make(tmp_path, '--num', 2)
    before = content(tmp_path)
    for options, message in (
        (['--seed', 5], r'seed = 0, this run has seed = 5'),
        (['--people', '2-3'], r'people = \[1, 4\], this run has people = \[2, 3\]'),
        (['--labels', 'mask'], r'labels = \[.*\], this run has labels = '),
        (['--format', 'jpg'], r"format = 'png', this run has format = 'jpg'"),
        (['--scene', 'delay=1'], r'delay = None, this run has delay = 1'),
        (['--num', 1], r'images up to number 1, this run asks for 1 images.*ask for 2 or more'),
    ):
        with pytest.raises(ValueError, match=message):
            make(tmp_path, '--num', 2, *options)
    make(tmp_path, '--num', 2)
    assert content(tmp_path) == before


def test_a_failure_tells_how_to_see_it_again(tmp_path):
    seed = hash63(0, 1)
    with pytest.raises(SystemExit) as failure:
        make(tmp_path, '--num', 3, '--scene', f'fail_at={seed}')
    message = str(failure.value)
    assert f'image 1 (seed {seed}) failed: RuntimeError: the ellipse does not fit' in message
    lines = [line.strip() for line in message.splitlines()[-2:]]
    assert lines[0] == 'from tests.synthetic.fake import FakeGenerator'
    with pytest.raises(RuntimeError, match='does not fit'):
        exec('\n'.join(lines))


def test_wrong_options_are_refused_before_writing(tmp_path, monkeypatch):
    out = tmp_path / 'set'
    for options, message in (
        (['--scene', 'shine=3'], "does not take these options.*'shine'"),
        (['--scene', 'shine'], 'expected KEY=VALUE'),
        (['--scene', 'background_share=0.5'], 'has no effect without --backgrounds'),
        (['--labels', 'mask,dept'], r"unknown labels \['dept'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            make(out, '--num', 2, *options)
    usage = namedtuple('usage', 'total used free')(0, 0, 50_000)
    monkeypatch.setattr(tool.shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(ValueError, match=r'0\.0 GB free, about .* needed'):
        make(out, '--num', 100)
    assert not out.exists()
    with pytest.raises(SystemExit):
        make(out, '--num', 2, '--size', '40')


def test_without_ray_its_engine_is_refused_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(
        ImportError, match=r'--engine ray needs ray, which cannot be imported .*: python -m pip install ray'
    ):
        make(tmp_path / 'set', '--num', 2, '--engine', 'ray', workers=1)
    assert not (tmp_path / 'set').exists()


def test_preview_draws_every_kind(tmp_path, capsys):
    make(tmp_path / 'all', '--num', 3, '--preview')
    kinds = [
        'rgb',
        'mask',
        'depth',
        'normal',
        'seg',
        'seg29',
        'lip',
        'instance',
        'albedo',
        'alpha',
        'foreground',
        'pose17',
        'pose133',
        'pose308',
    ]
    assert sorted(path.name for path in (tmp_path / 'all').glob('*.png')) == sorted(f'preview_{k}.png' for k in kinds)
    for kind in kinds:
        picture = cv2.imread(str(tmp_path / f'all/preview_{kind}.png'))
        assert picture.shape == (56 + 16, 3 * 44 - 4, 3) and picture[:56].std() > 5, kind
    assert '3 images of 40 x 56 to make' in capsys.readouterr().out
    make(tmp_path / 'few', '--num', 1, '--preview', '--labels', 'seg', '--format', 'jpg')
    assert len(list((tmp_path / 'few').glob('preview_*.png'))) == 5
    assert json.loads((tmp_path / 'few/dataset_card.json').read_text())['options']['labels'] == ['seg']
