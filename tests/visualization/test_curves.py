import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sapiens.visualization import draw_curves, read_curves


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
        command = [sys.executable, 'tools/misc/plot_curves.py', str(run), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

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
