"""Units are run once, whatever dies; their files depend on the unit alone."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from sapiens.bulk import LocalEngine, Outcome, OutputFolder, Stage, Unit, follow
from tests.bulk.workers import Broken, Dies, Writer, called, contents


def units(count, **data):
    return [Unit(f'unit-{index}', {'value': index, **data}) for index in range(count)]


def run(folder, todo, stage=None, workers=0):
    with OutputFolder(folder) as out:
        return {one.unit: one for one in LocalEngine(workers).run(stage or Stage('write', Writer), todo, out)}


def test_files_depend_on_the_unit_and_not_on_order_or_engine(tmp_path):
    todo = units(6)
    run(tmp_path / 'one', todo)
    run(tmp_path / 'two', todo[::-1], workers=2)
    one, two = contents(tmp_path / 'one'), contents(tmp_path / 'two')
    assert len(one) == 6 and one == two
    assert len(set(one.values())) == 6
    assert not (tmp_path / 'two' / '.work').exists() and not (tmp_path / 'two' / '.lock').exists()


def test_finished_units_are_not_run_again_unless_something_changed(tmp_path):
    calls = tmp_path / 'calls'
    calls.mkdir()
    stage = Stage('write', partial(Writer, str(calls)))
    run(tmp_path / 'out', units(3), stage)
    again = run(tmp_path / 'out', units(4), stage)
    assert [one.is_new for one in again.values()] == [False, False, False, True]
    assert again['unit-0'].counts == {'images': 3}
    assert called(calls) == ['unit-0', 'unit-1', 'unit-2', 'unit-3']
    (tmp_path / 'out' / 'parts' / 'unit-1.txt').write_text('shorter')
    run(tmp_path / 'out', [Unit('unit-0', {'value': 'other'}), *units(4)[1:]], stage)
    assert called(calls)[:5] == ['unit-0', 'unit-0', 'unit-1', 'unit-1', 'unit-2']
    run(tmp_path / 'out', [Unit('unit-2', {'value': 2}, seed=1)], stage)
    run(tmp_path / 'out', units(4)[3:], Stage('write', stage.factory, version='2'))
    assert called(calls)[-4:] == ['unit-2', 'unit-2', 'unit-3', 'unit-3']


def test_a_failure_keeps_its_error_and_the_next_run_tries_it_again(tmp_path):
    todo = [*units(2), Unit('bad', {'fails': 'not an\nimage'}), *units(4)[2:]]
    outcomes = run(tmp_path, todo)
    assert outcomes['bad'].error == 'ValueError: not an image' and len(contents(tmp_path)) == 4
    text = (tmp_path / 'failures' / 'write' / 'bad.txt').read_text()
    assert text.startswith('ValueError: not an image\n') and 'Traceback' in text
    assert run(tmp_path, [Unit('bad', {'value': 1})])['bad'].error == ''
    assert not (tmp_path / 'failures' / 'write' / 'bad.txt').exists()


def test_the_unit_of_a_dead_worker_is_repeated_and_one_that_always_kills_it_fails(tmp_path):
    engine, marker = LocalEngine(2), str(tmp_path / 'marker')
    todo = [Unit('once', {'kills': marker}), *units(3), Unit('always', {'kills': ''})]
    with OutputFolder(tmp_path / 'out') as out:
        outcomes = {one.unit: one for one in engine.run(Stage('write', Writer), todo, out)}
    assert not outcomes['once'].error and len(contents(tmp_path / 'out')) == 4
    assert outcomes['always'].error.startswith('its worker died 3 times: killed by SIGKILL')
    assert engine.lost == 4


def test_errors_of_the_factory_end_the_run(tmp_path):
    with pytest.raises(FileNotFoundError, match='no weights at /nowhere'):
        run(tmp_path, units(2), Stage('write', Broken), workers=1)
    with pytest.raises(RuntimeError, match='3 workers of write died while they were built: killed by SIGKILL'):
        run(tmp_path, units(2), Stage('write', Dies), workers=1)


def test_a_full_disk_ends_the_run(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('sapiens.bulk.output.OutputFolder.finish', full)
    with pytest.raises(OSError, match='unit-0: OSError: .*No space left'):
        run(tmp_path, units(2))
    assert not list(tmp_path.rglob('unit-0*'))


def test_units_are_drawn_as_workers_become_free(tmp_path):
    drawn = []

    def draw():
        for unit in units(50):
            drawn.append(unit.name)
            yield unit

    with OutputFolder(tmp_path) as out:
        outcomes = LocalEngine(1).run(Stage('write', Writer), draw(), out)
        next(outcomes)
        assert len(drawn) <= 3
        outcomes.close()


def test_a_second_command_is_refused(tmp_path):
    with OutputFolder(tmp_path), pytest.raises(ValueError, match='is in use by process .*: choose another'):
        OutputFolder(tmp_path, 'choose another').__enter__()


def test_a_worker_elsewhere_needs_the_folder_and_the_version(tmp_path, monkeypatch):
    from sapiens.bulk import runner

    with pytest.raises(ValueError, match='the command runs 0.0: install one version'):
        runner.UnitRunner(Stage('write', Writer), tmp_path, '0.0')
    monkeypatch.setattr(runner.time, 'sleep', lambda _: None)
    with pytest.raises(ValueError, match='has to be one that all machines share'):
        runner.UnitRunner(Stage('write', Writer), tmp_path, runner.__version__)


def test_files_that_a_unit_no_longer_writes_are_removed(tmp_path):
    with OutputFolder(tmp_path) as out:
        stage, unit = Stage('write', Writer), Unit('unit')
        for name in ('first', 'second'):
            folder = out.work_folder(stage, unit)
            (folder / name).write_text(name)
            out.finish(stage, unit, folder, {})
        assert [path.name for path in out.files(stage)] == ['second'] and not (tmp_path / 'first').exists()
        out.forget(stage, 'unit')
        assert out.files(stage) == [] and not (tmp_path / 'second').exists()


def test_a_stage_in_place_records_nothing_and_ends_with_the_first_error(tmp_path):
    stage = Stage('write', Writer, in_place=True)
    assert run(tmp_path, units(1), stage)['unit-0'].counts == {'images': 3}
    for workers in (0, 1):
        with pytest.raises(FileExistsError, match='parts'):  # its worker makes that folder
            run(tmp_path, units(1), stage, workers)
    assert [path.name for path in tmp_path.iterdir()] == ['parts']


def test_what_killed_workers_have_left_is_removed(tmp_path):
    (tmp_path / 'a/b/c').mkdir(parents=True)
    folders = [tmp_path, tmp_path / 'a', tmp_path / 'a/b', tmp_path / 'a/b/c']
    for folder in folders:
        (folder / '.0.png.0123456789ab.tmp').touch()
        (folder / '0.png').touch()
    with OutputFolder(tmp_path):
        left = {path for path in tmp_path.rglob('*.tmp')}
    assert left == {tmp_path / 'a/b/c/.0.png.0123456789ab.tmp'} and len(list(tmp_path.rglob('0.png'))) == 4


@pytest.mark.parametrize('name', ['', '../up', 'a/b', '.hidden', 'x' * 101])
def test_names_of_units_are_those_of_files(name):
    with pytest.raises(ValueError, match='cannot be the name of a unit'):
        Unit(name)


def test_progress_sums_counts(capsys, monkeypatch):
    monkeypatch.setattr('sapiens.bulk.progress._EVERY', 0.0)
    outcomes = [
        Outcome('a', {'images': 2}, seconds=1),
        Outcome('b', {'images': 4}, is_new=False),
        Outcome('c', error='no'),
    ]
    total = follow(outcomes, Stage('write', Writer), 3)
    assert total.counts == {'images': 6} and total.new == {'images': 2} and total.failed == {'c': 'no'}
    out, err = capsys.readouterr()
    assert out.startswith('write: 3 units, 1 of them done before, 2 images in ') and '1 failed: c' in out
    assert 'failed c: no' in err
    # No terminal: lines in the place of the bar.
    lines = [line for line in err.splitlines() if line.startswith('write: ')]
    assert len(lines) == 3 and lines[0].startswith('write: 1 of 3 units, ') and lines[2].endswith('images/s, 1 failed')


SCRIPT = """
import signal, sys
from functools import partial
from sapiens.bulk import *
from tests.bulk.workers import Writer
if __name__ == '__main__':
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what runs in the background of a shell
    stage = Stage('write', partial(Writer, sys.argv[2], 0.5))
    with OutputFolder(sys.argv[1]) as out:
        for outcome in LocalEngine(2).run(stage, [Unit(f'unit-{i}', {'value': i}) for i in range(8)], out):
            print(outcome.unit, flush=True)
