"""The benchmarks of curation, on few hashes and images."""

import importlib
import sys

import numpy as np
import pytest

from .images import encoded, textured


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a benchmark in this process and returns what it prints."""
    monkeypatch.syspath_prepend('tools/benchmark')

    def call(name, *arguments):
        monkeypatch.setattr('sys.argv', [f'{name}.py', *map(str, arguments)])
        benchmark = importlib.import_module(name)
        if hasattr(benchmark, 'use_one_thread'):
            monkeypatch.setattr(benchmark, 'use_one_thread', lambda: None)
        benchmark.main()
        return capsys.readouterr().out

    return call


def cells(text):
    """Cells of a table, without the line below the head."""
    lines = [line for line in text.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines[:1] + lines[2:]]


def test_searches_take_turns_and_remove_the_same(run, monkeypatch):
    for package in ('imagededup.methods', 'faiss'):
        monkeypatch.setitem(sys.modules, package, None)  # as if not installed
    names = ['python', 'numpy', 'imagededup', 'faiss-flat']
    options = ('--counts', 200, 400, '--repeats', 2, '--limit', 0, '--beside', *names)
    head, *rows = cells(run('duplicates', *options))
    missing = [f'not measured: {package} is not installed' for package in ('imagededup.methods', 'faiss')]
    assert [row[1:3] for row in rows[:2]] == [['imagededup', missing[0]], ['faiss-flat', missing[1]]]
    own, late = 'this package', 'not run: over 0 s expected'
    measured = [(row[0], row[1], row[4] or row[2]) for row in rows[2:]]
    assert measured[:3] == [('200', own, '20'), ('200', 'python', '20'), ('200', 'numpy', '20')]
    assert measured[3:] == [('400', 'python', late), ('400', 'numpy', late), ('400', own, '40')]
    assert [bool(row[3]) for row in rows[2:]] == [False, True, True, False, False, False] and len(head) == 5


def test_a_search_that_removes_others_ends_the_comparison(run, monkeypatch):
    monkeypatch.syspath_prepend('tools/benchmark')
    searches = importlib.import_module('duplicate_searches').SEARCHES
    monkeypatch.setitem(searches, 'numpy', lambda hashes, distance: lambda: range(5))
    with pytest.raises(SystemExit, match='numpy: 25 removed images differ from the 20 of this package'):
        run('duplicates', '--counts', 200, '--repeats', 1, '--beside', 'numpy')


@pytest.mark.parametrize('distance', [0, 1, 6, 9])
def test_searches_of_others(monkeypatch, distance):
    monkeypatch.syspath_prepend('tools/benchmark')
    module = importlib.import_module('duplicate_searches')
    hashes = np.array([0, 0b1, 0b11, 2**64 - 1, 0b1, 2**40 - 1], np.uint64)
    # Each as the first one that is kept decides: the third is near to the first only with two bits and more.
    expected = {0: {4}, 1: {1, 4}, 6: {1, 2, 4}, 9: {1, 2, 4}}[distance]
    for name, make in module.SEARCHES.items():
        try:
            search = make(hashes, distance)
        except module.NotInstalled:
            continue
        assert {int(one) for one in search()} == expected, name


@pytest.mark.parametrize('options', [(), ('--rows',)])
def test_all_made_duplicates_are_found(run, options):
    seconds, _, found, made = map(float, run('duplicates', '--one', 300, *options).split())
    assert seconds > 0 and found == made == 30


def test_speed_of_the_cheap_stages(run, tmp_path):
    for number in range(3):
        (tmp_path / f'{number}.jpg').write_bytes(encoded(textured(number)))
    head, *rows = cells(run('curation_speed', tmp_path, '--rounds', 2))
    assert [bool(row[2]) for row in rows] == [False, True, True]
    assert rows[0][0] == 'this package' and all(float(row[1].split()[0]) > 0 for row in rows) and len(head) == 3


def test_cosines_of_copies_and_of_others(run, tmp_path):
    for number, seed in enumerate((0, 1, 2, 2)):
        (tmp_path / f'{number}.jpg').write_bytes(encoded(textured(seed)))
    text = run('similar', tmp_path, '--function', 'tests.curation.images:embeddings', '--thresholds', 0.95)
    _, *rows = cells(text)
    *copies, others = rows
    assert [row[0] for row in copies[:3]] == ['JPEG of quality 30', 'half of the size', 'mirrored']
    assert all(row[2] == '100 %' for row in copies[:3]) and copies[-1][2] != '100 %', 'a cut of 25 % is too much here'
    assert others[2] == '25 %', 'one of the two equal images'
