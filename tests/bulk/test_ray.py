"""The same with Ray: one local cluster for all tests here."""

import os
import signal
import threading
import time
from functools import partial

import pytest

from sapiens.bulk import LocalEngine, OutputFolder, RayEngine, Stage, Unit, ray_engine
from sapiens.curation import Settings
from sapiens.curation.run import Curation
from sapiens.curation.sources import expand_sources, write_new_lists
from tests.bulk.workers import Broken, Writer, called, contents
from tests.curation.images import encoded, textured

if not os.environ.get('CI'):
    pytest.importorskip('ray', reason='requirements/distributed.txt')


@pytest.fixture(scope='module')
def engine():
    engine = RayEngine(num_cpus=2)
    yield engine
    engine.close()


def units(count):
    return [Unit(f'unit-{index}', {'value': index}) for index in range(count)]


def test_a_worker_that_is_killed_loses_nothing_and_repeats_only_its_unit(tmp_path, engine):
    calls = tmp_path / 'calls'
    calls.mkdir()
    stage = Stage('write', partial(Writer, str(calls), 0.1))

    def kill():
        while not (found := list(calls.iterdir())):
            time.sleep(0.01)
        os.kill(int(found[0].name), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    with OutputFolder(tmp_path / 'ray') as out:
        outcomes = list(engine.run(stage, units(12), out))
    assert sorted(one.unit for one in outcomes) == sorted(unit.name for unit in units(12))
    assert not any(one.error for one in outcomes) and engine.lost == 1 and engine.workers == 2
    assert len(called(calls)) == 13 and len(list(calls.iterdir())) >= 2  # one unit twice, by two processes
    with OutputFolder(tmp_path / 'local') as out:
        list(LocalEngine(0).run(Stage('write', Writer), units(12), out))
    assert contents(tmp_path / 'ray') == contents(tmp_path / 'local')
    with OutputFolder(tmp_path / 'ray') as out:
        assert not any(one.is_new for one in engine.run(stage, units(12), out))


def test_errors_are_those_of_the_local_engine(tmp_path, engine, monkeypatch):
    monkeypatch.setattr(engine, 'retries', 0)
    todo = [Unit('bad', {'fails': 'not an image'}), *units(1), Unit('always', {'kills': ''})]
    with OutputFolder(tmp_path) as out:
        outcomes = {one.unit: one for one in engine.run(Stage('write', Writer), todo, out)}
    assert outcomes['bad'].error == 'ValueError: not an image' and not outcomes['unit-0'].error
    assert outcomes['always'].error.startswith('its worker died 1 time: ')
    with OutputFolder(tmp_path) as out, pytest.raises(FileNotFoundError, match='no weights at /nowhere'):
        list(engine.run(Stage('other', Broken), units(2), out))


def test_no_cluster_at_the_address():
    class NoRay:
        tried = 0

        def init(self, **_):
            self.tried += 1
            raise ConnectionError('nothing\nthere')

        def shutdown(self):
            assert self.tried

    ray = NoRay()
    with pytest.raises(ValueError, match='no Ray cluster at --address here:1 .nothing there.: start one'):
        ray_engine._connect(ray, 'here:1', {})
    assert ray.tried == 1
    with pytest.raises(OSError, match='Ray did not start on this machine .nothing there.: its memory or processors'):
        ray_engine._connect(ray, None, {})
    assert ray.tried == 1 + 3


def test_signals_stay_those_of_the_command():
    class OwnSignals:
        def init(self, **_):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        ray_engine._connect(OwnSignals(), None, {})
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.slow  # actors import torch
def test_curation_is_the_same(tmp_path, engine):
    folder = tmp_path / 'images'
    folder.mkdir()
    for seed in range(4):
        (folder / f'{seed}.jpg').write_bytes(encoded(textured(seed % 3, 300 + seed, 300)))
    filters = dict(natural=dict(type='Natural', threshold=0.1), duplicates=dict(type='Duplicates'))
    files = []
    for name, used in dict(ray=engine, local=LocalEngine(0)).items():
        with OutputFolder(tmp_path / name) as out:
            write_new_lists(out.path, expand_sources([str(folder)]), 1)
            curation = Curation(Settings(filters), out, used)
            curation.measure()
            shards = curation.write_shards()
            assert len(shards) == 3 and curation.failed == 0
        files.append([path.read_bytes() for path in [curation.table, *shards]])
    assert files[0] == files[1]