"""


@pytest.mark.skipif(os.name == 'nt', reason='signals of POSIX')
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_command_goes_on_where_it_was(tmp_path, number):
    out, calls, script = tmp_path / 'out', tmp_path / 'calls', tmp_path / 'script.py'
    calls.mkdir()
    script.write_text(SCRIPT)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in [os.getcwd(), *sys.path] if path))
    command = [sys.executable, str(script), str(out), str(calls)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    process.stdout.readline()
    process.send_signal(number)
    process.communicate()
    done = {
        path.stem for path in (out / 'records' / 'write').glob('[!.]*.json')
    }  # a kill can leave a hidden, unfinished one
    assert 1 <= len(done) < 8
    deadline = time.monotonic() + 20
    while any(_is_alive(int(path.name)) for path in calls.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    before = called(calls)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = called(calls)
    assert len(contents(out)) == 8
    for name in done:
        assert after.count(name) == before.count(name) == 1
        record = json.loads((out / 'records' / 'write' / f'{name}.json').read_text())
        assert record['counts'] == {'images': 3} and list(record['files']) == [f'parts/{name}.txt']


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f'/proc/{pid}/stat') as file:
        return file.read().rsplit(')', 1)[1].split()[0] != 'Z'


def test_processes_go_on_to_the_next_stage_unless_they_hold_a_device(tmp_path):
    calls = tmp_path / 'calls'
    calls.mkdir()
    with LocalEngine(1, ['7']) as engine, OutputFolder(tmp_path / 'out') as out:
        for name, gpus in (('one', 0), ('two', 0), ('three', 1), ('four', 0)):
            stage = Stage(name, partial(Writer, str(calls)), gpus=gpus)
            assert [one.error for one in engine.run(stage, units(1), out)] == ['']
        assert not engine._device_of
    assert len(list(calls.iterdir())) == 2  # stages one, two and four, and stage three
    assert not engine._spare and not engine._processes
