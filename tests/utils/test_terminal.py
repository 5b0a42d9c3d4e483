import os
import sys

import pytest

from sapiens.utils.progress import LateBar
from sapiens.utils.terminal import VARIABLE, WIDTH, be_verbose, fact, is_verbose, near_path, without_lines


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setenv(VARIABLE, '0')


def test_verbose_holds_for_processes_that_are_started(monkeypatch):
    assert not is_verbose()
    be_verbose()
    assert is_verbose() and os.environ[VARIABLE] == '1'


def test_facts_fit_the_terminal(tmp_path, monkeypatch):
    assert fact('batch', 3) == 'batch       3'
    long = fact('data', 'x' * 200)
    assert len(long) == WIDTH and long.endswith('x…')
    monkeypatch.chdir(tmp_path)
    assert near_path(tmp_path / 'a/b') == near_path('a/b') == 'a/b'
    assert near_path('/nowhere/a') == '/nowhere/a'


def test_lines_of_native_code_are_dropped(capfd, monkeypatch):
    def write():
        os.write(2, b'one\nno driver here\n')
        print('two', file=sys.stderr)

    with without_lines('no driver'):
        write()
    assert sorted(capfd.readouterr().err.split()) == ['one', 'two']
    with pytest.raises(ValueError), without_lines('no driver'):
        write()
        raise ValueError
    assert sorted(capfd.readouterr().err.split()) == ['one', 'two']
    monkeypatch.setenv(VARIABLE, '1')
    with without_lines('no driver'):
        write()
    assert 'no driver' in capfd.readouterr().err


def test_a_bar_counts_from_the_first_item_on(capsys):
    with LateBar(4, 1, 'image', 'starting') as bar:
        assert capsys.readouterr().err == ''
        bar.set_postfix(failed=1)
        bar.update()
        assert bar.bar.n == bar.bar.initial == 2
        bar.update()
        bar.set_postfix(failed=2)
        bar.update()
        assert bar.bar.disable, 'it ends with the last item, not with what follows'
    shown = capsys.readouterr().err
    assert '3/4' in shown and 'failed=2' in shown
    with LateBar(9, 1, first=3) as bar:
        bar.update()
        bar.update()
        assert bar.bar is None
        bar.update()
        assert bar.bar.n == bar.bar.initial == 4
    with LateBar(2, first=3) as bar:
        bar.update()
        bar.update()
        assert bar.bar.n == 2
    capsys.readouterr()
    with LateBar(4, 4, 'image', 'starting'):
        pass
    assert capsys.readouterr().err == ''


def test_the_rate_is_that_of_the_items_after_the_first_ones(monkeypatch):
    """Ten items of 2 s each after 30 s of loading, eight of them together. They are counted later, all at once."""
    now = [1000.0]
    monkeypatch.setattr('time.time', lambda: now[0])
    with LateBar(10, 0, 'img', first=8) as bar:
        assert bar.summary() == ''
        now[0] += 51.0
        for _ in range(8):
            bar.update(1000.0 + 46)
        assert bar.summary() == '8 img in 46.0 s with loading'
        for number in range(2):
            bar.update(1000.0 + 48 + 2 * number)
        assert bar.bar.start_t == 1046.0, 'the rate of the bar begins when the first ones are done'
    assert bar.summary() == '10 img in 50.0 s: loading and the first 8 in 46.0 s, the other 2 at 0.5 img/s'
    assert len(bar.earliest) == 8, 'memory does not grow with the number of items'
