"""Images are made once each, by any engine, whatever was there and whatever dies."""

import random
from types import SimpleNamespace

import pytest

from sapiens.bulk import LocalEngine, OutputFolder, UnitFailed
from sapiens.synthetic import making
from sapiens.synthetic.making import Missing, blocks, check_inputs, inputs_of

from ..scripts import fork_spawned_processes
from .fake import FileMaker


@pytest.fixture
def make(tmp_path):
    """Make files below a number in a folder. Returns the maker and how many the bar has counted."""

    def call(number, workers=0, units=None, **options):
        folder = tmp_path / 'out'
        maker = FileMaker(folder, **options)
        bar = SimpleNamespace(count=0)
        bar.update = lambda: setattr(bar, 'count', bar.count + 1)
        with OutputFolder(folder) as out, LocalEngine(workers) as engine:
            (folder / 'files').mkdir(exist_ok=True)
            missing = Missing(number, maker.is_made)
            making.make('files', maker, missing, units or blocks(missing), engine, out, bar)
        return maker, bar.count

    return call


def names(folder):
    return sorted(int(path.name) for path in (folder / 'out/files').iterdir())


def test_what_is_missing_is_kept_as_ranges():
    made = set(random.Random(0).sample(range(500), 300))
    missing = Missing(500, made.__contains__)
    expected = [index for index in range(500) if index not in made]
    assert list(missing) == expected and len(missing) == 200
    assert [index for index in range(-1, 501) if index in missing] == expected
    stopped = Missing(100_000, lambda index: index < 70_000 and index != 69_998)
    assert stopped.ranges == [range(69_998, 69_999), range(70_000, 100_000)]
    assert not list(Missing(0, bool)) and not list(Missing(5, lambda _: True)) and 0 not in Missing(5, lambda _: True)


@pytest.mark.parametrize(('number', 'size'), [(0, 1), (999, 1), (1000, 2), (15_001, 16), (50_000, 16)])
def test_units_have_one_image_each_until_there_are_many(number, size):
    made = list(blocks(Missing(number, lambda _: False)))
    assert [index for block in made for index in block] == list(range(number))
    assert {len(block) for block in made[:-1]} <= {size} and len(made) == -(-number // size)


def test_each_missing_image_is_made_once(tmp_path, make):
    (tmp_path / 'out/files').mkdir(parents=True)
    for index in (0, 1, 4, 6, 10):
        (tmp_path / f'out/files/{index}').touch()
    maker, count = make(13)
    assert maker.called() == [2, 3, 5, 7, 8, 9, 11, 12] and count == 8
    assert make(13)[1] == 0 and len(maker.called()) == 8
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'files', 'calls'}  # no records, no lock


def test_the_first_image_that_fails_ends_the_run(tmp_path, make, monkeypatch):
    fork_spawned_processes(monkeypatch)
    for workers in (0, 1):
        with pytest.raises(UnitFailed, match='^number 3 does not fit\ntwo lines$'):
            make(100, workers, fails=3)
        assert names(tmp_path) == [0, 1, 2]
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'files', 'calls'}  # no failures


def test_what_a_worker_had_when_it_died_is_made_by_another(tmp_path, make, monkeypatch, capsys):
    fork_spawned_processes(monkeypatch)
    maker, count = make(8, 2, [range(5), range(5, 8)], kills=3, marker=tmp_path / 'marker')
    assert sorted(maker.called()) == [0, 1, 2, 3, 3, 4, 5, 6, 7] and count == 8
    assert names(tmp_path) == list(range(8))  # and nothing half-written
    assert '1 worker died; others have made what was lost' in capsys.readouterr().out
    with pytest.raises(
        RuntimeError, match='died 3 times: killed by SIGKILL.*: use fewer --workers; the same command continues'
    ):
        make(10, 1, kills=9)
    assert make(10)[1] == 1 and names(tmp_path) == list(range(10))


def test_files_of_other_machines_are_waited_for(tmp_path, make, monkeypatch):
    class Late(FileMaker):
        asked = 0

        def is_made(self, index):
            type(self).asked += 1
            return super().is_made(index) and self.asked > 8

    monkeypatch.setattr(making.time, 'sleep', lambda _: None)
    monkeypatch.setitem(make.__globals__, 'FileMaker', Late)
    make(2)
    assert Late.asked > 8
    Late.asked = -100
    monkeypatch.setattr(making, '_PATIENCE', 0.0)
    with pytest.raises(
        RuntimeError, match='number 0 was made, but its files do not appear in .*: all machines have to see'
    ):
        make(3)


def test_workers_draw_from_the_files_of_the_command():
    generator = SimpleNamespace(backgrounds=['/photos/a.jpg', '/photos/b.jpg'], environments=[])
    check_inputs(generator, inputs_of(generator))
    check_inputs(SimpleNamespace(), inputs_of(SimpleNamespace(backgrounds=None)))
    other = SimpleNamespace(backgrounds=['/photos/a.jpg'], environments=['/photos/b.jpg'])
    with pytest.raises(ValueError, match='sees other files in --backgrounds or --environments'):
        check_inputs(other, inputs_of(generator))
