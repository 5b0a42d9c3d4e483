"""The benchmark of the memory of heads and losses, with tiny models."""

import importlib

from sapiens.models.layers import chunks

SEG, ALBEDO = 'configs/seg/sapiens_tiny_synthetic-128x96.py', 'configs/albedo/sapiens2_tiny_synthetic-128x96.py'


def rows(monkeypatch, capsys, *arguments):
    """Cells of the printed table, without its first line."""
    monkeypatch.syspath_prepend('tools/benchmark')
    benchmark = importlib.import_module('head_memory')
    monkeypatch.setattr('sys.argv', ['head_memory.py', *arguments])
    monkeypatch.setitem(chunks.CHUNK, 'cpu', chunks.CHUNK['cpu'])  # the benchmark changes it
    monkeypatch.setattr(benchmark, 'use_one_thread', lambda: None)
    benchmark.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines[1:]]


def test_memory(monkeypatch, capsys):
    found = rows(monkeypatch, capsys, 'heads', SEG, ALBEDO, '--batch', '64')
    assert [row[:2] for row in found] == [
        [path, precision] for path in (SEG, ALBEDO) for precision in ('fp32', 'bf16')
    ]
    assert all(float(row[4]) > 1.3 and float(row[7]) > 1.2 for row in found)
    found = rows(monkeypatch, capsys, 'losses', '--keypoints', '17', '--batch', '8')
    assert [row[1] for row in found] == ['fp32', 'fp32', 'bf16', 'bf16']
    one = 8 * 17 * 192 * 256 * 4 / 1e6
    for _, precision, plain, ours, _, plain_peak, peak, _ in found:
        own = one if precision == 'fp32' else one / 2
        assert float(plain) > 0.99 * one and own <= float(ours) + 0.5 < 1.1 * own + 1
        assert float(plain_peak) >= 2.9 * one and float(peak) < own + 5 * one / 2


def test_times(monkeypatch, capsys):
    options = ('--time', '--repeats', '1', '--grid', '2', '2', '--against', 'modules', 'channels_last')
    found = rows(monkeypatch, capsys, 'heads', SEG, *options)
    assert [row[1:3] for row in found] == [
        [precision, side] for precision in ('fp32', 'bf16') for side in ('modules', 'channels_last')
    ]
    found = rows(monkeypatch, capsys, 'losses', '--keypoints', '2', '--time', '--repeats', '1')
    assert len(found) == 4 and all(row[2] == 'formula' for row in found)
