import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from sapiens.commands.curves import key_and_number, main
from sapiens.visualization import draw_curves, read_curves

from .. import scripts


def write_log(work_dir, date, rows):
    folder = work_dir / date / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(''.join(json.dumps(row) + '\n' for row in rows))


def train(step, loss, time=0.5):
    return dict(loss=loss, time=time, iter=step, step=step)


@pytest.fixture
def run(tmp_path):
    """Stopped after iteration 30, resumed from 20 on a machine that is half as fast."""
    work_dir = tmp_path / 'run'
    write_log(
        work_dir, '2026_1', [train(10, 5.0), train(20, 4.0), {'a/b': 0.1, 'time': 9.0, 'step': 20}, train(30, 99.0)]
    )
    write_log(work_dir, '2026_2', [train(30, 3.0, 1.0), train(40, 2.0, 1.0), {'a/b': 0.2, 'time': 9.0, 'step': 40}])
    return work_dir


def test_a_resumed_run_is_one_curve(run):
    curves = read_curves(run)
    assert [list(values) for values in curves['loss']] == [[10, 20, 30, 40], [5, 4, 3, 2]]
    assert [list(values) for values in curves['a/b']] == [[20, 40], [0.1, 0.2]]
    assert set(curves) == {'loss', 'a/b', 'time', 'val_time'}


def test_minutes_are_those_of_training(run):
    curves = read_curves(run, minutes=True)
    np.testing.assert_allclose(curves['loss'][0] * 60, [5, 10, 20, 30])
    np.testing.assert_allclose(curves['a/b'][0] * 60, [10, 30])


def test_folders_without_a_run_are_refused(tmp_path, run):
    with pytest.raises(ValueError, match='empty: no .*scalars.json'):
        read_curves(tmp_path / 'empty')
    with pytest.raises(ValueError, match="'mIoU' was logged by no run; they have a/b, loss, time"):
        draw_curves(dict(run=read_curves(run)), ['loss', 'mIoU'], tmp_path / 'x.png')
    write_log(run, '2026_3', [])
    (run / '2026_3/vis_data/scalars.json').write_text('{"loss": 1')
    with pytest.raises(ValueError, match=r'2026_3/vis_data/scalars\.json is not a log of scalars'):
        read_curves(run)


def test_the_tool_lists_draws_and_prints(tmp_path, run):
    def call(*arguments):
        return scripts.run('tools/misc/plot_curves.py', run, *arguments, check=False)

    assert 'run: a/b, loss, time, val_time' in call().stdout
    done = call('--keys', 'loss', 'a/b', '--names', 'resumed', '--minutes', '--out', tmp_path / 'curves.png')
    assert '| resumed |         0.5         | 0.2000 |' in done.stdout
    picture = np.asarray(Image.open(tmp_path / 'curves.png').convert('RGB'))
    assert picture.shape[1] == 900 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    *_, row, _ = call('--times', '--begin', 20).stdout.splitlines()
    # Rows at 20, 30 and 40, of 10 iterations each, take 0.5, 1 and 1 s an iteration; nothing is known of data and images.
    assert [cell.strip() for cell in row.split('|')[1:-1]] == [
        'run',
        '40',
        '0.833',
        '1.000',
        '1.000',
        'nan',
        'nan',
        '0.4',
    ]
    failed = call(run, '--keys', 'loss')
    assert failed.returncode == 2 and 'give each its own with --names' in failed.stderr
    failed = call('--keys', 'loss', '--begin', 1e9, '--out', tmp_path / 'empty.png')
    assert failed.returncode == 2 and 'no run has anything from there on' in failed.stderr
    assert not (tmp_path / 'empty.png').exists()


def test_panels_share_the_axis_one_point_is_a_point_and_baselines_are_lines(tmp_path, run, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, 'savefig', lambda figure, *_, **__: figures.append(figure))
    one = dict(loss=(np.array([10.0, 90.0]), np.array([5.0, 4.0])), score=(np.array([40.0]), np.array([0.5])))
    draw_curves(dict(a=one), ['loss', 'score'], tmp_path / 'x.png', baselines=dict(score=0.7))
    loss, score = figures[0].axes
    assert loss.get_xlim() == score.get_xlim() and loss.get_xlim()[1] >= 90
    point, line = score.get_lines()
    assert point.get_marker() == 'o' and loss.get_lines()[0].get_marker() == '.'
    assert list(line.get_ydata()) == [0.7, 0.7] and line.get_linestyle() == '--'
    assert [text.get_text() for text in score.get_legend().get_texts()] == ['a', 'baseline 0.7']
    assert all(panel.get_legend() for panel in score.figure.axes), 'each panel names its own lines'
    assert all(float(tick).is_integer() for tick in score.get_xticks())
    with pytest.raises(ValueError, match="baseline of 'other', which is not drawn: expected one of loss"):
        draw_curves(dict(a=one), ['loss'], tmp_path / 'x.png', baselines=dict(other=1.0))


def test_baselines_of_the_command(capsys):
    assert key_and_number('seg/mIoU@0.01=0.5') == ('seg/mIoU@0.01', 0.5)
    for text in ('seg/mIoU', '=1', 'a=b'):
        with pytest.raises(SystemExit) as ended:
            main(['run', '--keys', 'a', '--baseline', text])
        assert ended.value.code == 2 and f'{text}: expected a key and a number' in capsys.readouterr().err
