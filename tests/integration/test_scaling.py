"""The benchmark of scaling: two processes, a tiny model."""

import importlib

import pytest


@pytest.fixture
def scaling(monkeypatch):
    monkeypatch.syspath_prepend('tools/benchmark')
    return importlib.import_module('scaling')


def tables(text):
    """Rows of each table by their first two cells."""
    found = []
    for block in text.split('\n\n'):
        lines = [
            [cell.strip() for cell in line.split('|')[1:-1]] for line in block.splitlines() if line.startswith('|')
        ]
        found.append({tuple(line[:2]): dict(zip(lines[0], line, strict=True)) for line in lines[2:]})
    return found


def test_all_parts(scaling, capsys):
    scaling.main(['--smoke', '--spread', '0'])
    shown = capsys.readouterr().out
    measured, predicted, failures = tables(shown)
    assert list(measured) == [('one process', '1'), ('DDP', '2'), ('FSDP2', '2')]
    for (name, _), row in measured.items():
        counted, computed = (float(row[f'MB sent, {kind}']) for kind in ('counted', 'computed'))
        # FSDP2 also fills up parameters whose rows do not divide, and sums the norms of gradients.
        assert computed <= counted <= {'FSDP2': 1.01}.get(name, 1.0005) * computed
        assert (computed > 0) == (int(row['collectives']) > 0) == (name != 'one process')
        assert 0 <= int(row['they run alone'].rstrip('%')) <= int(row['they run'].rstrip('%')) <= 100
    names = ['DDP', 'DDP, bf16 sent', 'FSDP2', 'HSDP']
    assert [way for _, way in predicted] == names
    for row in predicted.values():
        assert 0 <= int(row['64 GPUs'].rstrip('%')) <= int(row['8 GPUs'].rstrip('%')) <= 100
    assert list(failures) == [(hours, gpus) for hours in ('10,000', '50,000') for gpus in ('8', '64')]
    row = failures['50,000', '64']
    assert row['hours between failures'] == '781.2' and row['killed: minutes a failure'] == '20.2'
    assert '120 s later (step_timeout)' in shown


def test_help_and_mistakes(scaling, capsys):
    with pytest.raises(SystemExit) as ended:
        scaling.main(['--help'])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(f'--{name}' in shown for name in ('measure', 'predict', 'failures', 'nic', 'gpus-per-node', 'smoke'))
    for options, text in (
        (['--failures', '--restart=-1'], 'error: restart=-1.0: expected a number above 0'),
        (['--predict', '--smoke', '--total-batch', '12'], 'error: --total-batch 12: expected a multiple of --gpus 8'),
        (['--predict', '--config', 'nosuch'], 'error: no config file nosuch'),
    ):
        with pytest.raises(SystemExit) as ended:
            scaling.main(options)
        assert ended.value.code == 2 and capsys.readouterr().err.startswith(text)


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ('--failures --stall 0', '--stall: 0: expected a number above 0'),
        ('--failures --interval 0', '--interval: 0: expected a number above 0'),
        ('--predict --nic fast', '--nic: fast: expected a number above 0'),
        ('--predict --config mae/nope', 'error: no config file mae/nope'),
    ],
)
def test_wrong_options_end_in_a_line(scaling, capsys, arguments, text):
    with pytest.raises(SystemExit) as end:
        scaling.main(arguments.split())
    assert text in f'{end.value} {capsys.readouterr().err}'
