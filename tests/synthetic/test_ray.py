"""The commands that render, with Ray: one local cluster for all tests here."""

import os
import signal
import threading
import time

import pytest

from sapiens.bulk import RayEngine
from sapiens.commands import render, scans

from .scans import mannequin
from .test_make_synthetic_humans import content

if not os.environ.get('CI'):
    pytest.importorskip('ray', reason='requirements/distributed.txt')
pytestmark = pytest.mark.slow  # actors import torch

RAY = ['--engine', 'ray', '--workers', '2']
HERE = ['--workers', '0']


@pytest.fixture(scope='module', autouse=True)
def cluster():
    engine = RayEngine(num_cpus=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RayEngine, 'close', lambda self: None)  # the next command finds it
        yield
    engine.close()


def make(out, calls, engine, number=12):
    options = ['--generator', 'tests.synthetic.fake:CountingGenerator', '--size', '40x56', '--num', str(number)]
    render.main(['--out', str(out), *options, '--scene', f'calls={calls}', 'delay=0.3', *engine])


def called(calls):
    return [line for path in calls.iterdir() for line in path.read_text().split()]


@pytest.fixture
def calls(tmp_path):
    (tmp_path / 'calls').mkdir()
    return tmp_path / 'calls'


def test_people_are_the_same_though_a_worker_is_killed(tmp_path, calls, capsys):
    def kill():
        while len(called(calls)) < 5:
            time.sleep(0.01)
        os.kill(int(next(calls.iterdir()).name), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    make(tmp_path / 'ray', calls, RAY)
    assert '1 worker died; others have made what was lost' in capsys.readouterr().out
    made = called(calls)
    assert len(set(made)) == 12 <= len(made) <= 13  # one image twice at most: that of the worker that died
    make(tmp_path / 'here', calls, HERE)
    assert content(tmp_path / 'ray') == content(tmp_path / 'here') and len(content(tmp_path / 'here')) == 12 * 15 + 6


@pytest.mark.parametrize(('first', 'second'), [(RAY, HERE), (HERE, RAY)], ids=['ray-local', 'local-ray'])
def test_a_stopped_run_goes_on_with_the_other_engine(tmp_path, calls, first, second, monkeypatch):
    update = render.LateBar.update

    def stop(bar, ended=None):
        update(bar, ended)
        if bar.done == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(render.LateBar, 'update', stop)
        make(tmp_path / 'out', calls, first)
    complete = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out/labels').glob('*.json')}
    assert ended.value.code == 130 and 5 <= len(complete) <= 7
    make(tmp_path / 'out', calls, second)
    assert all(path.stat().st_mtime_ns == when for path, when in complete.items())
    make(tmp_path / 'whole', calls, HERE)
    assert content(tmp_path / 'out') == content(tmp_path / 'whole')


def test_scans_are_the_same(tmp_path):
    pytest.importorskip('trimesh')
    pytest.importorskip('warp')
    for number in range(2):
        made = mannequin.build(12, 16)
        mannequin.write(tmp_path / f'scans/{number}.obj', made, unit=100, image=f'{number}.png', scale=1 - number / 10)
    for name, engine in dict(ray=RAY, here=HERE).items():
        options = ['--num', '5', '--size', '40x56', *engine]
        scans.main([str(tmp_path / 'scans'), '--out', str(tmp_path / name), *options])
    assert (
        content(tmp_path / 'ray') == content(tmp_path / 'here') and len(content(tmp_path / 'here')) == 5 * 11 + 2 + 2
    )
